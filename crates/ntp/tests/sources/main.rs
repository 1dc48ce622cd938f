//! Sources as the engine treats them: what servers ask for, which addresses are asked, and how
//! often.
#![allow(clippy::unwrap_used)]

mod network;
mod probation;

use network::{Network, Server};
use timeball_ntp::engine::{PollRange, Report, Selection, SourceConfig, SourceOptions};
use timeball_ntp::mac::{Key, KeyRing, MacAlgorithm};
use timeball_ntp::packet::{Header, Mode};
use timeball_timebase::{NtpTime, Span, SyncState};

const A: &str = "192.0.2.1:123";
const B: &str = "192.0.2.2:123";
const C: &str = "192.0.2.3:123";

fn source(host: &str) -> SourceConfig {
    SourceConfig::new(host.to_owned(), 123)
}

fn network(sources: &[SourceConfig], servers: &[(&str, Server)]) -> Network {
    Network::new(sources.to_vec(), KeyRing::default(), servers)
}

fn honest() -> Server {
    Server::ahead(Span::ZERO)
}

fn addresses(report: &Report) -> Vec<Option<String>> {
    report.sources.iter().map(|s| s.address.map(|address| address.to_string())).collect()
}

#[test]
fn a_server_that_says_rate_is_asked_half_as_often_and_still_believed() {
    let mut world = network(&[source("192.0.2.1")], &[(A, honest())]).started();
    world.run(Span::from_minutes(5));
    assert_eq!(world.report().clock.state, SyncState::Synchronized);
    let before = world.server(A).asked.len();
    world.server(A).kiss = Some(*b"RATE");
    world.run(Span::from_minutes(60));
    let asked = world.server(A).asked.split_off(before);
    // Each kiss doubles the interval: 64 s, 128 s, 256 s and so on within the hour.
    assert!((4..=7).contains(&asked.len()), "{} requests", asked.len());
    let pauses: Vec<Span> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] > pair[0] + pair[0] / 2), "{pauses:?}");
    let source = &world.report().sources[0];
    assert_eq!(source.rejections.get("kiss-of-death"), Some(&(asked.len() as u64)));
    assert_ne!(source.selection, Selection::Unfit, "its clock is as good as before");
    // Asked for less once, it is asked less for good.
    world.server(A).kiss = None;
    world.run(Span::from_minutes(600));
    assert!(world.report().sources[0].poll >= 10, "{}", world.report().sources[0].poll);
}

#[test]
fn a_server_that_says_deny_or_rstr_is_never_asked_again() {
    for kiss in [*b"DENY", *b"RSTR"] {
        let denying = Server { kiss: Some(kiss), ..honest() };
        let sources = [source("192.0.2.1"), source("pool.test")];
        let servers = [(A, denying.clone()), (B, denying), (C, honest())];
        let mut world = network(&sources, &servers).named("pool.test", &[B, C]).started();
        world.run(Span::from_minutes(600));
        assert_eq!((world.server(A).asked.len(), world.server(B).asked.len()), (1, 1));
        assert_eq!(addresses(&world.report()), [None, Some(C.to_owned())]);
        assert_eq!(world.report().clock.state, SyncState::Synchronized);
    }
}

#[test]
fn a_falseticker_is_replaced_by_another_server_of_its_name() {
    let sources = [source("192.0.2.1"), source("192.0.2.2"), source("pool.test")];
    let liar = Server::ahead(Span::from_secs(3));
    let servers = [(A, honest()), (B, honest()), (C, liar), ("192.0.2.4:123", honest())];
    let world = network(&sources, &servers).named("pool.test", &[C, "192.0.2.4:123"]);
    let mut world = world.started();
    world.run(Span::from_secs(20));
    assert_eq!(world.report().sources[2].selection, Selection::Falseticker);
    world.run(Span::from_minutes(30));
    let report = world.report();
    assert_eq!(addresses(&report)[2].as_deref(), Some("192.0.2.4:123"));
    assert_eq!(report.sources[2].selection, Selection::Combined);
    assert!(world.server(C).asked.len() < 20, "{}", world.server(C).asked.len());
}

#[test]
fn a_server_that_is_too_far_away_is_replaced_by_another_of_its_name() {
    // The round trip takes 4 s, so its word is good to 2 s at best: honest, and of no use.
    let far = Server { way: Span::from_secs(2), ..honest() };
    let servers = [(A, honest()), (B, far), (C, honest())];
    let world = network(&[source("192.0.2.1"), source("pool.test")], &servers);
    let mut world = world.named("pool.test", &[B, C]).started();
    world.run(Span::from_secs(6));
    assert_eq!(addresses(&world.report())[1].as_deref(), Some(B));
    world.run(Span::from_minutes(30));
    let report = world.report();
    assert_eq!(addresses(&report)[1].as_deref(), Some(C));
    assert_eq!(report.sources[1].selection, Selection::Combined);
    assert!(world.server(B).asked.len() < 20, "{}", world.server(B).asked.len());
}

#[test]
fn a_server_that_falls_silent_is_replaced_and_names_are_not_asked_for_at_every_poll() {
    let quick = SourceConfig { poll: PollRange { min: -4, max: -4 }, ..source("time.test") };
    let servers = [(A, Server { silent: true, ..honest() }), (B, honest())];
    let mut world = network(&[quick], &servers).named("time.test", &[A, B]).started();
    world.run(Span::from_minutes(2));
    assert_eq!(addresses(&world.report()), [Some(B.to_owned())]);
    world.server(B).silent = true;
    let before = world.resolved;
    world.run(Span::from_minutes(10));
    let questions = world.resolved - before;
    assert!((1..=12).contains(&questions), "the resolver was asked {questions} times");
}

#[test]
fn a_pool_that_cannot_be_reached_is_asked_less_and_less() {
    let silent = Server { silent: true, ..honest() };
    let servers = [(A, silent.clone()), (B, silent.clone()), (C, silent)];
    let world = network(&[source("pool.test")], &servers);
    let mut world = world.named("pool.test", &[A, B, C]).started();
    let mut asked_within = |minutes| {
        world.run(Span::from_minutes(minutes));
        let servers = world.servers.values_mut();
        servers.map(|server| core::mem::take(&mut server.asked).len()).sum::<usize>()
    };
    let first_round = asked_within(30);
    assert!((24..=48).contains(&first_round), "{first_round} requests: a row to each, and on");
    // From then on one each 64 s, to one after the other.
    let requests = asked_within(600);
    assert!((500..=600).contains(&requests), "{requests} requests in ten hours");
    // When the network is back, it is known at once how the clock stands.
    world.servers.values_mut().for_each(|server| server.silent = false);
    world.run(Span::from_secs(80));
    assert_eq!(world.report().clock.state, SyncState::Synchronized);
}

#[test]
fn what_one_server_asked_for_is_not_held_against_the_next_of_its_name() {
    let world = network(&[source("pool.test")], &[(A, honest()), (B, honest())]);
    let mut world = world.named("pool.test", &[A, B]).started();
    world.run(Span::from_minutes(5));
    world.server(A).kiss = Some(*b"RATE");
    world.run(Span::from_minutes(30));
    assert!(world.report().sources[0].poll > 8, "{}", world.report().sources[0].poll);
    world.server(A).silent = true;
    let mut minutes = 0;
    while addresses(&world.report()) != [Some(B.to_owned())] {
        minutes += 1;
        assert!(minutes < 10_000, "it is never replaced");
        world.run(Span::from_minutes(1));
    }
    world.run(Span::from_secs(20));
    assert!(world.server(B).asked.len() >= 4, "in a row: {:?}", world.server(B).asked);
    assert_eq!(world.report().sources[0].poll, 6);
}

#[test]
fn the_members_of_a_pool_ask_servers_of_their_own() {
    let pool = vec![source("pool.test"); 3];
    let servers = [(A, honest()), (B, honest()), (C, honest())];
    let mut world = network(&pool, &servers).named("pool.test", &[A, B]).started();
    world.run(Span::from_minutes(10));
    let report = world.report();
    assert_eq!(addresses(&report), [Some(A.to_owned()), Some(B.to_owned()), None]);
    assert_eq!(report.sources[2].selection, Selection::Duplicate);
    // The name has a third server after a while.
    world.names.get_mut("pool.test").unwrap().push(C.parse().unwrap());
    world.run(Span::from_minutes(30));
    assert_eq!(addresses(&world.report())[2].as_deref(), Some(C));
}

#[test]
fn a_second_name_of_a_server_is_no_second_witness() {
    let sources = [source("192.0.2.1"), source("one.test"), source("two.test")];
    let world = network(&sources, &[(A, honest())]);
    let mapped = "[::ffff:192.0.2.1]:123";
    let mut world = world.named("one.test", &[A]).named("two.test", &[mapped]).started();
    world.run(Span::from_minutes(20));
    let report = world.report();
    let parts: Vec<_> = report.sources.iter().map(|source| source.selection).collect();
    assert_eq!(parts, [Selection::Chief, Selection::Duplicate, Selection::Duplicate]);
    assert_eq!(report.sources[1].sent + report.sources[2].sent, 0);
}

#[test]
fn an_answer_without_our_key_changes_nothing_and_the_true_one_is_still_taken() {
    let key = Key::new(3, MacAlgorithm::AesCmac128, &[1; 16]).unwrap();
    let other = Key::new(3, MacAlgorithm::AesCmac128, &[2; 16]).unwrap();
    let keyed = SourceConfig { key: Some(3), ..source("192.0.2.1") };
    let server = Server { key: Some(key.clone()), ..honest() };
    let ring = KeyRing::from_iter([key]);
    let mut world = Network::new(vec![keyed.clone()], ring.clone(), &[(A, server)]);
    // A forger who sees the requests, and wants us to be a year off or not to ask any more.
    let forged = Header {
        mode: Mode::Server,
        stratum: 0,
        reference_id: *b"DENY",
        receive: NtpTime::from_bits(1 << 60),
        transmit: NtpTime::from_bits(1 << 60),
        ..Header::request(4, NtpTime::ZERO)
    };
    world.before_each = Some(forged.encode().to_vec());
    let mut world = world.started();
    world.run(Span::from_minutes(5));
    let source = &world.report().sources[0];
    // The last request may still wait for its answer.
    assert!(source.received >= source.sent - 1, "{} of {}", source.received, source.sent);
    assert_eq!(source.rejections.get("unauthenticated"), Some(&source.received));
    assert_eq!(world.report().clock.state, SyncState::Synchronized);
    // A server with another key is not believed.
    let wrong = Server { key: Some(other), ..honest() };
    let mut world = Network::new(vec![keyed.clone()], ring, &[(A, wrong)]).started();
    world.run(Span::from_minutes(5));
    assert_eq!(world.report().sources[0].received, 0);
    assert_eq!(world.report().sources[0].selection, Selection::Unreachable);
    // Without the key nothing is asked: a request that is not authenticated is not what was wanted.
    let mut world = Network::new(vec![keyed], KeyRing::default(), &[(A, honest())]).started();
    world.run(Span::from_minutes(5));
    assert_eq!(world.server(A).asked.len(), 0);
}

#[test]
fn intervals_shorter_than_the_round_trip_wait_for_the_answer() {
    let quick = SourceConfig { poll: PollRange { min: -4, max: -4 }, ..source("192.0.2.1") };
    let far = Server { way: Span::from_millis(50), ..honest() };
    let mut world = network(&[quick], &[(A, far)]).started();
    world.run(Span::from_minutes(5));
    let source = &world.report().sources[0];
    assert!(source.sent > 500, "{}", source.sent);
    assert!(source.received >= source.sent - 1, "{} of {}", source.received, source.sent);
}

#[test]
fn who_is_heard_first_when_the_network_comes_waits_for_those_whose_names_were_not_found() {
    let liar = Server { silent: true, ..Server::ahead(Span::from_secs(3)) };
    let sources = [source("192.0.2.1"), source("one.test"), source("two.test")];
    let servers = [(A, liar), (B, honest()), (C, honest())];
    let mut world = network(&sources, &servers).named("one.test", &[B]).named("two.test", &[C]);
    world.resolver_is_down = true;
    let mut world = world.started();
    world.run(Span::from_minutes(30));
    world.server(A).silent = false;
    world.resolver_is_down = false;
    for _ in 0..80 {
        world.run(Span::from_secs(1));
        let report = world.report();
        assert_ne!(report.sources[0].selection, Selection::Chief, "the liar was believed");
    }
    let report = world.report();
    assert_eq!(report.sources[0].selection, Selection::Falseticker);
    assert_eq!(report.clock.state, SyncState::Synchronized);
}

#[test]
fn polls_are_spread_at_random_below_a_second() {
    for (poll, spread_ms) in [(-4, 0.5), (0, 7.0), (6, 100.0)] {
        let options = SourceOptions { iburst: false, ..SourceOptions::default() };
        let range = PollRange { min: poll, max: poll };
        let regular = SourceConfig { poll: range, options, ..source("192.0.2.1") };
        let mut world = network(&[regular], &[(A, honest())]).started();
        let interval = Span::from_seconds_f64(f64::from(poll).exp2()).unwrap();
        world.run(interval * 200);
        let asked = &world.server(A).asked;
        let pauses: Vec<f64> =
            asked.windows(2).map(|pair| (pair[1] - pair[0]).as_seconds_f64() * 1e3).collect();
        let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
        let nominal = interval.as_seconds_f64() * 1e3;
        assert!((mean / nominal - 1.0).abs() < 0.01, "2^{poll} s: {mean} ms");
        let least = pauses.iter().copied().fold(f64::INFINITY, f64::min);
        let most = pauses.iter().copied().fold(0.0, f64::max);
        assert!(most - least > spread_ms && most - least < 1_000.0, "{least} to {most} ms");
    }
}
