//! What `up` says each second, to a person or to a program.

use super::spool::Spool;
use crate::arguments::VERSION;
use crate::output::{self, Format, Style, ahead, length, span, styled};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;
use timeball_api::files::{FileChange, FileProblem, Reload};
use timeball_api::schedules::{Schedule, Schedules};
use timeball_api::status::{Source, Status};
use timeball_timebase::{Span, Timestamp};

/// What is known as soon as everything is bound.
#[derive(Debug, Serialize)]
pub(crate) struct Started<'a> {
    /// `started`.
    pub(crate) event: &'static str,
    /// The page.
    pub(crate) page: String,
    /// The NTP server; absent where it could not be had.
    pub(crate) ntp: Option<SocketAddr>,
    /// The state directory.
    pub(crate) state: &'a Path,
    /// The schedules' directory.
    pub(crate) schedules: &'a Path,
    /// Where the sources come from, in words.
    pub(crate) sources_from: &'a str,
    /// The sources.
    pub(crate) sources: &'a [String],
    /// What was done otherwise than usual (another port), in words.
    pub(crate) notes: &'a [String],
}

/// Which sources answered the first requests.
#[derive(Debug, Serialize)]
struct FirstAnswers<'a> {
    event: &'static str,
    answering: Vec<&'a str>,
    silent: Vec<&'a str>,
}

/// One second.
#[derive(Debug, Serialize)]
struct Second<'a> {
    event: &'static str,
    time: String,
    state: &'a str,
    offset_ns: Option<i64>,
    bound_ns: Option<i64>,
    sources: usize,
    sources_answering: usize,
    fired: u64,
    missed: u64,
    failed: u64,
    lateness_p50_ns: Option<i64>,
    lateness_max_ns: Option<i64>,
}

/// What came of a change of the schedule files.
#[derive(Debug, Serialize)]
struct Reloaded<'a> {
    event: &'static str,
    time: String,
    applied: bool,
    changes: &'a [FileChange],
    count: u64,
    problems: &'a [FileProblem],
}

/// Writes the start.
pub(crate) fn started(started: &Started<'_>, format: Format, out: &Spool) {
    if format == Format::Json {
        out.json(started);
        return;
    }
    let head = format!("timeball {VERSION}: this machine's clock is measured and never changed");
    out.line(styled(&head, Style::Bold));
    out.line("");
    let ntp = started.ntp.map_or_else(|| "none".to_owned(), |at| format!("{at} (UDP)"));
    for (name, value) in [
        ("page", styled(&started.page, Style::Bold)),
        ("NTP server", ntp),
        ("state", started.state.display().to_string()),
        ("schedules", format!("{} (edits are taken up)", started.schedules.display())),
        ("sources", format!("{} ({})", started.sources.join(", "), started.sources_from)),
    ] {
        out.line(format!("  {name:<11} {value}"));
    }
    for note in started.notes {
        out.line(format!("  {:<11} {}", "note", styled(note, Style::Warning)));
    }
}

/// Writes which sources answered within the first seconds.
pub(crate) fn first_answers(status: &Status, format: Format, out: &Spool) {
    let name = |source: &Source| source.received > 0;
    let answering: Vec<_> =
        status.sources.iter().filter(|s| name(s)).map(|s| s.name.as_str()).collect();
    let silent: Vec<_> =
        status.sources.iter().filter(|s| !name(s)).map(|s| s.name.as_str()).collect();
    if format == Format::Json {
        out.json(&FirstAnswers { event: "sources", answering, silent });
        return;
    }
    if answering.is_empty() {
        let text = "no source answers, so the clock's error is unknown; \
                    name a reachable one with --source HOST";
        out.line(format!("  {:<11} {}", "answering", styled(text, Style::Warning)));
    } else {
        out.line(format!("  {:<11} {}", "answering", answering.join(", ")));
        if !silent.is_empty() {
            let text = styled(&silent.join(", "), Style::Warning);
            out.line(format!("  {:<11} {text}", "silent"));
        }
    }
    out.line("");
}

/// Writes what came of a change of the schedule files.
pub(crate) fn reloaded(reload: &Reload, problems: &[FileProblem], format: Format, out: &Spool) {
    let at = Timestamp::from_unix_nanos(reload.at_ns);
    let Reload { applied, changes, count, .. } = reload;
    if format == Format::Json {
        let time = at.to_string();
        let (applied, count) = (*applied, *count);
        out.json(&Reloaded { event: "reload", time, applied, changes, count, problems });
        return;
    }
    let time = styled(&at.to_string()[11..19], Style::Dim);
    if !applied {
        // What is wrong with them is in the log, which goes to the same terminal as a rule.
        let text = "schedule files: nothing is taken up until they are mended \
                    (`timeball schedule diff` says what is wrong)";
        out.line(format!("{time}  {}", styled(text, Style::Warning)));
        return;
    }
    for change in changes {
        out.line(format!("{time}  schedule {}", change_line(change)));
    }
    if changes.is_empty() {
        out.line(format!("{time}  schedule files: mended; no schedule differs"));
    }
    let more = count.saturating_sub(changes.len() as u64);
    if more > 0 {
        out.line(format!("{time}  and {more} schedules more"));
    }
}

/// `changed default/flush: spec.schedule "@hourly" -> "@daily"`.
fn change_line(change: &FileChange) -> String {
    let fields = change.fields.iter().map(|field| match (&*field.before, &*field.after) {
        ("", "") => field.field.clone(),
        ("", after) => format!("{} {after}", field.field),
        (before, "") => format!("{} {before} -> (none)", field.field),
        (before, after) => format!("{} {before} -> {after}", field.field),
    });
    let fields = fields.collect::<Vec<_>>().join(", ");
    let colon = if fields.is_empty() { "" } else { ": " };
    format!("{} {}/{}{colon}{fields}", change.kind, change.namespace, change.name)
}

/// Writes one second.
pub(crate) fn second(
    status: &Status,
    schedules: &Schedules,
    now: Timestamp,
    format: Format,
    out: &Spool,
) {
    if format == Format::Json {
        let answering = status.sources.iter().filter(|source| source.reach != 0).count();
        let total = totals(&schedules.schedules);
        return out.json(&Second {
            event: "second",
            time: now.to_string(),
            state: &status.clock.state,
            offset_ns: status.clock.offset_ns,
            bound_ns: status.clock.bound_ns,
            sources: status.sources.len(),
            sources_answering: answering,
            fired: total.fired,
            missed: total.missed,
            failed: total.failed,
            lateness_p50_ns: total.p50_ns,
            lateness_max_ns: total.max_ns,
        });
    }
    let columns = output::columns().map_or(usize::MAX, usize::from);
    out.line(text(status, schedules, now, columns));
}

/// One second for a person, in one line where so many columns allow for one.
fn text(status: &Status, schedules: &Schedules, now: Timestamp, columns: usize) -> String {
    let of_day = Timestamp::from_unix(now.unix_seconds(), 0).to_string();
    let answering = status.sources.iter().filter(|source| source.reach != 0).count();
    let total = totals(&schedules.schedules);
    let line = |brevity| {
        let mut parts = vec![styled(&of_day[11..19], Style::Dim), clock(status, brevity)];
        parts.push(format!("{answering}/{} sources", status.sources.len()));
        parts.push(fires(&total, brevity));
        parts.extend(next(&schedules.schedules, now).filter(|_| brevity < Brevity::NoNext));
        parts.join("  ")
    };
    let fits = |line: &String| output::width(line) <= columns;
    let fitting = Brevity::ALL.into_iter().map(line).find(fits);
    fitting.unwrap_or_else(|| line(Brevity::NoLateness))
}

/// What a line leaves out, each with what is above it, to stay one line on a narrow terminal.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Brevity {
    Whole,
    NoNext,
    NoLargest,
    NoGauge,
    NoLateness,
}

impl Brevity {
    const ALL: [Self; 5] =
        [Self::Whole, Self::NoNext, Self::NoLargest, Self::NoGauge, Self::NoLateness];
}

/// Offset and bound in columns that stay put, with a ball that shows where in its bound the clock
/// is.
fn clock(status: &Status, brevity: Brevity) -> String {
    match (status.clock.offset_ns, status.clock.bound_ns) {
        (Some(offset), Some(bound)) => {
            let text = format!("{:>10} ±{:<9}", span(Some(offset)), length(Some(bound)));
            let style =
                if status.clock.state == "synchronized" { Style::Good } else { Style::Warning };
            let text = styled(&text, style);
            if brevity < Brevity::NoGauge {
                format!("{} {text}", gauge(offset, bound))
            } else {
                text
            }
        }
        _ => {
            let width = if brevity < Brevity::NoGauge { 35 } else { 21 };
            styled(&format!("{:<width$}", "clock error unknown"), Style::Warning)
        }
    }
}

/// The system clock's place within the interval that true time may be in: the ball is the system
/// clock, the middle of the scale the best estimate, its ends the bound.
fn gauge(offset: i64, bound: i64) -> String {
    const CELLS: usize = 11;
    let share = -(offset as f64) / (bound.max(1) as f64);
    let place = ((share.clamp(-1.0, 1.0) + 1.0) / 2.0 * (CELLS - 1) as f64).round() as usize;
    let scale: String = (0..CELLS).map(|cell| if cell == place { '●' } else { '─' }).collect();
    format!("├{scale}┤")
}

/// Counts over all schedules.
#[derive(Default)]
struct Totals {
    fired: u64,
    missed: u64,
    failed: u64,
    p50_ns: Option<i64>,
    max_ns: Option<i64>,
}

fn totals(schedules: &[Schedule]) -> Totals {
    let mut total = Totals::default();
    // The median of the busiest schedule stands for all: medians cannot be added.
    let busiest = schedules.iter().max_by_key(|schedule| schedule.counts.fired);
    total.p50_ns = busiest.and_then(|schedule| schedule.lateness.p50_ns);
    for schedule in schedules {
        total.fired += schedule.counts.fired;
        total.missed += schedule.counts.missed;
        total.failed += schedule.counts.failed + schedule.counts.unknown;
        total.max_ns = total.max_ns.max(schedule.lateness.max_ns);
    }
    total
}

fn fires(total: &Totals, brevity: Brevity) -> String {
    let mut text = format!("{} fired", total.fired);
    if let (Some(p50), Some(max)) = (total.p50_ns, total.max_ns) {
        let (p50, max) = (length(Some(p50)), length(Some(max)));
        match brevity {
            Brevity::Whole | Brevity::NoNext => text += &format!(" (late {p50}, at most {max})"),
            Brevity::NoLargest | Brevity::NoGauge => text += &format!(" (late {p50})"),
            Brevity::NoLateness => {}
        }
    }
    for (count, name) in [(total.missed, "missed"), (total.failed, "failed")] {
        if count > 0 {
            text += &styled(&format!(" {count} {name}"), Style::Warning);
        }
    }
    text
}

/// The next instant that is worth waiting for: of a schedule that rests for a second or more.
fn next(schedules: &[Schedule], now: Timestamp) -> Option<String> {
    let upcoming = |schedule: &Schedule| {
        let at = Timestamp::from_unix_nanos(*schedule.next_ns.first()?);
        (at - now >= Span::from_secs(1)).then(|| (at, schedule.name.clone()))
    };
    let (at, name) = schedules.iter().filter_map(upcoming).min()?;
    let text = format!("{name} in {}", ahead((at - now).as_millis() / 1_000));
    Some(styled(&text, Style::Dim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_less_but_one_line() {
        let mut status = Status::default();
        (status.clock.offset_ns, status.clock.bound_ns) = (Some(-1_900), Some(5_900));
        status.sources = vec![Source { reach: 1, ..Source::default() }; 3];
        let mut schedule = Schedule { name: "minute".to_owned(), ..Schedule::default() };
        (schedule.counts.fired, schedule.counts.missed) = (47, 2);
        let lateness = &mut schedule.lateness;
        (lateness.p50_ns, lateness.max_ns) = (Some(67_500), Some(14_060_000));
        schedule.next_ns = vec![54_000_000_000];
        let schedules = Schedules { schedules: vec![schedule], ..Schedules::default() };
        let line = |columns| text(&status, &schedules, Timestamp::from_unix(0, 0), columns);
        let whole = line(usize::MAX);
        let end = "3/3 sources  47 fired (late 67.5 µs, at most 14.06 ms) 2 missed  minute in 54 s";
        assert!(whole.contains('●') && whole.ends_with(end), "{whole}");
        for columns in [125, 120, 100, 80, 64] {
            let line = line(columns);
            assert!(output::width(&line) <= columns, "{columns}: {line}");
            assert!(line.contains("-1.9 µs ±5.9 µs") && line.contains("2 missed"), "{line}");
        }
    }

    #[test]
    fn a_change_of_a_schedule_is_one_line() {
        let field = |field: &str, before: &str, after: &str| timeball_api::files::FieldChange {
            field: field.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        };
        let change = FileChange {
            kind: "changed".to_owned(),
            namespace: "default".to_owned(),
            name: "flush".to_owned(),
            fields: vec![
                field("spec.schedule", "\"@hourly\"", "\"@daily\""),
                field("spec.target.exec.env", "", ""),
                field("spec.dst", "\"ocps\"", ""),
            ],
        };
        assert_eq!(
            change_line(&change),
            "changed default/flush: spec.schedule \"@hourly\" -> \"@daily\", \
             spec.target.exec.env, spec.dst \"ocps\" -> (none)"
        );
    }
}
