//! Servers that are one, pretend to be one, or have the time from us: what they are worth as
//! witnesses.

use timeball_ntp::engine::Selection;
use timeball_sim::worlds::drawn;
use timeball_sim::{Behaviour, CLIENT, Follows, Path, Scenario, Server, World, median, seeds};
use timeball_timebase::{Span, SyncState};

const HOUR_S: i64 = 3_600;

fn lan() -> Path {
    Path::symmetric(1e-3, 1e-4)
}

/// A true server of its own, whose clock is set every so many seconds.
fn server(number: u8, every_s: i64) -> Server {
    Server::honest(lan()).following(Follows { address: [10, 0, 0, number], every_s })
}

fn lies(by: Span, from_s: f64) -> Behaviour {
    Behaviour::Lies { by, from_s }
}

/// One server under two addresses, and others.
fn two_addresses(one: &Server, others: u8, every_s: i64) -> Scenario {
    let scenario = Scenario::new("one server under two addresses").lasting(2 * HOUR_S);
    let scenario = scenario.with_server(one.clone(), 6).with_server(one.clone(), 6);
    (2..2 + others).fold(scenario, |scenario, n| scenario.with_server(server(n, every_s), 6))
}

fn used(world: &World) -> Vec<bool> {
    let is_used = |selection| matches!(selection, Selection::Chief | Selection::Combined);
    world.report().sources.iter().map(|source| is_used(source.selection)).collect()
}

/// For how much of the time something was promised.
fn promised(world: &World) -> f64 {
    let widths = world.records().half_widths.values();
    widths.iter().filter(|width| width.is_finite()).count() as f64 / widths.len() as f64
}

#[test]
fn a_server_that_is_wrong_at_both_its_addresses_does_not_outvote_two_others() {
    for seed in seeds(20) {
        let every_s = [16, 64, 1_024][seed as usize % 3];
        let by = Span::from_millis(if seed % 2 == 0 { 100 } else { -30 });
        let from_s = if seed % 4 < 2 { 0.0 } else { 3_000.0 };
        let wrong = server(1, every_s).with(lies(by, from_s));
        let world = two_addresses(&wrong, 2, every_s).run(seed);
        assert_eq!(used(&world), [false, false, true, true], "seed {seed}");
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        let worst = world.records().clock_errors.max_from(600);
        assert!(worst < 1e-3, "seed {seed}: the clock was {worst} s off");
        world.assert_rules_held();
    }
}

#[test]
fn where_one_of_two_servers_is_wrong_nobody_is_believed_however_many_addresses_it_has() {
    for seed in seeds(10) {
        let wrong = server(1, 64).with(lies(Span::from_millis(100), 0.0));
        let world = two_addresses(&wrong, 1, 64).run(seed);
        assert_eq!(promised(&world), 0.0, "seed {seed}");
        let status = world.report();
        assert!(status.sources.iter().all(|s| s.selection == Selection::NoMajority), "seed {seed}");
    }
}

#[test]
fn two_addresses_of_one_server_are_one_of_those_that_must_agree() {
    for seed in seeds(5) {
        let of = |others, minimum| {
            let scenario = two_addresses(&server(1, 64), others, 64);
            scenario.with_config(|config| config.min_sources = minimum).run(seed)
        };
        assert_eq!(promised(&of(0, 2)), 0.0, "seed {seed}");
        assert_eq!(promised(&of(1, 3)), 0.0, "seed {seed}");
        let world = of(1, 2);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        let twins = world.report().sources.into_iter().map(|source| source.twin.map(|id| id.0));
        assert_eq!(twins.collect::<Vec<_>>(), [None, Some(0), None], "seed {seed}");
        assert_eq!(used(&world), [true; 3], "they are listened to all the same, seed {seed}");
        world.assert_rules_held();
    }
}

#[test]
fn who_pretends_to_be_an_honest_server_gains_nothing_when_it_begins_to_lie() {
    for seed in seeds(20) {
        let by = Span::from_micros([300, -700, 2_000, 100_000][seed as usize % 4]);
        let mimic = server(1, 64).with(lies(by, 2_000.0));
        let world = Scenario::new("a mimic")
            .with_server(server(1, 64), 6)
            .with_server(server(2, 64), 6)
            .with_server(mimic, 6)
            .lasting(2 * HOUR_S)
            .run(seed);
        assert_eq!(world.state().state, SyncState::Synchronized, "seed {seed}");
        assert_eq!(used(&world)[..2], [true, true], "seed {seed}");
        assert!(promised(&world) > 0.99, "seed {seed}: {}", promised(&world));
        world.assert_rules_held();
    }
}

/// Of four servers one lies. In one world it has a reference of its own, in the other that of an
/// honest one, and all else is the same.
#[test]
fn promises_hold_in_worlds_drawn_at_random_whose_liar_pretends_to_be_an_honest_server() {
    let mut wider = Vec::new();
    for seed in seeds(200) {
        let of = |pretends: bool| {
            let mut scenario = drawn(seed, 20_000);
            let liar = scenario.servers.iter().position(|server| !server.is_honest());
            let liar = liar.expect("one lies");
            let every_s = [16, 64, 300][seed as usize % 3];
            for number in 0..4 {
                let copied = if number == liar && pretends { (liar + 1) % 4 } else { number };
                let follows = Follows { address: [10, 0, 0, copied as u8], every_s };
                scenario.servers[number].follows = Some(follows);
            }
            let world = scenario.run(seed);
            world.assert_rules_held();
            (world.records().half_lengths.median_from(600), promised(&world))
        };
        let ((own, own_share), (copied, copied_share)) = (of(false), of(true));
        assert!(copied_share > own_share - 0.01, "seed {seed}: {copied_share} of {own_share}");
        if own.is_finite() {
            wider.push(copied / own);
        }
    }
    let worst = wider.iter().copied().fold(0.0, f64::max);
    println!("width where the liar pretends: median {:.4}, worst {worst:.3}", median(wider));
}

#[test]
fn who_has_the_time_from_us_confirms_nothing() {
    let ours = Follows { address: CLIENT, every_s: 256 };
    let echo = Server::honest(lan()).with(Behaviour::Echoes).following(ours);
    for seed in seeds(10) {
        let with = |honest: usize| {
            let scenario = Scenario::new("an echo").with_honest(honest, &lan(), 6);
            let scenario = scenario.with_server(echo.clone(), 6).lasting(HOUR_S);
            scenario.with_config(|config| config.min_sources = 2).run(seed)
        };
        let (alone, backed) = (with(1), with(2));
        assert_ne!(alone.state().state, SyncState::Synchronized, "seed {seed}");
        assert_eq!(backed.state().state, SyncState::Synchronized, "seed {seed}");
        let source = &backed.report().sources[2];
        assert_eq!(source.received, 0, "seed {seed}");
        assert!(source.rejections.contains_key("follows-us"), "seed {seed}: {source:?}");
        assert_eq!(source.selection, Selection::Unfit, "seed {seed}");
        backed.assert_rules_held();
    }
}
