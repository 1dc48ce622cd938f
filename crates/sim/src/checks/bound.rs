//! True time lies within every published bound.

use super::{Rule, Scene, Violation};

/// `None` if nothing is promised or the promise holds.
pub(super) fn check(scene: &Scene<'_>) -> Option<Violation> {
    let reading = scene.state.reading(scene.now);
    let error = reading.estimate - scene.truth;
    let nearer = if error.is_negative() { reading.latest()? } else { reading.earliest()? };
    let limit = (nearer - reading.estimate).abs().min(reading.half_width?);
    (error.abs() > limit).then_some(Violation { rule: Rule::Bound, at_s: scene.at_s, error, limit })
}
