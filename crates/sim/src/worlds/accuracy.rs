//! Worlds with the physics of the comparison that `cargo xtask bench chrony` makes.

use timeball_timebase::Span;

use crate::clock::Oscillator;
use crate::network::Path;
use crate::scenario::Scenario;
use crate::server::{Behaviour, Server};

/// A scenario, and how well chrony 4.8 did under the same physics in its own simulator (another
/// stream of random numbers): root mean square of its clock's error from some second on, median of
/// ten seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The physics.
    pub scenario: Scenario,
    /// chrony's error, in seconds.
    pub chrony_rms_s: f64,
    /// Both clocks are judged from here on, in seconds.
    pub judged_from_s: i64,
}

/// One server asked every 64 s, its path symmetric with 50 µs each way and this jitter (seconds);
/// the clock wanders by `wander` per square root of a second.
pub fn fixed_poll(name: &str, jitter: f64, wander: f64) -> Scenario {
    Scenario::new(name).with_oscillator(Oscillator::wandering(wander)).with_honest(
        1,
        &Path::symmetric(5e-5, jitter),
        6,
    )
}

/// The comparison's worlds.
pub fn compared() -> Vec<Compared> {
    let wan = Path::symmetric(1e-2, 1e-3);
    let mut late_answers = Path::symmetric(1e-3, 1e-4);
    late_answers.down.spike = (0.1, 2e-2);
    let liar = Behaviour::Lies { by: Span::from_millis(100), from_s: 0.0 };
    let step = Oscillator { frequency_steps: vec![(20_000.0, 5e-6)], ..Oscillator::default() };
    let named = Scenario::new;
    [
        (5.13e-6, fixed_poll("lan10", 1e-5, 1e-9)),
        (20.9e-6, fixed_poll("lan100", 1e-4, 1e-9)),
        (51.4e-6, fixed_poll("lan100-w8", 1e-4, 1e-8)),
        (103e-6, named("wan1").with_honest(1, &wan, 6)),
        (82.2e-6, default_poll("lan100-def")),
        (59.9e-6, named("wan1x4").with_honest(4, &wan, 6)),
        (24.1e-6, named("spike").with_honest(1, &late_answers, 6)),
        (
            64.6e-6,
            named("false4")
                .with_honest(3, &wan, 6)
                .with_server(Server::honest(wan.clone()).with(liar), 6),
        ),
        (93.6e-6, default_poll("init10").with_clock_offset(Span::from_secs(10)).lasting(15_000)),
        (45.8e-6, fixed_poll("fstep", 1e-4, 1e-9).with_oscillator(step)),
    ]
    .map(|(chrony_rms_s, scenario)| {
        // The shorter world is judged sooner.
        let judged_from_s = (scenario.length_s / 3).min(10_000);
        Compared { scenario, chrony_rms_s, judged_from_s }
    })
    .into()
}

fn default_poll(name: &str) -> Scenario {
    Scenario::new(name).with_usual(Server::honest(Path::symmetric(5e-5, 1e-4)))
}
