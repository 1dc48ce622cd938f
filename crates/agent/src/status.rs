//! From the engine's report to `/v1/status`.

use std::sync::Arc;

use timeball_api::status as api;
use timeball_ntp::engine::{
    ClockMode, KernelClock, ReferenceError, Report, ResolveError, Selection, SendError,
    SourceReport, StepPolicy,
};
use timeball_ntp::server::ServerCounters;
use timeball_runtime::{StatusCell, hostname};
use timeball_timebase::{ClockState, MonoTime, Now, Span};

use crate::address::HostPort;
use crate::config::AgentConfig;
use crate::errno::errno_text;
use crate::kernel_clock;
use crate::notices::{self, Circumstances};
use crate::ntp_server::ServerTally;

mod reader;
mod words;

pub use reader::StatusReader;
pub(crate) use words::{leap_word, mode_word, reference_id, selection_word, state_word};

/// Makes the status and publishes it.
pub(crate) struct StatusPublisher {
    pub(crate) cell: Arc<StatusCell>,
    pub(crate) version: String,
    pub(crate) hostname: String,
    pub(crate) mode: ClockMode,
    pub(crate) policy: StepPolicy,
    /// The sources as configured, in order.
    pub(crate) names: Vec<String>,
    pub(crate) server: Option<ServerTally>,
    pub(crate) started: MonoTime,
    /// How often the clock had been set by others.
    pub(crate) foreign_jumps: Watched,
    /// How often the machine had stood still.
    pub(crate) suspends: Watched,
}

/// A count, and when it was last seen to have grown; `None` while it is zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watched(Option<(u64, MonoTime)>);

/// What the time loop tells of itself.
pub(crate) struct Telling {
    pub(crate) report: Report,
    /// For each source why the network refused its last request, if it did.
    pub(crate) refusals: Vec<Option<i32>>,
    /// Why the list of leap seconds was not read anew, if so.
    pub(crate) leap_file_problem: Option<String>,
}

impl StatusPublisher {
    pub(crate) fn new(
        cell: Arc<StatusCell>,
        version: String,
        config: &AgentConfig,
        server: Option<ServerTally>,
        started: MonoTime,
    ) -> Self {
        let name = |source: &timeball_ntp::engine::SourceConfig| {
            if source.reference.is_some() {
                return source.host.clone();
            }
            HostPort { host: source.host.clone(), port: source.port }.to_string()
        };
        let names = numbered(config.sources.iter().map(name).collect());
        let hostname = hostname();
        let (mode, policy) = (config.mode, config.step);
        let (foreign_jumps, suspends) = (Watched::default(), Watched::default());
        Self {
            cell,
            version,
            hostname,
            mode,
            policy,
            names,
            server,
            started,
            foreign_jumps,
            suspends,
        }
    }

    /// Publishes what the time loop tells.
    pub(crate) fn publish(&mut self, telling: &Telling, now: Now) {
        let Telling { report, refusals, leap_file_problem } = telling;
        let uptime = now.raw - self.started;
        let kernel = kernel_clock::read();
        let sources: Vec<_> = report
            .sources
            .iter()
            .zip(&self.names)
            .zip(refusals)
            .map(|((source, name), refusal)| {
                let twin = source.twin.and_then(|id| self.names.get(usize::from(id.0)));
                let status = source_status(source, name, *refusal, now.raw);
                api::Source { problem: twin_problem(source, twin).or(status.problem), ..status }
            })
            .collect();
        let circumstances = Circumstances {
            report,
            mode: self.mode,
            policy: self.policy,
            kernel: kernel.as_ref().ok(),
            uptime,
            since_foreign_jump: self.foreign_jumps.since(report.counters.foreign_jumps, now.raw),
            since_suspend: self.suspends.since(report.counters.suspends, now.raw),
            reading: report.clock.reading(now),
            system: now.system,
            leap_file_problem: leap_file_problem.as_deref(),
        };
        let status = api::Status {
            version: self.version.clone(),
            hostname: self.hostname.clone(),
            mode: mode_word(self.mode).to_owned(),
            uptime_s: (uptime.as_nanos() / 1_000_000_000).max(0).cast_unsigned(),
            age_ns: 0,
            stale: false,
            clock: clock_status(report, now),
            kernel: kernel.ok().map(kernel_status),
            notices: notices::all(&circumstances, &sources),
            sources,
            server: self.server.as_ref().map(server_status),
            counters: counters_status(report),
        };
        self.cell.publish(Arc::new(status));
    }
}

impl Watched {
    /// How long ago it grew last, now that it is `count`.
    fn since(&mut self, count: u64, now: MonoTime) -> Option<Span> {
        if count == 0 {
            return None;
        }
        let seen = self.0.filter(|(seen, _)| *seen == count);
        let (_, at) = *self.0.insert(seen.unwrap_or((count, now)));
        Some(now - at)
    }
}

/// Numbers names that several sources have (a pool), so that each can be told from the others.
fn numbered(names: Vec<String>) -> Vec<String> {
    let earlier = |i: usize, name: &String| names[..i].iter().filter(|n| *n == name).count();
    let number = |(i, name)| match earlier(i, name) {
        0 => name.clone(),
        earlier => format!("{name}#{}", earlier + 1),
    };
    names.iter().enumerate().map(number).collect()
}

/// The clock at `now`, so that offset and bound are those of the moment that is told.
fn clock_status(report: &Report, now: Now) -> api::Clock {
    let clock: &ClockState = &report.clock;
    let reading = clock.reading(now);
    api::Clock {
        state: state_word(clock.state).to_owned(),
        system_ns: now.system.as_unix_nanos(),
        mono_ns: now.raw.as_nanos(),
        offset_ns: clock.offset.map(|_| (reading.estimate - now.system).as_nanos()),
        bound_ns: reading.half_width.map(Span::as_nanos),
        earliest_offset_ns: reading.earliest().map(|t| (t - now.system).as_nanos()),
        latest_offset_ns: reading.latest().map(|t| (t - now.system).as_nanos()),
        bound_growth_ppb: clock.bound.map(|bound| bound.growth.as_ppb_f64()),
        offset_error_ns: report.offset_error.map(Span::as_nanos),
        frequency_ppb: clock.frequency.as_ppb_f64(),
        stratum: clock.stratum,
        reference_id: reference_id(clock.stratum, clock.reference_id),
        leap: leap_word(clock.leap).to_owned(),
        leap_at: clock.leap_second.map(|leap_second| leap_second.at.to_string()),
        root_delay_ns: clock.root_delay.as_nanos(),
        root_dispersion_ns: clock.root_dispersion.as_nanos(),
        tai_offset_s: report.tai_offset_s,
        refused_offset_ns: report.refused_offset.map(Span::as_nanos),
    }
}

fn kernel_status(kernel: KernelClock) -> api::Kernel {
    api::Kernel {
        synchronized: kernel.synchronized,
        max_error_ns: kernel.max_error.as_nanos(),
        estimated_error_ns: kernel.estimated_error.as_nanos(),
        frequency_ppb: kernel.frequency.as_ppb_f64(),
        tai_offset_s: kernel.tai_offset_s,
    }
}

fn source_status(
    source: &SourceReport,
    name: &str,
    refusal: Option<i32>,
    now: MonoTime,
) -> api::Source {
    let sample = source.last_sample;
    api::Source {
        name: name.to_owned(),
        address: source.address.map(|address| address.to_string()),
        selection: selection_word(source.selection).to_owned(),
        stratum: source.stratum,
        reference_id: reference_id(source.stratum, source.reference_id),
        leap: leap_word(source.leap).to_owned(),
        reach: source.reach,
        poll_interval_s: f64::from(source.poll).exp2(),
        last_answer_s: sample.map(|s| (now - s.at).max(Span::ZERO).as_seconds_f64()),
        offset_ns: sample.map(|s| s.offset.as_nanos()),
        delay_ns: sample.map(|s| s.delay.as_nanos()),
        jitter_ns: source.jitter.as_nanos(),
        root_distance_ns: source.root_distance.map(Span::as_nanos),
        sent: source.sent,
        received: source.received,
        rejected: source.rejected,
        rejections: source.rejections.iter().map(|(why, n)| ((*why).to_owned(), *n)).collect(),
        interleaved: source.is_interleaved,
        problem: problem(source, refusal),
    }
}

/// That a source which could be believed is no witness of its own.
fn twin_problem(source: &SourceReport, twin: Option<&String>) -> Option<String> {
    let twin = twin.filter(|_| source.selection != Selection::Falseticker)?;
    Some(format!("it is the same server as {twin}, so that the two are one witness"))
}

/// What is wrong with a source, the nearest cause first.
fn problem(source: &SourceReport, refusal: Option<i32>) -> Option<String> {
    let host = &source.host;
    if let Some(error) = source.resolve_error.filter(|_| source.address.is_none()) {
        return Some(match error {
            ResolveError::NotFound => format!("the name {host} does not exist; check its spelling"),
            ResolveError::Temporary => {
                format!("the name {host} cannot be looked up: the resolver does not answer")
            }
        });
    }
    if let Some(error) = source.send_error {
        let (SendError::NoSocket { errno } | SendError::NotSent { errno }) = error;
        return Some(format!("requests cannot be sent: {}", errno_text(errno)));
    }
    if let Some(error) = source.reference_error {
        return Some(match error {
            ReferenceError::System { errno } => {
                format!("it cannot be read: {}", errno_text(errno))
            }
            error => error.to_string(),
        });
    }
    let rejection = source.last_rejection.filter(|_| source.rejected > 0);
    match source.selection {
        Selection::Unreachable => {
            if let Some(errno) = refusal {
                return Some(format!("requests are refused: {}", errno_text(errno)));
            }
            match (rejection, source.sent, source.address) {
                (Some(error), ..) => Some(format!("no valid answer: {error}")),
                (None, 0 | 1, _) => None,
                (None, sent, Some(_)) => Some(format!(
                    "no answer to {sent} requests; is it up, and may UDP pass to its port?"
                )),
                // What has no address and was asked nevertheless is a clock that others write.
                (None, sent, None) => Some(format!(
                    "nothing new in {sent} readings; does its writer run, and was it started \
                     after this agent?"
                )),
            }
        }
        Selection::Unfit => Some(rejection.map_or_else(
            || "it says that its own clock may not be relied on".to_owned(),
            |error| format!("unfit: {error}"),
        )),
        Selection::Falseticker => Some("its time contradicts the majority's".to_owned()),
        Selection::Constrained => {
            Some("its time contradicts the dates of the HTTPS servers".to_owned())
        }
        Selection::Unconstrained => {
            Some("no HTTPS server has told a date yet, which is required".to_owned())
        }
        Selection::NoMajority => Some("no majority of the sources agrees".to_owned()),
        Selection::Duplicate => {
            Some("other sources have all its addresses, so it is not asked".to_owned())
        }
        Selection::NotSelectable
        | Selection::Candidate
        | Selection::Combined
        | Selection::Chief => None,
    }
}

fn server_status(tally: &ServerTally) -> api::Server {
    let addresses: Vec<_> = tally.addresses.iter().map(ToString::to_string).collect();
    let ServerCounters {
        received,
        answered,
        answered_interleaved,
        answered_unsynchronized,
        malformed,
        not_a_request,
        denied,
        rate_limited,
        kisses,
        unauthenticated,
    } = tally.read();
    let refusals = tally.refusals();
    api::Server {
        address: addresses.join(", "),
        received,
        answered: answered + answered_unsynchronized,
        invalid: malformed + not_a_request,
        denied: denied + rate_limited + unauthenticated,
        interleaved: answered_interleaved,
        rate_limited,
        kisses,
        unauthenticated,
        refused_by_system: refusals.count,
        problem: refusals.errno.map(|errno| {
            format!("the system refuses to take requests or send answers: {}", errno_text(errno))
        }),
    }
}

fn counters_status(report: &Report) -> api::Counters {
    let counters = report.counters;
    api::Counters {
        sent: counters.sent,
        received: counters.received,
        rejected: counters.rejected,
        updates: counters.updates,
        steps: counters.steps,
        foreign_jumps: counters.foreign_jumps,
        suspends: counters.suspends,
        adjust_failures: counters.adjust_failures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_ntp::association::ResponseError;
    use timeball_ntp::engine::SourceId;
    use timeball_timebase::{Bound, Frequency, Leap, Timestamp};

    pub(crate) fn source() -> SourceReport {
        SourceReport {
            id: SourceId(0),
            host: "time.test".to_owned(),
            address: Some("192.0.2.1:123".parse().unwrap()),
            selection: Selection::Chief,
            twin: None,
            stratum: 1,
            reference_id: *b"GPS\0",
            leap: Leap::None,
            reach: 0xff,
            poll: -2,
            last_sample: None,
            jitter: Span::ZERO,
            root_distance: None,
            sent: 8,
            received: 8,
            rejected: 0,
            rejections: std::collections::BTreeMap::new(),
            is_interleaved: false,
            last_rejection: None,
            resolve_error: None,
            send_error: None,
            reference_error: None,
            ahead: None,
            ahead_leapt: Span::ZERO,
        }
    }

    #[test]
    fn a_reference_identifier_is_shown_as_its_stratum_gives_it() {
        assert_eq!(reference_id(1, *b"GPS\0"), "GPS");
        assert_eq!(reference_id(0, *b"RATE"), "RATE");
        assert_eq!(reference_id(1, [1, b'A', 0xff, 0]), "1.65.255.0");
        assert_eq!(reference_id(1, [127, 127, 1, 1]), "127.127.1.1");
        assert_eq!(reference_id(2, [192, 0, 2, 7]), "192.0.2.7");
        assert_eq!(reference_id(16, [0; 4]), "");
    }

    #[test]
    fn the_members_of_a_pool_are_told_apart() {
        let names = ["pool", "a", "pool", "pool"].map(str::to_owned).to_vec();
        assert_eq!(numbered(names), ["pool", "a", "pool#2", "pool#3"]);
    }

    #[test]
    fn both_ends_of_what_true_time_can_be_are_told() {
        let as_of = MonoTime::from_nanos(1_000);
        let system = Timestamp::from_unix(1_795_000_000, 0);
        let half_width = Span::from_micros(50);
        let bound = Some(Bound { as_of, half_width, growth: Frequency::ZERO });
        let (offset, lean) = (Some(Span::from_micros(-7)), Span::from_micros(20));
        let clock = ClockState { as_of, system, offset, bound, lean, ..ClockState::default() };
        let now = Now::exact(as_of, system);
        let told = clock_status(&Report { clock, ..Report::default() }, now);
        assert_eq!((told.offset_ns, told.bound_ns), (Some(-7_000), Some(50_000)));
        assert_eq!((told.earliest_offset_ns, told.latest_offset_ns), (Some(-17_000), Some(43_000)));
        let unknown = clock_status(&Report::default(), now);
        assert_eq!((unknown.earliest_offset_ns, unknown.latest_offset_ns), (None, None));
    }

    #[test]
    fn the_nearest_cause_of_a_problem_is_named() {
        let problem_of = |source: &SourceReport| problem(source, None).unwrap_or_default();
        assert_eq!(problem(&source(), None), None);
        let unresolved = SourceReport {
            address: None,
            selection: Selection::Unreachable,
            resolve_error: Some(ResolveError::NotFound),
            ..source()
        };
        assert!(problem_of(&unresolved).contains("time.test does not exist"));
        let unsent = SourceReport {
            send_error: Some(SendError::NotSent { errno: libc::ENETUNREACH }),
            ..source()
        };
        assert!(problem_of(&unsent).contains("Network is unreachable"));
        let silent = SourceReport { selection: Selection::Unreachable, ..source() };
        assert!(problem_of(&silent).contains("no answer to 8 requests"));
        let unwritten = SourceReport { address: None, ..silent.clone() };
        assert!(problem_of(&unwritten).contains("nothing new in 8 readings"));
        let refused = problem(&silent, Some(libc::ECONNREFUSED)).unwrap();
        assert!(refused.contains("Connection refused"), "{refused}");
        let denied = SourceReport {
            selection: Selection::Unreachable,
            rejected: 1,
            last_rejection: Some(ResponseError::KissOfDeath { code: *b"DENY" }),
            ..source()
        };
        assert!(problem_of(&denied).contains("kiss of death DENY"));
    }

    #[test]
    fn a_second_address_of_a_server_is_named_beside_the_first() {
        let name = "time.test".to_owned();
        let told = twin_problem(&source(), Some(&name)).unwrap();
        assert!(told.contains("same server as time.test"), "{told}");
        assert_eq!(twin_problem(&source(), None), None);
        let wrong = SourceReport { selection: Selection::Falseticker, ..source() };
        assert_eq!(twin_problem(&wrong, Some(&name)), None, "that it is wrong comes first");
    }

    #[test]
    fn a_source_is_told_in_the_units_of_the_status() {
        let told = source_status(&source(), "time.test", None, MonoTime::ZERO);
        assert_eq!(told.poll_interval_s, 0.25);
        assert_eq!((told.selection.as_str(), told.reference_id.as_str()), ("chief", "GPS"));
        assert_eq!((told.offset_ns, told.last_answer_s), (None, None));
    }
}
