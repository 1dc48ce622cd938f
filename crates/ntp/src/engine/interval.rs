//! What is promised about one source's time, from one measurement to the next.

use timeball_timebase::{Frequency, Interval, MonoTime, Span};

/// How many standard deviations of what was learned a promise covers.
pub(super) const SIGMAS: f64 = 5.0;
/// What a bad oscillator does: no promise allows for more.
pub(super) const GROWTH_UNMEASURED: Frequency = Frequency::from_ppm(500);

/// The offsets (true time less raw clock) that true time can have, at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TimedInterval {
    /// When it held.
    pub(super) at: MonoTime,
    /// What it was then.
    pub(super) interval: Interval,
}

/// How the interval changes as time passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ageing {
    /// How fast its middle moves: estimated frequency of true time against the raw clock.
    pub(super) drift: Frequency,
    /// How fast its ends move apart from the middle, each: what the drift may be wrong by.
    pub(super) growth: Frequency,
}

impl TimedInterval {
    /// The interval at another moment; before its own it is widened, too.
    pub(super) fn aged(&self, to: MonoTime, ageing: Ageing) -> Interval {
        let age = to - self.at;
        let moved = ageing.drift.over(age);
        let wider = ageing.growth.over_ceil(age.abs());
        Interval {
            earliest: self.interval.earliest + moved - wider,
            latest: self.interval.latest + moved + wider,
        }
    }

    /// Joins what was known with a new measurement of the same server.
    ///
    /// If both are honest the truth is in both. Where they have nothing in common the server, its
    /// path or our clock is another than it was, and only the new measurement is kept.
    pub(super) fn joined(known: Option<Self>, new: Self, ageing: Ageing) -> Self {
        let Some(known) = known else { return new };
        let aged = known.aged(new.at, ageing);
        let interval = aged.intersection(&new.interval).unwrap_or(new.interval);
        Self { at: new.at, interval }
    }

    /// True time is counted anew, this much further on.
    pub(super) fn shift(&mut self, by: Span) {
        self.interval.earliest += by;
        self.interval.latest += by;
    }

    /// Allows for the raw clock having lost `by` or nothing: true time is anything in between on.
    pub(super) fn allow_lost(&mut self, by: Span) {
        self.interval.latest += by.max(Span::ZERO);
    }
}

/// How the oscillator's rate walks at random beyond what is allowed for already.
///
/// Variances add up, not deviations: the longer the walk that is allowed for, the less one more
/// second of it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Walk {
    /// Power spectral density, 1/s.
    pub(super) wander: f64,
    /// How long the walk is that is allowed for: its variance over the density.
    pub(super) lasted: Span,
}

impl Walk {
    /// What has to be allowed for besides, if the walk goes on for this long.
    pub(super) fn further(&self, by: Span) -> f64 {
        let deviations = |lasted: Span| (self.wander * lasted.as_seconds_f64()).sqrt();
        SIGMAS * (deviations(self.lasted + by.max(Span::ZERO)) - deviations(self.lasted))
    }
}

/// What a majority promised last, and how that ages while no majority renews it.
///
/// It ages by what was known of the oscillator then: those few who speak later, of whom most may be
/// false, neither move it nor make it narrower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hull {
    /// The majority's interval.
    pub(super) promise: TimedInterval,
    /// What was known of the oscillator.
    pub(super) learned: Learned,
}

/// What was known of the oscillator at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Learned {
    /// How promises age for as long as the oscillator stays what it was then.
    pub(super) ageing: Ageing,
    /// How its rate walks beyond what `ageing` allows for.
    pub(super) walk: Walk,
    /// The moment.
    pub(super) at: MonoTime,
}

impl Hull {
    /// The interval at a later moment.
    pub(super) fn aged(&self, to: MonoTime) -> Interval {
        self.promise.aged(to, Ageing { growth: self.mean_growth(to), ..self.learned.ageing })
    }

    /// How fast each end moves away from the middle from one later moment to another, on average.
    pub(super) fn growth(&self, from: MonoTime, to: MonoTime) -> Frequency {
        let wider = |at| self.mean_growth(at).over_ceil(at - self.promise.at).as_seconds_f64();
        let growth = (wider(to) - wider(from)) / (to - from).as_seconds_f64();
        Frequency::from_ratio_f64(growth).unwrap_or(GROWTH_UNMEASURED).min(GROWTH_UNMEASURED)
    }

    /// The same from when the promise held up to `to`: what the rate was known to, and the mean of
    /// where it may have walked since.
    fn mean_growth(&self, to: MonoTime) -> Frequency {
        let Learned { ageing, walk, at } = self.learned;
        let until = (self.promise.at - at).max(Span::ZERO);
        let further = walk.further(until + (to - self.promise.at).max(Span::ZERO) / 3);
        let growth = ageing.growth.as_ratio_f64() + further;
        Frequency::from_ratio_f64(growth).unwrap_or(GROWTH_UNMEASURED).min(GROWTH_UNMEASURED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(at_s: i64, earliest_us: i64, latest_us: i64) -> TimedInterval {
        let interval = Interval {
            earliest: Span::from_micros(earliest_us),
            latest: Span::from_micros(latest_us),
        };
        TimedInterval { at: MonoTime::ZERO + Span::from_secs(at_s), interval }
    }

    const AGEING: Ageing =
        Ageing { drift: Frequency::from_ppm(10), growth: Frequency::from_ppm(1) };

    #[test]
    fn an_interval_moves_and_widens_with_age() {
        let aged = timed(0, -100, 100).aged(timed(10, 0, 0).at, AGEING);
        assert_eq!(aged, timed(0, -10, 210).interval);
    }

    #[test]
    fn an_earlier_prompt_answer_still_narrows_a_later_slow_one() {
        let joined = TimedInterval::joined(Some(timed(0, -50, 50)), timed(10, -900, 500), AGEING);
        assert_eq!(joined, timed(10, 40, 160));
    }

    #[test]
    fn contradictions_leave_the_newer() {
        let new = timed(10, 5_000, 6_000);
        assert_eq!(TimedInterval::joined(Some(timed(0, -50, 50)), new, AGEING), new);
        let sliver = timed(10, 155, 400);
        let joined = TimedInterval::joined(Some(timed(0, -50, 50)), sliver, AGEING);
        assert_eq!(joined, timed(10, 155, 160));
    }

    #[test]
    fn a_walk_that_goes_on_adds_its_variance_to_what_is_allowed_for() {
        let walk = |lasted_s| Walk { wander: 1e-18, lasted: Span::from_secs(lasted_s) };
        let whole = walk(0).further(Span::from_secs(10_000));
        assert!((whole - 5e-7).abs() < 1e-15, "{whole}");
        let [begun, more] =
            [walk(0).further(Span::from_secs(6_400)), walk(6_400).further(Span::from_secs(3_600))];
        assert!((begun + more - whole).abs() < 1e-15, "{begun} {more}");
        assert_eq!(walk(0).further(Span::from_secs(-1)), 0.0);
    }

    #[test]
    fn a_promise_that_nobody_renews_ages_faster_the_older_it_is() {
        let promise = timed(0, -100, 100);
        let walk = Walk { wander: 1e-18, lasted: Span::ZERO };
        let hull = Hull { promise, learned: Learned { ageing: AGEING, walk, at: promise.at } };
        assert_eq!(hull.aged(timed(0, 0, 0).at), timed(0, -100, 100).interval);
        let (hour, day) = (timed(3_600, 0, 0).at, timed(86_400, 0, 0).at);
        let walked = 5e-9 * (86_400_f64 / 3.0).sqrt();
        let mean = Frequency::from_ratio_f64(1e-6 + walked).unwrap();
        assert_eq!(hull.mean_growth(day), mean);
        // What grows evenly from one width to another is nowhere narrower than what curves.
        let wider = hull.aged(day).half_width() - hull.aged(hour).half_width();
        let even = hull.growth(hour, day).over(day - hour);
        assert!((even - wider).abs() < Span::from_nanos(10), "{even} {wider}");
        let walk = Walk { wander: 1.0, ..walk };
        let wild = Hull { learned: Learned { walk, ..hull.learned }, ..hull };
        assert_eq!(wild.growth(hour, day), GROWTH_UNMEASURED);
    }
}
