//! No step once the clock was ready, and none below the threshold.

use timeball_ntp::engine::StepPolicy;
use timeball_timebase::{Span, SyncState};

use super::{Rule, Scene, Violation};

/// A policy of more updates than this wants steps later on, too.
const FIRST_UPDATES: u32 = 3;

#[derive(Clone, Debug)]
pub(super) struct Steps {
    policy: StepPolicy,
    ready: bool,
}

impl Steps {
    pub(super) fn new(policy: StepPolicy) -> Self {
        Self { policy, ready: false }
    }

    pub(super) fn look(&mut self, scene: &Scene<'_>) {
        self.ready |= scene.state.state == SyncState::Synchronized;
    }

    pub(super) fn stepped(&self, at_s: f64, by: Span) -> Option<Violation> {
        let late = self.ready && self.policy.updates <= FIRST_UPDATES;
        let limit =
            if late || self.policy.updates == 0 { Span::MAX } else { self.policy.threshold };
        (by.abs() <= limit).then_some(Violation { rule: Rule::Step, at_s, error: by, limit })
    }
}
