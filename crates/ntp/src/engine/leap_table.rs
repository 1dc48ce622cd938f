//! Leap seconds as a table of the past and the announced ones tells them (IERS bulletin C).

use timeball_timebase::{Leap, LeapSecond, Timestamp};

/// TAI − UTC from one instant on, as published, and for how long that is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeapTable {
    /// From when on (UTC), and how many seconds TAI is ahead then; in order of time.
    entries: Vec<(Timestamp, i32)>,
    /// From here on there may be leap seconds that the table does not know.
    expires: Timestamp,
}

impl LeapTable {
    /// A table of these entries, whatever their order.
    pub fn new(mut entries: Vec<(Timestamp, i32)>, expires: Timestamp) -> Self {
        entries.sort_unstable();
        Self { entries, expires }
    }

    /// When it ends to be of use.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// How many seconds TAI is ahead of UTC at `utc`; `None` before the first entry and after the
    /// table has expired.
    pub fn tai_offset_s(&self, utc: Timestamp) -> Option<i32> {
        let past = self.entries.iter().rev().find(|(from, _)| *from <= utc);
        past.map(|(_, offset_s)| *offset_s).filter(|_| utc < self.expires)
    }

    /// The leap second that comes next after `utc`, before the table expires, and the instant from
    /// which on it counts.
    pub(super) fn next(&self, utc: Timestamp) -> Option<(Leap, Timestamp)> {
        let before = self.tai_offset_s(utc)?;
        let (at, offset_s) = *self.entries.iter().find(|(from, _)| *from > utc)?;
        leap_between(before, offset_s).map(|leap| (leap, at))
    }

    /// The leap second that came last before `utc` or at it.
    pub(super) fn last(&self, utc: Timestamp) -> Option<LeapSecond> {
        let next = self.entries.partition_point(|(from, _)| *from <= utc);
        let &[(_, before), (at, after)] = self.entries.get(next.checked_sub(2)?..next)? else {
            return None;
        };
        Some(LeapSecond { at, is_inserted: leap_between(before, after)? == Leap::Insert })
    }
}

fn leap_between(before_s: i32, after_s: i32) -> Option<Leap> {
    match after_s.checked_sub(before_s)? {
        1 => Some(Leap::Insert),
        -1 => Some(Leap::Delete),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::Span;

    fn table() -> LeapTable {
        // 2015-07-01 and 2017-01-01, known until 2018.
        let at = |s| Timestamp::from_unix(s, 0);
        LeapTable::new(vec![(at(1_483_228_800), 37), (at(1_435_708_800), 36)], at(1_514_764_800))
    }

    #[test]
    fn the_offset_changes_with_the_leap_second_and_is_unknown_beyond_the_table() {
        let leap = Timestamp::from_unix(1_483_228_800, 0);
        let table = table();
        assert_eq!(table.tai_offset_s(leap - Span::NANOSECOND), Some(36));
        assert_eq!(table.tai_offset_s(leap), Some(37));
        assert_eq!(table.tai_offset_s(Timestamp::UNIX_EPOCH), None);
        assert_eq!(table.tai_offset_s(table.expires()), None);
        assert_eq!(table.next(leap - Span::from_secs(9)), Some((Leap::Insert, leap)));
        assert_eq!(table.next(leap), None);
        let last = LeapSecond { at: leap, is_inserted: true };
        assert_eq!(table.last(leap + Span::from_secs(9)), Some(last));
        assert_eq!(table.last(leap), Some(last));
        assert_eq!(table.last(leap - Span::NANOSECOND), None, "what was before is not told");
        assert_eq!(table.last(Timestamp::UNIX_EPOCH), None);
    }
}
