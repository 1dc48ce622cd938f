//! What is known of the time from elsewhere: roughly, but not by NTP. No source is believed that
//! contradicts it.

use timeball_timebase::{Frequency, Interval, MonoTime, Now, Span, Timestamp};

use super::Engine;
use super::config::ConstraintPolicy;
use super::interval::{Ageing, GROWTH_UNMEASURED, TimedInterval};
use super::io::{Action, Constraint};
use super::report::Selection;
use super::selection::Voter;
use super::source::Source;

/// The constraint on the sources, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constraints {
    policy: ConstraintPolicy,
    known: Known,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    /// Nothing was heard yet.
    Awaited,
    /// It could not be had.
    Missing,
    /// True time less raw clock lay in this interval.
    Within(TimedInterval),
}

impl Constraints {
    pub(super) fn new(policy: ConstraintPolicy) -> Self {
        Self { policy, known: Known::Awaited }
    }

    /// Takes a constraint, or that there is none to be had. What is known already is kept then: it
    /// only gets wider.
    pub(super) fn note(&mut self, constraint: Option<Constraint>) {
        match constraint {
            Some(Constraint { at, earliest, latest }) => {
                let less_raw = |time: Timestamp| {
                    Span::from_nanos(time.as_unix_nanos().saturating_sub(at.as_nanos()))
                };
                let interval = Interval { earliest: less_raw(earliest), latest: less_raw(latest) };
                self.known = Known::Within(TimedInterval { at, interval });
            }
            None if self.known == Known::Awaited => self.known = Known::Missing,
            None => {}
        }
    }

    /// The raw clock may have stood still for this long.
    pub(super) fn allow_lost(&mut self, by: Span) {
        if let Known::Within(interval) = &mut self.known {
            interval.allow_lost(by);
        }
    }

    /// True time is counted anew, this much further on.
    pub(super) fn shift(&mut self, by: Span) {
        if let Known::Within(interval) = &mut self.known {
            interval.shift(by);
        }
    }

    /// Whether the constraint is known; `None` where none is asked for.
    pub(super) fn is_known(&self) -> Option<bool> {
        (self.policy != ConstraintPolicy::None).then_some(matches!(self.known, Known::Within(_)))
    }

    /// The voter, or why it has no voice.
    pub(super) fn admit(&self, voter: Voter, at: MonoTime) -> Voter {
        let Voter::Fit { interval, trust, .. } = voter else { return voter };
        match (self.policy, self.known) {
            (ConstraintPolicy::None, _) | (ConstraintPolicy::Wait, Known::Missing) => voter,
            // It is waited for as for a source that may still answer.
            (_, Known::Awaited) => Voter::Pending { trust },
            (ConstraintPolicy::Require, Known::Missing) => Voter::Out(Selection::Unconstrained),
            (_, Known::Within(known)) => {
                // Whatever the oscillator does, it is hardly further off than this.
                let growth = GROWTH_UNMEASURED;
                let within = known.aged(at, Ageing { drift: Frequency::ZERO, growth });
                if interval.overlaps(&within) { voter } else { Voter::Out(Selection::Constrained) }
            }
        }
    }
}

impl Engine {
    /// What a source has to say in a vote at `at`, if it is admitted to it.
    pub(super) fn voter(&self, source: &Source, at: MonoTime) -> Voter {
        self.constraints.admit(source.voter(at, &self.rates), at)
    }

    /// Takes a constraint, or that there is none to be had, and votes anew.
    pub(super) fn handle_constraint(
        &mut self,
        now: Now,
        constraint: Option<Constraint>,
        actions: &mut Vec<Action>,
    ) {
        let is_older = constraint.is_some_and(|c| c.at <= self.system_clock.set_at());
        self.constraints.note(constraint);
        if let Some(jump) = self.unexplained.filter(|_| is_older) {
            self.constraints.allow_lost(jump.lost_max);
        }
        self.decide(now, actions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineConfig, Input};

    #[test]
    fn a_constraint_from_before_a_sleep_allows_for_it() {
        let at = |raw_s: i64, system_s: i64| {
            let raw = MonoTime::ZERO + Span::from_secs(raw_s);
            Now::exact(raw, Timestamp::from_unix(1_795_000_000 + system_s, 0))
        };
        let config =
            EngineConfig { constraints: ConstraintPolicy::Wait, ..EngineConfig::default() };
        let mut engine = Engine::new(config, [1; 32], at(0, 0));
        let _ = engine.start(at(0, 0));
        let (asked, slept_s) = (at(10, 10), 3_600);
        let latest = asked.system + Span::from_secs(1);
        let constraint = Constraint { at: asked.raw, earliest: asked.system, latest };
        let woken = at(11, 11 + slept_s);
        let _ = engine.handle_input(woken, Input::Constrained(Some(constraint)));
        let Known::Within(known) = engine.constraints.known else { panic!("it was told") };
        let truth = woken.system - Timestamp::from_unix_nanos(woken.raw.as_nanos());
        assert!(known.interval.contains(truth), "{known:?}");
        // One that was asked for since tells what is true now.
        let asked = at(12, 12 + slept_s);
        let latest = asked.system + Span::from_secs(1);
        let constraint = Constraint { at: asked.raw, earliest: asked.system, latest };
        let _ = engine.handle_input(asked, Input::Constrained(Some(constraint)));
        let Known::Within(known) = engine.constraints.known else { panic!("it was told") };
        assert!(known.interval.half_width() < Span::from_secs(1), "{known:?}");
    }
}
