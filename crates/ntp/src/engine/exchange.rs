//! Requests to one server and what their answers measure, in basic and in interleaved mode.
//!
//! In interleaved mode (RFC 9769) an answer tells when the answer *before* it really left, by the
//! server's kernel or card, which the server could not know while it wrote it. So each measurement
//! is finished by the next answer, one polling interval late.

use core::net::SocketAddr;
use timeball_timebase::{MonoTime, NtpTime, Span, Timestamp};

use super::config::Due;
use super::io::TransmitToken;
use crate::association::{DELAY_MAX, Interleaved, Request, Response, ResponseError};
use crate::mac::Key;
use crate::packet::Header;
use crate::random::Random;
use crate::sample::{Exchange, Sample};

/// Requests in interleaved mode without an answer, after which a basic one is tried: the server may
/// have forgotten us, or never have known the mode.
const INTERLEAVED_TRIES: u32 = 4;
/// How long an answer may take, as a multiple of the last one's delay, before the next request may
/// take its place; within limits, of which the longest holds while no delay is known.
const PATIENCE: i64 = 4;
const PATIENCE_MIN: Span = Span::from_micros(62_500);
const PATIENCE_MAX: Span = Span::from_secs(1);

/// The conversation with one server.
#[derive(Debug)]
pub(super) struct Exchanges {
    key: Option<Key>,
    is_interleaved: bool,
    outstanding: Option<Outstanding>,
    former: Option<Former>,
    delay: Option<Span>,
    serial: u64,
}

/// A moment by the raw clock that a reading of the system clock was turned into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) at: MonoTime,
    /// How far off it may be by that; at least zero.
    pub(super) error: Span,
}

#[derive(Debug)]
struct Outstanding {
    request: Request,
    serial: u64,
    /// When the engine asked for it to be sent: at or before it really left.
    asked_at: MonoTime,
    sent_at: Option<Stamp>,
}

/// The last exchange that was answered.
#[derive(Debug)]
struct Former {
    sent: Stamp,
    received: Stamp,
    header: Header,
    /// Whether its own answer told all that can be measured of it.
    is_measured: bool,
    /// Requests since.
    tries: u32,
}

/// An answer to our request, with when that left.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    sent: Stamp,
}

impl Exchanges {
    /// None yet; with a key every answer must be made with it.
    pub(super) fn new(key: Option<Key>, is_interleaved: bool) -> Self {
        Self { key, is_interleaved, outstanding: None, former: None, delay: None, serial: 0 }
    }

    /// Another server, or another clock: nothing of before has to do with what comes.
    pub(super) fn restart(&mut self) {
        self.outstanding = None;
        self.former = None;
        self.delay = None;
    }

    /// What was measured before is not to be finished by the next answer, which is a basic one.
    pub(super) fn forget_former(&mut self) {
        self.former = None;
    }

    /// Our own clocks jumped: what was asked before tells of another time, whenever the answer
    /// comes.
    pub(super) fn interrupt(&mut self) {
        self.outstanding = None;
        self.former = None;
    }

    /// Makes the next request, in place of one that is outstanding; returns it with its serial.
    pub(super) fn ask(
        &mut self,
        now: MonoTime,
        to: SocketAddr,
        random: &mut Random,
    ) -> (Vec<u8>, u64) {
        // Odd, so that it is never zero, which would mean "unknown".
        let nonce = NtpTime::from_bits(random.bits() | 1);
        let interleaved = self.interleaved(random);
        let request = Request { interleaved, key: self.key.clone(), ..Request::new(to, nonce) };
        let octets = request.encode();
        self.serial += 1;
        let serial = self.serial;
        self.outstanding = Some(Outstanding { request, serial, asked_at: now, sent_at: None });
        (octets, serial)
    }

    /// Notes when a request left.
    pub(super) fn transmitted(&mut self, token: &TransmitToken, sent_at: Option<Stamp>) -> bool {
        let Some(outstanding) = self.outstanding_of(token) else { return false };
        let asked_at = outstanding.asked_at;
        outstanding.sent_at = sent_at.map(|sent| Stamp { at: sent.at.max(asked_at), ..sent });
        true
    }

    /// Notes that a request did not leave.
    pub(super) fn failed(&mut self, token: &TransmitToken) -> bool {
        let is_outstanding = self.outstanding_of(token).is_some();
        if is_outstanding {
            self.outstanding = None;
        }
        is_outstanding
    }

    /// Whether a request waits for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.outstanding.is_some()
    }

    /// When the outstanding request is given up.
    pub(super) fn given_up(&self) -> Due {
        self.outstanding.as_ref().map(|o| o.asked_at + DELAY_MAX)
    }

    /// Gives the outstanding request up.
    pub(super) fn give_up(&mut self) {
        self.outstanding = None;
    }

    /// Until when the outstanding request keeps another from taking its place, so that an interval
    /// shorter than the round trip does not make every answer come too late.
    pub(super) fn awaited(&self) -> Due {
        let patience = self.delay.map_or(PATIENCE_MAX, |delay| delay * PATIENCE);
        let patience = patience.max(PATIENCE_MIN).min(PATIENCE_MAX);
        self.outstanding.as_ref().map(|o| o.asked_at + patience)
    }

    /// Takes a datagram as the one answer to the outstanding request; a repeat finds none.
    pub(super) fn take(
        &mut self,
        octets: &[u8],
        from: SocketAddr,
    ) -> Result<Answer, ResponseError> {
        let outstanding = self.outstanding.as_ref().ok_or(ResponseError::NoRequest)?;
        let response = outstanding.request.match_response(octets, from)?;
        let asked = Stamp { at: outstanding.asked_at, error: Span::ZERO };
        let sent = outstanding.sent_at.unwrap_or(asked);
        self.outstanding = None;
        Ok(Answer { response, sent })
    }

    /// Measures by an answer that arrived at `received`; `None` where it tells nothing new yet.
    /// The server's stamps are taken in the era nearest to `pivot`.
    pub(super) fn measure(
        &mut self,
        answer: &Answer,
        received: Stamp,
        pivot: Timestamp,
        precision: Span,
    ) -> Result<Option<Sample>, ResponseError> {
        let Answer { response, sent } = *answer;
        let (header, is_measured) = (response.header, !response.is_interleaved);
        let this = Former { sent, received, header, is_measured, tries: 0 };
        let own_precision = this.precision(precision);
        let former = self.former.replace(this);
        let sample = if response.is_interleaved {
            let Some(former) = former.filter(|former| !former.is_measured) else {
                return Ok(None);
            };
            former.finish(&response, pivot, precision)?
        } else {
            let (server_received, server_sent) = response.server_times(pivot);
            let (sent, received) = (sent.at, received.at);
            let exchange = Exchange { sent, server_received, server_sent, received };
            Sample::new(&exchange, &response, own_precision)?
        };
        self.delay = Some(sample.delay);
        Ok(Some(sample))
    }

    fn interleaved(&mut self, random: &mut Random) -> Option<Interleaved> {
        let former = self.former.as_mut().filter(|_| self.is_interleaved)?;
        former.tries += 1;
        // Even and not zero: another than the request's own, by which a basic answer is known.
        let nonce = NtpTime::from_bits(random.bits() & !1 | 2);
        (former.tries <= INTERLEAVED_TRIES)
            .then_some(Interleaved { former: former.header.receive, nonce })
    }

    fn outstanding_of(&mut self, token: &TransmitToken) -> Option<&mut Outstanding> {
        self.outstanding.as_mut().filter(|o| o.serial == token.serial)
    }
}

impl Former {
    /// The measurement of this exchange, now that its answer's departure is known.
    fn finish(
        &self,
        response: &Response,
        pivot: Timestamp,
        precision: Span,
    ) -> Result<Sample, ResponseError> {
        response.check_turnaround(self.header.receive)?;
        let server_received = self.header.receive.nearest_to(pivot);
        let exchange = Exchange {
            sent: self.sent.at,
            server_received,
            server_sent: response.header.transmit.nearest_to(server_received),
            received: self.received.at,
        };
        let said = Response { header: self.header, is_interleaved: false };
        Sample::new(&exchange, &said, self.precision(precision))
    }

    /// How exactly its own stamps are known, where one reading of the clock takes `reading`.
    fn precision(&self, reading: Span) -> Span {
        reading + self.sent.error.max(self.received.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Mode, Packet};

    const PRECISION: Span = Span::from_nanos(100);

    fn at_ms(ms: i64) -> MonoTime {
        MonoTime::from_nanos(ms * 1_000_000)
    }

    fn civil_ms(ms: i64) -> Timestamp {
        Timestamp::from_unix(1_795_000_000, 0) + Span::from_millis(ms)
    }

    fn server() -> SocketAddr {
        "192.0.2.1:123".parse().unwrap()
    }

    /// An answer to `request` that was received at `there` and, as far as it says, left at `back`.
    fn answer(request: &[u8], interleaved: bool, there_ms: i64, back_ms: i64) -> Vec<u8> {
        let asked = Packet::parse(request).unwrap().header;
        let header = Header {
            mode: Mode::Server,
            stratum: 1,
            precision: -24,
            origin: if interleaved { asked.receive } else { asked.transmit },
            receive: NtpTime::from_timestamp(civil_ms(there_ms)),
            transmit: NtpTime::from_timestamp(civil_ms(back_ms)),
            ..Header::request(4, NtpTime::ZERO)
        };
        header.encode().to_vec()
    }

    struct Client {
        exchanges: Exchanges,
        random: Random,
    }

    impl Client {
        fn new() -> Self {
            Self { exchanges: Exchanges::new(None, true), random: Random::new([1; 32]) }
        }

        fn ask(&mut self, at: i64) -> Vec<u8> {
            self.exchanges.ask(at_ms(at), server(), &mut self.random).0
        }

        fn hear(&mut self, octets: &[u8], at: i64) -> Result<Option<Sample>, ResponseError> {
            let answer = self.exchanges.take(octets, server())?;
            answer.response.check_fitness()?;
            let received = Stamp { at: at_ms(at), error: Span::ZERO };
            self.exchanges.measure(&answer, received, civil_ms(0), PRECISION)
        }
    }

    #[test]
    fn an_interleaved_answer_finishes_the_measurement_before_it() {
        let mut client = Client::new();
        // The server says that it answers at once, and really takes 2 ms.
        let first = client.ask(0);
        assert_eq!(Packet::parse(&first).unwrap().header.origin, NtpTime::ZERO);
        let basic = client.hear(&answer(&first, false, 1, 1), 4).unwrap().unwrap();
        assert_eq!(basic.delay, Span::from_millis(4));

        let second = client.ask(1_000);
        let asked = Packet::parse(&second).unwrap().header;
        assert_eq!(asked.origin, NtpTime::from_timestamp(civil_ms(1)));
        assert!(asked.receive != asked.transmit && !asked.receive.is_zero());
        // The exchange before was measured already, if less well.
        assert_eq!(client.hear(&answer(&second, true, 1_001, 3), 1_004), Ok(None));

        let third = client.ask(2_000);
        let sample = client.hear(&answer(&third, true, 2_001, 1_003), 2_004).unwrap().unwrap();
        assert_eq!(sample.delay, Span::from_millis(2));
        assert_eq!(sample.at, at_ms(1_002));
    }

    #[test]
    fn a_server_that_forgets_or_never_knew_the_mode_is_measured_all_the_same() {
        let mut client = Client::new();
        for round in 0..3 {
            let start = round * 1_000;
            let request = client.ask(start);
            let heard = client.hear(&answer(&request, false, start + 1, start + 2), start + 3);
            assert_eq!(heard.unwrap().unwrap().delay, Span::from_millis(2));
        }
        let lost: Vec<_> = (3..8).map(|round| client.ask(round * 1_000)).collect();
        let modes = lost.iter().map(|r| Packet::parse(r).unwrap().header.origin.is_zero());
        assert_eq!(modes.collect::<Vec<_>>(), [false, false, false, false, true]);
    }

    #[test]
    fn an_interleaved_answer_that_cannot_be_is_refused() {
        let mut client = Client::new();
        let first = client.ask(0);
        client.hear(&answer(&first, false, 1, 1), 4).unwrap();
        let second = client.ask(1_000);
        client.hear(&answer(&second, true, 1_001, 3), 1_004).unwrap();
        let third = client.ask(2_000);
        // Its departure is said to be before the request came.
        let refused = client.hear(&answer(&third, true, 2_001, 900), 2_004);
        assert!(matches!(refused, Err(ResponseError::Turnaround { .. })), "{refused:?}");
        // A basic request is never answered in interleaved mode.
        client.exchanges.restart();
        let basic = client.ask(3_000);
        let zero = answer(&basic, true, 3_001, 3_001);
        assert_eq!(client.hear(&zero, 3_004), Err(ResponseError::OriginMismatch));
    }

    #[test]
    fn an_answer_to_what_was_asked_before_a_jump_measures_nothing() {
        let mut client = Client::new();
        let first = client.ask(0);
        client.hear(&answer(&first, false, 1, 1), 4).unwrap();
        let second = client.ask(1_000);
        client.exchanges.interrupt();
        let late = client.hear(&answer(&second, false, 1_001, 1_001), 1_004);
        assert_eq!(late, Err(ResponseError::NoRequest));
        let third = client.ask(2_000);
        assert!(Packet::parse(&third).unwrap().header.origin.is_zero(), "nothing is finished");
    }

    #[test]
    fn a_request_waits_a_few_round_trips_for_its_answer() {
        let mut client = Client::new();
        let request = client.ask(0);
        assert_eq!(client.exchanges.awaited(), Some(at_ms(1_000)));
        client.hear(&answer(&request, false, 50, 50), 100).unwrap();
        assert_eq!(client.exchanges.awaited(), None);
        client.ask(1_000);
        assert_eq!(client.exchanges.awaited(), Some(at_ms(1_400)));
        assert_eq!(client.exchanges.given_up(), Some(at_ms(5_000)));
    }
}
