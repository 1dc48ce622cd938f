//! The days on which a schedule may have instants.

use super::day_calendar::DayCalendar;
use super::phrase::and;
use super::zone::Zone;
use super::{DAY_US, MAX_US, MIN_US, Schedule};
use timeball_timebase::Timestamp;

/// An instant that would be one if it were not for its day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeftOut<'s> {
    /// When.
    pub at: Timestamp,
    /// The excluded calendar that has its day; `None` where no included calendar has it.
    pub excluded_by: Option<&'s str>,
}

/// Calendars that are included and excluded, each with the zone whose days it has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DayFilter {
    include: Box<[(DayCalendar, Zone)]>,
    exclude: Box<[(DayCalendar, Zone)]>,
}

impl Schedule {
    /// The same schedule on certain days only: those of any calendar of `include` (all days where
    /// that is empty) that are in no calendar of `exclude`.
    ///
    /// The day is that of the instant itself: a time which a change of the clocks moves belongs to
    /// the day on which it runs. Finding an instant takes at most as many steps as the calendars
    /// have runs of days; [`Schedule::count_between`] takes as many as they have in the range.
    ///
    /// ```
    /// use timeball_schedule::language::{DayCalendar, DayEntry, Dialect, Schedule, Zone};
    /// use timeball_timebase::Timestamp;
    ///
    /// let zone = Zone::utc();
    /// let holidays = DayCalendar::new("holidays", None, &[DayEntry::Date("2027-01-15")])?;
    /// let schedule = Schedule::parse("0 9 * * mon-fri", Dialect::Vixie, &zone, None)?;
    /// let schedule = schedule.on_days(&[], &[holidays]);
    /// let friday = Timestamp::from_unix(1_800_000_000, 0); // 2027-01-15T08:00:00Z
    /// let monday = schedule.next_after(friday).expect("there is another Monday");
    /// assert_eq!(monday.to_string(), "2027-01-18T09:00:00Z");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_days(self, include: &[DayCalendar], exclude: &[DayCalendar]) -> Self {
        let with_zone = |calendars: &[DayCalendar]| {
            let zone = |calendar: &DayCalendar| calendar.zone().unwrap_or(&self.zone).clone();
            calendars.iter().map(|calendar| (calendar.clone(), zone(calendar))).collect()
        };
        let filter = DayFilter { include: with_zone(include), exclude: with_zone(exclude) };
        let is_empty = filter.include.is_empty() && filter.exclude.is_empty();
        Self { filter: (!is_empty).then(|| Box::new(filter)), ..self }
    }

    /// The names of the calendars whose days alone count; none where all days do.
    pub fn included(&self) -> Vec<&str> {
        names(self.filter.as_ref().map_or(&[], |filter| &filter.include))
    }

    /// The names of the calendars whose days do not count.
    pub fn excluded(&self) -> Vec<&str> {
        names(self.filter.as_ref().map_or(&[], |filter| &filter.exclude))
    }

    /// The first instant strictly after `after` and at most at `until` that is left out for its
    /// day.
    ///
    /// It takes at most as many steps as the calendars have runs of days in between.
    pub fn next_left_out(&self, after: Timestamp, until: Timestamp) -> Option<LeftOut<'_>> {
        let filter = self.filter.as_ref()?;
        let mut from = after.as_unix_nanos().div_euclid(1_000) + 1;
        let until = until.as_unix_nanos().div_euclid(1_000);
        loop {
            let at = self.next_us(from).filter(|at| *at <= until)?;
            if filter.blocked(at).is_some() {
                let at_instant = Timestamp::from_unix_nanos(at * 1_000);
                return Some(LeftOut { at: at_instant, excluded_by: filter.excluded_by(at) });
            }
            from = filter.open_until(at).checked_add(1)?;
        }
    }

    /// The same schedule on all days.
    #[must_use]
    pub fn on_all_days(self) -> Self {
        Self { filter: None, ..self }
    }
}

impl DayFilter {
    /// The first instant of `next` that is at least `from` and on a day that counts.
    pub(super) fn next(&self, from: i64, next: impl Fn(i64) -> Option<i64>) -> Option<i64> {
        let mut from = from;
        loop {
            let at = next(from)?;
            match self.blocked(at) {
                None => return Some(at),
                Some((_, last)) if last >= MAX_US => return None,
                Some((_, last)) => from = last + 1,
            }
        }
    }

    /// The last instant of `previous` that is at most `until` and on a day that counts.
    pub(super) fn previous(
        &self,
        until: i64,
        previous: impl Fn(i64) -> Option<i64>,
    ) -> Option<i64> {
        let mut until = until;
        loop {
            let at = previous(until)?;
            match self.blocked(at) {
                None => return Some(at),
                Some((first, _)) if first <= MIN_US => return None,
                Some((first, _)) => until = first - 1,
            }
        }
    }

    /// How many instants lie in `from..=until` and on days that count, or `limit` or more if there
    /// are so many.
    pub(super) fn count(
        &self,
        (from, until): (i64, i64),
        limit: u64,
        next: impl Fn(i64) -> Option<i64>,
        count: impl Fn(i64, i64) -> u64,
    ) -> u64 {
        let (mut from, mut found) = (from, 0);
        while found < limit
            && let Some(at) = self.next(from, &next)
            && at <= until
        {
            let last = self.open_until(at);
            found += count(at, last.min(until));
            if last >= until {
                break;
            }
            from = last + 1;
        }
        found
    }

    /// Whether nothing happens right before and at a moment.
    pub(super) fn is_blocked_around(&self, at: i64) -> bool {
        let blocked = |at: i64| self.blocked(at.clamp(MIN_US, MAX_US)).is_some();
        blocked(at - 1) && blocked(at)
    }

    /// The days that count, in words.
    pub(super) fn describe(&self) -> String {
        let quoted = |calendars: &[(DayCalendar, Zone)]| {
            let names = names(calendars).into_iter().map(|name| format!("`{name}`"));
            and(&names.collect::<Vec<_>>())
        };
        let mut text = String::new();
        if !self.include.is_empty() {
            text += &format!(", only on days of {}", quoted(&self.include));
        }
        if !self.exclude.is_empty() {
            text += &format!(", not on days of {}", quoted(&self.exclude));
        }
        text
    }

    /// The first of the excluded calendars that has the day of a moment.
    fn excluded_by(&self, at: i64) -> Option<&str> {
        let (calendar, _) = self.exclude.iter().find(|member| stretch(member, at).0)?;
        Some(calendar.name())
    }

    /// Around a moment that does not count, a stretch of time that does not either: its first and
    /// its last microsecond.
    fn blocked(&self, at: i64) -> Option<(i64, i64)> {
        let excluded = self.exclude.iter().map(|member| stretch(member, at));
        if let Some((_, first, last)) = excluded.into_iter().find(|(is_in, ..)| *is_in) {
            return Some((first, last));
        }
        // Outside all that is included: as far as that is so for each of them.
        let mut around = (MIN_US, MAX_US);
        for member in &self.include {
            let (is_in, first, last) = stretch(member, at);
            if is_in {
                return None;
            }
            around = (around.0.max(first), around.1.min(last));
        }
        (!self.include.is_empty()).then_some(around)
    }

    /// The last microsecond of a stretch of time that counts, from a moment that does.
    fn open_until(&self, at: i64) -> i64 {
        let excluded = self.exclude.iter().map(|member| stretch(member, at).2);
        let included = self.include.iter().map(|member| stretch(member, at));
        let included = included.filter(|(is_in, ..)| *is_in).map(|(.., last)| last);
        excluded.min().unwrap_or(MAX_US).min(included.max().unwrap_or(MAX_US))
    }
}

fn names(calendars: &[(DayCalendar, Zone)]) -> Vec<&str> {
    calendars.iter().map(|(calendar, _)| calendar.name()).collect()
}

/// Whether a moment is on a day of a calendar; and the first and the last microsecond of a stretch
/// of time around it for which the same is true, all of one offset from UTC.
fn stretch((calendar, zone): &(DayCalendar, Zone), at: i64) -> (bool, i64, i64) {
    let index = zone.stretch_at(at);
    let offset = zone.stretches()[index].offset_us;
    let begin = zone.stretches()[index].start_us;
    let end = zone.stretches().get(index + 1).map_or(MAX_US, |next| next.start_us - 1);
    let (is_in, first, last) = calendar.run((at + offset).div_euclid(DAY_US));
    let (first, last) = (first * DAY_US - offset, (last + 1) * DAY_US - 1 - offset);
    (is_in, first.max(begin), last.min(end))
}
