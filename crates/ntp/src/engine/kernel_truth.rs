//! What the kernel is told about its clock (`STA_UNSYNC`, `maxerror`, `esterror`), and when: so
//! that whoever asks the kernel is never told less error than there is.
//!
//! The kernel lets `maxerror` grow by itself, at 500 ppm. Where the error may grow faster, what
//! will be added until the next writing is told at once; so between writings only news are a reason
//! to write, and the passing of time is none.

use timeball_timebase::{ClockState, Frequency, Leap, MonoTime, Now, Span, SyncState};

use super::config::RtcPolicy;
use super::io::KernelStatus;

/// The kernel's status is written at least this often; it may be 10 s old at most.
const INTERVAL: Span = Span::from_secs(8);
/// What the kernel adds to its own `maxerror`.
const KERNEL_GROWTH: Frequency = Frequency::from_ppm(500);
/// Error that is told while nothing is known: the kernel's own limit, beyond which it sets
/// `STA_UNSYNC` itself.
const ERROR_UNKNOWN: Span = Span::from_secs(16);
/// Less is no news: readings are rounded.
const NEGLIGIBLE: Span = Span::from_micros(1);
/// After a writing nothing is written for this long, whatever happens: the outcome of a writing is
/// an input too, and must not be the cause of the next.
const PAUSE: Span = Span::from_millis(50);
/// A refused writing is tried again after this.
const RETRY: Span = Span::from_secs(4);

/// What the kernel is to do about leap seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct KernelLeap {
    /// The one that it is to make.
    pub(super) leap: Leap,
    /// TAI − UTC, where it is known.
    pub(super) tai_offset_s: Option<i32>,
}

/// What was told last, and when the next telling is due.
#[derive(Debug)]
pub(super) struct KernelTruth {
    rtc: RtcPolicy,
    due: MonoTime,
    not_before: MonoTime,
    told: Option<(MonoTime, KernelStatus)>,
}

impl KernelTruth {
    /// Begins with the flag set, as who takes the clock over leaves it: what was done to the clock
    /// while nobody looked after it is not known before a majority has spoken again. Until then
    /// nothing is news.
    pub(super) fn new(now: Now, rtc: RtcPolicy) -> Self {
        Self { rtc, due: now.raw + INTERVAL, not_before: now.raw, told: None }
    }

    /// When something is to be told even if nothing happens.
    pub(super) fn due(&self) -> MonoTime {
        self.due
    }

    /// What to write now, `leap` being the leap second that the kernel is to make, if it is time or
    /// what the kernel was told is no longer true.
    pub(super) fn tell(
        &mut self,
        now: Now,
        state: &ClockState,
        leap: KernelLeap,
        offset_sd: Option<Span>,
    ) -> Option<KernelStatus> {
        let truth = Truth::of(now, state, leap);
        // The kernel copies its time to the hardware clock whenever the flag is clear.
        let synchronized = truth.is_synchronized() && self.rtc == RtcPolicy::Kernel;
        let is_news = match self.told {
            None => truth.is_synchronized(),
            Some((at, told)) => {
                let claimed = told.max_error + KERNEL_GROWTH.over(self.due - at);
                told.synchronized != synchronized
                    || told.leap != truth.leap.leap
                    || told.tai_offset_s != truth.leap.tai_offset_s
                    || truth.error_after(self.due - now.raw) > claimed + NEGLIGIBLE
            }
        };
        if is_news {
            self.due = self.due.min(self.not_before);
        }
        if now.raw < self.due.max(self.not_before) {
            return None;
        }
        let status = KernelStatus { synchronized, ..truth.status(offset_sd) };
        self.due = now.raw + INTERVAL;
        self.not_before = now.raw + PAUSE;
        self.told = Some((now.raw, status));
        Some(status)
    }

    /// Takes up that the last writing was refused.
    pub(super) fn refused(&mut self, now: Now) {
        self.not_before = now.raw + RETRY;
        self.due = self.not_before;
    }
}

/// What is true of the system clock at one moment.
struct Truth {
    /// Whether sources vouch for it now.
    vouched: bool,
    leap: KernelLeap,
    /// How far it may be off, and how fast that grows; `None` while nothing is known.
    error: Option<(Span, Frequency)>,
    /// How far it is off by the estimate.
    offset: Span,
}

impl Truth {
    fn of(now: Now, state: &ClockState, leap: KernelLeap) -> Self {
        let reading = state.reading(now);
        let offset = reading.estimate - now.system;
        let known = reading.half_width.zip(state.bound).filter(|_| state.is_usable());
        let error = known.map(|(half_width, bound)| {
            // On its way to the truth it gets better by more than is promised here.
            let leaving = if offset.is_negative() { -state.drift } else { state.drift };
            (half_width + offset.abs(), bound.growth + leaving.max(Frequency::ZERO))
        });
        let vouched = state.state == SyncState::Synchronized;
        Self { vouched, leap, error, offset: offset.abs() }
    }

    /// In holdover the bound is still told, but nobody vouches for the clock any more; and nobody
    /// can for one that is off by more than the kernel can say.
    fn is_synchronized(&self) -> bool {
        self.vouched && self.error.is_some_and(|(error, _)| error < ERROR_UNKNOWN)
    }

    fn error_after(&self, after: Span) -> Span {
        self.error.map_or(ERROR_UNKNOWN, |(error, growth)| error + growth.over_ceil(after))
    }

    fn status(&self, offset_sd: Option<Span>) -> KernelStatus {
        let Some((error, growth)) = self.error else {
            return KernelStatus {
                synchronized: false,
                max_error: ERROR_UNKNOWN,
                estimated_error: ERROR_UNKNOWN,
                leap: Leap::None,
                tai_offset_s: None,
            };
        };
        let faster = (growth - KERNEL_GROWTH).max(Frequency::ZERO);
        let half_width = error - self.offset;
        KernelStatus {
            synchronized: self.is_synchronized(),
            max_error: error + faster.over_ceil(INTERVAL),
            estimated_error: offset_sd.unwrap_or(half_width).min(half_width) + self.offset,
            leap: self.leap.leap,
            tai_offset_s: self.leap.tai_offset_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::{Bound, Timestamp};

    fn truth() -> KernelTruth {
        KernelTruth::new(now(0), RtcPolicy::Kernel)
    }

    fn now(ms: i64) -> Now {
        let span = Span::from_millis(ms);
        Now::exact(MonoTime::ZERO + span, Timestamp::from_unix(1_795_000_000, 0) + span)
    }

    /// 3 ms off, ± 1 ms.
    fn known(at: Now, growth_ppm: i64) -> ClockState {
        ClockState {
            state: SyncState::Synchronized,
            as_of: at.raw,
            offset: Some(Span::from_millis(-3)),
            bound: Some(Bound {
                as_of: at.raw,
                half_width: Span::from_millis(1),
                growth: Frequency::from_ppm(growth_ppm),
            }),
            ..ClockState::default()
        }
    }

    #[test]
    fn before_the_first_majority_the_kernel_keeps_for_seconds_what_it_had() {
        let mut kernel = truth();
        let unknown = ClockState::default();
        assert_eq!(kernel.tell(now(1_000), &unknown, KernelLeap::default(), None), None);
        let told = kernel.tell(now(8_000), &unknown, KernelLeap::default(), None).unwrap();
        assert!(!told.synchronized && told.max_error == Span::from_secs(16), "{told:?}");
    }

    #[test]
    fn the_bound_and_the_offset_together_are_the_largest_error() {
        let mut kernel = truth();
        let sd = Some(Span::from_micros(10));
        let told = kernel.tell(now(1), &known(now(1), 1), KernelLeap::default(), sd).unwrap();
        assert!(told.synchronized);
        assert_eq!(told.max_error, Span::from_millis(4));
        assert_eq!(told.estimated_error, Span::from_micros(3_010));
    }

    #[test]
    fn a_lost_majority_is_told_at_once_and_the_bound_stays() {
        let mut kernel = truth();
        let state = known(now(1), 1);
        assert!(kernel.tell(now(1), &state, KernelLeap::default(), None).unwrap().synchronized);
        let holdover = ClockState { state: SyncState::Holdover, ..state };
        let told = kernel.tell(now(100), &holdover, KernelLeap::default(), None).unwrap();
        assert!(!told.synchronized && told.max_error < Span::from_millis(5), "{told:?}");
    }

    #[test]
    fn where_the_hardware_clock_is_not_to_be_written_the_flag_stays_set_and_the_errors_are_told() {
        let mut kernel = KernelTruth::new(now(0), RtcPolicy::Never);
        let leap = KernelLeap { leap: Leap::Insert, tai_offset_s: Some(37) };
        let told = kernel.tell(now(1), &known(now(1), 1), leap, None).unwrap();
        assert!(!told.synchronized && told.max_error == Span::from_millis(4), "{told:?}");
        assert_eq!((told.leap, told.tai_offset_s), (Leap::Insert, Some(37)));
        assert_eq!(kernel.tell(now(7_000), &known(now(1), 1), leap, None), None);
    }

    #[test]
    fn what_the_kernel_cannot_say_is_not_synchronized() {
        let mut kernel = truth();
        let far = ClockState { offset: Some(Span::from_secs(100)), ..known(now(1), 1) };
        assert_eq!(kernel.tell(now(1), &far, KernelLeap::default(), None), None);
        let told = kernel.tell(now(8_000), &far, KernelLeap::default(), None).unwrap();
        assert!(!told.synchronized, "{told:?}");
    }

    #[test]
    fn the_passing_of_time_is_no_news_however_fast_the_error_grows() {
        for growth_ppm in [1, 499, 501, 1_505, 40_000] {
            let mut kernel = truth();
            let state = known(now(0), growth_ppm);
            let told = kernel.tell(now(0), &state, KernelLeap::default(), None).unwrap();
            for ms in 1..8_000 {
                assert_eq!(
                    kernel.tell(now(ms), &state, KernelLeap::default(), None),
                    None,
                    "{growth_ppm} ppm, {ms} ms"
                );
                let grown = told.max_error + KERNEL_GROWTH.over(Span::from_millis(ms));
                let error = Span::from_millis(4)
                    + Frequency::from_ppm(growth_ppm).over(Span::from_millis(ms));
                assert!(
                    grown + NEGLIGIBLE >= error,
                    "{growth_ppm} ppm: the kernel says too little"
                );
            }
            assert!(
                kernel.tell(now(8_000), &state, KernelLeap::default(), None).is_some(),
                "{growth_ppm} ppm"
            );
        }
    }

    #[test]
    fn worse_news_are_told_at_once_but_never_in_a_circle() {
        let mut kernel = truth();
        assert!(kernel.tell(now(0), &known(now(0), 1), KernelLeap::default(), None).is_some());
        let worse = ClockState { offset: Some(Span::from_millis(40)), ..known(now(1), 1) };
        assert_eq!(kernel.tell(now(1), &worse, KernelLeap::default(), None), None);
        assert_eq!(kernel.due(), now(50).raw);
        let told = kernel.tell(now(50), &worse, KernelLeap::default(), None).unwrap();
        assert!(told.max_error >= Span::from_millis(41), "{told:?}");
        kernel.refused(now(50));
        assert_eq!(kernel.tell(now(4_049), &worse, KernelLeap::default(), None), None);
        assert!(kernel.tell(now(4_050), &worse, KernelLeap::default(), None).is_some());
    }
}
