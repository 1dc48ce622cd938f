//! A one-shot measurement of one server against the system clock.

use core::net::SocketAddr;
use timeball_timebase::{Interval, Leap, MonoTime, NtpTime, Span, Timestamp};

use crate::association::{Request, Response, ResponseError};
use crate::era::era_pivot;
use crate::mac::Key;
use crate::random::Random;
use crate::sample::{Exchange, Sample};

/// One request and what its answer means.
///
/// Send [`Query::request`], note the system clock with [`Query::sent`], and hand what arrives to
/// [`Query::accept`] until it is taken or patience is at an end.
#[derive(Clone, Debug)]
pub struct Query {
    request: Request,
    precision: Span,
    sent_at: Option<Timestamp>,
    answered: bool,
}

/// What one exchange told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueryAnswer {
    /// The server's time less the system clock's, positive when the server is ahead.
    pub offset: Span,
    /// Round trip less the server's own time; at least the precision.
    pub delay: Span,
    /// Half of all delays plus all dispersions: how far true time may be from what was measured, by
    /// the server's word.
    pub error_margin: Span,
    /// Steps from a reference clock, 1 to 15.
    pub stratum: u8,
    /// Reference identifier.
    pub reference_id: [u8; 4],
    /// Announced leap second.
    pub leap: Leap,
    /// Round trip from the server to its reference clock.
    pub root_delay: Span,
    /// The server's error beside half the root delay, by its own word.
    pub root_dispersion: Span,
    /// When the answer left the server, by its clock.
    pub server_time: Timestamp,
    /// The protocol version that it answered with.
    pub version: u8,
}

impl QueryAnswer {
    /// The offsets of true time that agree with the answer.
    pub fn interval(&self) -> Interval {
        Interval::around(self.offset, self.error_margin)
    }
}

impl Query {
    /// Prepares a request to `to`; `seed` must be fresh and secret, `precision` is the time that
    /// one reading of the system clock takes.
    pub fn new(to: SocketAddr, seed: [u8; 32], precision: Span) -> Self {
        let nonce = NtpTime::from_bits(Random::new(seed).bits() | 1);
        Self { request: Request::new(to, nonce), precision, sent_at: None, answered: false }
    }

    /// The same with a key: the request carries its MAC, and so must the answer.
    #[must_use]
    pub fn with_key(mut self, key: Option<Key>) -> Self {
        self.request.key = key;
        self
    }

    /// The datagram to send.
    pub fn request(&self) -> Vec<u8> {
        self.request.encode()
    }

    /// Where to send it.
    pub fn to(&self) -> SocketAddr {
        self.request.to
    }

    /// Notes when the request left; a better stamp of the same send may replace a first one.
    pub fn sent(&mut self, at: Timestamp) {
        self.sent_at = Some(at);
    }

    /// Takes the answer, once.
    ///
    /// # Errors
    /// Why the datagram is not an answer that means anything. After an error from
    /// [`ResponseError::KissOfDeath`] on, a person should be told; before, waiting goes on.
    pub fn accept(
        &mut self,
        octets: &[u8],
        from: SocketAddr,
        received_at: Timestamp,
    ) -> Result<QueryAnswer, ResponseError> {
        let sent_at = match self.sent_at {
            Some(at) if !self.answered => at,
            _ => return Err(ResponseError::NoRequest),
        };
        let response = self.request.match_response(octets, from)?;
        self.answered = true;
        response.check_fitness()?;
        self.measure(&response, sent_at, received_at)
    }

    fn measure(
        &self,
        response: &Response,
        sent_at: Timestamp,
        received_at: Timestamp,
    ) -> Result<QueryAnswer, ResponseError> {
        let (server_received, server_sent) = response.server_times(era_pivot(received_at));
        // The system clock is the local clock here, counted from 1970.
        let exchange = Exchange {
            sent: MonoTime::from_nanos(sent_at.as_unix_nanos()),
            server_received,
            server_sent,
            received: MonoTime::from_nanos(received_at.as_unix_nanos()),
        };
        let sample = Sample::new(&exchange, response, self.precision)?;
        let header = &response.header;
        Ok(QueryAnswer {
            offset: sample.offset,
            delay: sample.delay,
            error_margin: sample.error_margin(),
            stratum: header.stratum,
            reference_id: header.reference_id,
            leap: header.leap.announced().unwrap_or_default(),
            root_delay: sample.root_delay,
            root_dispersion: sample.root_dispersion,
            server_time: server_sent,
            version: header.version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Header, Mode};

    #[test]
    fn a_server_ahead_of_us_has_a_positive_offset() {
        let to = "127.0.0.1:123".parse().unwrap();
        let mut query = Query::new(to, [7; 32], Span::from_nanos(100));
        let request = Header::parse(query.request().first_chunk().unwrap());
        let sent = Timestamp::from_unix(1_795_000_000, 0);
        let server = sent + Span::from_millis(77) + Span::from_micros(100);
        let answer = Header {
            mode: Mode::Server,
            stratum: 1,
            precision: -24,
            origin: request.transmit,
            receive: NtpTime::from_timestamp(server),
            transmit: NtpTime::from_timestamp(server),
            ..Header::request(4, NtpTime::ZERO)
        };
        let received = sent + Span::from_micros(200);
        let octets = answer.encode();
        assert_eq!(query.accept(&octets, to, received), Err(ResponseError::NoRequest));
        query.sent(sent);
        let told = query.accept(&octets, to, received).unwrap();
        assert!((told.offset - Span::from_millis(77)).abs() <= Span::from_nanos(1));
        assert_eq!(told.delay, Span::from_micros(200));
        assert!(told.interval().contains(Span::from_millis(77)));
        assert_eq!(query.accept(&octets, to, received), Err(ResponseError::NoRequest));
    }

    #[test]
    fn with_a_key_only_an_answer_made_with_it_is_taken() {
        use crate::mac::MacAlgorithm;
        let to = "127.0.0.1:123".parse().unwrap();
        let key = |octet| Key::new(5, MacAlgorithm::AesCmac128, &[octet; 16]).unwrap();
        let mut query = Query::new(to, [7; 32], Span::from_nanos(100)).with_key(Some(key(1)));
        let request = query.request();
        assert!(request.len() > 48, "the request has a MAC");
        let sent = Timestamp::from_unix(1_795_000_000, 0);
        query.sent(sent);
        let answer = Header {
            mode: Mode::Server,
            stratum: 1,
            origin: Header::parse(request.first_chunk().unwrap()).transmit,
            receive: NtpTime::from_timestamp(sent),
            transmit: NtpTime::from_timestamp(sent),
            ..Header::request(4, NtpTime::ZERO)
        };
        let sealed = |octet| {
            let mut octets = answer.encode().to_vec();
            key(octet).seal(4, &mut octets);
            octets
        };
        for wrong in [answer.encode().to_vec(), sealed(2)] {
            let refused = query.accept(&wrong, to, sent).unwrap_err();
            assert_eq!(refused, ResponseError::Unauthenticated);
        }
        assert!(query.accept(&sealed(1), to, sent).is_ok());
    }

    #[test]
    fn a_clock_that_reads_1970_still_finds_the_era() {
        let to = "127.0.0.1:123".parse().unwrap();
        let mut query = Query::new(to, [8; 32], Span::from_nanos(100));
        let request = Header::parse(query.request().first_chunk().unwrap());
        let truth = Timestamp::from_unix(2_200_000_000, 0);
        let answer = Header {
            mode: Mode::Server,
            stratum: 1,
            origin: request.transmit,
            receive: NtpTime::from_timestamp(truth),
            transmit: NtpTime::from_timestamp(truth),
            ..Header::request(4, NtpTime::ZERO)
        };
        query.sent(Timestamp::UNIX_EPOCH);
        let told = query.accept(&answer.encode(), to, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(told.server_time, truth);
        assert_eq!(told.offset, Span::from_secs(2_200_000_000));
    }
}
