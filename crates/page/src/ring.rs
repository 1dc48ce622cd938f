//! The clock's last minutes, for pages that are opened later.

use std::collections::VecDeque;

use timeball_api::events::ClockPoint;

/// How many points are kept: ten minutes of seconds.
pub const BACKLOG_POINTS: usize = 600;

/// A bounded, numbered run of clock points; a new one pushes the oldest out.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    points: VecDeque<ClockPoint>,
    /// How many points were ever pushed: the number of the newest, counted from one.
    pushed: u64,
}

impl Ring {
    /// Adds the newest point.
    pub(crate) fn push(&mut self, point: ClockPoint) {
        if self.points.len() == BACKLOG_POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.pushed += 1;
    }

    /// The number of the newest point; 0 while there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.pushed
    }

    /// The points after number `seen`, oldest first; those that were pushed out are gone.
    pub(crate) fn since(&self, seen: u64) -> impl Iterator<Item = &ClockPoint> {
        let wanted = usize::try_from(self.pushed.saturating_sub(seen)).unwrap_or(usize::MAX);
        self.points.iter().skip(self.points.len().saturating_sub(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(points: i64) -> Ring {
        let mut ring = Ring::default();
        for system_ns in 1..=points {
            ring.push(ClockPoint { system_ns, ..ClockPoint::default() });
        }
        ring
    }

    fn instants(ring: &Ring, seen: u64) -> Vec<i64> {
        ring.since(seen).map(|point| point.system_ns).collect()
    }

    #[test]
    fn an_empty_ring_has_no_points() {
        assert!(instants(&Ring::default(), 0).is_empty());
        assert!(instants(&Ring::default(), 7).is_empty());
    }

    #[test]
    fn only_points_not_seen_yet_are_given() {
        let ring = filled(5);
        assert_eq!(ring.newest(), 5);
        assert_eq!(instants(&ring, 0), [1, 2, 3, 4, 5]);
        assert_eq!(instants(&ring, 3), [4, 5]);
        assert!(instants(&ring, 5).is_empty());
    }

    #[test]
    fn the_ring_never_holds_more_than_its_bound() {
        let ring = filled(BACKLOG_POINTS as i64 * 3 + 1);
        let all = instants(&ring, 0);
        assert_eq!(all.len(), BACKLOG_POINTS);
        assert_eq!(all[0], BACKLOG_POINTS as i64 * 2 + 2);
        assert_eq!(*all.last().unwrap(), BACKLOG_POINTS as i64 * 3 + 1);
        assert_eq!(instants(&ring, ring.newest() - 2).len(), 2);
    }
}
