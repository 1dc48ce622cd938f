//! Any datagram: parsing never panics, and a packet that was parsed is written as it came.

use timeball_ntp::packet::{EXTENSION_FIELDS_MAX, PACKET_OCTETS_MAX, Packet};

pub(crate) fn check(octets: &[u8]) {
    let Ok(packet) = Packet::parse(octets) else { return };
    assert!(octets.len() <= PACKET_OCTETS_MAX);
    assert!(packet.extensions.len() <= EXTENSION_FIELDS_MAX);
    assert_eq!(packet.encode(), octets);
}
