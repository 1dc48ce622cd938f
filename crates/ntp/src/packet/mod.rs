//! The octets on the wire: NTP versions 3 and 4 (RFC 1305, RFC 5905 section 7.3, RFC 7822).
//!
//! Parsing never panics, keeps every octet (`encode` of a parsed datagram gives the datagram back)
//! and judges nothing but the shape; whether a packet is *believed* is for [`crate::association`]
//! to say.

mod extension;
mod header;

pub use extension::ExtensionField;
pub use header::{Header, LeapIndicator, Mode};

use thiserror::Error;

/// Octets of the header, which every NTP packet begins with.
pub const HEADER_OCTETS: usize = 48;

/// The longest datagram that is looked at; a longer one is refused unread.
pub const PACKET_OCTETS_MAX: usize = 1_024;

/// The most extension fields one packet may carry.
pub const EXTENSION_FIELDS_MAX: usize = 16;

/// Why octets are not an NTP packet.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PacketError {
    /// Shorter than a header.
    #[error("{octets} octets, but an NTP header has {HEADER_OCTETS}")]
    Truncated {
        /// Length of the datagram.
        octets: usize,
    },
    /// Longer than any packet we would want.
    #[error("{octets} octets, more than the {PACKET_OCTETS_MAX} that are accepted")]
    Oversized {
        /// Length of the datagram.
        octets: usize,
    },
    /// What follows the header is neither extension fields nor a message authentication code.
    #[error("the {octets} octets at {at} are neither extension fields nor a MAC")]
    Trailer {
        /// Position in the datagram, in octets.
        at: usize,
        /// How many octets are left from there.
        octets: usize,
    },
    /// More extension fields than are accepted.
    #[error("more than {EXTENSION_FIELDS_MAX} extension fields")]
    TooManyFields,
}

/// A packet taken apart, borrowing from its datagram.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// The fixed part.
    pub header: Header,
    /// Extension fields in order (version 4 only).
    pub extensions: Vec<ExtensionField<'a>>,
    /// The message authentication code with its key identifier, not verified here; empty where
    /// none.
    pub mac: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes a datagram apart.
    ///
    /// # Errors
    /// [`PacketError`] where its shape is not that of an NTP packet.
    pub fn parse(octets: &'a [u8]) -> Result<Self, PacketError> {
        if octets.len() > PACKET_OCTETS_MAX {
            return Err(PacketError::Oversized { octets: octets.len() });
        }
        let Some((fixed, trailer)) = octets.split_first_chunk::<HEADER_OCTETS>() else {
            return Err(PacketError::Truncated { octets: octets.len() });
        };
        let header = Header::parse(fixed);
        if header.version < 4 {
            // Version 3 knows no extension fields: what follows is a MAC of some algorithm.
            let mac = extension::legacy_mac(trailer, HEADER_OCTETS)?;
            return Ok(Self { header, extensions: Vec::new(), mac });
        }
        let (extensions, mac) = extension::split_trailer(trailer, HEADER_OCTETS)?;
        Ok(Self { header, extensions, mac })
    }

    /// Puts the packet together again.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(HEADER_OCTETS + self.mac.len());
        octets.extend_from_slice(&self.header.encode());
        for field in &self.extensions {
            field.encode_into(&mut octets);
        }
        octets.extend_from_slice(self.mac);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version_4(trailer: &[u8]) -> Vec<u8> {
        let mut octets = vec![0_u8; HEADER_OCTETS];
        octets[0] = 0b00_100_011;
        octets.extend_from_slice(trailer);
        octets
    }

    #[test]
    fn a_short_or_long_datagram_is_refused() {
        assert_eq!(Packet::parse(&[0; 47]), Err(PacketError::Truncated { octets: 47 }));
        assert_eq!(Packet::parse(&[]), Err(PacketError::Truncated { octets: 0 }));
        assert_eq!(Packet::parse(&[0; 1_025]), Err(PacketError::Oversized { octets: 1_025 }));
    }

    #[test]
    fn extension_fields_and_mac_are_told_apart() {
        let mut trailer = vec![0x01, 0x04, 0, 32];
        trailer.extend_from_slice(&[7; 28]);
        let octets = version_4(&trailer);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.extensions.len(), 1);
        assert_eq!(packet.extensions[0].field_type, 0x0104);
        assert_eq!(packet.extensions[0].body, &[7; 28]);
        assert!(packet.mac.is_empty());

        trailer.extend_from_slice(&[9; 20]);
        let octets = version_4(&trailer);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!((packet.extensions.len(), packet.mac.len()), (1, 20));

        for mac in [4, 20, 24] {
            let octets = version_4(&vec![0; mac]);
            assert_eq!(Packet::parse(&octets).unwrap().mac.len(), mac);
        }
        for bad in [1, 3, 8, 12, 16, 23, 29] {
            let octets = version_4(&vec![0xff; bad]);
            assert_eq!(
                Packet::parse(&octets),
                Err(PacketError::Trailer { at: 48, octets: bad }),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_number_of_extension_fields_is_limited() {
        let mut trailer = Vec::new();
        for _ in 0..EXTENSION_FIELDS_MAX + 1 {
            trailer.extend_from_slice(&[0x01, 0x04, 0, 28]);
            trailer.extend_from_slice(&[0; 24]);
        }
        assert_eq!(Packet::parse(&version_4(&trailer)), Err(PacketError::TooManyFields));
    }

    proptest! {
        #[test]
        fn what_parses_encodes_to_the_same_octets(
            octets in prop::collection::vec(any::<u8>(), 0..200),
            lengths in prop::collection::vec((4_u16..16, any::<u16>()), 0..4),
            mac in prop::sample::select(vec![0_usize, 4, 20, 24]),
            version in 0_u8..8,
        ) {
            if let Ok(packet) = Packet::parse(&octets) {
                prop_assert_eq!(packet.encode(), octets);
            }
            // Random octets seldom hold a field: well-formed ones are built as well.
            let mut built = vec![0x5a_u8; HEADER_OCTETS];
            built[0] = version << 3 | 3;
            for (words, field_type) in lengths {
                built.extend_from_slice(&field_type.to_be_bytes());
                built.extend_from_slice(&(words * 4).to_be_bytes());
                built.resize(built.len() + usize::from(words) * 4 - 4, 1);
            }
            built.resize(built.len() + mac, 2);
            if let Ok(packet) = Packet::parse(&built) {
                prop_assert_eq!(packet.encode(), built);
            }
        }
    }
}
