//! How far ahead the planner claims, and what it never exceeds.

use timeball_timebase::Span;

/// How the planner plans; [`PlannerOptions::default`] suits a local store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlannerOptions {
    /// How far ahead of its instant a fire is claimed; at least twice `min_claim_interval`.
    pub horizon: Span,
    /// Claims are not committed more often than this, unless an instant is so near that it could
    /// not wait; above zero.
    pub min_claim_interval: Span,
    /// What is never exceeded.
    pub limits: Limits,
}

impl Default for PlannerOptions {
    /// Claims 2 s ahead, at most one commit a second.
    fn default() -> Self {
        Self {
            horizon: Span::from_secs(2),
            min_claim_interval: Span::from_secs(1),
            limits: Limits::default(),
        }
    }
}

/// What the planner never exceeds, whatever schedules and targets do. Each at least one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Fires of one schedule between claim and end.
    pub in_flight_per_schedule: usize,
    /// Fires of one schedule that are armed or run; more are skipped (`ActiveLimit`).
    pub active_per_schedule: usize,
    /// Instants of one schedule that a catch-up fires late, whatever its own limit is.
    pub catch_up: usize,
    /// Claims in one commit; the rest follows in the next.
    pub claims_per_commit: usize,
}

impl Default for Limits {
    /// 4,096 in flight and 1,024 active a schedule, 1,000 caught up, 10,000 claims a commit.
    fn default() -> Self {
        Self {
            in_flight_per_schedule: 4_096,
            active_per_schedule: 1_024,
            catch_up: 1_000,
            claims_per_commit: 10_000,
        }
    }
}
