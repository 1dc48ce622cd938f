//! Leap seconds: what is announced, when it takes effect, and how it is smeared.

use crate::instant::civil_from_days;
use crate::{Span, Timestamp};

const DAY_S: i64 = 86_400;
/// From the noon before a leap second to the noon after it, each half.
const SMEAR_HALF: Span = Span::from_secs(DAY_S / 2);

/// The leap indicator (RFC 5905 section 7.3), without the value for "unsynchronized", which is
/// [`crate::SyncState::Unsynchronized`] here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Leap {
    /// No leap second is announced.
    #[default]
    None,
    /// The last minute of the day has 61 seconds.
    Insert,
    /// The last minute of the day has 59 seconds.
    Delete,
}

/// One leap second: where UTC, written as seconds since 1970, repeats a second or leaves one out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeapSecond {
    /// The midnight (UTC) before which the second is inserted or left out.
    pub at: Timestamp,
    /// Whether it is inserted, as every one was so far.
    pub is_inserted: bool,
}

impl LeapSecond {
    /// The leap second that an announcement at `now` means: that at the end of this month, if the
    /// month is June or December.
    ///
    /// There has never been one in any other month, and servers that announce one then are early
    /// or wrong.
    pub fn announced(leap: Leap, now: Timestamp) -> Option<Self> {
        let is_inserted = match leap {
            Leap::None => return None,
            Leap::Insert => true,
            Leap::Delete => false,
        };
        let day = now.unix_seconds().div_euclid(DAY_S);
        let (_, month, of_month) = civil_from_days(day);
        let days = match month {
            6 => 30,
            12 => 31,
            _ => return None,
        };
        let at = Timestamp::from_unix((day - of_month + 1 + days) * DAY_S, 0);
        Some(Self { at, is_inserted })
    }

    /// What is added to UTC (as seconds since 1970) when the leap second comes: −1 s or 1 s.
    pub fn correction(self) -> Span {
        if self.is_inserted { Span::from_secs(-1) } else { Span::from_secs(1) }
    }

    /// When the correction comes, in the time that was kept before it.
    pub fn comes_at(self) -> Timestamp {
        if self.is_inserted { self.at } else { self.at - Span::from_secs(1) }
    }

    /// The announcement of it.
    pub fn leap(self) -> Leap {
        if self.is_inserted { Leap::Insert } else { Leap::Delete }
    }

    /// How far smeared time is ahead of UTC at `utc`, where `has_come` says whether that instant
    /// is after the leap second: linear from the noon before to the noon after, as Google and
    /// Amazon do it (<https://developers.google.com/time/smear>).
    pub fn smear(self, utc: Timestamp, has_come: bool) -> Span {
        let correction = self.correction();
        let counted = utc - (self.at - SMEAR_HALF);
        let (elapsed, undone) =
            if has_come { (counted - correction, correction) } else { (counted, Span::ZERO) };
        let whole = SMEAR_HALF * 2 - correction;
        if elapsed <= Span::ZERO || elapsed >= whole {
            return Span::ZERO;
        }
        let share = i128::from(correction.as_nanos()) * i128::from(elapsed.as_nanos())
            / i128::from(whole.as_nanos());
        Span::from_nanos(i64::try_from(share).expect("at most a second")) - undone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2016-12-31T24:00:00Z, the last one so far.
    const LAST: LeapSecond =
        LeapSecond { at: Timestamp::from_unix(1_483_228_800, 0), is_inserted: true };

    #[test]
    fn an_announcement_means_the_end_of_june_or_december() {
        for (now_s, at_s) in [
            (1_480_550_400, Some(1_483_228_800)), // 2016-12-01 00:00:00
            (1_483_228_799, Some(1_483_228_800)), // 2016-12-31 23:59:59
            (1_483_228_800, None),                // 2017-01-01
            (1_434_326_400, Some(1_435_708_800)), // 2015-06-15
            (1_480_550_399, None),                // 2016-11-30 23:59:59
        ] {
            let said = LeapSecond::announced(Leap::Insert, Timestamp::from_unix(now_s, 0));
            let expected = at_s.map(|at_s| Timestamp::from_unix(at_s, 0));
            assert_eq!(said.map(|leap| leap.at), expected, "{now_s}");
        }
        assert_eq!(LeapSecond::announced(Leap::None, LAST.at - Span::from_secs(1)), None);
    }

    #[test]
    fn a_smear_runs_evenly_from_noon_to_noon() {
        for leap in [LAST, LeapSecond { is_inserted: false, ..LAST }] {
            let correction = leap.correction();
            let noon = leap.at - SMEAR_HALF;
            assert_eq!(leap.smear(noon, false), Span::ZERO);
            assert_eq!(leap.smear(leap.at + SMEAR_HALF, true), Span::ZERO);
            let step = Span::from_secs(1);
            let mut last = Span::ZERO;
            // Seconds of UTC that really pass, the leap second among them.
            let whole = DAY_S - correction.as_nanos() / 1_000_000_000;
            for second in 1..whole {
                let reading = noon + step * second;
                let has_come = reading >= leap.comes_at();
                let utc = if has_come { reading + correction } else { reading };
                // What was served, against time without any leap second.
                let smeared = utc + leap.smear(utc, has_come) - reading;
                assert!((smeared - last).abs() < Span::from_micros(12), "{second}: {smeared}");
                assert!(smeared.abs() > last.abs(), "{second}");
                last = smeared;
            }
            assert!((last - correction).abs() < Span::from_micros(12), "{last}");
        }
    }

    #[test]
    fn far_from_the_leap_second_nothing_is_smeared() {
        for days in [-400, -1, 1, 400] {
            let utc = LAST.at + Span::from_secs(DAY_S) * days;
            assert_eq!(LAST.smear(utc, days > 0), Span::ZERO, "{days}");
        }
    }
}
