//! From local times to instants: what a pattern means in a zone whose clocks are changed.

use super::pattern::Pattern;
use super::steps::step;
use super::zone::{Stretch, Zone};
use super::{DAY_US, DstPolicy, HOUR_US, MAX_US, MIN_US, Schedule};
use core::cell::Cell;

/// Vixie's cron makes up for changes shorter than this only.
const SEASONAL_US: i64 = 3 * HOUR_US;
/// More than any two offsets of a zone differ by (RFC 9636: −25 h to +26 h), so that an instant and
/// a local time that are further apart cannot be the same moment.
const FAR_US: i64 = 3 * DAY_US;

/// The instants of a pattern in a zone.
pub(super) struct Occurrences<'s> {
    pattern: &'s Pattern,
    zone: &'s Zone,
    /// Skipped times run at the first instant after the jump.
    fills_gaps: bool,
    /// Repeated times run the first time only.
    first_only: bool,
    /// Changes as long as this are not treated so.
    change_us_max: i64,
    /// From where on the pattern's next time is known, and that time (`i64::MAX` for none): a rare
    /// one is not looked for again at each change of the clocks before it.
    next: Cell<(i64, i64)>,
    /// The pattern's previous time (`i64::MIN` for none), and up to where that is known.
    previous: Cell<(i64, i64)>,
}

impl Schedule {
    pub(super) fn occurrences<'s>(&'s self, pattern: &'s Pattern) -> Occurrences<'s> {
        let (fills_gaps, first_only, change_us_max) = match self.dst {
            DstPolicy::Vixie => (!self.wildcard, !self.wildcard, SEASONAL_US),
            DstPolicy::Kubernetes => (false, false, i64::MAX),
            DstPolicy::Ocps => (false, true, i64::MAX),
        };
        Occurrences {
            pattern,
            zone: &self.zone,
            fills_gaps,
            first_only,
            change_us_max,
            next: Cell::new((i64::MAX, i64::MIN)),
            previous: Cell::new((i64::MAX, i64::MIN)),
        }
    }
}

impl Occurrences<'_> {
    /// The first instant that is at least `from`.
    pub(super) fn next(&self, from: i64) -> Option<i64> {
        let mut from = from.max(MIN_US);
        let mut index = self.zone.stretch_at(from);
        if from == self.stretch(index).start_us && self.fills(index) {
            return Some(from);
        }
        // Each round leaves a stretch behind, so there are at most twice as many as stretches.
        loop {
            step();
            let offset = self.stretch(index).offset_us;
            let end = self.end(index);
            let begin = from.max(self.fresh_start(index));
            if begin < end {
                let local = self.next_local(begin + offset)?;
                let at = local - offset;
                if at < end {
                    return (at <= MAX_US).then_some(at);
                }
                // No local time up to `local` matches. Where the stretch ends far ahead, none that
                // comes later is earlier on the wall than `begin`, so nothing happens until then.
                let near = local - FAR_US;
                if end - begin > FAR_US && near > end {
                    (from, index) = (near, self.zone.stretch_at(near));
                    continue;
                }
            }
            if index + 1 == self.zone.stretches().len() {
                return None;
            }
            index += 1;
            from = self.stretch(index).start_us;
            if self.fills(index) {
                return Some(from);
            }
        }
    }

    /// The last instant that is at most `until`.
    pub(super) fn previous(&self, until: i64) -> Option<i64> {
        let mut until = until.min(MAX_US);
        if until < MIN_US {
            return None;
        }
        let mut index = self.zone.stretch_at(until);
        loop {
            step();
            let Stretch { start_us: start, offset_us: offset } = self.stretch(index);
            let fresh = self.fresh_start(index);
            let mut local = None;
            if until >= fresh {
                local = self.previous_local(until + offset);
                if let Some(at) = local.map(|local| local - offset).filter(|at| *at >= fresh) {
                    return Some(at);
                }
            }
            if self.is_gap_filled(index) && self.previous_in_gap(index) {
                return Some(start);
            }
            if index == 0 {
                return None;
            }
            // As in `next`, seen in a mirror.
            let near = local.map(|local| local + FAR_US).filter(|near| *near < start);
            if let Some(near) = near.filter(|_| until - start > FAR_US) {
                (until, index) = (near.max(MIN_US), self.zone.stretch_at(near.max(MIN_US)));
            } else {
                until = start - 1;
                index -= 1;
            }
        }
    }

    /// How many instants lie in `from..=until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        let (from, until) = (from.max(MIN_US), until.min(MAX_US));
        if from > until {
            return 0;
        }
        let mut count = 0;
        for index in self.zone.stretch_at(from)..=self.zone.stretch_at(until) {
            let Stretch { start_us: start, offset_us: offset } = self.stretch(index);
            let begin = from.max(self.fresh_start(index));
            let end = self.end(index).min(until + 1);
            if begin < end {
                count += self.pattern.count(begin + offset, end + offset);
            }
            // A skipped time that runs together with a time of its own is one instant.
            let own = || self.next_local(start + offset) == Some(start + offset);
            if start >= from && self.fills(index) && !own() {
                count += 1;
            }
        }
        count
    }

    fn stretch(&self, index: usize) -> Stretch {
        self.zone.stretches()[index]
    }

    fn end(&self, index: usize) -> i64 {
        self.zone.stretches().get(index + 1).map_or(MAX_US + 1, |next| next.start_us)
    }

    /// By how much clocks are set forward at the beginning of a stretch; negative for back.
    fn change(&self, index: usize) -> i64 {
        match index.checked_sub(1) {
            Some(before) => self.stretch(index).offset_us - self.stretch(before).offset_us,
            None => 0,
        }
    }

    /// Where in a stretch the times begin that are not repeated ones.
    fn fresh_start(&self, index: usize) -> i64 {
        let start = self.stretch(index).start_us;
        if self.holds_back(index) { start - self.change(index) } else { start }
    }

    /// Whether the times that are repeated at the beginning of a stretch run the first time only.
    pub(super) fn holds_back(&self, index: usize) -> bool {
        let repeated = -self.change(index);
        self.first_only && repeated > 0 && repeated < self.change_us_max
    }

    /// Whether a time that was skipped runs at the beginning of a stretch.
    pub(super) fn fills(&self, index: usize) -> bool {
        let (begin, end) = self.gap(index);
        self.is_gap_filled(index) && self.next_local(begin).is_some_and(|local| local < end)
    }

    /// The same as `fills` says for such a gap, found from behind.
    fn previous_in_gap(&self, index: usize) -> bool {
        let (begin, end) = self.gap(index);
        self.previous_local(end - 1).is_some_and(|local| local >= begin)
    }

    /// Whether times that are skipped at the beginning of a stretch run at all.
    fn is_gap_filled(&self, index: usize) -> bool {
        let skipped = self.change(index);
        self.fills_gaps && skipped > 0 && skipped < self.change_us_max
    }

    /// The local times that are skipped at the beginning of a stretch, the end not included.
    fn gap(&self, index: usize) -> (i64, i64) {
        let Stretch { start_us, offset_us } = self.stretch(index);
        (start_us + offset_us - self.change(index), start_us + offset_us)
    }

    fn next_local(&self, from: i64) -> Option<i64> {
        let (known_from, mut found) = self.next.get();
        if from < known_from || from > found {
            found = self.pattern.next(from).unwrap_or(i64::MAX);
            self.next.set((from, found));
        }
        (found != i64::MAX).then_some(found)
    }

    fn previous_local(&self, until: i64) -> Option<i64> {
        let (mut found, known_until) = self.previous.get();
        if until < found || until > known_until {
            found = self.pattern.previous(until).unwrap_or(i64::MIN);
            self.previous.set((found, until));
        }
        (found != i64::MIN).then_some(found)
    }
}
