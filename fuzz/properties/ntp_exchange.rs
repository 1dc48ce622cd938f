//! A datagram as request to our server and as answer to our question: the server never answers with
//! more than it was asked with and never answers an answer; an answer that is taken makes sense and
//! is taken once.

use std::net::SocketAddr;
use timeball_ntp::packet::{Mode, Packet};
use timeball_ntp::query::Query;
use timeball_ntp::server::{Server, ServerConfig};
use timeball_timebase::{Bound, ClockState, Frequency, MonoTime, Now, Span, SyncState, Timestamp};

const PRECISION: Span = Span::from_nanos(100);

pub(crate) fn check(octets: &[u8]) {
    as_request(octets);
    as_answer(octets);
}

fn as_request(octets: &[u8]) {
    let mut server = Server::new(ServerConfig { clients_max: 8, ..ServerConfig::default() });
    let now = now();
    for state in [ClockState::default(), synchronized(now)] {
        let Some(response) = server.handle(now, &state, octets, address(), now.system) else {
            continue;
        };
        assert!(response.octets().len() <= octets.len(), "an answer amplifies");
        let request = Packet::parse(octets).expect("only packets are answered");
        assert_eq!(request.header.mode, Mode::Client, "only requests are answered");
        let answer = Packet::parse(response.octets()).expect("answers are packets");
        assert_eq!(answer.header.mode, Mode::Server);
        assert_eq!(answer.header.origin, request.header.transmit);
    }
}

fn as_answer(octets: &[u8]) {
    const ORIGIN: std::ops::Range<usize> = 24..32;
    const TRANSMIT: std::ops::Range<usize> = 40..48;
    let now = now();
    let mut query = Query::new(address(), [7; 32], PRECISION);
    let request = query.request();
    query.sent(now.system);
    // Only whoever saw the request knows its random number: without help no input would pass.
    let mut helped = octets.to_vec();
    if let Some(origin) = helped.get_mut(ORIGIN) {
        origin.copy_from_slice(&request[TRANSMIT]);
    }
    let arrived = now.system + Span::from_millis(3);
    let Ok(answer) = query.accept(&helped, address(), arrived) else { return };
    assert!((1..=15).contains(&answer.stratum));
    assert!(answer.delay >= PRECISION);
    assert!(answer.error_margin >= answer.delay / 2);
    assert!(query.accept(&helped, address(), arrived).is_err(), "a replayed answer is taken");
}

fn now() -> Now {
    Now::exact(MonoTime::from_nanos(1_000_000_000), Timestamp::from_unix(1_795_000_000, 0))
}

fn synchronized(now: Now) -> ClockState {
    let half_width = Span::from_micros(50);
    ClockState {
        state: SyncState::Synchronized,
        as_of: now.raw,
        system: now.system,
        offset: Some(Span::from_millis(77)),
        bound: Some(Bound { as_of: now.raw, half_width, growth: Frequency::from_ppm(1) }),
        stratum: 2,
        ..ClockState::default()
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 123))
}
