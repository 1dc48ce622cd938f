//! What the clock may be made to do: when it is stepped, and which offset is not believed.
//!
//! A step is for a clock that nobody relies on yet. Once it was set, an offset beyond the panic
//! limit means that the sources, or this machine, are broken in a way that no servo can judge: the
//! clock is left alone, and nothing is promised until a person has looked. A machine that was
//! stopped for a while is not broken, and its clock is put right as after a suspend.

use timeball_timebase::Span;

use super::config::StepPolicy;

/// Updates of a clock that somebody relied on before the first of them: more than there ever are.
const RELIED_ON: u32 = u32::MAX;

/// What is to be done about an offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Judgement {
    /// Remove it little by little.
    Slew,
    /// Remove it at once.
    Step,
    /// Leave the clock as it is: it is beyond the panic limit.
    Refuse,
}

/// The step policy with what it depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    rules: StepPolicy,
    updates: u32,
    /// Whether the clock was right once, within the threshold.
    is_set: bool,
    /// The clock stood still for this long at most, and has not been put right since.
    excused: Option<Span>,
    refused: Option<Span>,
}

impl Policy {
    /// For a clock that nobody relies on yet.
    pub(super) fn new(rules: StepPolicy) -> Self {
        Self { rules, updates: 0, is_set: false, excused: None, refused: None }
    }

    /// Somebody relies on the clock already: its first updates are over, and it is stepped no more,
    /// unless it stands still.
    pub(super) fn forbid_steps(&mut self) {
        self.updates = RELIED_ON;
        self.is_set = true;
    }

    /// Whether somebody relied on the clock before its first update.
    pub(super) fn is_relied_on(&self) -> bool {
        self.updates == RELIED_ON
    }

    /// The clock stood still, for this long at most: to be that far behind is no reason for doubt.
    pub(super) fn excuse(&mut self, lost: Span) {
        let may_step = self.rules.after_pause && self.rules.updates > 0;
        self.excused = Some(lost).filter(|_| may_step);
    }

    /// Counts a clock update that is done: as one for each `round` of measurements that it took up.
    pub(super) fn count_updates(&mut self, rounds: u32) {
        self.updates = self.updates.saturating_add(rounds);
    }

    /// Clock updates done so far.
    pub(super) fn updates(&self) -> u32 {
        self.updates
    }

    /// The offset that was refused last, until one is taken again.
    pub(super) fn refused(&self) -> Option<Span> {
        self.refused
    }

    /// Decides on an offset (true time less system time), and remembers a refusal.
    pub(super) fn judge(&mut self, offset: Span) -> Judgement {
        let StepPolicy { threshold, updates, backward, panic, .. } = self.rules;
        let excused = self.excused.take().is_some_and(|lost| offset <= lost + threshold);
        if excused && offset > threshold {
            self.refused = None;
            return Judgement::Step;
        }
        if self.is_set && panic.is_some_and(|limit| offset.abs() > limit) {
            self.refused = Some(offset);
            return Judgement::Refuse;
        }
        self.refused = None;
        if offset.abs() <= threshold {
            self.is_set = true;
            return Judgement::Slew;
        }
        let is_early = self.updates < updates;
        let is_too_far_back = backward.is_some_and(|limit| offset < -limit);
        if is_early && !is_too_far_back { Judgement::Step } else { Judgement::Slew }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Span = Span::from_secs(3_600);

    #[test]
    fn before_it_was_set_a_clock_may_be_years_off_and_afterwards_not() {
        let mut policy = Policy::new(StepPolicy::default());
        assert_eq!(policy.judge(HOUR * 20_000), Judgement::Step);
        assert_eq!(policy.judge(Span::from_millis(3)), Judgement::Slew);
        assert_eq!((policy.judge(HOUR), policy.refused()), (Judgement::Refuse, Some(HOUR)));
        assert_eq!((policy.judge(-HOUR), policy.refused()), (Judgement::Refuse, Some(-HOUR)));
        assert_eq!((policy.judge(Span::ZERO), policy.refused()), (Judgement::Slew, None));
    }

    #[test]
    fn what_becomes_of_the_last_early_update_is_no_step_any_more() {
        let mut policy = Policy::new(StepPolicy::default());
        policy.count_updates(2);
        assert_eq!(policy.judge(Span::from_secs(-30)), Judgement::Step, "the third update");
        policy.count_updates(1);
        assert_eq!(policy.judge(Span::from_secs(-30)), Judgement::Slew, "before the fourth");
    }

    #[test]
    fn a_clock_that_others_rely_on_is_stepped_only_if_it_stood_still() {
        let mut policy = Policy::new(StepPolicy { panic: None, ..StepPolicy::default() });
        policy.forbid_steps();
        assert_eq!(policy.judge(HOUR), Judgement::Slew);
        policy.count_updates(1);
        assert_eq!(policy.judge(-HOUR), Judgement::Slew);
        policy.excuse(HOUR);
        assert_eq!(policy.judge(HOUR), Judgement::Step);
        let mut policy = Policy::new(StepPolicy { updates: 0, ..StepPolicy::default() });
        policy.forbid_steps();
        policy.excuse(HOUR);
        assert_eq!(policy.judge(HOUR), Judgement::Refuse, "it is never to be stepped");
    }

    #[test]
    fn a_clock_that_slews_towards_the_truth_is_not_set_before_it_arrives() {
        let never = StepPolicy { updates: 0, ..StepPolicy::default() };
        let mut policy = Policy::new(never);
        for offset in [HOUR, HOUR - Span::from_secs(600)] {
            assert_eq!(policy.judge(offset), Judgement::Slew);
        }
    }

    #[test]
    fn a_clock_that_stood_still_is_stepped_forward_once_and_by_no_more_than_it_can_have_lost() {
        let mut policy = Policy::new(StepPolicy::default());
        policy.judge(Span::ZERO);
        policy.count_updates(4);
        for (offset, expected) in [
            (HOUR, Judgement::Step),
            (HOUR + Span::from_millis(900), Judgement::Step),
            (HOUR * 2, Judgement::Refuse),
            (-HOUR, Judgement::Refuse),
            (Span::from_millis(900), Judgement::Slew),
        ] {
            policy.excuse(HOUR);
            assert_eq!(policy.judge(offset), expected, "{offset}");
            assert_eq!(policy.judge(HOUR), Judgement::Refuse, "after {offset}");
        }
        let never = |rules: StepPolicy| {
            let mut policy = Policy::new(rules);
            policy.judge(Span::ZERO);
            policy.excuse(HOUR);
            assert_eq!(policy.judge(HOUR), Judgement::Refuse);
        };
        never(StepPolicy { after_pause: false, ..StepPolicy::default() });
        never(StepPolicy { updates: 0, ..StepPolicy::default() });
    }

    #[test]
    fn without_a_limit_everything_is_believed() {
        let mut policy = Policy::new(StepPolicy { panic: None, ..StepPolicy::default() });
        assert_eq!(policy.judge(Span::ZERO), Judgement::Slew);
        policy.count_updates(4);
        assert_eq!(policy.judge(HOUR * 20_000), Judgement::Slew);
    }

    #[test]
    fn a_step_back_beyond_its_limit_is_slewed_and_one_forward_is_made() {
        let backward = Some(Span::from_secs(5));
        let mut policy = Policy::new(StepPolicy { backward, ..StepPolicy::default() });
        for (seconds, expected) in
            [(-4, Judgement::Step), (-6, Judgement::Slew), (6, Judgement::Step)]
        {
            assert_eq!(policy.judge(Span::from_secs(seconds)), expected, "{seconds} s");
        }
        policy.forbid_steps();
        assert_eq!(policy.judge(Span::from_secs(6)), Judgement::Slew);
    }
}
