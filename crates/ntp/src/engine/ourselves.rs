//! Who has the time from us: whoever asks such a server hears its own word again.
//!
//! A server tells whom it follows by a reference identifier made of that one's address (RFC 5905
//! section 7.3), so one that names an address of ours follows us. Longer circles are not seen in
//! this way: there the stratum counts up to 16.

use core::net::{IpAddr, SocketAddr};

use md5::{Digest, Md5};

use crate::association::ResponseError;
use crate::packet::Header;

/// Addresses of ours that are remembered; a machine has fewer.
const ADDRESSES_MAX: usize = 64;

/// Where we can be reached, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Ourselves {
    /// What those are called in reference identifiers who have the time from us.
    names: Vec<[u8; 4]>,
    /// Where our own server answers.
    servers: Vec<SocketAddr>,
}

impl Ourselves {
    /// Learns of an address that others reach us at, and of the port that our own server answers
    /// on there.
    pub(super) fn learn(&mut self, address: IpAddr, port: Option<u16>) {
        let address = address.to_canonical();
        // Every machine has these two for itself.
        let is_anybodys = address == IpAddr::from([127, 0, 0, 1])
            || address == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
            || address.is_unspecified();
        if !is_anybodys {
            remember(&mut self.names, reference_id(address));
        }
        if let Some(port) = port {
            remember(&mut self.servers, SocketAddr::new(address, port));
        }
    }

    /// Whether a server's time may be another's than ours.
    ///
    /// # Errors
    /// [`ResponseError::Ourselves`] where it is our own server, [`ResponseError::FollowsUs`] where
    /// it says that it has its time from us.
    pub(super) fn check(&self, header: &Header, from: SocketAddr) -> Result<(), ResponseError> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        if self.servers.contains(&from) {
            return Err(ResponseError::Ourselves);
        }
        let reference_id = header.reference_id;
        // The identifier of a primary server is a word of four letters, and nobody's address.
        if header.stratum > 1 && self.names.contains(&reference_id) {
            return Err(ResponseError::FollowsUs { reference_id });
        }
        Ok(())
    }
}

/// The name of a server in the reference identifier of those who follow it (RFC 5905 section 7.3):
/// its IPv4 address, or the first four octets of the MD5 digest of its IPv6 address.
pub(super) fn reference_id(address: IpAddr) -> [u8; 4] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = <[u8; 16]>::from(Md5::digest(v6.octets()));
            [a, b, c, d]
        }
    }
}

fn remember<T: PartialEq>(known: &mut Vec<T>, new: T) {
    if known.len() < ADDRESSES_MAX && !known.contains(&new) {
        known.push(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::NtpTime;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn check(us: &Ourselves, stratum: u8, reference_id: [u8; 4]) -> Result<(), ResponseError> {
        let header = Header { stratum, reference_id, ..Header::request(4, NtpTime::ZERO) };
        us.check(&header, "192.0.2.1:123".parse().unwrap())
    }

    #[test]
    fn a_server_is_named_by_its_ipv4_address_or_the_digest_of_its_ipv6_one() {
        assert_eq!(reference_id(ip("192.0.2.7")), [192, 0, 2, 7]);
        assert_eq!(reference_id(ip("::ffff:192.0.2.7")), [192, 0, 2, 7]);
        // As `md5sum` has it: 20010db8 0000 … 0001.
        assert_eq!(reference_id(ip("2001:db8::1")), [0x39, 0xab, 0x9b, 0x37]);
    }

    #[test]
    fn who_names_an_address_of_ours_follows_us_unless_it_is_a_primary_server() {
        let mut us = Ourselves::default();
        let ours = [192, 0, 2, 7];
        assert_eq!(check(&us, 2, ours), Ok(()));
        us.learn(ip("192.0.2.7"), None);
        us.learn(ip("2001:db8::1"), None);
        let follows = |reference_id| Err(ResponseError::FollowsUs { reference_id });
        assert_eq!(check(&us, 2, ours), follows(ours));
        assert_eq!(check(&us, 15, ours), follows(ours));
        assert_eq!(check(&us, 1, ours), Ok(()));
        assert_eq!(check(&us, 2, [192, 0, 2, 8]), Ok(()));
        let hashed = reference_id(ip("2001:db8::1"));
        assert_eq!(check(&us, 3, hashed), follows(hashed));
    }

    #[test]
    fn the_loopback_address_that_everybody_has_names_nobody() {
        let mut us = Ourselves::default();
        for address in ["127.0.0.1", "::1", "0.0.0.0", "::"] {
            us.learn(ip(address), Some(123));
            assert_eq!(check(&us, 2, reference_id(ip(address))), Ok(()), "{address}");
        }
        us.learn(ip("127.0.0.2"), None);
        assert!(check(&us, 2, [127, 0, 0, 2]).is_err(), "this one has to be set up");
    }

    #[test]
    fn our_own_server_is_nobody_to_ask() {
        let mut us = Ourselves::default();
        us.learn(ip("::ffff:192.0.2.1"), Some(123));
        assert_eq!(check(&us, 1, *b"GPS\0"), Err(ResponseError::Ourselves));
        let mut other = Ourselves::default();
        other.learn(ip("192.0.2.1"), Some(1_123));
        assert_eq!(check(&other, 1, *b"GPS\0"), Ok(()), "another port, another server");
    }

    #[test]
    fn no_more_addresses_are_remembered_than_a_machine_has() {
        let mut us = Ourselves::default();
        (0..=255).for_each(|n| us.learn(IpAddr::from([10, 0, 0, n]), Some(123)));
        assert_eq!((us.names.len(), us.servers.len()), (ADDRESSES_MAX, ADDRESSES_MAX));
    }
}
