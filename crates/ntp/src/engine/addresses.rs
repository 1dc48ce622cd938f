//! Which of its name's addresses a source asks.

use core::net::SocketAddr;

/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// The addresses of one name.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// In the order in which they are tried.
    candidates: Vec<SocketAddr>,
    /// Those that refused us for good.
    denied: Vec<SocketAddr>,
}

/// What there is to ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// This address.
    Ask(SocketAddr),
    /// Every address is another source's: a second name of a server is no second witness.
    AllTaken,
    /// Nobody: there is no address, or all refused us.
    Nobody,
}

impl Addresses {
    /// Takes what the resolver says now.
    pub(super) fn replace(&mut self, addresses: Vec<SocketAddr>) {
        self.candidates = addresses.into_iter().map(canonical).take(ADDRESSES_MAX).collect();
    }

    /// Never asks `address` again, or not before as many others as are looked at have refused us.
    pub(super) fn deny(&mut self, address: SocketAddr) {
        if self.denied.len() == ADDRESSES_MAX {
            self.denied.remove(0);
        }
        self.denied.push(address);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether `address` is still the name's, and did not refuse us.
    pub(super) fn holds(&self, address: &SocketAddr) -> bool {
        self.candidates.contains(address) && !self.denied.contains(address)
    }

    /// Whether there is another than `current` that is nobody's.
    pub(super) fn has_other(&self, current: &SocketAddr, taken: &[SocketAddr]) -> bool {
        self.candidates.iter().any(|a| a != current && self.holds(a) && !taken.contains(a))
    }

    /// Tries all others before `address` again.
    pub(super) fn put_last(&mut self, address: &SocketAddr) {
        if let Some(at) = self.candidates.iter().position(|a| a == address) {
            self.candidates.rotate_left(at + 1);
        }
    }

    /// The first that is not `taken` by another source.
    pub(super) fn choose(&self, taken: &[SocketAddr]) -> Choice {
        let mut allowed = self.candidates.iter().filter(|a| self.holds(a)).peekable();
        if allowed.peek().is_none() {
            return Choice::Nobody;
        }
        allowed.find(|a| !taken.contains(a)).map_or(Choice::AllTaken, |a| Choice::Ask(*a))
    }
}

/// An IPv4 address in IPv6 clothes is the same server as without them.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, address.port()),
        // As it is, with its interface.
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_address_that_is_free_and_did_not_refuse_is_asked() {
        let [a, b, c] = ["192.0.2.1:123", "192.0.2.2:123", "[fe80::1%3]:123"].map(address);
        let mut addresses = Addresses::default();
        assert_eq!(addresses.choose(&[]), Choice::Nobody);
        addresses.replace(vec![address("[::ffff:192.0.2.1]:123"), b, c]);
        assert_eq!(addresses.choose(&[]), Choice::Ask(a));
        assert_eq!(addresses.choose(&[a]), Choice::Ask(b));
        assert_eq!(addresses.choose(&[a, b, c]), Choice::AllTaken);
        addresses.put_last(&a);
        assert_eq!(addresses.choose(&[]), Choice::Ask(b));
        assert!(addresses.has_other(&a, &[]) && !addresses.has_other(&a, &[b, c]));
        for refused in [a, b, c] {
            addresses.deny(refused);
        }
        assert_eq!(addresses.choose(&[a]), Choice::Nobody);
        addresses.replace(vec![b; 1_000]);
        assert_eq!(addresses.candidates.len(), ADDRESSES_MAX);
    }

    #[test]
    fn who_refused_us_last_is_not_asked_at_once_however_many_have_before() {
        let mut addresses = Addresses::default();
        for host in 0..100 {
            let refused = SocketAddr::from(([192, 0, 2, host], 123));
            addresses.replace(vec![refused]);
            addresses.deny(refused);
            assert_eq!(addresses.choose(&[]), Choice::Nobody, "{refused}");
        }
        assert_eq!(addresses.denied.len(), ADDRESSES_MAX);
    }
}
