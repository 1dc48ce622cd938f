//! No step once the clock was ready, but for one after a pause, and none below the threshold.

use timeball_ntp::engine::StepPolicy;
use timeball_timebase::{Span, SyncState};

use super::{Rule, Scene, Violation};

/// A policy of more updates than this wants steps later on, too.
const FIRST_UPDATES: u32 = 3;

#[derive(Clone, Debug)]
pub(super) struct Steps {
    policy: StepPolicy,
    ready: bool,
    /// Whether the machine has a clock that tells of pauses.
    has_witness: bool,
    /// The clock stood still, and was not stepped since.
    was_paused: bool,
}

impl Steps {
    pub(super) fn new(policy: StepPolicy, has_witness: bool) -> Self {
        Self { policy, ready: false, has_witness, was_paused: false }
    }

    pub(super) fn paused(&mut self) {
        self.was_paused = true;
    }

    /// Another process has the clock, which it does not know yet.
    pub(super) fn restarted(&mut self) {
        self.ready = false;
    }

    pub(super) fn look(&mut self, scene: &Scene<'_>) {
        self.ready |= scene.state.state == SyncState::Synchronized;
    }

    pub(super) fn stepped(&mut self, at_s: f64, by: Span) -> Option<Violation> {
        let was_paused = core::mem::take(&mut self.was_paused);
        if was_paused && self.has_witness && self.policy.after_pause && by > self.policy.threshold {
            return None;
        }
        let late = self.ready && self.policy.updates <= FIRST_UPDATES;
        let limit =
            if late || self.policy.updates == 0 { Span::MAX } else { self.policy.threshold };
        (by.abs() <= limit).then_some(Violation { rule: Rule::Step, at_s, error: by, limit })
    }
}
