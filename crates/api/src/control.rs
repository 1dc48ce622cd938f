//! Bodies of the requests that change something: `POST /v1/schedules/{namespace}/{name}/…`.
//!
//! They are answered only over the UNIX socket of the same user, or with the token.

use serde::{Deserialize, Serialize};

/// The longest reason that is taken, in octets.
pub const WHY_OCTETS_MAX: usize = 500;
/// The most instants of one backfill.
pub const BACKFILL_MAX: u32 = 1_000;
/// The most runs of a backfill at a time.
pub const PARALLEL_MAX: u32 = 64;

/// `…/pause`, `…/resume` and `…/run`: what is done, and why.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Why, for the record: at most 500 octets ([`WHY_OCTETS_MAX`]).
    pub why: String,
}

/// `…/backfill`: instants of a range that has passed are run (again).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// First instant, ns since 1970, inclusive.
    pub from_ns: i64,
    /// Last instant, ns since 1970, inclusive; not in the future.
    pub until_ns: i64,
    /// At most how many instants (1 to [`BACKFILL_MAX`]); a range that has more is refused.
    #[serde(default = "default_limit")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = BACKFILL_MAX)))]
    pub limit: u32,
    /// How many run at a time (1 to [`PARALLEL_MAX`]), as far as the concurrency policy lets them.
    #[serde(default = "one")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = PARALLEL_MAX)))]
    pub parallel: u32,
    /// Also instants that were fired, or may have been.
    #[serde(default)]
    pub again: bool,
    /// Nothing is run: the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for the record: at most 500 octets ([`WHY_OCTETS_MAX`]).
    #[serde(default)]
    pub why: String,
}

fn default_limit() -> u32 {
    100
}

fn one() -> u32 {
    1
}

/// What came of a change that was taken.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accepted {
    /// The instants that are run, ns since 1970: of `run` and `backfill`.
    pub instants_ns: Vec<i64>,
    /// Instants of a backfill's range that are not run since they were fired, or may have been.
    pub left_out: u64,
}

/// Why a change was not taken.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refused {
    /// A CamelCase word, such as `AlreadyPaused`.
    pub reason: String,
    /// What is wrong, and how to mend it.
    pub message: String,
}
