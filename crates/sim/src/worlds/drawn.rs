//! Worlds drawn at random, in which everything goes wrong that a promise must survive.

use timeball_ntp::engine::{ClockMode, PollRange, SourceOptions};
use timeball_timebase::Span;

use crate::clock::Oscillator;
use crate::network::{Bursts, Path, Tail, Way};
use crate::noise::Noise;
use crate::scenario::{Happening, Scenario};
use crate::server::{Behaviour, Server};

/// The stream that a world's physics are drawn from; the world's own streams are others.
const PHYSICS: u64 = 1_000;
const SLEEPS: u64 = 1_001;
const SERVERS: usize = 4;
/// How wrong a hardware clock's rate may be.
const HARDWARE_CLOCK_RATE: f64 = 4e-4;
/// Looked at this often besides before and after every event.
const TICK_S: i64 = 16;

/// Four servers at the ends of unequal, asymmetric, jittery paths whose routes change in one
/// direction; one of them lies, the machine sleeps (for how long, the kernel may know by a hardware
/// clock only), finds the network late when it wakes, stalls and is cut off.
///
/// The oscillator keeps what its settings promise: temperature moves its rate by less than the
/// drift allowance.
pub fn drawn(seed: u64, length_s: i64) -> Scenario {
    let mut noise = Noise::new(seed, PHYSICS);
    let mut sleeps = Noise::new(seed, SLEEPS);
    let length = length_s as f64;
    let default_poll = noise.chance(0.5);
    let poll = if default_poll { PollRange::default() } else { PollRange { min: 6, max: 6 } };
    let offset = Span::from_seconds_f64(noise.sign() * noise.magnitude(1e-3, 10.0));
    let mut scenario = Scenario::new("drawn")
        .with_oscillator(oscillator(&mut noise))
        .with_clock_offset(offset.unwrap_or_default())
        .lasting(length_s);
    scenario.tick_s = TICK_S;
    if noise.chance(0.125) {
        scenario.config.mode = ClockMode::Observe;
    }
    let liar = noise.below(SERVERS);
    for index in 0..SERVERS {
        let server = Server::honest(path(&mut noise, length));
        let server = if index == liar { server.with(lie(&mut noise, length)) } else { server };
        scenario = scenario.with_source(server, poll, SourceOptions::default());
    }
    for _ in 0..noise.below(3) {
        let from = noise.between(0.0, length);
        scenario = scenario.with_partition(from, from + noise.magnitude(60.0, 4.0 * 3600.0));
    }
    for _ in 0..noise.below(4) {
        let at_s = noise.between(600.0, length) as i64;
        let happening = if noise.chance(0.5) {
            let length_s = noise.magnitude(10.0, 3.0 * 3600.0) as i64;
            if sleeps.chance(0.5) {
                let back_s = length_s as f64 + sleeps.magnitude(1.0, 100.0);
                scenario = scenario.with_partition(at_s as f64, at_s as f64 + back_s);
            }
            Happening::Sleep { length_s, missed: missed(&mut sleeps, length_s) }
        } else {
            Happening::Stall(noise.magnitude(1.0, 100.0) as i64)
        };
        scenario = scenario.with_happening(at_s, happening);
    }
    scenario
}

/// Half the machines count a sleep as they count the rest of the time; the others' hardware clock
/// counts it in whole seconds, and drifts.
fn missed(noise: &mut Noise, length_s: i64) -> Span {
    if noise.chance(0.5) {
        return Span::ZERO;
    }
    let most = (HARDWARE_CLOCK_RATE * length_s as f64).max(1.0);
    Span::from_seconds_f64(noise.between(-most, most)).unwrap_or_default()
}

fn oscillator(noise: &mut Noise) -> Oscillator {
    Oscillator {
        frequency: noise.between(-5e-5, 5e-5),
        wander: noise.magnitude(1e-10, 1e-8),
        temperature: (noise.between(0.0, 4e-7), noise.between(2.0, 24.0) * 3600.0),
        frequency_steps: Vec::new(),
    }
}

fn path(noise: &mut Noise, length: f64) -> Path {
    let round_trip = noise.magnitude(2e-4, 1e-1);
    let share = noise.between(0.1, 0.9);
    let jitter = noise.magnitude(1e-5, 1e-2).min(round_trip);
    let mut path = Path {
        up: way(noise, round_trip * share, jitter),
        down: way(noise, round_trip * (1.0 - share), jitter),
        ..Path::default()
    };
    for _ in 0..noise.below(4) {
        let at = noise.between(0.0, length);
        let by = noise.sign() * noise.magnitude(1e-4, 5e-2);
        let way = if noise.chance(0.5) { &mut path.up } else { &mut path.down };
        way.route_changes.push((at, by));
    }
    path
}

fn way(noise: &mut Noise, base: f64, jitter: f64) -> Way {
    let mut way = Way::new(base, jitter * noise.magnitude(0.1, 1.0));
    if noise.chance(0.25) {
        way.tail = Tail::Heavy(noise.between(1.5, 3.0));
    }
    if noise.chance(0.25) {
        way.spike = (noise.between(0.0, 0.2), noise.magnitude(1e-3, 1e-1));
    }
    if noise.chance(0.25) {
        way.loss = noise.between(0.0, 0.3);
    }
    if noise.chance(0.25) {
        way.load = (noise.unit(), 86_400.0);
    }
    if noise.chance(0.25) {
        let period = noise.magnitude(600.0, 36_000.0);
        let (length, mean) = (period * noise.between(0.05, 0.5), noise.magnitude(1e-3, 1e-1));
        way.bursts = Some(Bursts { period, length, mean });
    }
    way
}

fn lie(noise: &mut Noise, length: f64) -> Behaviour {
    if noise.chance(0.3) {
        return Behaviour::Drifts { rate: noise.sign() * noise.magnitude(1e-8, 1e-4) };
    }
    let by = Span::from_seconds_f64(noise.sign() * noise.magnitude(1e-4, 1e3));
    let from_s = if noise.chance(0.5) { 0.0 } else { noise.between(0.0, length) };
    Behaviour::Lies { by: by.unwrap_or_default(), from_s }
}
