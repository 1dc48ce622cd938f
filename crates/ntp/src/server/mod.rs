//! The responder: answers clients' requests from the published clock state.
//!
//! What it serves is the *estimate* of true time (system clock plus offset), not the system clock,
//! and its root dispersion comes from the bound, so that a client's root distance is a promise too.
//! While nothing is known it says so (leap 3, stratum 16) rather than staying silent. It never
//! answers with more octets than it was asked with, and answers only requests (mode 3), so two
//! servers cannot be made to talk to each other and no reflected attack gains anything. A request
//! with the MAC of a known key is answered with one; a request with a MAC that is not right is not
//! answered. Unknown extension fields are passed over.

mod clients;
mod departures;
mod network;

pub use clients::RateLimit;
pub use network::{Network, NetworkError};

use core::net::SocketAddr;
use timeball_timebase::{ClockState, Now, NtpShort, NtpTime, Span, Timestamp};

use crate::association::STRATUM_UNSYNCHRONIZED;
use crate::mac::{Key, KeyRing};
use crate::packet::{Header, LeapIndicator, Mode, Packet};
use crate::random::Random;
use clients::Clients;
use departures::Departures;

/// The responder's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Who is answered; everybody where empty.
    pub allowed: Vec<Network>,
    /// How often one client is answered; without limit where `None`.
    pub rate_limit: Option<RateLimit>,
    /// How many clients are remembered for the rate limit (rounded up to a multiple of eight).
    pub clients_max: usize,
    /// How many answers are remembered for the interleaved mode (RFC 9769); 0 switches it off.
    pub departures_max: usize,
    /// The keys that clients may use.
    pub keys: KeyRing,
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
            departures_max: 16_384,
            keys: KeyRing::default(),
            precision: Span::from_nanos(100),
            seed: [0; 32],
        }
    }
}

/// Counts since the start. Every datagram is counted as received and in exactly one other field,
/// but for the interleaved ones, which are counted as answered, too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ServerCounters {
    /// Datagrams that came in.
    pub received: u64,
    /// Requests answered with the time.
    pub answered: u64,
    /// Of those, in interleaved mode (RFC 9769).
    pub answered_interleaved: u64,
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
    /// Requests with a MAC that no key of ours made.
    pub unauthenticated: u64,
}

/// The responder's state.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    clients: Clients,
    departures: Departures,
    random: Random,
    counters: ServerCounters,
}

impl Server {
    /// Starts with no clients known.
    pub fn new(config: ServerConfig) -> Self {
        let mut random = Random::new(config.seed);
        let clients = Clients::new(config.clients_max, [random.bits(), random.bits()]);
        let departures = Departures::new(config.departures_max);
        Self { config, clients, departures, random, counters: ServerCounters::default() }
    }

    /// Answers a datagram, or does not.
    ///
    /// `received_at` is when it arrived, by the system clock; the answer's own time is filled in by
    /// [`Response::stamp`] just before it is sent, and where [`Response::departure`] asks for it,
    /// [`Server::departed`] is to be told afterwards when it really left.
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
        let message = &octets[..octets.len() - packet.mac.len()];
        let keys = &self.config.keys;
        let key = keys.signer(request.version, message, packet.mac).cloned();
        if key.is_none() && !packet.mac.is_empty() {
            self.counters.unauthenticated += 1;
            return None;
        }
        let (header, offset) = self.answer(now, state, &request);
        Some(self.respond(&request, header, key, received_at, offset))
    }

    /// Notes when an answer really left, by the system clock: a reading taken just after it was
    /// sent, and the kernel's stamp where one comes later.
    pub fn departed(&mut self, departure: Departure, sent_at: Timestamp) {
        let Departure { receive, offset } = departure;
        self.departures.remember(receive, NtpTime::from_timestamp(sent_at + offset));
    }

    /// Counts since the start.
    pub fn counters(&self) -> ServerCounters {
        self.counters
    }

    /// Fills in the client's timestamps: those of a basic answer, or of an interleaved one where
    /// the client asks about an answer whose departure is known (RFC 9769 section 2).
    fn respond(
        &mut self,
        request: &Header,
        header: Header,
        key: Option<Key>,
        received_at: Timestamp,
        offset: Span,
    ) -> Response {
        let receive = self.departures.distinct(NtpTime::from_timestamp(received_at + offset));
        // A client of the basic mode leaves both zero, and costs no place in the table.
        let asks = !request.origin.is_zero() && request.receive != request.transmit;
        let former = asks.then(|| self.departures.take(request.origin)).flatten();
        self.counters.answered_interleaved += u64::from(former.is_some());
        let header = match former {
            Some(transmit) => Header { origin: request.receive, receive, transmit, ..header },
            None => Header { origin: request.transmit, receive, ..header },
        };
        // Of an answer that tells no time nothing is to be measured later.
        let is_known = header.leap != LeapIndicator::Unsynchronized;
        let departure = (asks && is_known).then_some(Departure { receive, offset });
        Response::new(header, key, former.is_some(), departure, offset)
    }

    /// What is told of the clock, and how much the time that is told is ahead of the system clock.
    fn answer(&mut self, now: Now, state: &ClockState, request: &Header) -> (Header, Span) {
        let base = Header {
            leap: LeapIndicator::Unsynchronized,
            mode: Mode::Server,
            stratum: STRATUM_UNSYNCHRONIZED,
            poll: request.poll,
            precision: exponent_of_precision(self.config.precision),
            ..Header::request(request.version, NtpTime::ZERO)
        };
        let known = state.bound.filter(|_| state.is_usable()).map(|b| b.half_width_at(now.raw));
        let Some(half_width) = known else {
            self.counters.answered_unsynchronized += 1;
            return (base, Span::ZERO);
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
        (served, state.reading(now).estimate - now.system)
    }
}

/// An answer that lacks only the time of its departure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    header: Header,
    key: Option<Key>,
    /// Whether its transmit timestamp is the former answer's, to be left as it is.
    is_interleaved: bool,
    departure: Option<Departure>,
    /// Estimated true time less the system clock.
    offset: Span,
    octets: Vec<u8>,
}

/// An answer whose client will ask when it left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Departure {
    /// The receive timestamp by which the client will name it.
    receive: NtpTime,
    /// Estimated true time less the system clock, as in the answer.
    offset: Span,
}

impl Response {
    fn new(
        header: Header,
        key: Option<Key>,
        is_interleaved: bool,
        departure: Option<Departure>,
        offset: Span,
    ) -> Self {
        let transmit = if is_interleaved { header.transmit } else { header.receive };
        let header = Header { transmit, ..header };
        let mut response =
            Self { header, key, is_interleaved, departure, offset, octets: Vec::new() };
        response.encode();
        response
    }

    /// Fills in when the answer leaves, by the system clock: to be called last before sending.
    pub fn stamp(&mut self, leaves_at: Timestamp) {
        if !self.is_interleaved {
            self.header.transmit = NtpTime::from_timestamp(leaves_at + self.offset);
            self.encode();
        }
    }

    /// The datagram to send.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What [`Server::departed`] is to be told with the time of departure; `None` where the client
    /// has no use for it.
    pub fn departure(&self) -> Option<Departure> {
        self.departure
    }

    fn encode(&mut self) {
        self.octets.clear();
        self.octets.extend_from_slice(&self.header.encode());
        if let Some(key) = &self.key {
            key.seal(self.header.version, &mut self.octets);
        }
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
    use crate::mac::MacAlgorithm;
    use crate::packet::HEADER_OCTETS;
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

    fn sealed(key: &Key, version: u8) -> Vec<u8> {
        let mut octets = Header::request(version, NtpTime::from_bits(7)).encode().to_vec();
        key.seal(version, &mut octets);
        octets
    }

    #[test]
    fn a_request_with_a_key_is_answered_with_it_and_with_a_wrong_one_not_at_all() {
        let from = "127.0.0.1:4000".parse().unwrap();
        for (algorithm, secret) in [(MacAlgorithm::AesCmac128, 16), (MacAlgorithm::Sha512, 20)] {
            let key = Key::new(5, algorithm, &vec![1; secret]).unwrap();
            let keys = KeyRing::from_iter([key.clone()]);
            let mut server = Server::new(ServerConfig { keys, ..ServerConfig::default() });
            for version in [3, 4] {
                let request = sealed(&key, version);
                let answer = server.handle(now(), &synchronized(), &request, from, now().system);
                let mut answer = answer.unwrap();
                answer.stamp(now().system + Span::from_micros(10));
                assert_eq!(answer.octets().len(), request.len());
                let (message, mac) = answer.octets().split_at(HEADER_OCTETS);
                assert!(key.verify(version, message, mac), "{algorithm:?}");
                let wrong = sealed(&Key::new(5, algorithm, &vec![2; secret]).unwrap(), version);
                let unknown = sealed(&Key::new(6, algorithm, &vec![1; secret]).unwrap(), version);
                for octets in [&wrong, &unknown, &[&request[..48], &[0; 4]].concat()] {
                    assert_eq!(ask(&mut server, &synchronized(), octets), None);
                }
            }
            assert_eq!((server.counters().answered, server.counters().unauthenticated), (2, 6));
        }
    }

    #[test]
    fn a_client_of_the_interleaved_mode_is_told_when_the_former_answer_left() {
        let mut server = Server::new(ServerConfig::default());
        let from = "127.0.0.1:4000".parse().unwrap();
        let mut request = Header::request(4, NtpTime::from_bits(11));
        let mut former = NtpTime::ZERO;
        let offset = Span::from_millis(250);
        for round in 0..4_i64 {
            let at = now().system + Span::from_secs(round);
            request.origin = former;
            let octets = request.encode();
            let mut response = server.handle(now(), &synchronized(), &octets, from, at).unwrap();
            response.stamp(at + Span::from_micros(10));
            let told = Header::parse(response.octets().first_chunk().unwrap());
            assert_eq!(told.receive, NtpTime::from_timestamp(at + offset));
            if round < 2 {
                // The first request tells nothing of the mode; the second is the first to be
                // remembered.
                assert_eq!(told.origin, request.transmit, "round {round}");
                assert_eq!(response.departure().is_some(), round == 1);
            } else {
                let left = at - Span::from_secs(1) + Span::from_micros(50);
                assert_eq!(told.origin, request.receive, "round {round}");
                assert_eq!(told.transmit, NtpTime::from_timestamp(left + offset));
            }
            if let Some(departure) = response.departure() {
                server.departed(departure, at + Span::from_micros(50));
            }
            former = told.receive;
            request.receive = NtpTime::from_bits(100 + round as u64);
            request.transmit = NtpTime::from_bits(200 + round as u64);
        }
    }

    #[test]
    fn extension_fields_that_are_not_known_are_passed_over() {
        let mut server = Server::new(ServerConfig::default());
        let mut request = Header::request(4, NtpTime::from_bits(1)).encode().to_vec();
        request.extend_from_slice(&[0xfe, 0xdc, 0, 28]);
        request.extend_from_slice(&[0; 24]);
        assert!(ask(&mut server, &synchronized(), &request).is_some());
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
