//! The schedule language: expressions, zones and the instants they mean.

mod zone;

pub use zone::{Zone, ZoneError};

use timeball_timebase::Timestamp;

/// A schedule expression compiled for a zone and a rule for changes of the clocks.
#[derive(Clone, Debug)]
pub struct Schedule {
    zone: Zone,
}

/// A schedule language.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Dialect {
    /// crontab(5): 5 fields, or 6 with seconds first, which may have fractions; `@every`.
    #[default]
    Vixie,
    /// The dialect of `batch/v1` CronJob.
    Kubernetes,
    /// Quartz.
    Quartz,
    /// The Open Cron Pattern Specification.
    Ocps,
    /// systemd's OnCalendar.
    Systemd,
}

/// A rule for local times that a change of the clocks skips or repeats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DstPolicy {
    /// Skipped fixed times run right after the jump; repeated ones once, the first time.
    Vixie,
    /// Skipped times do not run; repeated ones run twice.
    Kubernetes,
    /// Skipped times do not run; repeated ones run once, the first time.
    Ocps,
}

/// Why an expression was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Octet position in the expression where the trouble begins.
    pub position: usize,
    /// What is wrong and what was expected, with a suggestion where there is one.
    pub message: String,
}

impl Schedule {
    /// Compiles `expression`. `dst` absent means the dialect's own rule.
    pub fn parse(
        expression: &str,
        dialect: Dialect,
        zone: &Zone,
        dst: Option<DstPolicy>,
    ) -> Result<Self, ParseError> {
        let _ = (expression, dialect, dst);
        Ok(Self { zone: zone.clone() })
    }

    /// The first instant strictly after `after`; `None` if there is none before 2262.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let _ = after;
        None
    }

    /// The last instant strictly before `before`; `None` if there is none.
    pub fn previous_before(&self, before: Timestamp) -> Option<Timestamp> {
        let _ = before;
        None
    }

    /// How many instants lie in `from..=until`; exact for fixed periods, counted otherwise, and at
    /// most `limit`.
    pub fn count_between(&self, from: Timestamp, until: Timestamp, limit: u64) -> u64 {
        let _ = (from, until, limit);
        0
    }

    /// The zone it was compiled for.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }
}
