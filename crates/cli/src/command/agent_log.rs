//! What `timeball agent` says in its log: the start, and then only what changes.

use std::collections::BTreeSet;
use timeball_api::status::{Notice, Source, Status};

/// Remembers what was said, so that only changes are.
#[derive(Debug, Default)]
pub(crate) struct AgentLog {
    state: String,
    sources: BTreeSet<(String, String)>,
    notices: BTreeSet<(String, String)>,
}

impl AgentLog {
    /// Logs how `status` differs from the one before.
    pub(crate) fn follow(&mut self, status: &Status) {
        for (severity, line) in self.changes(status) {
            match severity {
                Severity::Info => tracing::info!("{line}"),
                Severity::Warning => tracing::warn!("{line}"),
            }
        }
    }

    fn changes(&mut self, status: &Status) -> Vec<(Severity, String)> {
        let mut lines = Vec::new();
        if self.state != status.clock.state {
            self.state.clone_from(&status.clock.state);
            lines.push((Severity::Info, super::status::sentence(status)));
        }
        let sources = status.sources.iter().map(|s| (s.name.clone(), standing(s))).collect();
        for (name, standing) in difference(&sources, &self.sources) {
            let problem = status.sources.iter().find(|s| s.name == *name);
            let problem = problem.and_then(|s| s.problem.as_deref());
            let why = problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
            lines.push((Severity::Info, format!("source {name} is {standing}{why}")));
        }
        self.sources = sources;
        // Notices that carry figures change their words each second: their reason is what counts.
        let notices =
            status.notices.iter().map(|n| (n.reason.clone(), n.severity.clone())).collect();
        for (reason, _) in difference(&notices, &self.notices) {
            let said = status.notices.iter().filter(|notice| notice.reason == *reason);
            lines.extend(said.map(line_of));
        }
        for (reason, _) in difference(&self.notices, &notices) {
            if !notices.iter().any(|(still, _)| still == reason) {
                lines.push((Severity::Info, format!("{reason}: over")));
            }
        }
        self.notices = notices;
        lines
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Severity {
    Info,
    Warning,
}

/// What a reader of a log wants to know of a source; the order among the good ones changes often.
fn standing(source: &Source) -> String {
    match source.selection.as_str() {
        "candidate" | "combined" | "chief" => "in use".to_owned(),
        other => other.to_owned(),
    }
}

fn line_of(notice: &Notice) -> (Severity, String) {
    let severity = if notice.severity == "info" { Severity::Info } else { Severity::Warning };
    (severity, format!("{}: {}", notice.reason, notice.message))
}

type Said = BTreeSet<(String, String)>;

fn difference<'a>(now: &'a Said, before: &'a Said) -> impl Iterator<Item = &'a (String, String)> {
    now.difference(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_api::status::Clock;

    fn status(state: &str, selection: &str, notice: Option<(&str, &str)>) -> Status {
        let notice = notice.map(|(reason, severity)| Notice {
            reason: reason.to_owned(),
            severity: severity.to_owned(),
            message: format!("about {reason}"),
        });
        let source = Source {
            name: "a.example".to_owned(),
            selection: selection.to_owned(),
            ..Source::default()
        };
        Status {
            hostname: "here".to_owned(),
            clock: Clock { state: state.to_owned(), ..Clock::default() },
            sources: vec![source],
            notices: notice.into_iter().collect(),
            ..Status::default()
        }
    }

    #[test]
    fn only_changes_are_said_and_a_notice_that_ends_is_said_to_be_over() {
        let mut log = AgentLog::default();
        let first = log.changes(&status("acquiring", "unreachable", Some(("Alone", "warning"))));
        let texts: Vec<&str> = first.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].contains("unknown (acquiring)"), "{texts:?}");
        assert_eq!(texts[1], "source a.example is unreachable");
        assert_eq!(first[2], (Severity::Warning, "Alone: about Alone".to_owned()));
        let same = status("acquiring", "unreachable", Some(("Alone", "warning")));
        assert_eq!(log.changes(&same), []);
        let later = log.changes(&status("acquiring", "chief", None));
        let texts: Vec<&str> = later.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(texts, ["source a.example is in use", "Alone: over"]);
    }
}
