//! The responder: answers clients' requests from the published clock state.
//!
//! What it serves is the *estimate* of true time (system clock plus offset), not the system clock,
//! and its root dispersion comes from the bound, so that a client's root distance is a promise too.
//! While nothing is known it says so (leap 3, stratum 16) rather than staying silent. It never
//! answers with more octets than it was asked with, and answers only requests (mode 3), so two
//! servers cannot be made to talk to each other and no reflected attack gains anything. A request
//! with the MAC of a known key is answered with one; a request with a MAC that is not right is not
//! answered. Unknown extension fields are passed over. Where leap seconds are smeared, what is
//! served and bounded is smeared time, and no leap second is announced.

mod clients;
mod departures;
mod network;

pub use clients::RateLimit;
pub use network::{Network, NetworkError};

use core::net::SocketAddr;
use timeball_timebase::{ClockState, Leap, Now, NtpShort, NtpTime, Span, Timestamp};

use crate::association::STRATUM_UNSYNCHRONIZED;
use crate::mac::{Key, KeyRing};
use crate::packet::{Header, LeapIndicator, Mode, Packet};
use crate::random::Random;
use clients::{Admission, Clients};
use departures::Departures;

/// For so long before a leap second clients are told of it.
const ANNOUNCED_FOR: Span = Span::from_secs(86_400);

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
    /// Whether leap seconds are smeared over the day around them instead of being announced.
    pub smears: bool,
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
            smears: false,
            precision: Span::from_nanos(100),
            seed: [0; 32],
        }
    }
}

/// Counts since the start. Every datagram is counted as received and in exactly one other field,
/// but for the interleaved ones and the kisses, which are parts of others.
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
    /// Of those, the ones that were told so: RATE, the kiss of death (RFC 5905 section 7.4).
    pub kisses: u64,
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
    /// The reference timestamp that is told, and what it was made of.
    reference: (Timestamp, NtpTime),
    counters: ServerCounters,
}

impl Server {
    /// Starts with no clients known.
    pub fn new(config: ServerConfig) -> Self {
        let mut random = Random::new(config.seed);
        let clients = Clients::new(config.clients_max, [random.bits(), random.bits()]);
        let departures = Departures::new(config.departures_max);
        let (reference, counters) = ((Timestamp::UNIX_EPOCH, NtpTime::ZERO), Default::default());
        Self { config, clients, departures, random, reference, counters }
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
        let limit = &self.config.rate_limit;
        let admission = limit
            .as_ref()
            .map(|limit| self.clients.admit(client, now.raw, limit, &mut self.random));
        match admission {
            None | Some(Admission::Answer) => {}
            Some(Admission::Kiss) => {
                self.counters.rate_limited += 1;
                self.counters.kisses += 1;
                return Some(self.kiss(&request, received_at));
            }
            Some(Admission::Ignore) => {
                self.counters.rate_limited += 1;
                return None;
            }
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

    /// Tells a client that it asks too often, and nothing of the time.
    fn kiss(&self, request: &Header, received_at: Timestamp) -> Response {
        let header = Header {
            leap: LeapIndicator::Unsynchronized,
            mode: Mode::Server,
            stratum: 0,
            reference_id: *b"RATE",
            poll: request.poll,
            precision: exponent_of_precision(self.config.precision),
            origin: request.transmit,
            receive: NtpTime::from_timestamp(received_at),
            ..Header::request(request.version, NtpTime::ZERO)
        };
        Response::new(header, None, false, None, Span::ZERO)
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
        let utc = state.reading(now).estimate;
        let root_delay = NtpShort::from_span_ceil(state.root_delay);
        // The client adds half the root delay again: together they are the bound, rounded up.
        let root_dispersion = half_width - root_delay.to_span() / 2;
        let served = Header {
            leap: self.announced(state, utc).into(),
            stratum: state.stratum,
            root_delay,
            root_dispersion: NtpShort::from_span_ceil(root_dispersion),
            reference_id: state.reference_id,
            reference: self.reference(state.reference_time),
            ..base
        };
        (served, utc - now.system + self.smear(state, utc))
    }

    /// When our clock was set last, up to two seconds early. When exactly our measurements arrive
    /// is nobody's business, so the fraction is a random one, but one for each: by it clients know
    /// that two addresses of ours are one server.
    fn reference(&mut self, set_at: Timestamp) -> NtpTime {
        if self.reference.0 != set_at {
            let second = Timestamp::from_unix(set_at.unix_seconds() - 1, 0);
            let fraction = self.random.bits() >> 32 | 1;
            let bits = NtpTime::from_timestamp(second).to_bits() | fraction;
            self.reference = (set_at, NtpTime::from_bits(bits));
        }
        self.reference.1
    }

    /// What clients are told of the next leap second. By RFC 5905 (figure 9) it may be told all the
    /// month, but many clients hand what they are told to their kernel, which acts at midnight.
    fn announced(&self, state: &ClockState, utc: Timestamp) -> Leap {
        let is_of_today = state.leap_second.is_some_and(|leap| leap.at - utc <= ANNOUNCED_FOR);
        if is_of_today && !self.config.smears { state.leap } else { Leap::None }
    }

    /// How far the time that is served is ahead of UTC.
    fn smear(&self, state: &ClockState, utc: Timestamp) -> Span {
        let leap_second = state.leap_second.filter(|_| self.config.smears);
        let has_come = state.leap == Leap::None;
        leap_second.map_or(Span::ZERO, |leap_second| leap_second.smear(utc, has_come))
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
mod tests;
