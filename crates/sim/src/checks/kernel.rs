//! The kernel's `maxerror` and flag tell the truth within 10 s.

use timeball_timebase::Span;

use super::{Rule, Scene, Violation};

/// How long the kernel may tell something that is no longer so.
const PATIENCE_S: f64 = 10.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// Since when it has been telling something else than the truth.
    wrong_since_s: Option<f64>,
}

impl Kernel {
    /// Takes notice that the machine slept: nobody could ask the kernel meanwhile.
    pub(super) fn slept(&mut self) {
        self.wrong_since_s = None;
    }

    pub(super) fn check(&mut self, scene: &Scene<'_>) -> Option<Violation> {
        let error = scene.now.system - scene.truth;
        let limit = scene.kernel.max_error;
        // Who knows of no bound must not call the clock synchronized either.
        let baseless = scene.state.bound.is_none();
        let wrong = scene.kernel.synchronized && (baseless || error.abs() > limit);
        if !wrong {
            self.wrong_since_s = None;
            return None;
        }
        let since_s = *self.wrong_since_s.get_or_insert(scene.at_s);
        let limit = if baseless { Span::ZERO } else { limit };
        (scene.at_s - since_s > PATIENCE_S).then_some(Violation {
            rule: Rule::Kernel,
            at_s: scene.at_s,
            error,
            limit,
        })
    }
}
