//! What a person should know about the clock and do about it.

mod leap_seconds;

use timeball_api::status::{Notice, Source};
use timeball_ntp::engine::{AdjustError, ClockMode, KernelClock, Report, Selection, StepPolicy};
use timeball_timebase::{Reading, Span, SyncState, Timestamp};

use crate::errno::errno_text;

/// Sources get this long to answer before their silence is worth a word.
const PATIENCE: Span = Span::from_secs(10);
/// A setting of the clock by somebody else is told for this long.
const JUMP_SHOWN_FOR: Span = Span::from_minutes(60);
/// An error of the system clock that is certainly larger than this is told in observe mode.
const WORTH_TELLING: Span = Span::from_millis(100);

/// What the notices are drawn from.
pub(crate) struct Circumstances<'a> {
    pub(crate) report: &'a Report,
    pub(crate) mode: ClockMode,
    pub(crate) policy: StepPolicy,
    /// `None` where it may not even be read.
    pub(crate) kernel: Option<&'a KernelClock>,
    pub(crate) uptime: Span,
    /// How long ago somebody else was last seen to have set the clock.
    pub(crate) since_foreign_jump: Option<Span>,
    /// How long ago it was found last that the machine had stood still.
    pub(crate) since_suspend: Option<Span>,
    pub(crate) reading: Reading,
    pub(crate) system: Timestamp,
    /// Why the list of leap seconds was not read anew, if so.
    pub(crate) leap_file_problem: Option<&'a str>,
}

/// All notices, worst first.
pub(crate) fn all(circumstances: &Circumstances<'_>, sources: &[Source]) -> Vec<Notice> {
    let mut notices = Vec::new();
    notices.extend(writing(circumstances));
    match refusal(circumstances) {
        // The sources agree; what they say is not believed.
        Some(refusal) => notices.push(refusal),
        None => notices.extend(synchronization(circumstances, sources)),
    }
    notices.extend(other_writer(circumstances));
    notices.extend(standstill(circumstances));
    notices.extend(size_of_error(circumstances));
    notices.extend(single_sources(circumstances, sources));
    notices.extend(leap_seconds::all(circumstances));
    notices.extend(constraints(circumstances));
    notices.extend(kernel_flag(circumstances));
    let rank = |notice: &Notice| match notice.severity.as_str() {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    };
    notices.sort_by_key(rank);
    notices
}

fn writing(c: &Circumstances<'_>) -> Option<Notice> {
    Some(match c.report.adjust_error? {
        AdjustError::NotPermitted => error(
            "NotPermitted",
            "The kernel refuses to have its clock set. Give the process the capability CAP_SYS_TIME, \
             or set `mode = \"observe\"`."
                .to_owned(),
        ),
        AdjustError::Failed { errno } => error(
            "ClockWriteFailed",
            format!("The kernel's clock could not be set: {}.", errno_text(errno)),
        ),
    })
}

/// An offset that the step policy does not believe.
fn refusal(c: &Circumstances<'_>) -> Option<Notice> {
    let offset = c.report.refused_offset?;
    let side = if offset.is_negative() { "ahead of" } else { "behind" };
    let size = offset.abs().to_string();
    let limit = c.policy.panic.map(|limit| limit.to_string()).unwrap_or_default();
    Some(error(
        "PanicLimit",
        format!(
            "The sources say that this clock, which was right before, is now {} {side} UTC: more \
             than the limit of {} (clock.panic_limit_s). It is left as it is, and nothing is \
             promised. If the sources are right, set the clock or start this program anew; if not, \
             mend them.",
            size.trim_start_matches('+'),
            limit.trim_start_matches('+'),
        ),
    ))
}

/// Why nothing, or little, is known of the clock.
fn synchronization(c: &Circumstances<'_>, sources: &[Source]) -> Option<Notice> {
    if sources.is_empty() {
        let what =
            "No time source is configured, so the clock's error is unknown. Add a [[source]].";
        return Some(error("NoSourcesConfigured", what.to_owned()));
    }
    let answering = c.report.sources.iter().filter(|s| s.selection != Selection::Unreachable);
    let answering = answering.count();
    match c.report.clock.state {
        SyncState::Synchronized => None,
        SyncState::Acquiring => Some(info(
            "ClockAcquiring",
            "The first measurements are in; a few more, and the clock may be relied on.".to_owned(),
        )),
        SyncState::Holdover => Some(warning(
            "ClockHoldover",
            format!(
                "Time sources are lost ({answering} of {} answer); the bound grows from the last good \
                 estimate. Check the network to the sources.",
                sources.len()
            ),
        )),
        SyncState::Unsynchronized if c.uptime < PATIENCE && answering == 0 => Some(info(
            "WaitingForSources",
            format!("Waiting for the first answer of {} time sources.", sources.len()),
        )),
        SyncState::Unsynchronized if answering == 0 => Some(error(
            "NoSourceAnswers",
            format!(
                "None of the {} time sources answers, so the clock's error is unknown. Check the \
                 network, the names, and that UDP may pass to their ports.",
                sources.len()
            ),
        )),
        SyncState::Unsynchronized => Some(error(
            "ClockUnsynchronized",
            format!(
                "{answering} of {} time sources answer, but no majority agrees or is fit, so the \
                 clock's error is unknown. See what is said of each source.",
                sources.len()
            ),
        )),
    }
}

/// Whether somebody else writes the clock.
fn other_writer(c: &Circumstances<'_>) -> Option<Notice> {
    if c.report.yielded {
        return Some(error(
            "ClockConflict",
            "Another program keeps setting this clock, so it is only measured now. Stop chronyd, \
             ntpd or systemd-timesyncd on this machine; an hour after its last change, or at a \
             restart, the clock is taken up again. Or set `mode = \"observe\"`."
                .to_owned(),
        ));
    }
    c.since_foreign_jump.filter(|ago| *ago < JUMP_SHOWN_FOR)?;
    let jumps = c.report.counters.foreign_jumps;
    let times = if jumps == 1 { "once".to_owned() } else { format!("{jumps} times") };
    Some(match c.mode {
        ClockMode::Discipline => warning(
            "AnotherWriter",
            format!(
                "Somebody else has set the clock ({times}). Two programs that set one clock fight; \
                 stop chronyd, ntpd or systemd-timesyncd on this machine."
            ),
        ),
        ClockMode::Observe => {
            info("ClockWasSet", format!("The system clock was set by another program ({times})."))
        }
    })
}

/// That the machine was suspended, or stopped from outside, explains a step and a gap in its time.
fn standstill(c: &Circumstances<'_>) -> Option<Notice> {
    c.since_suspend.filter(|ago| *ago < JUMP_SHOWN_FOR)?;
    let count = c.report.counters.suspends;
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    Some(info(
        "MachineStoodStill",
        format!(
            "This machine stood still ({times} since the start): it was suspended, or stopped and \
             continued from outside. What the time is was found out anew afterwards."
        ),
    ))
}

/// In observe mode nobody here corrects the clock, so a person must know that it is wrong.
fn size_of_error(c: &Circumstances<'_>) -> Option<Notice> {
    let offset = c.reading.estimate - c.system;
    let certain = offset.abs() - c.reading.half_width?;
    if c.mode != ClockMode::Observe || certain < WORTH_TELLING {
        return None;
    }
    let side = if offset.is_negative() { "ahead of" } else { "behind" };
    let size = offset.abs().to_string();
    Some(warning(
        "SystemClockOff",
        format!(
            "The system clock is {} {side} UTC, and nothing here corrects it (observe mode).",
            size.trim_start_matches('+')
        ),
    ))
}

fn single_sources(c: &Circumstances<'_>, sources: &[Source]) -> Vec<Notice> {
    let mut notices = Vec::new();
    let (mut unresolved, mut false_ones, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for (report, source) in c.report.sources.iter().zip(sources) {
        match report.selection {
            _ if report.resolve_error.is_some() && report.address.is_none() => {
                unresolved.push(source.name.as_str());
            }
            Selection::Falseticker => false_ones.push(source.name.as_str()),
            Selection::Unreachable if report.sent > 2 => silent.push(source.name.as_str()),
            _ => {}
        }
    }
    if !unresolved.is_empty() {
        let names = unresolved.join(", ");
        let what = format!("No address is found for {names}. Check the names and the resolver.");
        notices.push(warning("ServerNotResolved", what));
    }
    if !false_ones.is_empty() {
        let names = false_ones.join(", ");
        let what = format!("{names} contradicts the majority of the sources and is not used.");
        notices.push(warning("Falseticker", what));
    }
    // That none answers is said already.
    if !silent.is_empty() && silent.len() < sources.len() {
        let what = format!("No answer comes from {}.", silent.join(", "));
        notices.push(info("SourceSilent", what));
    }
    notices
}

fn constraints(c: &Circumstances<'_>) -> Option<Notice> {
    let missing = c.report.constrained == Some(false) && c.uptime >= PATIENCE;
    missing.then(|| {
        warning(
            "NoConstraint",
            "Too few of the HTTPS servers tell a date, so the sources are not checked against it; \
             the log says why."
                .to_owned(),
        )
    })
}

/// What Kubernetes and node_exporter look at, where it is not ours to write.
fn kernel_flag(c: &Circumstances<'_>) -> Option<Notice> {
    let Some(kernel) = c.kernel else {
        let what = "The kernel's clock status may not be read here (seccomp profile?).";
        return Some(info("KernelUnreadable", what.to_owned()));
    };
    (c.mode == ClockMode::Observe && !kernel.synchronized).then(|| {
        info(
            "KernelUnsynchronized",
            "The kernel's flag says that no program keeps this clock synchronized (STA_UNSYNC)."
                .to_owned(),
        )
    })
}

fn error(reason: &str, message: String) -> Notice {
    Notice { reason: reason.to_owned(), severity: "error".to_owned(), message }
}

fn warning(reason: &str, message: String) -> Notice {
    Notice { reason: reason.to_owned(), severity: "warning".to_owned(), message }
}

fn info(reason: &str, message: String) -> Notice {
    Notice { reason: reason.to_owned(), severity: "info".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_ntp::engine::{Counters, ResolveError, SourceId, SourceReport};
    use timeball_timebase::{ClockState, Leap};

    pub(super) fn report(state: SyncState, selections: &[Selection]) -> Report {
        let source = |(i, selection): (usize, &Selection)| SourceReport {
            id: SourceId(i as u16),
            host: format!("host{i}"),
            address: None,
            selection: *selection,
            twin: None,
            stratum: 0,
            reference_id: [0; 4],
            leap: Leap::None,
            reach: 0,
            poll: 6,
            last_sample: None,
            jitter: Span::ZERO,
            root_distance: None,
            sent: 9,
            received: 0,
            rejected: 0,
            rejections: std::collections::BTreeMap::new(),
            is_interleaved: false,
            last_rejection: None,
            resolve_error: None,
            send_error: None,
            reference_error: None,
            ahead: None,
            ahead_leapt: Span::ZERO,
        };
        Report {
            clock: ClockState { state, ..ClockState::default() },
            sources: selections.iter().enumerate().map(source).collect(),
            ..Report::default()
        }
    }

    pub(super) fn circumstances<'a>(
        report: &'a Report,
        kernel: &'a KernelClock,
    ) -> Circumstances<'a> {
        Circumstances {
            report,
            mode: ClockMode::Observe,
            policy: StepPolicy::default(),
            kernel: Some(kernel),
            uptime: Span::from_minutes(1),
            since_foreign_jump: None,
            since_suspend: None,
            reading: Reading {
                estimate: Timestamp::UNIX_EPOCH,
                half_width: None,
                lean: Span::ZERO,
            },
            system: Timestamp::UNIX_EPOCH,
            leap_file_problem: None,
        }
    }

    pub(super) fn reasons(circumstances: &Circumstances<'_>) -> Vec<String> {
        let name = |s: &SourceReport| Source { name: s.host.clone(), ..Source::default() };
        let sources: Vec<_> = circumstances.report.sources.iter().map(name).collect();
        all(circumstances, &sources).into_iter().map(|notice| notice.reason).collect()
    }

    pub(super) const KERNEL_GOOD: KernelClock = KernelClock {
        frequency: timeball_timebase::Frequency::ZERO,
        synchronized: true,
        max_error: Span::ZERO,
        estimated_error: Span::ZERO,
        tai_offset_s: 37,
        found: None,
    };

    #[test]
    fn nothing_is_said_when_all_is_well() {
        let report = report(SyncState::Synchronized, &[Selection::Chief, Selection::Combined]);
        assert!(reasons(&circumstances(&report, &KERNEL_GOOD)).is_empty());
    }

    #[test]
    fn silence_is_an_error_only_after_patience() {
        let report = report(SyncState::Unsynchronized, &[Selection::Unreachable]);
        let mut c = circumstances(&report, &KERNEL_GOOD);
        assert_eq!(reasons(&c), ["NoSourceAnswers"]);
        c.uptime = Span::from_secs(3);
        assert_eq!(reasons(&c), ["WaitingForSources"]);
    }

    #[test]
    fn each_circumstance_has_its_reason_and_the_worst_comes_first() {
        let none = report(SyncState::Unsynchronized, &[]);
        assert_eq!(reasons(&circumstances(&none, &KERNEL_GOOD)), ["NoSourcesConfigured"]);

        let mut mixed = report(
            SyncState::Unsynchronized,
            &[Selection::Falseticker, Selection::Unreachable, Selection::Unreachable],
        );
        mixed.sources[1].resolve_error = Some(ResolveError::NotFound);
        mixed.adjust_error = Some(AdjustError::NotPermitted);
        mixed.counters = Counters { foreign_jumps: 2, ..Counters::default() };
        let kernel = KernelClock { synchronized: false, ..KERNEL_GOOD };
        let mut c = circumstances(&mixed, &kernel);
        c.since_foreign_jump = Some(Span::from_secs(5));
        c.mode = ClockMode::Discipline;
        assert_eq!(
            reasons(&c),
            [
                "NotPermitted",
                "ClockUnsynchronized",
                "AnotherWriter",
                "ServerNotResolved",
                "Falseticker",
                "SourceSilent",
            ]
        );
        c.mode = ClockMode::Observe;
        c.since_suspend = Some(Span::from_secs(5));
        assert!(reasons(&c).contains(&"MachineStoodStill".to_owned()));
        c.since_suspend = Some(Span::from_minutes(61));
        assert!(!reasons(&c).contains(&"MachineStoodStill".to_owned()));
        c.since_foreign_jump = Some(Span::from_minutes(61));
        assert!(reasons(&c).contains(&"KernelUnsynchronized".to_owned()));
        assert!(!reasons(&c).contains(&"ClockWasSet".to_owned()));
    }

    #[test]
    fn a_refused_offset_is_named_with_the_limit_and_what_to_do() {
        let mut report = report(SyncState::Unsynchronized, &[Selection::Chief]);
        report.refused_offset = Some(Span::from_secs(-3_600));
        let c =
            Circumstances { mode: ClockMode::Discipline, ..circumstances(&report, &KERNEL_GOOD) };
        assert_eq!(reasons(&c), ["PanicLimit"]);
        let message = &all(&c, &[Source::default()])[0].message;
        assert!(
            message.contains("3600.000 s ahead of UTC: more than the limit of 1000.000 s"),
            "{message}"
        );
    }

    #[test]
    fn an_error_is_told_in_observe_mode_only_when_it_is_certain() {
        let report = report(SyncState::Synchronized, &[Selection::Chief]);
        let mut c = circumstances(&report, &KERNEL_GOOD);
        c.reading.estimate = Timestamp::UNIX_EPOCH + Span::from_millis(-150);
        c.reading.half_width = Some(Span::from_millis(60));
        assert!(reasons(&c).is_empty());
        c.reading.half_width = Some(Span::from_millis(10));
        let notices = all(&c, &[Source::default()]);
        assert!(notices[0].message.contains("150.00 ms ahead of UTC"), "{notices:?}");
    }
}
