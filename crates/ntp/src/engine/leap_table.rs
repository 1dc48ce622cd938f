//! Leap seconds as a table of the past and the announced ones tells them (IERS bulletin C).

use timeball_timebase::{Leap, Timestamp};

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
        let leap = match offset_s - before {
            1 => Leap::Insert,
            -1 => Leap::Delete,
            _ => return None,
        };
        Some((leap, at))
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
    }
}
