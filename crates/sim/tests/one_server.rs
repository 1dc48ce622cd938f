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

/// A drawn world whose liar copies an honest server's reference, or falls silent after two minutes:
/// the median width of what is promised, and for how much of the time something is.
fn with_liar(seed: u64, copies: bool) -> (f64, f64) {
    let length_s = 15_000;
    let mut scenario = drawn(seed, length_s);
    let liar = scenario.servers.iter().position(|server| !server.is_honest());
    let liar = liar.expect("one lies");
    if seed.is_multiple_of(2) {
        // Half of the lies are small enough to be within what honest servers allow for: 10 µs to
        // 10 ms, while the copied one promises 100 µs to 50 ms.
        let size_s = 10_f64.powf(-5.0 + (seed % 62) as f64 / 20.0);
        let by = Span::from_seconds_f64(if seed.is_multiple_of(4) { size_s } else { -size_s });
        let by = by.expect("less than a second");
        scenario.servers[liar].behaviour =
            lies(by, if seed.is_multiple_of(3) { 0.0 } else { 4_000.0 });
    }
    for number in 0..4 {
        let told = if number == liar && copies { (liar + 1) % 4 } else { number };
        let every_s = [16, 64, 300][seed as usize % 3];
        scenario.servers[number].follows =
            Some(Follows { address: [10, 0, 0, told as u8], every_s });
    }
    if !copies {
        scenario.servers[liar].path.outages.push((120.0, length_s as f64));
    }
    let world = scenario.run(seed);
    world.assert_rules_held();
    (world.records().half_lengths.median_from(600), promised(&world))
}

#[test]
#[expect(clippy::print_stdout, reason = "it says the figures of decision 0044")]
fn a_liar_that_pretends_to_be_an_honest_server_breaks_no_promise_and_gains_what_silence_does() {
    let (mut ratios, mut shares) = (Vec::new(), [0.0, 0.0]);
    let worlds = 200;
    for seed in seeds(worlds) {
        let ((copying, share), (silent, silent_share)) =
            (with_liar(seed, true), with_liar(seed, false));
        shares[0] += share / worlds as f64;
        shares[1] += silent_share / worlds as f64;
        ratios.push(copying / silent);
    }
    ratios.retain(|ratio| ratio.is_finite());
    ratios.sort_by(f64::total_cmp);
    let (middle, late) = (median(ratios.clone()), ratios[ratios.len() * 95 / 100]);
    println!(
        "promised for {:.4} of the time where the liar pretends, {:.4} where it is silent; width \
         over that in silence: median {middle:.3}, 95 in 100 below {late:.3}",
        shares[0], shares[1]
    );
    assert!(shares[0] > shares[1] - 0.002 && middle < 1.05, "{shares:?}, {middle}");
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
