//! Pauses of the machine that nobody in it is told of: all its clocks stood still for a while.
//!
//! A virtual machine that is stopped and goes on later is such a machine. The servers' time is then
//! later than a majority promised, by any amount, as it would be if they began to lie. So a witness
//! is asked that no network reaches: the hardware clock, which runs on. Where it agrees with the
//! server, time may have been lost as in suspend, and promises allow for it until a majority has
//! told; where it does not, or there is none, nothing is believed that would not have been believed
//! without.

use timeball_timebase::{Interval, MonoTime, Now, Span, Timestamp};

use super::interval::TimedInterval;
use super::source::Source;
use super::{Action, Engine};
use crate::sample::Sample;

/// Shorter pauses are not looked for: the hardware clock counts whole seconds, and drifts.
const PAUSE_MIN: Span = Span::from_secs(4);
/// How far the hardware clock may be from the server's time.
const WITNESS_ERROR: Span = Span::from_secs(3);
/// A pause that is this many times as long may be witnessed by a clock that much further off.
const WITNESS_SHARE: i64 = 16;
/// Where it contradicts, it is not asked again sooner: a server that lies must not keep us at it.
const ASK_INTERVAL: Span = Span::from_secs(16);
/// What a clock of whole seconds is behind on average.
const HALF_SECOND: Span = Span::from_millis(500);

/// The pause that is suspected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PauseWatch {
    /// Until the hardware clock was asked.
    suspected: Option<Suspicion>,
    asked_at: Option<MonoTime>,
    /// The hardware clock agrees, and no majority has spoken since.
    witnessed: Option<Suspicion>,
}

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// Whose answer it was.
    source: usize,
    /// How long the clocks may have stood still, at most.
    lost: Span,
    /// True time less raw clock by that answer.
    claim: TimedInterval,
}

impl PauseWatch {
    /// Whether the hardware clock was asked and has not answered yet.
    pub(super) fn is_suspected(&self) -> bool {
        self.suspected.is_some()
    }
}

impl Engine {
    /// Notes whether a source that was believed is now later than a majority promised, by more than
    /// a hardware clock's error.
    pub(super) fn suspect_pause(&mut self, index: usize, sample: &Sample, interval: Interval) {
        let is_believed = self.sources.get(index).is_some_and(Source::is_believed);
        // A jump that the system clock has shown, too, is accounted for.
        let promised = self.hull.filter(|_| is_believed && self.unexplained.is_none());
        let Some(promised) = promised else { return };
        let promised = promised.aged(sample.at);
        if interval.earliest - promised.latest < PAUSE_MIN {
            return;
        }
        let lost = interval.latest - promised.earliest;
        let claim = TimedInterval { at: sample.at, interval };
        self.pauses.suspected = Some(Suspicion { source: index, lost, claim });
    }

    /// Decides, but where a pause is suspected only once the hardware clock was asked.
    pub(super) fn decide_or_ask(&mut self, now: Now, actions: &mut Vec<Action>) {
        let may_ask = self.pauses.asked_at.is_none_or(|at| now.raw - at >= ASK_INTERVAL);
        if self.pauses.suspected.is_some() && may_ask {
            self.pauses.asked_at = Some(now.raw);
            actions.push(Action::ReadHardwareClock);
            return;
        }
        self.pauses.suspected = None;
        self.decide(now, actions);
    }

    /// Takes what the hardware clock tells, in whole seconds; `None` where there is none.
    pub(super) fn handle_hardware_clock(
        &mut self,
        now: Now,
        time: Option<Timestamp>,
        actions: &mut Vec<Action>,
    ) {
        if let Some(suspicion) = self.pauses.suspected.take()
            && time.is_some_and(|time| suspicion.is_witnessed(now, time + HALF_SECOND))
        {
            self.allow_pause(now, suspicion);
        }
        self.decide(now, actions);
    }

    /// The clocks may have stood still: what was promised allows for it, and no source's earlier
    /// word counts before it was asked again.
    fn allow_pause(&mut self, now: Now, pause: Suspicion) {
        // Were it the source that lies, the hardware clock would tell about how long it was.
        let lost = pause.lost + pause.witness_error() * 2;
        self.constraints.allow_lost(lost);
        if let Some(hull) = &mut self.hull {
            hull.promise.allow_lost(lost);
        }
        self.rates.interrupt(now.raw);
        self.pauses.witnessed = Some(pause);
        for (i, source) in self.sources.iter_mut().enumerate() {
            if i != pause.source {
                source.forget_promise();
            }
            source.measure_anew(now.raw, true);
        }
    }

    /// A majority tells where true time is now: whether there was the pause that was witnessed.
    pub(super) fn settle_pause(&mut self, now: Now, truth: Interval) {
        let Some(pause) = self.pauses.witnessed.take() else { return };
        if !pause.claim.aged(now.raw, self.rates.ageing(pause.claim.at, now.raw)).overlaps(&truth) {
            return;
        }
        self.counters.suspends += 1;
        // It may be stopped again at once.
        self.pauses.asked_at = None;
        let rates = self.possible_rates(now.raw);
        self.estimator.relearn(now.raw, truth, rates);
        if let Some(discipline) = &mut self.discipline {
            discipline.policy.excuse(pause.lost);
        }
    }

    /// Whether the hardware clock was asked about a pause and has not answered yet.
    pub(super) fn is_pause_suspected(&self) -> bool {
        self.pauses.suspected.is_some()
    }

    /// Whether what is known of the time may be of before a pause: then nobody is listened to but
    /// those whom the estimate confirms.
    pub(super) fn may_have_paused(&self) -> bool {
        self.pauses.witnessed.is_some()
    }
}

impl Suspicion {
    /// Whether a clock that nobody stopped tells about what the source does.
    fn is_witnessed(&self, now: Now, time: Timestamp) -> bool {
        let claimed = Timestamp::from_unix_nanos(now.raw.as_nanos()) + self.claim.interval.centre();
        (time - claimed).abs() <= self.witness_error()
    }

    /// How far the hardware clock may be off after a pause of this length.
    fn witness_error(&self) -> Span {
        WITNESS_ERROR.max(self.lost / WITNESS_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_about_right_and_one_that_stood_still_too_is_none() {
        let start = Timestamp::from_unix(1_795_000_000, 0);
        let now = Now::exact(MonoTime::from_nanos(1_000_000_000), start);
        let truth = |s: i64| Timestamp::from_unix(1_795_000_000 + s, 0);
        let of = |lost_s: i64| {
            let offset = truth(lost_s) - Timestamp::from_unix_nanos(now.raw.as_nanos());
            let interval = Interval::around(offset, Span::from_millis(20));
            let claim = TimedInterval { at: now.raw, interval };
            Suspicion { source: 0, lost: Span::from_secs(lost_s), claim }
        };
        for lost_s in [4, 60, 4_000, 31_000_000] {
            assert!(of(lost_s).is_witnessed(now, truth(lost_s)), "{lost_s} s");
            assert!(of(lost_s).is_witnessed(now, truth(lost_s + 2)), "{lost_s} s");
            assert!(!of(lost_s).is_witnessed(now, truth(0)), "{lost_s} s");
            assert!(!of(lost_s).is_witnessed(now, truth(2 * lost_s)), "{lost_s} s");
        }
        // A drift of weeks is small beside a pause of hours.
        assert!(of(4_000).is_witnessed(now, truth(4_200)));
        assert!(!of(4_000).is_witnessed(now, truth(4_300)));
    }
}
