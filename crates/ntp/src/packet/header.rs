//! The 48 octets that every NTP packet begins with (RFC 5905 figure 8).

use super::HEADER_OCTETS;
use timeball_timebase::{Leap, NtpShort, NtpTime, Span};

/// The fixed part of a packet, field by field in the order of the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Leap second warning, or "not synchronized".
    pub leap: LeapIndicator,
    /// Protocol version, 0 to 7.
    pub version: u8,
    /// What kind of packet it is.
    pub mode: Mode,
    /// 0 unspecified or a kiss, 1 reference clock, 2 to 15 secondary, 16 unsynchronized.
    pub stratum: u8,
    /// log2 of the polling interval in seconds.
    pub poll: i8,
    /// log2 of the clock's precision in seconds.
    pub precision: i8,
    /// Round trip to the reference clock.
    pub root_delay: NtpShort,
    /// Sum of errors to the reference clock.
    pub root_dispersion: NtpShort,
    /// The reference clock's name, the upstream server's address, or the kiss code.
    pub reference_id: [u8; 4],
    /// When the clock was last set or corrected.
    pub reference: NtpTime,
    /// In a response: the transmit timestamp of the request.
    pub origin: NtpTime,
    /// In a response: when the request arrived.
    pub receive: NtpTime,
    /// When the packet left.
    pub transmit: NtpTime,
}

impl Header {
    /// A client's request that tells nothing about the client but the random number it is to be
    /// answered with (draft-ietf-ntp-data-minimization).
    pub fn request(version: u8, transmit: NtpTime) -> Self {
        Self {
            leap: LeapIndicator::None,
            version,
            mode: Mode::Client,
            stratum: 0,
            poll: 0,
            precision: 0,
            root_delay: NtpShort::default(),
            root_dispersion: NtpShort::default(),
            reference_id: [0; 4],
            reference: NtpTime::ZERO,
            origin: NtpTime::ZERO,
            receive: NtpTime::ZERO,
            transmit,
        }
    }

    /// Reads the fields; every value of the octets means something, so nothing can fail.
    pub fn parse(octets: &[u8; HEADER_OCTETS]) -> Self {
        let word = |at: usize| {
            u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
        };
        let time =
            |at: usize| NtpTime::from_bits(u64::from(word(at)) << 32 | u64::from(word(at + 4)));
        Self {
            leap: LeapIndicator::from_bits(octets[0] >> 6),
            version: octets[0] >> 3 & 7,
            mode: Mode::from_bits(octets[0]),
            stratum: octets[1],
            poll: octets[2].cast_signed(),
            precision: octets[3].cast_signed(),
            root_delay: NtpShort::from_bits(word(4)),
            root_dispersion: NtpShort::from_bits(word(8)),
            reference_id: word(12).to_be_bytes(),
            reference: time(16),
            origin: time(24),
            receive: time(32),
            transmit: time(40),
        }
    }

    /// Writes the fields.
    pub fn encode(&self) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        octets[0] = (self.leap as u8) << 6 | (self.version & 7) << 3 | self.mode as u8;
        octets[1] = self.stratum;
        octets[2] = self.poll.cast_unsigned();
        octets[3] = self.precision.cast_unsigned();
        octets[4..8].copy_from_slice(&self.root_delay.to_bits().to_be_bytes());
        octets[8..12].copy_from_slice(&self.root_dispersion.to_bits().to_be_bytes());
        octets[12..16].copy_from_slice(&self.reference_id);
        octets[16..24].copy_from_slice(&self.reference.to_bits().to_be_bytes());
        octets[24..32].copy_from_slice(&self.origin.to_bits().to_be_bytes());
        octets[32..40].copy_from_slice(&self.receive.to_bits().to_be_bytes());
        octets[40..48].copy_from_slice(&self.transmit.to_bits().to_be_bytes());
        octets
    }

    /// The claimed precision as a length of time: 2^precision seconds rounded up, at least a
    /// nanosecond and at most 16 s.
    pub fn precision_span(&self) -> Span {
        precision_of_exponent(self.precision)
    }
}

/// The two bits of the leap indicator (RFC 5905 figure 9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum LeapIndicator {
    /// No warning.
    None = 0,
    /// The last minute of the day has 61 seconds.
    Insert = 1,
    /// The last minute of the day has 59 seconds.
    Delete = 2,
    /// The clock is not synchronized.
    Unsynchronized = 3,
}

impl LeapIndicator {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::None,
            1 => Self::Insert,
            2 => Self::Delete,
            _ => Self::Unsynchronized,
        }
    }

    /// The announced leap second; `None` where the clock is not synchronized.
    pub fn announced(self) -> Option<Leap> {
        match self {
            Self::None => Some(Leap::None),
            Self::Insert => Some(Leap::Insert),
            Self::Delete => Some(Leap::Delete),
            Self::Unsynchronized => None,
        }
    }
}

impl From<Leap> for LeapIndicator {
    fn from(leap: Leap) -> Self {
        match leap {
            Leap::None => Self::None,
            Leap::Insert => Self::Insert,
            Leap::Delete => Self::Delete,
        }
    }
}

/// The three bits of the mode (RFC 5905 figure 10).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Mode {
    /// Reserved.
    Reserved = 0,
    /// Symmetric active.
    SymmetricActive = 1,
    /// Symmetric passive.
    SymmetricPassive = 2,
    /// A request.
    Client = 3,
    /// A response.
    Server = 4,
    /// Broadcast.
    Broadcast = 5,
    /// A control message (RFC 9327), never answered here.
    Control = 6,
    /// Private use, never answered here: a notorious amplifier of attacks.
    Private = 7,
}

impl Mode {
    fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }
}

/// 2^exponent seconds, at least a nanosecond and at most 16 s.
fn precision_of_exponent(exponent: i8) -> Span {
    const NANOS: u64 = 1_000_000_000;
    match exponent {
        0.. => Span::from_secs(1 << exponent.min(4)),
        -29..0 => Span::from_nanos((NANOS >> -exponent) as i64 + 1),
        _ => Span::NANOSECOND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_precision_exponent_has_a_length() {
        assert_eq!(precision_of_exponent(-128), Span::NANOSECOND);
        assert_eq!(precision_of_exponent(-10), Span::from_nanos(976_563));
        assert_eq!(precision_of_exponent(127), Span::from_secs(16));
    }

    #[test]
    fn each_field_stands_where_the_rfc_draws_it() {
        let octets: [u8; HEADER_OCTETS] = core::array::from_fn(|i| i as u8 + 0x80);
        let header = Header::parse(&octets);
        assert_eq!(header.leap, LeapIndicator::Delete);
        assert_eq!((header.version, header.mode), (0, Mode::Reserved));
        assert_eq!((header.stratum, header.poll, header.precision), (0x81, -126, -125));
        assert_eq!(header.root_delay.to_bits(), 0x8485_8687);
        assert_eq!(header.reference_id, [0x8c, 0x8d, 0x8e, 0x8f]);
        assert_eq!(header.origin.to_bits(), 0x9899_9a9b_9c9d_9e9f);
        assert_eq!(header.transmit.to_bits(), 0xa8a9_aaab_acad_aeaf);
        assert_eq!(header.encode(), octets);
    }
}
