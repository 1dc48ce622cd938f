//! The list. Numbers in names are those of the suite's tests.

use timeball_ntp::engine::{PollRange, SourceOptions, StepPolicy};
use timeball_timebase::{Frequency, Span, Timestamp};

use super::{Limits, Passed};
use crate::clock::Oscillator;
use crate::network::Path;
use crate::scenario::{Happening, Scenario};
use crate::server::{Behaviour, Server};

/// The suite's worlds that have a counterpart here: one client, NTP, no option that is chrony's
/// own.
pub fn pass_limits() -> Vec<Passed> {
    let mut worlds = starts();
    worlds.extend(offsets());
    worlds.extend(polls());
    worlds.extend(noises());
    worlds.extend(selections());
    worlds.extend(gaps());
    worlds
}

fn starts() -> Vec<Passed> {
    // 2036-02-07: the 32 bits of NTP's seconds are full.
    let era_ends = Timestamp::from_unix(2_085_978_496, 0);
    let before = era_ends - Span::from_secs(5_000);
    let still = Oscillator { wander: 0.0, ..client("").oscillator };
    let at_once = StepPolicy { threshold: Span::from_millis(10), ..StepPolicy::default() };
    let remembering = |scenario: Scenario| {
        scenario.with_config(|config| config.drift = Some(Frequency::from_ppm(100)))
    };
    let burst = usual("102 burst").with_config(|config| config.step = at_once);
    let drift_file = usual("104 drift file").with_oscillator(still).with_clock_offset(Span::ZERO);
    vec![
        passed(usual("001 defaults"), Limits::default()),
        passed(Scenario { epoch: era_ends, ..usual("008 new era") }, Limits::default()),
        passed(Scenario { epoch: before, ..usual("008 era ends meanwhile") }, Limits::default()),
        passed(remembering(burst), Limits { settled_s: 6, ..Limits::default() }),
        passed(remembering(drift_file), Limits { settled_s: 1, ..Limits::default() }),
    ]
}

fn offsets() -> Vec<Passed> {
    let mut worlds = Vec::new();
    for frequency in [-5e-3, 5e-3] {
        // So that the clock is about right when the suite's client hears its server first.
        let offset = Span::from_seconds_f64(-130.0 * frequency).unwrap_or_default();
        let scenario = usual(&format!("003 frequency offset {frequency:e}"))
            .with_oscillator(Oscillator { frequency, ..Oscillator::default() })
            .with_clock_offset(offset);
        worlds.push(passed(scenario, Limits { settled_s: 1_000, ..Limits::default() }));
    }
    for seconds in [-100_000_000, -100, 100, 100_000_000] {
        let scenario = usual(&format!("109 time offset {seconds} s, stepped"))
            .with_clock_offset(Span::from_secs(seconds));
        worlds.push(passed(scenario, Limits { settled_s: 140, ..Limits::default() }));
    }
    let never = StepPolicy { updates: 0, ..StepPolicy::default() };
    for seconds in [-100, 100] {
        let scenario = usual(&format!("004 time offset {seconds} s, slewed"))
            .with_clock_offset(Span::from_secs(seconds))
            .with_config(|config| config.step = never);
        worlds.push(passed(scenario, Limits { settled_s: 1_400, ..Limits::default() }));
        let scenario = usual(&format!("005 set by {seconds} s by somebody else"))
            .with_happening(150, Happening::SetClock(Span::from_secs(seconds)));
        worlds.push(passed(scenario, Limits { settled_s: 1_550, ..Limits::default() }));
    }
    worlds
}

fn noises() -> Vec<Passed> {
    let jittery = Limits {
        error_max_s: 5e-1,
        error_rms_s: 1e-1,
        rate_max: 2e-1,
        rate_rms: 5e-3,
        ..Limits::default()
    };
    let wandering = Limits {
        error_max_s: 5e-3,
        error_rms_s: 1e-3,
        rate_max: 5e-3,
        rate_rms: 1e-4,
        ..Limits::default()
    };
    let mut one_way = Path::symmetric(1e-4, 5e-4);
    one_way.up.jitter *= 1.0 - 2.0 * 0.47;
    one_way.down.jitter *= 1.0 + 2.0 * 0.47;
    let wander = Oscillator { wander: 1e-7, ..client("").oscillator };
    let large_jitter = client("006 large jitter")
        .with_clock_offset(Span::from_secs(1))
        .with_usual(server(1e-4, 1e-1));
    let asymmetric = client("011 asymmetric jitter").with_usual(Server::honest(one_way));
    vec![
        passed(large_jitter, jittery),
        passed(usual("007 large wander").with_oscillator(wander), wandering),
        passed(asymmetric.lasting(100_000), Limits { settled_s: 2_000, ..Limits::default() }),
    ]
}

fn selections() -> Vec<Passed> {
    let mut worlds = Vec::new();
    for falsetickers in [1, 2] {
        let mut scenario = client(&format!("009 {falsetickers} falsetickers of 5"));
        for index in 0..5_i64 {
            let honest = server(1e-3, 1e-4);
            let lie = Behaviour::Lies { by: Span::from_secs(index + 1), from_s: 0.0 };
            scenario =
                scenario.with_usual(if index < falsetickers { honest.with(lie) } else { honest });
        }
        worlds.push(passed(scenario, Limits::default()));
    }
    let mut far = Path::symmetric(1e-3, 1e-4);
    far.up.base += 1.0;
    let far = Server::honest(far);
    let asymmetric = client("009 one near, two at the end of a long way there")
        .with_usual(server(1e-3, 1e-4))
        .with_usual(far.clone())
        .with_usual(far);
    worlds.push(passed(asymmetric, Limits::default()));
    let preferred = SourceOptions { prefer: true, ..SourceOptions::default() };
    let prefer = client("202 prefer")
        .with_usual(server(1e-4, 1e-4))
        .with_usual(server(1e-4, 1e-4))
        .with_source(server(1e-4, 1e-4), PollRange::default(), preferred);
    worlds.push(passed(prefer, Limits::default()));
    worlds
}

fn gaps() -> Vec<Passed> {
    let rare = Limits {
        error_max_s: 1e-1,
        error_rms_s: 2e-3,
        rate_max: 1e-2,
        rate_rms: 2e-5,
        ..Limits::default()
    };
    let mut intermittent = usual("014 20 minutes of network in 10,000 s").lasting(100_000);
    for period in 0..10 {
        let begin = f64::from(period) * 10_000.0;
        intermittent = intermittent.with_partition(begin + 1_200.0, begin + 10_000.0);
    }
    let mut third = server(1e-4, 1e-5);
    (third.path.up.loss, third.path.down.loss) = (0.33, 0.33);
    let poll = PollRange { min: 6, max: 8 };
    let losing = client("125 packet loss").with_source(third, poll, SourceOptions::default());
    let lossy = Limits {
        settled_s: 22_000,
        error_max_s: 1e-2,
        error_rms_s: 5e-3,
        rate_max: 1e-4,
        rate_rms: 2e-5,
    };
    let mut one_in_20 = server(1e-4, 1e-4);
    one_in_20.path.up.loss = 0.95;
    let one_in_20 = client("014 one request in 20 passes").with_usual(one_in_20);
    vec![
        passed(intermittent, rare),
        passed(one_in_20.lasting(100_000), lossy),
        passed(losing.lasting(20_000), Limits { settled_s: 10_000, ..Limits::default() }),
    ]
}

fn polls() -> Vec<Passed> {
    let still = Oscillator { wander: 0.0, ..client("").oscillator };
    let world = |poll: i8| {
        let interval_s = 1_i64 << poll;
        let scenario = client(&format!("101 poll {poll}"))
            .with_oscillator(still.clone())
            .with_server(server(1e-4, 1e-6), poll)
            .lasting((10 * interval_s).max(100));
        let limits = Limits {
            settled_s: (interval_s * 21 / 10 + 1).max(40),
            error_max_s: 1e-5,
            error_rms_s: 5e-6,
            rate_max: 1e-5,
            rate_rms: 5e-6,
        };
        passed(scenario, limits)
    };
    (1..=14).map(world).collect()
}

fn passed(scenario: Scenario, limits: Limits) -> Passed {
    Passed { scenario, limits }
}

/// The suite's client without a server: 100 ms ahead, gaining 100 ppm.
fn client(name: &str) -> Scenario {
    Scenario::new(name)
        .with_oscillator(Oscillator { frequency: 1e-4, ..Oscillator::default() })
        .with_clock_offset(Span::from_millis(100))
        .lasting(10_000)
}

/// The suite's client with its usual server.
fn usual(name: &str) -> Scenario {
    client(name).with_usual(server(1e-4, 1e-4))
}

fn server(base: f64, jitter: f64) -> Server {
    Server::honest(Path::symmetric(base, jitter))
}
