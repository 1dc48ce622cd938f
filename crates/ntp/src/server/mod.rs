//! The responder: answers clients' requests from the published clock state.
//!
//! What it serves is the *estimate* of true time (system clock plus offset), not the system clock,
//! and its root dispersion comes from the bound, so that a client's root distance is a promise too.
//! While nothing is known it says so (leap 3, stratum 16) rather than staying silent. It never
//! answers with more octets than it was asked with, and answers only requests (mode 3), so two
//! servers cannot be made to talk to each other and no reflected attack gains anything.

mod clients;
mod network;

pub use clients::RateLimit;
pub use network::{Network, NetworkError};

use core::net::SocketAddr;
use timeball_timebase::{ClockState, Now, NtpShort, NtpTime, Span, Timestamp};

use crate::association::STRATUM_UNSYNCHRONIZED;
use crate::packet::{HEADER_OCTETS, Header, LeapIndicator, Mode, Packet};
use crate::random::Random;
use clients::Clients;

/// The responder's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Who is answered; everybody where empty.
    pub allowed: Vec<Network>,
    /// How often one client is answered; without limit where `None`.
    pub rate_limit: Option<RateLimit>,
    /// How many clients are remembered for the rate limit (rounded up to a multiple of eight).
    pub clients_max: usize,
    /// The time that one reading of the system clock takes; at least 1 ns.
    pub precision: Span,
    /// Fresh secret octets, for choices that clients must not foresee.
    pub seed: [u8; 32],
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            rate_limit: Some(RateLimit::default()),
            clients_max: 4_096,
            precision: Span::from_nanos(100),
            seed: [0; 32],
        }
    }
}

/// Counts since the start. Every datagram is counted as received and in exactly one other field.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ServerCounters {
    /// Datagrams that came in.
    pub received: u64,
    /// Requests answered with the time.
    pub answered: u64,
    /// Requests answered with "not synchronized".
    pub answered_unsynchronized: u64,
    /// Datagrams that are no NTP packet.
    pub malformed: u64,
    /// Packets that are no request of version 3 or 4.
    pub not_a_request: u64,
    /// Requests from networks that are not allowed.
    pub denied: u64,
    /// Requests over the rate limit.
    pub rate_limited: u64,
}

/// The responder's state.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    clients: Clients,
    random: Random,
    counters: ServerCounters,
}

impl Server {
    /// Starts with no clients known.
    pub fn new(config: ServerConfig) -> Self {
        let mut random = Random::new(config.seed);
        let clients = Clients::new(config.clients_max, [random.bits(), random.bits()]);
        Self { config, clients, random, counters: ServerCounters::default() }
    }

    /// Answers a datagram, or does not.
    ///
    /// `received_at` is when it arrived, by the system clock; the answer's own time is filled in by
    /// [`Response::stamp`] just before it is sent.
    pub fn handle(
        &mut self,
        now: Now,
        state: &ClockState,
        octets: &[u8],
        from: SocketAddr,
        received_at: Timestamp,
    ) -> Option<Response> {
        self.counters.received += 1;
        let Ok(packet) = Packet::parse(octets) else {
            self.counters.malformed += 1;
            return None;
        };
        let request = packet.header;
        if request.mode != Mode::Client || !(3..=4).contains(&request.version) {
            self.counters.not_a_request += 1;
            return None;
        }
        let client = from.ip().to_canonical();
        let allowed = &self.config.allowed;
        if !allowed.is_empty() && !allowed.iter().any(|network| network.contains(client)) {
            self.counters.denied += 1;
            return None;
        }
        if let Some(limit) = &self.config.rate_limit
            && !self.clients.admit(client, now.raw, limit, &mut self.random)
        {
            self.counters.rate_limited += 1;
            return None;
        }
        Some(self.answer(now, state, &request, received_at))
    }

    /// Counts since the start.
    pub fn counters(&self) -> ServerCounters {
        self.counters
    }

    fn answer(
        &mut self,
        now: Now,
        state: &ClockState,
        request: &Header,
        received_at: Timestamp,
    ) -> Response {
        let base = Header {
            leap: LeapIndicator::Unsynchronized,
            mode: Mode::Server,
            stratum: STRATUM_UNSYNCHRONIZED,
            poll: request.poll,
            precision: exponent_of_precision(self.config.precision),
            origin: request.transmit,
            ..Header::request(request.version, NtpTime::ZERO)
        };
        let known = state.bound.filter(|_| state.is_usable()).map(|b| b.half_width_at(now.raw));
        let Some(half_width) = known else {
            self.counters.answered_unsynchronized += 1;
            return Response::new(base, Span::ZERO, received_at);
        };
        self.counters.answered += 1;
        let root_delay = NtpShort::from_span_ceil(state.root_delay);
        // The client adds half the root delay again: together they are the bound, rounded up.
        let root_dispersion = half_width - root_delay.to_span() / 2;
        let served = Header {
            leap: state.leap.into(),
            stratum: state.stratum,
            root_delay,
            root_dispersion: NtpShort::from_span_ceil(root_dispersion),
            reference_id: state.reference_id,
            // Whole seconds: when exactly our own measurements arrive is nobody's business.
            reference: NtpTime::from_timestamp(Timestamp::from_unix(
                state.reference_time.unix_seconds(),
                0,
            )),
            ..base
        };
        Response::new(served, state.reading(now).estimate - now.system, received_at)
    }
}

/// An answer that lacks only the time of its departure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    octets: [u8; HEADER_OCTETS],
    /// Estimated true time less the system clock.
    offset: Span,
}

impl Response {
    fn new(header: Header, offset: Span, received_at: Timestamp) -> Self {
        let receive = NtpTime::from_timestamp(received_at + offset);
        let octets = Header { receive, transmit: receive, ..header }.encode();
        Self { octets, offset }
    }

    /// Fills in when the answer leaves, by the system clock: to be called last before sending.
    pub fn stamp(&mut self, leaves_at: Timestamp) {
        const TRANSMIT_AT: usize = 40;
        let transmit = NtpTime::from_timestamp(leaves_at + self.offset).to_bits();
        self.octets[TRANSMIT_AT..].copy_from_slice(&transmit.to_be_bytes());
    }

    /// The datagram to send.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// The smallest power of two of a second that is at least `precision`, as its exponent.
fn exponent_of_precision(precision: Span) -> i8 {
    let nanos = precision.as_nanos().clamp(1, 1_000_000_000);
    (-30_i8..0).find(|&exponent| 1_000_000_000_i64 >> -exponent >= nanos).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use timeball_timebase::{Bound, Frequency, MonoTime, SyncState};

    fn now() -> Now {
        Now { raw: MonoTime::from_nanos(9), system: Timestamp::from_unix(1_795_000_000, 0) }
    }

    fn synchronized() -> ClockState {
        ClockState {
            state: SyncState::Synchronized,
            as_of: now().raw,
            system: now().system,
            offset: Some(Span::from_millis(250)),
            bound: Some(Bound {
                as_of: now().raw,
                half_width: Span::from_millis(3),
                growth: Frequency::from_ppm(1),
            }),
            stratum: 2,
            root_delay: Span::from_millis(2),
            ..ClockState::default()
        }
    }

    fn ask(server: &mut Server, state: &ClockState, octets: &[u8]) -> Option<Header> {
        let from = "127.0.0.1:4000".parse().unwrap();
        let mut response = server.handle(now(), state, octets, from, now().system)?;
        response.stamp(now().system + Span::from_micros(10));
        Some(Header::parse(response.octets().first_chunk().unwrap()))
    }

    #[test]
    fn the_estimate_is_served_with_the_bound() {
        let mut server = Server::new(ServerConfig::default());
        let nonce = NtpTime::from_bits(42);
        let request = Header::request(4, nonce).encode();
        let told = ask(&mut server, &synchronized(), &request).unwrap();
        assert_eq!((told.origin, told.mode, told.stratum), (nonce, Mode::Server, 2));
        let truth = now().system + Span::from_millis(250);
        assert_eq!(told.receive, NtpTime::from_timestamp(truth));
        assert_eq!(told.transmit, NtpTime::from_timestamp(truth + Span::from_micros(10)));
        let distance = told.root_delay.to_span() / 2 + told.root_dispersion.to_span();
        assert!(distance >= Span::from_millis(3) && distance < Span::from_micros(3_050));
        assert_eq!(server.counters().answered, 1);
    }

    #[test]
    fn ignorance_is_said() {
        let mut server = Server::new(ServerConfig::default());
        let request = Header::request(3, NtpTime::from_bits(1)).encode();
        let told = ask(&mut server, &ClockState::default(), &request).unwrap();
        assert_eq!((told.leap, told.stratum), (LeapIndicator::Unsynchronized, 16));
        assert_eq!(told.version, 3);
    }

    #[test]
    fn only_requests_are_answered() {
        let mut server = Server::new(ServerConfig::default());
        for first in 0..=255_u8 {
            let mut octets = [0; HEADER_OCTETS];
            octets[0] = first;
            let request = first & 7 == 3 && [3, 4].contains(&(first >> 3 & 7));
            assert_eq!(ask(&mut server, &synchronized(), &octets).is_some(), request, "{first}");
        }
        assert_eq!(ask(&mut server, &synchronized(), &[0; 3]), None);
        let counters = server.counters();
        assert_eq!((counters.malformed, counters.not_a_request), (1, 248));
        assert_eq!(counters.answered, 8);
    }

    #[test]
    fn strangers_are_not_answered() {
        let allowed = vec!["10.0.0.0/8".parse().unwrap()];
        let mut server = Server::new(ServerConfig { allowed, ..ServerConfig::default() });
        let request = Header::request(4, NtpTime::from_bits(1)).encode();
        assert_eq!(ask(&mut server, &synchronized(), &request), None);
        assert_eq!(server.counters().denied, 1);
    }

    #[test]
    fn a_precision_is_never_promised_finer_than_it_is() {
        for (nanos, exponent) in [(1, -29), (100, -23), (1_000, -19), (2_000_000_000, 0)] {
            assert_eq!(exponent_of_precision(Span::from_nanos(nanos)), exponent);
        }
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic_or_amplify(
            octets in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut server = Server::new(ServerConfig::default());
            let from = "[2001:db8::1]:5".parse().unwrap();
            let response = server.handle(now(), &synchronized(), &octets, from, now().system);
            prop_assert!(response.is_none_or(|r| r.octets().len() <= octets.len()));
        }
    }
}
