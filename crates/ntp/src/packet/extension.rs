//! What follows the header: extension fields and the message authentication code (RFC 7822).

use super::{EXTENSION_FIELDS_MAX, PacketError};

/// One extension field of a version 4 packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExtensionField<'a> {
    /// What it is, from the IANA registry.
    pub field_type: u16,
    /// Its content with padding, without the four octets of type and length.
    pub body: &'a [u8],
}

impl ExtensionField<'_> {
    /// Appends the field as it stands in a packet.
    pub(super) fn encode_into(&self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(&self.field_type.to_be_bytes());
        // A parsed body came with a 16-bit length, and bodies made here are shorter still.
        let length = u16::try_from(self.body.len() + FIELD_HEAD_OCTETS).unwrap_or(u16::MAX);
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(self.body);
    }
}

/// Type and length.
const FIELD_HEAD_OCTETS: usize = 4;
/// The smallest field (RFC 7822 section 3.1.2.2).
const FIELD_OCTETS_MIN: usize = 16;
/// A trailer of at most this length is a MAC, by the rule that keeps both apart (section 7.5.1.4).
const SHORT_MAC_OCTETS_MAX: usize = 24;
/// Lengths of a short MAC: a crypto-NAK, 128-bit and 160-bit digests with their key identifier.
const SHORT_MACS: [usize; 3] = [4, 20, 24];
/// Lengths that longer digests give (256, 384 and 512 bits), which some implementations send.
const LONG_MACS: [usize; 3] = [36, 52, 68];

/// Splits what follows a version 4 header; `at` is its position, for errors.
pub(super) fn split_trailer(
    trailer: &[u8],
    at: usize,
) -> Result<(Vec<ExtensionField<'_>>, &[u8]), PacketError> {
    let mut fields = Vec::new();
    let mut rest = trailer;
    while !rest.is_empty() {
        if SHORT_MACS.contains(&rest.len()) {
            return Ok((fields, rest));
        }
        let error =
            || PacketError::Trailer { at: at + trailer.len() - rest.len(), octets: rest.len() };
        let Some((field, after)) = split_field(rest) else {
            return if LONG_MACS.contains(&rest.len()) { Ok((fields, rest)) } else { Err(error()) };
        };
        if fields.len() == EXTENSION_FIELDS_MAX {
            return Err(PacketError::TooManyFields);
        }
        fields.push(field);
        rest = after;
    }
    Ok((fields, rest))
}

/// Checks that what follows a version 3 header has the length of a MAC.
pub(super) fn legacy_mac(trailer: &[u8], at: usize) -> Result<&[u8], PacketError> {
    // Twelve octets: the DES authenticator of RFC 1305 appendix C.
    const DES_MAC: usize = 12;
    let length = trailer.len();
    if [0, DES_MAC].contains(&length) || SHORT_MACS.contains(&length) || LONG_MACS.contains(&length)
    {
        return Ok(trailer);
    }
    Err(PacketError::Trailer { at, octets: length })
}

fn split_field(octets: &[u8]) -> Option<(ExtensionField<'_>, &[u8])> {
    if octets.len() <= SHORT_MAC_OCTETS_MAX {
        return None;
    }
    let (head, _) = octets.split_first_chunk::<FIELD_HEAD_OCTETS>()?;
    let field_type = u16::from_be_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if length < FIELD_OCTETS_MIN || length % 4 != 0 {
        return None;
    }
    let (field, rest) = octets.split_at_checked(length)?;
    Some((ExtensionField { field_type, body: &field[FIELD_HEAD_OCTETS..] }, rest))
}
