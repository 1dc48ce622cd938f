//! Leap seconds: believed where a majority announces them, and carried out on all that is known.
//!
//! UTC as it is counted here repeats a second where one is inserted, so at that moment everything
//! that is kept as "true time less raw clock" changes by a second at once. Where the kernel makes
//! the leap, the system clock changes with it and what was published stays true; where it is to be
//! slewed, what is published changes, and the servo does the rest.

use timeball_timebase::{Leap, LeapSecond, MonoTime, Now, Span, Timestamp};

use super::config::{ClockMode, Due, LeapPolicy, ReferenceDevice};
use super::report::Selection;
use super::source::Source;
use super::{Action, Engine};
use crate::sample::Sample;

/// The kernel's clock makes the leap when it gets there itself, which may be this much after true
/// time does.
const GRACE: Span = Span::from_millis(100);
/// So near to the leap second nothing is measured: some servers are late, and an exchange may have
/// one foot on either side.
const UNMEASURED: Span = Span::from_secs(5);
/// A jump of the system clock by a second is the leap if it then reads no more than this before the
/// leap second: it is made at midnight by that clock, and an inserted second comes once more.
const EARLY: Span = Span::from_secs(2);
/// And no more than this after it, as the jump may be seen late.
const LATE: Span = Span::from_secs(30);
/// How far off such a jump may seem.
const JUMP_ERROR: Span = Span::from_millis(200);
/// The kernel acts at the next midnight, so it is told no earlier than this before.
const ARMED_FOR: Span = Span::from_minutes(12 * 60);
/// A leap second that came is told for this long.
const REMEMBERED: Span = Span::from_minutes(24 * 60);

/// The leap second that is awaited, and the one that came last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeapWatch {
    awaited: Option<LeapSecond>,
    came: Option<LeapSecond>,
    /// Whether the system clock has made the last one, too.
    clock_came: bool,
}

impl LeapWatch {
    /// What is to be told of it at `utc`: the one awaited, or the one of the last day.
    pub(super) fn told(&self, utc: Timestamp) -> (Leap, Option<LeapSecond>) {
        let came = self.came.filter(|leap| utc - leap.at < REMEMBERED);
        (self.awaited.map_or(Leap::None, LeapSecond::leap), self.awaited.or(came))
    }

    /// Whether a measurement was made too near to a leap second.
    pub(super) fn is_beside(&self, sample: &Sample) -> bool {
        let near = |leap: LeapSecond| (sample.server_sent - leap.at).abs() < UNMEASURED;
        self.awaited.is_some_and(near) || self.came.is_some_and(near)
    }
}

impl Engine {
    /// What the kernel is to be armed with.
    pub(super) fn leap_for_kernel(&self, now: Now) -> Leap {
        let armed = self.leap.awaited.filter(|_| self.config.leap == LeapPolicy::System);
        let armed = armed.filter(|leap| leap.at - now.system < ARMED_FOR);
        armed.map_or(Leap::None, LeapSecond::leap)
    }

    /// Lets the awaited leap second come when it is time, and takes up what is announced.
    pub(super) fn watch_leap(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.leap_due(now).is_some_and(|due| now.raw >= due) {
            // Whom to believe is not decided yet, and will be with the next input.
            if self.pauses.is_suspected() {
                return;
            }
            if self.was_measured_after_leap() {
                self.take_up_leap();
            } else {
                self.let_leap_come();
                self.steer(now, actions);
            }
            self.publish(now, actions);
        }
        let Some(utc) = self.true_time(now) else { return };
        let believed = self.config.leap != LeapPolicy::Ignore;
        if self.leap.came.is_none() && believed {
            self.leap.came = self.former_leap(utc);
            self.leap.clock_came = true;
        }
        let is_coming = self.leap.awaited.is_some_and(|leap| utc >= leap.comes_at());
        let announced = self.published_leap(utc).or_else(|| self.announced_leap());
        let Some(announced) = announced.filter(|_| !is_coming) else { return };
        let awaited = LeapSecond::announced(announced, utc).filter(|_| believed);
        // Right after it the second before it comes once more, and it is still announced.
        self.leap.awaited = awaited.filter(|leap| Some(leap.at) != self.leap.came.map(|c| c.at));
    }

    /// When the awaited leap second is to come, by the raw clock.
    pub(super) fn leap_due(&self, now: Now) -> Due {
        let comes_at = self.leap.awaited?.comes_at();
        let wait = comes_at - self.true_time(now)?;
        let by_kernel = match self.config.leap {
            LeapPolicy::System => true,
            _ => self.config.mode == ClockMode::Observe || self.conflict.is_yielded(),
        };
        let due: MonoTime = now.raw + wait + if by_kernel { GRACE } else { Span::ZERO };
        Some(due)
    }

    /// Whether a jump of the system clock is the leap second; if so, it has come.
    pub(super) fn is_leap_jump(&mut self, now: Now, jump: Span) -> bool {
        let Some(leap) = self.leap.awaited.or(self.leap.came) else { return false };
        let since = now.system - leap.at;
        let is_it = since > -EARLY
            && since < LATE
            && (jump - leap.correction()).abs() < JUMP_ERROR
            && (self.leap.awaited.is_some() || !self.leap.clock_came);
        if is_it {
            if self.leap.awaited.is_some() {
                self.let_leap_come();
            }
            self.leap.clock_came = true;
        }
        is_it
    }

    fn let_leap_come(&mut self) {
        if let Some(leap) = self.leap_has_come() {
            self.shift_truth(leap.correction());
        }
    }

    /// Notes that the awaited leap second has come.
    fn leap_has_come(&mut self) -> Option<LeapSecond> {
        let leap = self.leap.awaited.take()?;
        self.leap.came = Some(leap);
        self.leap.clock_came = false;
        // What counts on through a leap second is ahead of UTC by one more (or less) from here on.
        self.sources.iter_mut().for_each(|source| source.follow_leap(leap.correction()));
        Some(leap)
    }

    /// Whether somebody who makes leap seconds and is believed was measured after the one that is
    /// due. While the clocks run it comes before that, as nothing is measured for seconds around
    /// it.
    fn was_measured_after_leap(&self) -> bool {
        let Some(leap) = self.leap.awaited else { return false };
        let making = self.sources.iter().filter(|source| source.ahead().is_none());
        let believed = making.filter(|source| source.is_believed());
        let mut newest = believed.filter_map(|source| source.newest);
        newest.any(|sample| sample.server_sent - leap.at > sample.error_margin())
    }

    /// Takes up a leap second that came while the clocks stood still: nobody counted up to it, and
    /// what has been measured since has it in it, but for clocks that count on through it.
    fn take_up_leap(&mut self) {
        let Some(leap) = self.leap_has_come() else { return };
        let counting = self.sources.iter_mut().filter(|source| source.ahead().is_some());
        counting.for_each(|source| source.shift_truth(leap.correction()));
    }

    /// The leap second of the last day that only the table knows of: there was no process then.
    fn former_leap(&self, utc: Timestamp) -> Option<LeapSecond> {
        let last = self.config.leap_table.as_ref()?.last(utc)?;
        Some(last).filter(|leap| utc - leap.at < REMEMBERED)
    }

    /// True time is counted anew from here on: everything that was known of it moves along.
    fn shift_truth(&mut self, by: Span) {
        self.estimator.shift(by);
        self.rates.shift_truth(by);
        self.constraints.shift(by);
        if let Some(hull) = &mut self.hull {
            hull.promise.shift(by);
        }
        self.sources.iter_mut().for_each(|source| source.shift_truth(by));
    }

    /// True time by the estimate, while there is one.
    fn true_time(&self, now: Now) -> Option<Timestamp> {
        let hull = self.hull_at(now.raw)?;
        let offset = super::clamp_into(self.estimator.estimate_at(now.raw)?.offset, hull);
        Some(Timestamp::from_unix_nanos(now.raw.as_nanos()) + offset)
    }

    /// What the table of leap seconds tells for this month; `None` where it tells nothing.
    fn published_leap(&self, utc: Timestamp) -> Option<Leap> {
        let table = self.config.leap_table.as_ref()?;
        table.tai_offset_s(utc)?;
        let next = table.next(utc).filter(|(leap, at)| {
            LeapSecond::announced(*leap, utc).is_some_and(|leap| leap.at == *at)
        });
        Some(next.map_or(Leap::None, |(leap, _)| leap))
    }

    /// How many seconds TAI is ahead of UTC now, by the table, while there is one and the time is
    /// known.
    pub(super) fn tai_offset_s(&self, now: Now) -> Option<i32> {
        let table = self.config.leap_table.as_ref()?;
        // During a leap second the table would be asked about the second before once more.
        let utc = self.true_time(now)?;
        // Within a leap second the table is asked about its end, or while the kernel's leap is
        // waited for, about its beginning.
        let utc = self.leap.came.map_or(utc, |leap| utc.max(leap.at));
        let utc = self.leap.awaited.map_or(utc, |leap| utc.min(leap.comes_at() - Span::NANOSECOND));
        table.tai_offset_s(utc)
    }

    /// What a majority of the sources that tell the truth announces; `None` while nobody speaks, so
    /// that what was announced before is kept.
    fn announced_leap(&self) -> Option<Leap> {
        use Selection::{Candidate, Chief, Combined};
        let true_ones =
            self.sources.iter().filter(|s| matches!(s.selection, Chief | Combined | Candidate));
        let knowing = true_ones.filter(|s| knows_leap_seconds(s));
        let said: Vec<Leap> = knowing.filter_map(|s| s.told).map(|told| told.leap).collect();
        if said.is_empty() {
            return None;
        }
        let by_majority = |leap: &Leap| said.iter().filter(|l| *l == leap).count() * 2 > said.len();
        Some([Leap::Insert, Leap::Delete].into_iter().find(by_majority).unwrap_or(Leap::None))
    }
}

/// Whether a source can say anything of leap seconds: a hardware clock has no place for it, and a
/// pulse may be of any second, so their silence is no vote against one.
fn knows_leap_seconds(source: &Source) -> bool {
    let device = source.config.reference.as_ref().map(|reference| &reference.device);
    !matches!(device, Some(ReferenceDevice::Phc { .. })) && !source.reference.is_pulse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ReferenceClock, SourceConfig, SourceId};
    use crate::mac::KeyRing;

    #[test]
    fn a_hardware_clock_and_a_pulse_do_not_vote_on_leap_seconds() {
        let server = SourceConfig::new("192.0.2.1".to_owned(), 123);
        let source = |config| Source::new(SourceId(0), config, &KeyRing::default());
        assert!(knows_leap_seconds(&source(server.clone())));
        let with = |device| {
            source(SourceConfig {
                reference: Some(ReferenceClock {
                    device,
                    error: Span::from_micros(1),
                    offset: Span::ZERO,
                    delay: Span::ZERO,
                    reference_id: *b"REF\0",
                }),
                ..server.clone()
            })
        };
        let mut shared = with(ReferenceDevice::SharedMemory { unit: 0, mode: 0o600 });
        assert!(knows_leap_seconds(&shared));
        shared.reference.is_pulse = true;
        assert!(!knows_leap_seconds(&shared));
        let phc = ReferenceDevice::Phc { path: "/dev/ptp0".to_owned(), ahead: Span::ZERO };
        assert!(!knows_leap_seconds(&with(phc)));
    }
}
