//! The bounded table of clients, for the rate limit.
//!
//! A client over its rate is not silenced: one request in a few is answered all the same, at
//! random. Otherwise anyone could cut a client off from the time by sending requests in its name.
//! Of the others a few are told that they ask too often, so that an honest client slows down.

use core::net::IpAddr;
use timeball_timebase::{MonoTime, Span};

use crate::random::Random;

/// How often one client is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// Mean time between answers that a client may have for ever; at least 1 ns.
    pub interval: Span,
    /// Answers that a client may have at once after a pause (1+).
    pub burst: u16,
    /// Of the requests over the limit one in this many is answered all the same (1+; 1: no limit).
    pub leak: u16,
    /// Of those that are not answered one in this many is told so by the kiss RATE (0: none).
    pub kiss: u16,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { interval: Span::from_millis(125), burst: 64, leak: 4, kiss: 8 }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// It is within the rate, or leaks through.
    Answer,
    /// Its client is told that it asks too often.
    Kiss,
    /// Nothing.
    Ignore,
}

/// Clients that share a place in the table; the one that was silent longest makes room.
const WAYS: usize = 8;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Client {
    key: u128,
    last_seen: MonoTime,
    /// Time that the client has saved up: each answer costs one interval.
    credit: Span,
}

/// Everybody who asked lately, in a table of fixed size.
#[derive(Debug)]
pub(super) struct Clients {
    sets: Vec<[Option<Client>; WAYS]>,
    key: [u64; 2],
}

impl Clients {
    /// An empty table for at least `clients` clients; `key` hides which share a place.
    pub(super) fn new(clients: usize, key: [u64; 2]) -> Self {
        let sets = clients.div_ceil(WAYS).max(1);
        Self { sets: vec![[None; WAYS]; sets], key }
    }

    /// What becomes of a request of `address` at `now`.
    pub(super) fn admit(
        &mut self,
        address: IpAddr,
        now: MonoTime,
        limit: &RateLimit,
        random: &mut Random,
    ) -> Admission {
        let key = client_key(address);
        let full = limit.interval * i64::from(limit.burst.max(1));
        let client = self.find(key, now, full);
        let saved = (now - client.last_seen).max(Span::ZERO);
        client.credit = (client.credit + saved).min(full);
        client.last_seen = now;
        if client.credit >= limit.interval {
            client.credit -= limit.interval;
            return Admission::Answer;
        }
        match random.bits() {
            bits if bits.is_multiple_of(u64::from(limit.leak.max(1))) => Admission::Answer,
            _ if limit.kiss > 0 && random.bits().is_multiple_of(u64::from(limit.kiss)) => {
                Admission::Kiss
            }
            _ => Admission::Ignore,
        }
    }

    fn find(&mut self, key: u128, now: MonoTime, credit: Span) -> &mut Client {
        let place = self.place(key);
        let set = &mut self.sets[place];
        let way = set.iter().position(|way| way.is_some_and(|client| client.key == key));
        let way = way.unwrap_or_else(|| {
            // `None` sorts first, so free ways are used before anyone is forgotten.
            let oldest = (0..WAYS).min_by_key(|&way| set[way].map(|client| client.last_seen));
            let way = oldest.unwrap_or(0);
            set[way] = None;
            way
        });
        set[way].get_or_insert(Client { key, last_seen: now, credit })
    }

    fn place(&self, key: u128) -> usize {
        let low = (key as u64 ^ self.key[0]) as u128;
        let high = ((key >> 64) as u64 ^ self.key[1]) as u128;
        let product = (low | 1).wrapping_mul(high.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mixed = (product >> 64) as u64 ^ product as u64;
        (mixed % self.sets.len() as u64) as usize
    }
}

/// An IPv4 address, or the network part of an IPv6 one: a host has as many of the rest as it likes.
fn client_key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) | 1 << 127,
        IpAddr::V6(v6) => v6.to_bits() >> 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> MonoTime {
        MonoTime::ZERO + Span::from_secs(seconds)
    }

    #[test]
    fn a_client_over_its_rate_gets_one_answer_in_a_few() {
        let limit = RateLimit { interval: Span::from_secs(1), burst: 8, leak: 4, kiss: 0 };
        let mut random = Random::new([1; 32]);
        let mut clients = Clients::new(16, [3, 5]);
        let noisy = "192.0.2.1".parse().unwrap();
        let mut is_answered = |clients: &mut Clients, address, at| {
            clients.admit(address, at, &limit, &mut random) == Admission::Answer
        };
        let answered = (0..1_008).filter(|_| is_answered(&mut clients, noisy, at(5))).count();
        assert!((8 + 200..8 + 300).contains(&answered), "{answered}");
        let quiet = "192.0.2.2".parse().unwrap();
        assert!((0..100).all(|i| is_answered(&mut clients, quiet, at(5 + i))));
        assert!(is_answered(&mut clients, noisy, at(7)));
    }

    #[test]
    fn the_table_does_not_grow() {
        let mut random = Random::new([1; 32]);
        let mut clients = Clients::new(64, [3, 5]);
        for host in 0..10_000_u32 {
            let address = IpAddr::V4(host.into());
            let admission = clients.admit(address, at(1), &RateLimit::default(), &mut random);
            assert_eq!(admission, Admission::Answer);
        }
        assert_eq!(clients.sets.len() * WAYS, 64);
        let used = clients.sets.iter().flatten().flatten().count();
        assert!(used > 56, "{used}");
    }

    #[test]
    fn one_ipv6_host_cannot_pass_for_many() {
        let a = client_key("2001:db8::1".parse().unwrap());
        assert_eq!(a, client_key("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(a, client_key("2001:db8:0:1::1".parse().unwrap()));
    }
}
