//! `GET /v1/status`: this machine's clock, its sources and the server's counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole answer.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    /// Version and commit of the program, as `timeball --version` prints.
    pub version: String,
    /// The machine's host name.
    pub hostname: String,
    /// `observe` or `discipline`.
    pub mode: String,
    /// Seconds since the program started.
    pub uptime_s: u64,
    /// How long ago the time loop told this, ns; at least 0, and seldom more than a second.
    #[serde(default)]
    pub age_ns: i64,
    /// Whether the time loop has not run for ten seconds: it hangs, or has ended. The clock is then
    /// what its last word still promises now, and from 128 s on nothing; the rest is `age_ns` old.
    #[serde(default)]
    pub stale: bool,
    /// The clock.
    pub clock: Clock,
    /// The kernel's own view of the clock (read in every mode).
    pub kernel: Option<Kernel>,
    /// The sources, in the order of the configuration.
    pub sources: Vec<Source>,
    /// The NTP server, where one runs.
    pub server: Option<Server>,
    /// Counts since the start.
    pub counters: Counters,
    /// What a person should know and do, worst first; empty when all is well.
    pub notices: Vec<Notice>,
}

/// The clock's state at `system_ns`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clock {
    /// `unsynchronized`, `acquiring`, `synchronized` or `holdover`.
    pub state: String,
    /// System clock when this was true, ns since 1970.
    pub system_ns: i64,
    /// Raw monotonic clock at the same moment, ns.
    pub mono_ns: i64,
    /// True time less system time, ns, positive when the system clock is behind.
    pub offset_ns: Option<i64>,
    /// Largest error of `offset_ns`, ns.
    pub bound_ns: Option<i64>,
    /// The least that true time less system time can be, ns: no less than `offset_ns` less
    /// `bound_ns`, and nearer where the bound need not reach as far on this side. `null` while
    /// nothing can be promised.
    #[serde(default)]
    pub earliest_offset_ns: Option<i64>,
    /// The most that it can be, ns: no more than `offset_ns` and `bound_ns` together. One of the
    /// two ends is always as far away as the bound.
    #[serde(default)]
    pub latest_offset_ns: Option<i64>,
    /// Growth of the bound, parts per 10^9.
    pub bound_growth_ppb: Option<f64>,
    /// Standard error of `offset_ns`, ns.
    pub offset_error_ns: Option<i64>,
    /// Rate error of the undisciplined oscillator, parts per 10^9, positive when it gains.
    pub frequency_ppb: f64,
    /// Steps from a reference clock: 1 to 15, 16 while unsynchronized.
    pub stratum: u8,
    /// The chief source's reference identifier, in the form its stratum gives it.
    pub reference_id: String,
    /// `none`, `insert` or `delete`.
    pub leap: String,
    /// The midnight (UTC) of the leap second that is announced, or that came less than a day ago,
    /// as RFC 3339.
    #[serde(default)]
    pub leap_at: Option<String>,
    /// TAI − UTC by the list of leap seconds, seconds; `null` where it is not known.
    #[serde(default)]
    pub tai_offset_s: Option<i32>,
    /// Sum of round trips to the reference clock, ns.
    pub root_delay_ns: i64,
    /// Sum of errors to the reference clock, ns.
    pub root_dispersion_ns: i64,
    /// True time less system time by the sources, ns, where that is beyond the panic limit, so that
    /// it is not believed and nothing else is told.
    #[serde(default)]
    pub refused_offset_ns: Option<i64>,
}

/// What `adjtimex` says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kernel {
    /// Whether `STA_UNSYNC` is clear.
    pub synchronized: bool,
    /// `maxerror`, ns.
    pub max_error_ns: i64,
    /// `esterror`, ns.
    pub estimated_error_ns: i64,
    /// Frequency correction with tick, parts per 10^9.
    pub frequency_ppb: f64,
    /// TAI − UTC, seconds; 0 where never set.
    pub tai_offset_s: i32,
}

/// One time source.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Source {
    /// As configured.
    pub name: String,
    /// Address and port in use.
    pub address: Option<String>,
    /// `unreachable`, `unfit`, `falseticker`, `no-majority`, `not-selectable`, `candidate`,
    /// `combined` or `chief`.
    pub selection: String,
    /// Stratum it claims; 0 unknown.
    pub stratum: u8,
    /// Its reference identifier, readable.
    pub reference_id: String,
    /// Leap second it announces: `none`, `insert` or `delete`.
    #[serde(default)]
    pub leap: String,
    /// Reachability of the last eight polls, newest in the lowest bit.
    pub reach: u8,
    /// Polling interval, seconds.
    pub poll_interval_s: f64,
    /// Seconds since the last valid answer.
    pub last_answer_s: Option<f64>,
    /// Last measured offset, ns, positive when the source is ahead of this machine.
    pub offset_ns: Option<i64>,
    /// Last measured delay, ns.
    pub delay_ns: Option<i64>,
    /// Variation of its offsets, ns.
    pub jitter_ns: i64,
    /// Largest distance of its time from the truth by its own word and the path, ns.
    pub root_distance_ns: Option<i64>,
    /// Requests sent.
    pub sent: u64,
    /// Valid answers.
    pub received: u64,
    /// Datagrams not taken.
    pub rejected: u64,
    /// The same by reason (`origin-mismatch`, `unauthenticated`, `kiss-of-death`, ...).
    #[serde(default)]
    pub rejections: BTreeMap<String, u64>,
    /// Whether its last answer was one of the interleaved mode.
    #[serde(default)]
    pub interleaved: bool,
    /// What is wrong with it, in words; `null` when nothing is.
    pub problem: Option<String>,
}

/// The NTP server's counts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Server {
    /// Address and port it answers on.
    pub address: String,
    /// Datagrams received.
    pub received: u64,
    /// Answers sent.
    pub answered: u64,
    /// Datagrams not answered because they were no valid request.
    pub invalid: u64,
    /// Requests not answered because the client asks too often, may not ask or has a wrong key.
    pub denied: u64,
    /// Of the answers, those in interleaved mode.
    #[serde(default)]
    pub interleaved: u64,
    /// Of those denied, the ones over the rate limit.
    #[serde(default)]
    pub rate_limited: u64,
    /// Of those over the rate limit, the ones that were told so (the kiss of death `RATE`).
    #[serde(default)]
    pub kisses: u64,
    /// Of those denied, the ones with a MAC that no key of ours made.
    #[serde(default)]
    pub unauthenticated: u64,
    /// How often the system refused to hand over a request or to send an answer.
    #[serde(default)]
    pub refused_by_system: u64,
    /// Why it does; `null` once it sends answers again.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counters {
    /// Requests sent.
    pub sent: u64,
    /// Valid answers.
    pub received: u64,
    /// Datagrams not taken.
    pub rejected: u64,
    /// Updates of the clock estimate.
    pub updates: u64,
    /// Steps made.
    pub steps: u64,
    /// Times somebody else was found to have set the clock.
    pub foreign_jumps: u64,
    /// Times the machine was found to have been suspended.
    #[serde(default)]
    pub suspends: u64,
    /// Clock writes the kernel refused.
    pub adjust_failures: u64,
}

/// Something a person should know.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notice {
    /// A stable CamelCase word, as a Kubernetes condition reason: `NoSourceAnswers`.
    pub reason: String,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// What is so and what to do, a sentence or two.
    pub message: String,
}
