//! The association with one server: which datagrams count as its answers.
//!
//! A datagram is believed in two steps. [`Request::match_response`] asks whether it can be the
//! answer to what we sent, and anyone who cannot see our traffic fails there, by the random
//! transmit timestamp (RFC 8633 section 3). Only then is it judged as an answer
//! ([`Response::check_fitness`]): does the server claim to know the time, within limits that make
//! sense (RFC 5905 section 9.2, A.5.1).

use core::net::{Ipv4Addr, SocketAddr};
use thiserror::Error;
use timeball_timebase::{NtpTime, Span, Timestamp};

use crate::mac::Key;
use crate::packet::{Header, LeapIndicator, Mode, Packet, PacketError};

/// Stratum of a clock that is not synchronized; synchronized ones are below.
pub const STRATUM_UNSYNCHRONIZED: u8 = 16;

/// Root distance from which on a server's word is worth nothing (RFC 5905 MAXDISP).
pub const ROOT_DISTANCE_MAX: Span = Span::from_secs(16);

/// The longest time between a request's arrival at the server and its answer.
pub const TURNAROUND_MAX: Span = Span::from_secs(4);

/// How far a server's answer may precede its request by what the clock's precision explains.
const BLUR_MIN: Span = Span::from_micros(1);
const BLUR_MAX: Span = Span::from_millis(10);

/// The longest round trip that is measured; later answers are not waited for.
pub const DELAY_MAX: Span = Span::from_secs(4);

/// Why a datagram was not taken as the answer to our request.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ResponseError {
    /// Shorter than a header.
    #[error("{octets} octets, but an NTP header has 48")]
    Truncated {
        /// Length of the datagram.
        octets: usize,
    },
    /// Longer than any answer that we asked for.
    #[error("{octets} octets, more than any answer has")]
    Oversized {
        /// Length of the datagram.
        octets: usize,
    },
    /// What follows the header makes no sense.
    #[error("what follows the header is neither extension fields nor a MAC")]
    Malformed,
    /// From another address or port than the request went to.
    #[error("came from {from}, which was not asked")]
    AddressMismatch {
        /// Where it claims to come from.
        from: SocketAddr,
    },
    /// No request is outstanding: unsolicited, too late, or a second answer.
    #[error("no request is outstanding")]
    NoRequest,
    /// Not a server's answer.
    #[error("mode {mode} is not that of a server's answer")]
    Mode {
        /// The mode's number.
        mode: u8,
    },
    /// Another protocol version than the request's.
    #[error("version {version}, but the request had another")]
    Version {
        /// The version's number.
        version: u8,
    },
    /// Not the answer to what we asked last.
    #[error("origin timestamp is not that of the outstanding request")]
    OriginMismatch,
    /// A key was agreed on, but the answer carries no MAC made with it.
    #[error("no MAC of our key; the key must be the same, under the same number, on both sides")]
    Unauthenticated,
    /// A crypto-NAK (RFC 5905 section 9.2): the server could not verify our request.
    #[error("crypto-NAK: the server does not accept our key")]
    CryptoNak,
    /// The server wants less of us, or nothing (RFC 5905 section 7.4).
    #[error("kiss of death {}", code.escape_ascii())]
    KissOfDeath {
        /// Four letters: `RATE`, `DENY`, `RSTR` and others.
        code: [u8; 4],
    },
    /// The server says that its clock is not synchronized.
    #[error("the server says that it is not synchronized")]
    Unsynchronized,
    /// A stratum that no synchronized server has.
    #[error("stratum {stratum} is not between 1 and 15")]
    Stratum {
        /// What it claims.
        stratum: u8,
    },
    /// The server did not fill in when it received or answered.
    #[error("a timestamp of the server is zero")]
    ZeroTimestamp,
    /// It is our own server that was asked.
    #[error("this is our own server, which tells what we know already")]
    Ourselves,
    /// The server has the time from us (RFC 5905 section 7.3).
    #[error("it follows us: {} is an address of ours", Ipv4Addr::from(*reference_id))]
    FollowsUs {
        /// Its reference identifier: our IPv4 address, or what stands for our IPv6 address.
        reference_id: [u8; 4],
    },
    /// The server is too far from a reference clock.
    #[error("root distance of {distance}, 16 s or more")]
    RootDistance {
        /// Half the root delay plus the root dispersion.
        distance: Span,
    },
    /// The server answered before the request came, or long after.
    #[error("a turnaround of {turnaround} makes no sense")]
    Turnaround {
        /// Transmit less receive timestamp of the server.
        turnaround: Span,
    },
    /// The round trip is negative, or longer than is waited for.
    #[error("a round trip of {delay} makes no sense")]
    Delay {
        /// The round trip less the server's own time.
        delay: Span,
    },
}

impl ResponseError {
    /// The kind of error in a word or two, for counts; without the values.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "truncated",
            Self::Oversized { .. } => "oversized",
            Self::Malformed => "malformed",
            Self::AddressMismatch { .. } => "address-mismatch",
            Self::NoRequest => "no-request",
            Self::Mode { .. } => "mode",
            Self::Version { .. } => "version",
            Self::OriginMismatch => "origin-mismatch",
            Self::Unauthenticated => "unauthenticated",
            Self::CryptoNak => "crypto-nak",
            Self::KissOfDeath { .. } => "kiss-of-death",
            Self::Unsynchronized => "unsynchronized",
            Self::Stratum { .. } => "stratum",
            Self::ZeroTimestamp => "zero-timestamp",
            Self::Ourselves => "ourselves",
            Self::FollowsUs { .. } => "follows-us",
            Self::RootDistance { .. } => "root-distance",
            Self::Turnaround { .. } => "turnaround",
            Self::Delay { .. } => "delay",
        }
    }
}

impl From<PacketError> for ResponseError {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Truncated { octets } => Self::Truncated { octets },
            PacketError::Oversized { octets } => Self::Oversized { octets },
            PacketError::Trailer { .. } | PacketError::TooManyFields => Self::Malformed,
        }
    }
}

/// What has to be remembered of a request to know its answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Where it went.
    pub to: SocketAddr,
    /// The random transmit timestamp, which a basic answer brings back as the origin timestamp.
    pub nonce: NtpTime,
    /// The protocol version, 3 or 4.
    pub version: u8,
    /// What asks for an interleaved answer; `None` in basic mode.
    pub interleaved: Option<Interleaved>,
    /// The key that request and answer are made with; `None` where none is agreed on.
    pub key: Option<Key>,
}

/// What a request in interleaved mode says beside a basic one (RFC 9769 section 2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interleaved {
    /// The receive timestamp of the server's last answer, by which it knows what we ask about.
    pub former: NtpTime,
    /// Random, neither zero nor the nonce: an interleaved answer brings it back as the origin
    /// timestamp.
    pub nonce: NtpTime,
}

impl Request {
    /// A version 4 request in basic mode without a key; `nonce` must be random and not zero.
    pub fn new(to: SocketAddr, nonce: NtpTime) -> Self {
        Self { to, nonce, version: 4, interleaved: None, key: None }
    }

    /// The datagram to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut header = Header::request(self.version, self.nonce);
        if let Some(Interleaved { former, nonce }) = self.interleaved {
            (header.origin, header.receive) = (former, nonce);
        }
        let mut octets = header.encode().to_vec();
        if let Some(key) = &self.key {
            key.seal(self.version, &mut octets);
        }
        octets
    }

    /// Whether `octets` from `from` are the answer to this request.
    ///
    /// # Errors
    /// Why they are not. Anyone can send such a datagram, so an error must change nothing.
    pub fn match_response(
        &self,
        octets: &[u8],
        from: SocketAddr,
    ) -> Result<Response, ResponseError> {
        if from.ip().to_canonical() != self.to.ip().to_canonical() || from.port() != self.to.port()
        {
            return Err(ResponseError::AddressMismatch { from });
        }
        let packet = Packet::parse(octets)?;
        let header = packet.header;
        if header.mode != Mode::Server {
            return Err(ResponseError::Mode { mode: header.mode as u8 });
        }
        let is_interleaved = match self.interleaved {
            _ if header.origin == self.nonce => false,
            Some(asked) if header.origin == asked.nonce => true,
            _ => return Err(ResponseError::OriginMismatch),
        };
        // A server that speaks only version 3 answers version 4 with its own (RFC 5905 section
        // 9.2).
        if header.version != self.version && header.version != 3 {
            return Err(ResponseError::Version { version: header.version });
        }
        if let Some(key) = &self.key {
            authenticate(key, &packet, octets)?;
        }
        Ok(Response { header, is_interleaved })
    }
}

fn authenticate(key: &Key, packet: &Packet<'_>, octets: &[u8]) -> Result<(), ResponseError> {
    /// A MAC that is only an identifier, of zero.
    const CRYPTO_NAK: [u8; 4] = [0; 4];
    if packet.mac == CRYPTO_NAK {
        return Err(ResponseError::CryptoNak);
    }
    let message = &octets[..octets.len() - packet.mac.len()];
    if key.verify(packet.header.version, message, packet.mac) {
        Ok(())
    } else {
        Err(ResponseError::Unauthenticated)
    }
}

/// An answer that is certainly to our request; whether it is worth anything is not said yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Response {
    /// All that it says.
    pub header: Header,
    /// Whether its transmit timestamp is that of the answer before it (RFC 9769).
    pub is_interleaved: bool,
}

impl Response {
    /// The code of a kiss of death, where it is one.
    pub fn kiss(&self) -> Option<[u8; 4]> {
        (self.header.stratum == 0).then_some(self.header.reference_id)
    }

    /// Whether the server claims to know the time, as a server should.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_fitness(&self) -> Result<(), ResponseError> {
        let header = &self.header;
        if let Some(code) = self.kiss() {
            return Err(ResponseError::KissOfDeath { code });
        }
        if header.leap == LeapIndicator::Unsynchronized {
            return Err(ResponseError::Unsynchronized);
        }
        if header.stratum >= STRATUM_UNSYNCHRONIZED {
            return Err(ResponseError::Stratum { stratum: header.stratum });
        }
        if header.receive.is_zero() || header.transmit.is_zero() {
            return Err(ResponseError::ZeroTimestamp);
        }
        let distance = header.root_delay.to_span() / 2 + header.root_dispersion.to_span();
        if distance >= ROOT_DISTANCE_MAX {
            return Err(ResponseError::RootDistance { distance });
        }
        if self.is_interleaved { Ok(()) } else { self.check_turnaround(header.receive) }
    }

    /// Whether the server can have answered when it says, a request that it received at `received`.
    ///
    /// # Errors
    /// [`ResponseError::Turnaround`] where it cannot.
    pub fn check_turnaround(&self, received: NtpTime) -> Result<(), ResponseError> {
        let received = received.nearest_to(Timestamp::UNIX_EPOCH);
        let turnaround = self.header.transmit.nearest_to(received) - received;
        // Servers fill the bits below their precision at random, so that a prompt answer can seem
        // to leave before it came.
        let blur = self.header.precision_span().min(BLUR_MAX) + BLUR_MIN;
        if turnaround < -blur || turnaround > TURNAROUND_MAX {
            return Err(ResponseError::Turnaround { turnaround });
        }
        Ok(())
    }

    /// When the server received the request and sent the answer, in the era nearest to `pivot`.
    pub fn server_times(&self, pivot: Timestamp) -> (Timestamp, Timestamp) {
        let received = self.header.receive.nearest_to(pivot);
        // The transmit time is taken near the receive time, so that no era can fall between them.
        (received, self.header.transmit.nearest_to(received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::NtpShort;

    fn request() -> Request {
        let to = "192.0.2.1:123".parse().unwrap();
        Request::new(to, NtpTime::from_bits(0x1234_5678_9abc_def0))
    }

    fn answer() -> Header {
        let request = request();
        Header {
            mode: Mode::Server,
            stratum: 2,
            origin: request.nonce,
            receive: NtpTime::from_bits(0xee00_0000_0000_0000),
            transmit: NtpTime::from_bits(0xee00_0000_0001_0000),
            ..Header::request(4, NtpTime::ZERO)
        }
    }

    fn judge(change: impl FnOnce(&mut Header)) -> Result<(), ResponseError> {
        let mut header = answer();
        change(&mut header);
        request().match_response(&header.encode(), request().to)?.check_fitness()
    }

    #[test]
    fn only_the_answer_to_the_request_is_believed() {
        use ResponseError as E;
        assert_eq!(judge(|_| {}), Ok(()));
        assert_eq!(judge(|h| h.version = 3), Ok(()));
        assert_eq!(judge(|h| h.version = 5), Err(E::Version { version: 5 }));
        assert_eq!(judge(|h| h.mode = Mode::Client), Err(E::Mode { mode: 3 }));
        assert_eq!(judge(|h| h.origin = NtpTime::ZERO), Err(E::OriginMismatch));
        let from = "192.0.2.2:123".parse().unwrap();
        let spoofed = request().match_response(&answer().encode(), from);
        assert_eq!(spoofed, Err(E::AddressMismatch { from }));
        let mapped = "[::ffff:192.0.2.1]:123".parse().unwrap();
        assert!(request().match_response(&answer().encode(), mapped).is_ok());
        assert_eq!(request().match_response(&[1], request().to), Err(E::Truncated { octets: 1 }));
        let long = request().match_response(&[0; 2_000], request().to);
        assert_eq!(long, Err(E::Oversized { octets: 2_000 }));
    }

    #[test]
    fn a_server_that_does_not_know_the_time_is_unfit() {
        use ResponseError as E;
        assert_eq!(judge(|h| h.leap = LeapIndicator::Unsynchronized), Err(E::Unsynchronized));
        assert_eq!(judge(|h| h.stratum = 16), Err(E::Stratum { stratum: 16 }));
        assert_eq!(judge(|h| h.stratum = 255), Err(E::Stratum { stratum: 255 }));
        assert_eq!(judge(|h| h.transmit = NtpTime::ZERO), Err(E::ZeroTimestamp));
        let kiss = judge(|h| (h.stratum, h.reference_id) = (0, *b"RATE"));
        assert_eq!(kiss, Err(E::KissOfDeath { code: *b"RATE" }));
        assert_eq!(kiss.unwrap_err().to_string(), "kiss of death RATE");
        let far = judge(|h| h.root_dispersion = NtpShort::from_bits(16 << 16));
        assert_eq!(far, Err(E::RootDistance { distance: Span::from_secs(16) }));
        let before = judge(|h| h.transmit = NtpTime::from_bits(0xedff_ffff_0000_0000));
        assert_eq!(before, Err(E::Turnaround { turnaround: Span::from_secs(-1) }));
        assert_eq!(judge(|h| h.transmit = NtpTime::from_bits(0xedff_ffff_ffff_f800)), Ok(()));
        let late = judge(|h| h.transmit = NtpTime::from_bits(0xee00_0005_0000_0000));
        assert_eq!(late, Err(E::Turnaround { turnaround: Span::from_secs(5) }));
    }
}
