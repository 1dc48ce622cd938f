//! `GET /healthz` and `GET /readyz`.

use serde::{Deserialize, Serialize};

/// The answer of `/healthz`: whether the process works.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// Whether the time loop has run in the last ten seconds.
    pub healthy: bool,
    /// How long ago it ran last, ns, at least 0.
    pub silence_ns: i64,
}

/// The answer of `/readyz`: whether the clock may be relied on.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Readiness {
    /// Whether the clock may be relied on.
    pub ready: bool,
    /// Why not, as a CamelCase word: `ClockUnsynchronized`, `ClockAcquiring`, `ErrorTooLarge`
    /// or `TimeLoopSilent`; `null` when ready.
    pub reason: Option<String>,
    /// The same for a person.
    pub message: Option<String>,
    /// How far the system clock may now be from true time, ns: the size of the estimated offset and
    /// its bound together; `null` while unknown.
    pub max_error_ns: Option<i64>,
}
