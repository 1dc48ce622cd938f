//! Control data of messages: kernel timestamps, and the local address of a datagram.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use timeball_timebase::Timestamp;

/// Octets of a header before its data.
const HEADER: usize = size_of::<libc::cmsghdr>();

/// What control data said; all of it may be missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Told {
    /// The kernel's software stamp, by the system clock.
    pub(crate) stamp: Option<Timestamp>,
    /// In the error queue: which of the stamped departures it is, counted from 0 on each socket.
    pub(crate) departure: Option<u32>,
    /// The local address that the datagram was sent to, with the interface's index.
    pub(crate) local: Option<(IpAddr, u32)>,
}

/// Reads control data as `recvmsg` left it; what is cut or unknown is passed over.
pub(crate) fn parse(mut octets: &[u8]) -> Told {
    let mut told = Told::default();
    while octets.len() >= HEADER {
        let length = usize::from_ne_bytes(field(octets, 0));
        let level = i32::from_ne_bytes(field(octets, size_of::<usize>()));
        let kind = i32::from_ne_bytes(field(octets, size_of::<usize>() + size_of::<i32>()));
        let Some(data) = octets.get(HEADER..length) else { break };
        match (level, kind) {
            // Stamps are alike at the front: three of them, of which the first is software's, or
            // one.
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING | libc::SCM_TIMESTAMPNS)
                if data.len() >= size_of::<libc::timespec>() =>
            {
                told.stamp = stamp(data);
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
                if data.len() >= size_of::<libc::sock_extended_err>() =>
            {
                // The origin follows the error number; the count comes last.
                let is_stamp = data[4] == libc::SO_EE_ORIGIN_TIMESTAMPING;
                told.departure = is_stamp.then(|| u32::from_ne_bytes(field(data, 12)));
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if data.len() >= size_of::<libc::in_pktinfo>() => {
                // The index comes first, then the address to answer from.
                let index = i32::from_ne_bytes(field(data, 0));
                let address = Ipv4Addr::from(field::<4>(data, 4));
                told.local = Some((address.into(), index.max(0).cast_unsigned()));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                if data.len() >= size_of::<libc::in6_pktinfo>() =>
            {
                let address = Ipv6Addr::from(field::<16>(data, 0));
                told.local = Some((address.into(), u32::from_ne_bytes(field(data, 16))));
            }
            _ => {}
        }
        octets = octets.get(aligned(length)..).unwrap_or_default();
    }
    told
}

/// Writes the control data that makes a datagram leave from the address of [`Told::local`].
pub(crate) fn from_local(local: (IpAddr, u32)) -> Vec<u8> {
    let (level, kind, data) = match local {
        (IpAddr::V4(address), _) => {
            // Index 0: the route decides on the interface, as for any datagram.
            let mut data = vec![0; size_of::<libc::in_pktinfo>()];
            data[4..8].copy_from_slice(&address.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, data)
        }
        (IpAddr::V6(address), index) => {
            // Only a link-local address means nothing without its interface.
            let index = if address.is_unicast_link_local() { index } else { 0 };
            let mut data = address.octets().to_vec();
            data.extend(index.to_ne_bytes());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, data)
        }
    };
    message(level, kind, &data)
}

/// Writes the control data that makes the kernel stamp one datagram's departure.
pub(crate) fn stamp_departure() -> Vec<u8> {
    let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes();
    message(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags)
}

fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut octets = (HEADER + data.len()).to_ne_bytes().to_vec();
    octets.extend(level.to_ne_bytes());
    octets.extend(kind.to_ne_bytes());
    octets.extend(data);
    octets.resize(aligned(octets.len()), 0);
    octets
}

fn stamp(data: &[u8]) -> Option<Timestamp> {
    let seconds = i64::from_ne_bytes(field(data, 0));
    let nanos = i64::from_ne_bytes(field(data, 8));
    // Zero means that this kind of stamp was not made.
    (seconds != 0 || nanos != 0).then(|| Timestamp::from_unix(seconds, nanos))
}

fn field<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    octets[at..at + N].try_into().expect("a slice of N octets is N octets long")
}

fn aligned(length: usize) -> usize {
    length.saturating_add(size_of::<usize>() - 1) & !(size_of::<usize>() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_among_other_messages() {
        let mut stamps = 1_795_000_000_i64.to_ne_bytes().to_vec();
        stamps.extend(250_000_000_i64.to_ne_bytes());
        stamps.extend([0; 32]);
        let mut octets = message(libc::IPPROTO_IP, libc::IP_TTL, &[64, 0, 0, 0]);
        octets.extend(message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &stamps));
        octets.extend(message(libc::SOL_IP, libc::IP_RECVERR, &[1; 16]));
        let expected = Timestamp::from_unix(1_795_000_000, 250_000_000);
        assert_eq!(parse(&octets).stamp, Some(expected));
        let none = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &[0; 48]);
        assert_eq!(parse(&none).stamp, None);
    }

    #[test]
    fn a_departure_is_told_with_its_count() {
        // Error number, origin (timestamping), type, code, padding, kind of stamp, count.
        let mut data = libc::ENOMSG.to_ne_bytes().to_vec();
        data.extend([4, 0, 0, 0, 0, 0, 0, 0]);
        data.extend(7_u32.to_ne_bytes());
        for (level, kind) in
            [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)]
        {
            assert_eq!(parse(&message(level, kind, &data)).departure, Some(7));
            // An error of the network is none.
            let mut other = data.clone();
            other[4] = 2;
            assert_eq!(parse(&message(level, kind, &other)).departure, None);
        }
    }

    #[test]
    fn what_is_cut_anywhere_is_passed_over() {
        let mut octets = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &[1; 16]);
        octets.extend(message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &[2; 20]));
        for end in 0..octets.len() {
            let _ = parse(&octets[..end]);
        }
        for length in [0, 1, HEADER - 1, HEADER, usize::MAX] {
            octets[..8].copy_from_slice(&length.to_ne_bytes());
            let _ = parse(&octets);
        }
    }

    #[test]
    fn the_local_address_goes_both_ways() {
        for (address, index) in [("192.0.2.1", 0), ("2001:db8::1", 0), ("fe80::1", 7)] {
            let local = (address.parse().unwrap(), index);
            assert_eq!(parse(&from_local(local)).local, Some(local));
        }
    }
}
