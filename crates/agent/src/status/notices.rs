//! What a person should know and do, from what the engine reports.

use timeball_api::status::{Notice, Source};
use timeball_ntp::engine::{AdjustError, ClockMode, Report, Selection};
use timeball_timebase::{MonoTime, Span, SyncState};

/// A setting of the clock by somebody else is worth a notice for this long.
const JUMP_SHOWN: Span = Span::from_minutes(10);

/// Remembers when somebody else set the clock last.
#[derive(Debug, Default)]
pub(super) struct JumpWatch {
    count: u64,
    last: Option<MonoTime>,
}

impl JumpWatch {
    /// Takes the count of foreign settings at `at`; returns whether the last is recent.
    pub(super) fn observe(&mut self, count: u64, at: MonoTime) -> bool {
        if count != self.count {
            self.count = count;
            self.last = Some(at);
        }
        self.last.is_some_and(|last| at - last <= JUMP_SHOWN)
    }
}

/// All notices, worst first.
pub(super) fn notices(
    report: &Report,
    sources: &[Source],
    mode: ClockMode,
    recent_jump: bool,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    adjustment(report, &mut notices);
    reachability(report, sources, &mut notices);
    agreement(report, sources, &mut notices);
    if recent_jump {
        notices.push(jump(mode, report.counters.foreign_jumps));
    }
    notices
}

fn adjustment(report: &Report, notices: &mut Vec<Notice>) {
    match report.adjust_error {
        Some(AdjustError::NotPermitted) => notices.push(error(
            "NotPermitted",
            "The system clock may not be set by this process. Give it CAP_SYS_TIME (as root or by \
             the service manager), or set mode = \"observe\"."
                .to_owned(),
        )),
        Some(failure @ AdjustError::Failed { .. }) => notices.push(error(
            "ClockWriteFailed",
            format!("The kernel refused to change the system clock: {failure}."),
        )),
        None => {}
    }
}

fn reachability(report: &Report, sources: &[Source], notices: &mut Vec<Notice>) {
    if sources.is_empty() {
        notices.push(error(
            "NoSources",
            "No time source is configured. Add a [[source]] with an address.".to_owned(),
        ));
        return;
    }
    let asked = sources.iter().any(|source| source.sent >= 2);
    let silent = report.sources.iter().all(|source| source.selection == Selection::Unreachable);
    let unresolved: Vec<&str> = report
        .sources
        .iter()
        .zip(sources)
        .filter(|(report, _)| report.resolve_error.is_some())
        .map(|(_, source)| source.name.as_str())
        .collect();
    if silent && (asked || unresolved.len() == sources.len()) {
        notices.push(error(
            "NoSourceAnswers",
            "No source answers. Check that UDP port 123 to the outside is open, or name a server \
             of your own network."
                .to_owned(),
        ));
    }
    if !unresolved.is_empty() {
        let names = unresolved.join(", ");
        notices.push(warning(
            "ServerNotResolved",
            format!("No address is known for {names}. Check the name and the resolver."),
        ));
    }
}

fn agreement(report: &Report, sources: &[Source], notices: &mut Vec<Notice>) {
    let names = |selection| -> Vec<&str> {
        let both = report.sources.iter().zip(sources);
        both.filter(|(r, _)| r.selection == selection).map(|(_, s)| s.name.as_str()).collect()
    };
    let undecided = names(Selection::NoMajority);
    if undecided.len() > 1 {
        notices.push(error(
            "NoMajority",
            format!(
                "The sources contradict each other and no majority agrees ({}). Add sources.",
                undecided.join(", ")
            ),
        ));
    }
    match report.clock.state {
        SyncState::Unsynchronized if notices.is_empty() => notices.push(warning(
            "ClockUnsynchronized",
            "No majority of sources has answered yet, so the clock's error is unknown.".to_owned(),
        )),
        SyncState::Holdover => notices.push(warning(
            "Holdover",
            "The sources are lost; the clock runs on by what was learned, and its bound grows. \
             Check the network."
                .to_owned(),
        )),
        _ => {}
    }
    let false_tickers = names(Selection::Falseticker);
    if !false_tickers.is_empty() {
        notices.push(warning(
            "Falseticker",
            format!("The majority contradicts {}; replace it.", false_tickers.join(", ")),
        ));
    }
}

fn jump(mode: ClockMode, count: u64) -> Notice {
    match mode {
        ClockMode::Discipline => warning(
            "AnotherWriter",
            format!(
                "Something else set the system clock ({count} times so far), or the machine slept. \
                 Stop any other time daemon: two of them work against each other."
            ),
        ),
        ClockMode::Observe => Notice {
            reason: "ClockSet".to_owned(),
            severity: "info".to_owned(),
            message: format!(
                "The system clock was set by someone in the last minutes ({count} times so far)."
            ),
        },
    }
}

fn error(reason: &str, message: String) -> Notice {
    Notice { reason: reason.to_owned(), severity: "error".to_owned(), message }
}

fn warning(reason: &str, message: String) -> Notice {
    Notice { reason: reason.to_owned(), severity: "warning".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(report: &Report, sources: &[Source], jump: bool) -> Vec<String> {
        let notices = notices(report, sources, ClockMode::Discipline, jump);
        notices.into_iter().map(|notice| notice.reason).collect()
    }

    #[test]
    fn a_refused_write_comes_first_and_a_foreign_writer_last() {
        let report = Report { adjust_error: Some(AdjustError::NotPermitted), ..Report::default() };
        assert_eq!(reasons(&report, &[], true), ["NotPermitted", "NoSources", "AnotherWriter"]);
    }

    #[test]
    fn sources_that_never_answer_are_one_notice() {
        let source = Source { sent: 3, ..Source::default() };
        assert_eq!(reasons(&Report::default(), &[source], false), ["NoSourceAnswers"]);
    }

    #[test]
    fn a_foreign_setting_is_forgotten_after_a_while() {
        let mut watch = JumpWatch::default();
        assert!(!watch.observe(0, MonoTime::ZERO));
        assert!(watch.observe(1, MonoTime::ZERO));
        assert!(watch.observe(1, MonoTime::ZERO + JUMP_SHOWN));
        assert!(!watch.observe(1, MonoTime::ZERO + JUMP_SHOWN + Span::NANOSECOND));
    }
}
