//! One measurement of a server's clock against ours (RFC 5905 section 8).

use timeball_timebase::{Frequency, Interval, MonoTime, Span, Timestamp};

use crate::association::{DELAY_MAX, Response, ResponseError};

/// The four stamps of one exchange: two by a local clock, two by the server's.
///
/// The local clock may be any that counts evenly; the engine uses the raw monotonic one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exchange {
    /// T1: when the request left, by the local clock.
    pub sent: MonoTime,
    /// T2: when the request reached the server, by the server's clock.
    pub server_received: Timestamp,
    /// T3: when the response left the server, by the server's clock.
    pub server_sent: Timestamp,
    /// T4: when the response arrived, by the local clock.
    pub received: MonoTime,
}

/// One measurement of a server's clock against the local one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    /// The middle of the exchange by the local clock, which the offset belongs to.
    pub at: MonoTime,
    /// θ: the server's time less the local clock's reading taken as nanoseconds since 1970.
    pub offset: Span,
    /// δ: round trip less the server's own time; at least the precision.
    pub delay: Span,
    /// ε: errors of reading both clocks and of their rates during the exchange; above zero.
    pub dispersion: Span,
    /// Round trip from the server to its reference clock, by its own word; at least zero.
    pub root_delay: Span,
    /// The server's error beside half its root delay, by its own word; at least zero.
    pub root_dispersion: Span,
    /// How much measurements of its kind scatter beyond what delay and dispersion tell, as a
    /// standard deviation; zero for those of servers, whose delay tells all.
    pub scatter: Span,
    /// T3, which status tools show.
    pub server_sent: Timestamp,
}

/// φ, the rate error that two ordinary oscillators may have against each other (RFC 5905 section
/// 7.2).
pub(crate) const RATE_TOLERANCE: Frequency = Frequency::from_ppm(15);

impl Sample {
    /// Makes the measurement of an exchange and what the server said in it.
    ///
    /// `precision` is the time that one reading of the local clock takes.
    ///
    /// # Errors
    /// [`ResponseError::Delay`] where the round trip is negative beyond what clock readings
    /// explain, or too long.
    pub fn new(
        exchange: &Exchange,
        response: &Response,
        precision: Span,
    ) -> Result<Self, ResponseError> {
        let elapsed = exchange.received - exchange.sent;
        let turnaround = exchange.server_sent - exchange.server_received;
        let delay = elapsed - turnaround;
        let dispersion = precision
            + response.header.precision_span()
            + RATE_TOLERANCE.over_ceil(elapsed.max(Span::ZERO));
        if delay < -dispersion || elapsed.is_negative() || delay > DELAY_MAX {
            return Err(ResponseError::Delay { delay });
        }
        // Halves are added, not sums halved: differences of civil and monotonic time are decades.
        let there =
            exchange.server_received.as_unix_nanos().saturating_sub(exchange.sent.as_nanos());
        let back =
            exchange.server_sent.as_unix_nanos().saturating_sub(exchange.received.as_nanos());
        let offset = (i128::from(there) + i128::from(back)).div_euclid(2);
        Ok(Self {
            at: exchange.sent + elapsed / 2,
            offset: Span::from_nanos(offset as i64),
            delay: delay.max(precision).max(Span::NANOSECOND),
            dispersion: dispersion.max(Span::NANOSECOND),
            root_delay: response.header.root_delay.to_span(),
            root_dispersion: response.header.root_dispersion.to_span(),
            scatter: Span::ZERO,
            server_sent: exchange.server_sent,
        })
    }

    /// How far true time may be from the measured offset at the time of the measurement, if the
    /// server's word is good: no assumption is made about how the delay splits into the two ways.
    pub fn error_margin(&self) -> Span {
        let delays = self.delay + self.root_delay;
        (delays - delays / 2) + self.root_dispersion + self.dispersion
    }

    /// The offsets of true time that agree with the measurement, at the time of the measurement.
    pub fn interval(&self) -> Interval {
        Interval::around(self.offset, self.error_margin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Header;
    use timeball_timebase::{NtpShort, NtpTime};

    fn sample(sent: i64, server: (i64, i64), received: i64) -> Result<Sample, ResponseError> {
        let start = Timestamp::from_unix(1_795_000_000, 0);
        let exchange = Exchange {
            sent: MonoTime::from_nanos(sent),
            server_received: start + Span::from_nanos(server.0),
            server_sent: start + Span::from_nanos(server.1),
            received: MonoTime::from_nanos(received),
        };
        let header = Header {
            precision: -20,
            root_delay: NtpShort::from_bits(1 << 16),
            ..Header::request(4, NtpTime::ZERO)
        };
        Sample::new(&exchange, &Response { header, is_interleaved: false }, Span::from_nanos(50))
    }

    #[test]
    fn offset_and_delay_follow_the_rfc() {
        let sample = sample(1_000, (5_000, 6_000), 5_000).unwrap();
        assert_eq!(sample.delay, Span::from_nanos(3_000));
        assert_eq!(sample.at, MonoTime::from_nanos(3_000));
        let origin = Span::from_nanos(1_795_000_000_000_000_000);
        assert_eq!(sample.offset, origin + Span::from_nanos(2_500));
        assert_eq!(sample.dispersion, Span::from_nanos(50 + 954 + 1));
        let margin = Span::from_nanos(1_500 + 500_000_000) + sample.dispersion;
        assert_eq!(sample.error_margin(), margin);
        assert!(sample.interval().contains(sample.offset));
    }

    #[test]
    fn absurd_round_trips_are_refused() {
        assert_eq!(sample(0, (0, 100), 100).unwrap().delay, Span::from_nanos(50));
        assert_eq!(sample(0, (0, 600), 100).unwrap().delay, Span::from_nanos(50));
        for (sent, server, received) in [(0, (0, 5_000), 100), (200, (0, 0), 100)] {
            let refused = sample(sent, server, received);
            assert!(matches!(refused, Err(ResponseError::Delay { .. })), "{refused:?}");
        }
        let long = sample(0, (0, 0), 5_000_000_000);
        assert_eq!(long, Err(ResponseError::Delay { delay: Span::from_secs(5) }));
        assert!(sample(i64::MIN, (0, 0), i64::MAX).is_err());
    }
}
