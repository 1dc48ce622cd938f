//! The kernel's `maxerror` and flag tell the truth within 10 s: no more and no less than is known.

use timeball_timebase::{Span, SyncState};

use super::{Rule, Scene, Violation};

/// How long the kernel may tell something that is no longer so.
const PATIENCE_S: f64 = 10.0;
/// Who may be off by so much, or more, is not to be called synchronized.
const ERROR_MAX: Span = Span::from_secs(15);
/// What the kernel lets its own `maxerror` grow by.
const GROWTH: f64 = 500e-6;

#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// Since when it has been telling less error than there is, or calling a clock synchronized of
    /// which nothing is known.
    wrong_since_s: Option<f64>,
    /// Since when it has not been calling a clock synchronized that is.
    withheld_since_s: Option<f64>,
    /// Until when there is no process to tell it anything.
    pub(super) alone_until_s: f64,
    /// Whether it refuses to be told anything.
    pub(super) refuses: bool,
}

impl Kernel {
    /// Takes notice that nobody could tell the kernel anything, or ask it, for a while: the machine
    /// slept, or there was no process that could.
    pub(super) fn was_alone(&mut self) {
        self.wrong_since_s = None;
        self.withheld_since_s = None;
    }

    pub(super) fn check(&mut self, scene: &Scene<'_>) -> Option<Violation> {
        let error = scene.now.system - scene.truth;
        let limit = scene.kernel.max_error;
        // Who knows of no bound must not call the clock synchronized either. Beside a set flag
        // `maxerror` must hold while there is a bound.
        let baseless = scene.state.bound.is_none();
        let is_told = !self.refuses && scene.at_s >= self.alone_until_s;
        // Nobody is there to end a fast slew, which is faster than what the kernel allows for.
        let races = scene.kernel.frequency.as_ratio_f64().abs() > GROWTH;
        let is_runaway = races && scene.at_s < self.alone_until_s;
        let is_beyond = error.abs() > limit && !is_runaway;
        let wrong = if scene.kernel.synchronized {
            baseless || is_beyond
        } else {
            is_beyond && scene.state.is_usable() && is_told
        };
        let reading = scene.state.reading(scene.now);
        let offset = (reading.estimate - scene.now.system).abs();
        let withheld = !scene.kernel.synchronized
            && is_told
            && scene.state.state == SyncState::Synchronized
            && reading.half_width.is_some_and(|half_width| half_width + offset < ERROR_MAX);
        let is_wrong = lasts(&mut self.wrong_since_s, wrong, scene.at_s);
        let is_withheld = lasts(&mut self.withheld_since_s, withheld, scene.at_s);
        let limit = if is_withheld || baseless { Span::ZERO } else { limit };
        (is_wrong || is_withheld).then_some(Violation {
            rule: Rule::Kernel,
            at_s: scene.at_s,
            error,
            limit,
        })
    }
}

/// Whether something has been so for longer than it may be; `since_s` remembers since when it is.
fn lasts(since_s: &mut Option<f64>, is_so: bool, at_s: f64) -> bool {
    if !is_so {
        *since_s = None;
        return false;
    }
    at_s - *since_s.get_or_insert(at_s) > PATIENCE_S
}
