//! `PreciseCronJob`: the schedule file, which is also the cluster's resource (docs: the form in
//! docs/schedules.md). Unknown fields are refused by name.

use crate::targets::{
    HttpTarget, KafkaTarget, NatsTarget, RabbitMqTarget, Retries, default_timeout,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The API group and version.
pub const API_VERSION: &str = "timeball.dev/v1alpha1";
/// The resource's kind.
pub const KIND: &str = "PreciseCronJob";

/// One schedule with its target.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreciseCronJob {
    /// `timeball.dev/v1alpha1`.
    pub api_version: String,
    /// `PreciseCronJob`.
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// When, what and how.
    pub spec: Spec,
}

/// Name, namespace and identity.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// A DNS label: lower case letters, digits, `-`; at most 52 characters (as CronJob's).
    pub name: String,
    /// A DNS label; `default` where absent.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Identity across renames; in a file without it UUIDv5 of `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// When, what and how.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The schedule expression, in `dialect`.
    pub schedule: String,
    /// The expression's dialect.
    #[serde(default)]
    pub dialect: Dialect,
    /// IANA zone name; `Etc/UTC` where absent, never the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What happens to local times that a change of the clocks skips or repeats; the dialect's own
    /// rule where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<DstPolicy>,
    /// Only days of any of these calendars have instants; all days where it is empty. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<CalendarReference>,
    /// Days of any of these calendars have no instants, included or not. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<CalendarReference>,
    /// Whether fires are suspended.
    #[serde(default)]
    pub suspend: bool,
    /// How late a fire may still start, in seconds, at least 1; no limit where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline_seconds: Option<i64>,
    /// The same in milliseconds, at least 1; not both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline_milliseconds: Option<i64>,
    /// What happens when a fire is due while an earlier one still runs.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,
    /// What happens to instants that passed while nobody was there to fire them.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Largest deterministic delay added to each instant, milliseconds.
    #[serde(default)]
    pub jitter_milliseconds: i64,
    /// How the fire uses what is known of the clock's error.
    #[serde(default)]
    pub clock: ClockPolicy,
    /// How many successful runs are kept in the history.
    #[serde(default = "default_successful")]
    pub successful_jobs_history_limit: i32,
    /// How many failed runs are kept in the history.
    #[serde(default = "default_failed")]
    pub failed_jobs_history_limit: i32,
    /// After how many failures of its target in a row the schedule pauses itself; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pause_on_failure: i32,
    /// What is done at each instant.
    pub target: Target,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn default_successful() -> i32 {
    3
}
fn default_failed() -> i32 {
    1
}

/// Names a calendar of the schedule's namespace.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarReference {
    /// The calendar's name.
    pub calendar: String,
}

/// A schedule language.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// crontab(5): 5 fields, or 6 with seconds first, which may have fractions; `@every`.
    #[default]
    Vixie,
    /// The dialect of `batch/v1` CronJob.
    Kubernetes,
    /// Quartz: 6 or 7 fields.
    Quartz,
    /// The Open Cron Pattern Specification.
    Ocps,
    /// systemd's OnCalendar.
    Systemd,
}

/// A rule for local times that are skipped or repeated.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DstPolicy {
    /// Skipped fixed times run right after the jump; repeated ones run once, the first time.
    Vixie,
    /// Skipped times do not run; repeated ones run twice.
    Kubernetes,
    /// Skipped times do not run; repeated ones run once, the first time.
    Ocps,
}

/// What happens when a fire is due while an earlier one still runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConcurrencyPolicy {
    /// Both run.
    #[default]
    Allow,
    /// The new one is skipped.
    Forbid,
    /// The old one is stopped.
    Replace,
    /// The new one waits for the end of the old; at most one waits.
    BufferOne,
}

/// What happens to instants that passed while nobody was there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CatchUp {
    /// Which of them are fired late.
    pub policy: CatchUpPolicy,
    /// How far back, in seconds.
    pub window_seconds: i64,
    /// At most how many.
    pub limit: i32,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { policy: CatchUpPolicy::Latest, window_seconds: 86_400, limit: 1 }
    }
}

/// Which missed instants are fired late.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CatchUpPolicy {
    /// None; each is recorded as missed.
    None,
    /// The latest one, as CronJob does.
    #[default]
    Latest,
    /// All, oldest first, up to the limit.
    All,
}

/// How a fire uses what is known of the clock's error.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClockPolicy {
    /// Which clock decides when T is.
    pub follow: Follow,
    /// Whether T may be a little early by the clock's error.
    pub fire: FireMode,
    /// Largest bound with which a fire is still good, milliseconds; no limit where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_error_milliseconds: Option<i64>,
    /// What happens when the bound is larger, or unknown.
    pub on_exceeded: OnExceeded,
}

/// Which clock decides when T is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Follow {
    /// The system clock while it lies within the bound of UTC, else the estimate.
    #[default]
    Auto,
    /// The system clock.
    System,
    /// The estimate of UTC.
    #[serde(rename = "UTC")]
    Utc,
}

/// Whether T may be a little early by the clock's error.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FireMode {
    /// As near to T as the estimate allows.
    #[default]
    Nearest,
    /// When T has certainly been reached.
    NotBefore,
}

/// What happens to a fire when the bound is too large.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnExceeded {
    /// It fires, and the record says so.
    #[default]
    Flag,
    /// It waits for a better clock, up to the starting deadline.
    Delay,
    /// It is skipped with that reason.
    Refuse,
}

/// What is done at each instant: exactly one member.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Run a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecTarget>,
    /// Send an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTarget>,
    /// Give a message to NATS JetStream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<NatsTarget>,
    /// Publish a message to RabbitMQ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitMqTarget>,
    /// Produce a record to Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaTarget>,
}

/// Run a program.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecTarget {
    /// Program (an absolute path, or a name found in PATH) and its arguments; no shell.
    pub command: Vec<String>,
    /// Directory it starts in; `/` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Variables added to the environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// User to run as; the service's own where absent. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Seconds after which it is stopped; 60 where absent.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: i64,
    /// Repeats after a failure.
    #[serde(default)]
    pub retries: Retries,
}

/// One environment variable.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}
