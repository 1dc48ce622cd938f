//! Worlds that correspond to simulation tests of chrony's own suite, with the limits that chrony
//! itself is held to there.

mod list;

pub use list::pass_limits;

use crate::scenario::Scenario;
use crate::world::World;

/// What a run must keep. The suite also has a least time to settle, which only says that chrony
/// polls slowly at first; here faster is never wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// From this second on the clock is within the largest errors, to the end.
    pub settled_s: i64,
    /// Largest error of the clock after that, in seconds.
    pub error_max_s: f64,
    /// Root mean square of it after that, in seconds.
    pub error_rms_s: f64,
    /// Largest error of the clock's rate after that, as a ratio.
    pub rate_max: f64,
    /// Root mean square of it after that.
    pub rate_rms: f64,
}

/// A scenario with the limits it is to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Passed {
    /// The physics.
    pub scenario: Scenario,
    /// The limits.
    pub limits: Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            settled_s: 210,
            error_max_s: 1e-3,
            error_rms_s: 3e-4,
            rate_max: 5e-4,
            rate_rms: 1e-5,
        }
    }
}

impl Limits {
    /// What of a world at its end is beyond the limits, in words; empty if nothing is.
    pub fn exceeded_by(&self, world: &World) -> Vec<String> {
        let records = world.records();
        let measured = [
            ("largest error in s", records.clock_errors.max_from(self.settled_s), self.error_max_s),
            ("RMS error in s", records.clock_errors.rms_from(self.settled_s), self.error_rms_s),
            ("largest rate error", records.rate_errors.max_from(self.settled_s), self.rate_max),
            ("RMS rate error", records.rate_errors.rms_from(self.settled_s), self.rate_rms),
        ];
        let beyond = measured.into_iter().filter(|(_, is, limit)| is > limit);
        let settled = self.settled_s;
        beyond
            .map(|(what, is, limit)| format!("{what} {is:.3e} > {limit:.3e} after {settled} s"))
            .collect()
    }
}
