//! Worlds drawn at random in which everything happens to the clock that machine, kernel and other
//! programs can do to it, several of them at once and about a leap second.

use timeball_ntp::engine::{ClockMode, LeapPolicy, PollRange, SourceOptions};
use timeball_sim::worlds::drawn;
use timeball_sim::{Happening, Noise, Oscillator, Path, Scenario, Server, seeds};
use timeball_timebase::{Frequency, Span};

/// The stream of random numbers that these worlds are drawn from.
const MIXED: u64 = 77_000;
const LENGTH_S: i64 = 30_000;

/// One to four honest servers at the ends of symmetric paths.
fn mixed(seed: u64) -> Scenario {
    let mut noise = Noise::new(seed, MIXED);
    let frequency = noise.sign() * noise.magnitude(1e-7, 5e-5);
    let mut scenario = Scenario::new("mixed")
        .with_oscillator(Oscillator { frequency, ..Oscillator::default() })
        .lasting(LENGTH_S);
    for _ in 0..=noise.below(4) {
        let path = Path::symmetric(noise.magnitude(1e-4, 5e-2), noise.magnitude(1e-6, 1e-3));
        let min = 4 + noise.below(4) as i8;
        let poll = PollRange { min, max: min + noise.below(4) as i8 };
        scenario = scenario.with_source(Server::honest(path), poll, SourceOptions::default());
    }
    if noise.chance(0.5) {
        let after_s = noise.between(5_000.0, 25_000.0) as i64;
        scenario = scenario.with_leap_second(noise.chance(0.8), after_s);
    }
    if noise.chance(0.5) {
        scenario = scenario.with_hardware_clock(milliseconds(&mut noise, 900.0));
    }
    if noise.chance(0.4) {
        scenario.config.mode = ClockMode::Observe;
    }
    if noise.chance(0.3) {
        scenario.config.leap = LeapPolicy::Slew;
    }
    for _ in 0..=noise.below(6) {
        let at_s = noise.between(1_000.0, LENGTH_S as f64 - 3_000.0) as i64;
        scenario = match happening(&mut noise) {
            Some(happening) => scenario.with_happening(at_s, happening),
            None => {
                let from = at_s as f64;
                scenario.with_partition(from, from + noise.magnitude(4.0, 5_000.0))
            }
        };
    }
    scenario
}

/// `None` for a network that is cut off.
fn happening(noise: &mut Noise) -> Option<Happening> {
    let seconds = |noise: &mut Noise, most| noise.magnitude(2.0, most) as i64;
    Some(match noise.below(9) {
        0 => Happening::Sleep {
            length_s: seconds(noise, 5_000.0),
            missed: milliseconds(noise, 900.0),
        },
        1 => Happening::sleep(seconds(noise, 100.0)),
        2 => Happening::SetClock(milliseconds(noise, 20_000.0)),
        3 => Happening::Stall(seconds(noise, 100.0)),
        4 => Happening::Restart { after_s: seconds(noise, 1_000.0), remembers: noise.chance(0.5) },
        5 => Happening::Kill(seconds(noise, 1_000.0)),
        6 => {
            let ppm = noise.sign() * noise.magnitude(1.0, 400.0);
            Happening::WriteFrequency(Frequency::from_ppm(ppm as i64))
        }
        7 => Happening::Slew(milliseconds(noise, 50.0)),
        _ => return None,
    })
}

/// Either way, at least one.
fn milliseconds(noise: &mut Noise, most: f64) -> Span {
    Span::from_millis((noise.sign() * noise.magnitude(1.0, most)) as i64)
}

#[test]
fn rules_hold_whatever_is_done_to_the_clock_and_whenever_a_leap_second_comes() {
    for seed in seeds(60) {
        mixed(seed).run(seed).assert_rules_held();
    }
}

#[test]
fn rules_hold_in_worlds_drawn_at_random_with_a_leap_second() {
    for seed in seeds(40) {
        let after_s = Noise::new(seed, MIXED).between(2_000.0, 18_000.0) as i64;
        let scenario = drawn(seed, 20_000).with_leap_second(seed % 4 != 0, after_s);
        scenario.run(seed).assert_rules_held();
    }
}
