//! When answers left: what the interleaved mode tells each client with its next answer (RFC 9769).
//!
//! One bounded table serves all clients and is looked up by the receive timestamp of the former
//! answer, so clients behind one address need no telling apart and an address forged costs nothing.
//! Whoever floods it makes others fall back to basic mode, no more.

use std::collections::{BTreeMap, VecDeque};

use timeball_timebase::NtpTime;

/// Steps by which a receive timestamp is moved until no other answer has it.
const MOVES_MAX: u64 = 16;

/// The latest departures.
#[derive(Debug)]
pub(super) struct Departures {
    by_receive: BTreeMap<u64, NtpTime>,
    /// Receive timestamps in the order they came, oldest first; some are used up.
    order: VecDeque<u64>,
    limit: usize,
}

impl Departures {
    /// Remembers at most `limit` answers.
    pub(super) fn new(limit: usize) -> Self {
        Self { by_receive: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    /// A receive timestamp for a new answer that no remembered one has; at most 4 ns later.
    pub(super) fn distinct(&self, receive: NtpTime) -> NtpTime {
        let at = |moved: u64| receive.to_bits().wrapping_add(moved);
        let free = (0..MOVES_MAX).map(at).find(|bits| !self.by_receive.contains_key(bits));
        NtpTime::from_bits(free.unwrap_or(receive.to_bits()))
    }

    /// Remembers that the answer with this receive timestamp left at `transmit`; a second call
    /// knows better.
    pub(super) fn remember(&mut self, receive: NtpTime, transmit: NtpTime) {
        if self.limit == 0 {
            return;
        }
        if let Some(known) = self.by_receive.get_mut(&receive.to_bits()) {
            *known = transmit;
            return;
        }
        while self.order.len() >= self.limit {
            let Some(oldest) = self.order.pop_front() else { break };
            self.by_receive.remove(&oldest);
        }
        self.order.push_back(receive.to_bits());
        self.by_receive.insert(receive.to_bits(), transmit);
    }

    /// When the answer with this receive timestamp left; told once.
    pub(super) fn take(&mut self, receive: NtpTime) -> Option<NtpTime> {
        self.by_receive.remove(&receive.to_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(bits: u64) -> NtpTime {
        NtpTime::from_bits(bits)
    }

    #[test]
    fn a_departure_is_told_once_and_the_oldest_are_forgotten() {
        let mut departures = Departures::new(3);
        for i in 1..=5 {
            departures.remember(time(i), time(i + 100));
        }
        assert_eq!(departures.take(time(2)), None);
        assert_eq!(departures.take(time(3)), Some(time(103)));
        assert_eq!(departures.take(time(3)), None);
        for i in 0..10_000 {
            departures.remember(time(i), time(1));
            assert!(departures.by_receive.len() <= 3 && departures.order.len() <= 3);
        }
        let mut none = Departures::new(0);
        none.remember(time(1), time(2));
        assert_eq!(none.take(time(1)), None);
    }

    #[test]
    fn no_two_answers_have_the_same_receive_timestamp() {
        let mut departures = Departures::new(100);
        departures.remember(time(7), time(1));
        departures.remember(time(8), time(1));
        assert_eq!(departures.distinct(time(7)), time(9));
        assert_eq!(departures.distinct(time(6)), time(6));
    }
}
