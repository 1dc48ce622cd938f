//! `timeball schedule explain`: what an expression means, when it is next, and what changes of the
//! clocks will do to it.

use crate::arguments::ExpressionArguments;
use crate::command::schedule_next::{self, Instant, in_zone};
use crate::error::CliError;
use crate::output::{self, Format};
use serde::Serialize;
use std::process::ExitCode;
use timeball_schedule::language::{LeftOut, Schedule, Trap, TrapEffect};
use timeball_timebase::{Span, Timestamp};

/// How far ahead changes of the clocks are looked for: two years have four in most zones.
const AHEAD_S: i64 = 2 * 366 * 86_400;

/// The answer, as the JSON shows it.
#[derive(Serialize)]
struct Explanation {
    /// The expression, as it was given.
    expression: String,
    /// Its canonical form.
    canonical: String,
    dialect: &'static str,
    time_zone: String,
    /// In words.
    meaning: String,
    next: Vec<Instant>,
    /// The next instants that calendars leave out, up to the last of `next`; where there are none,
    /// the first one of the next two years.
    left_out: Vec<LeftOutInstant>,
    /// Changes of the clocks ahead that skip or repeat times of it.
    traps: Vec<Change>,
}

#[derive(Serialize)]
struct LeftOutInstant {
    #[serde(flatten)]
    instant: Instant,
    /// The excluded calendar that has its day; null where no included calendar has it.
    excluded_by: Option<String>,
}

#[derive(Serialize)]
struct Change {
    /// When the clocks are changed: RFC 3339 with the offset after it.
    at: String,
    /// Seconds forward; negative for back.
    change_s: i64,
    /// The first time on the wall that is skipped or repeated.
    local: String,
    /// How many times on the wall.
    count: u64,
    /// `at-the-jump`, `skipped`, `once` or `twice`.
    effect: &'static str,
}

pub(crate) fn run(arguments: &ExpressionArguments) -> Result<ExitCode, CliError> {
    let (schedule, after) = schedule_next::compile(arguments)?;
    let explanation = explain(arguments, &schedule, after);
    if arguments.output == Format::Json {
        output::json(&explanation);
        return Ok(ExitCode::SUCCESS);
    }
    let Explanation { canonical, dialect, time_zone, meaning, next, left_out, traps, .. } =
        &explanation;
    let mut lines = vec![
        format!("{meaning}, in {time_zone}"),
        String::new(),
        format!("  canonical  {canonical}"),
        format!("  dialect    {dialect}"),
    ];
    for (index, instant) in next.iter().enumerate() {
        let head = if index == 0 { "next" } else { "" };
        lines.push(format!("  {head:9}  {}", instant.at));
    }
    if next.is_empty() {
        lines.push("  next       never".to_owned());
    }
    for (index, LeftOutInstant { instant, excluded_by }) in left_out.iter().enumerate() {
        let head = if index == 0 { "left out" } else { "" };
        let why = match excluded_by {
            Some(calendar) => format!("a day of `{calendar}`"),
            None => "no day that is included".to_owned(),
        };
        lines.push(format!("  {head:9}  {}  {why}", instant.at));
    }
    for (index, change) in traps.iter().enumerate() {
        let head = if index == 0 { "clocks" } else { "" };
        lines.push(format!("  {head:9}  {}", sentence(change)));
    }
    if traps.is_empty() {
        lines.push(
            "  clocks     no change of the clocks in the next two years touches it".to_owned(),
        );
    }
    output::line(&lines.join("\n"));
    Ok(ExitCode::SUCCESS)
}

fn explain(arguments: &ExpressionArguments, schedule: &Schedule, after: Timestamp) -> Explanation {
    let zone = schedule.zone();
    let change = |trap: Trap| Change {
        at: in_zone(trap.at, zone),
        change_s: trap.change_s,
        local: trap.local.to_string().trim_end_matches('Z').to_owned(),
        count: trap.count,
        effect: match trap.effect {
            TrapEffect::AtTheJump => "at-the-jump",
            TrapEffect::Skipped => "skipped",
            TrapEffect::Once => "once",
            TrapEffect::Twice => "twice",
        },
    };
    let until = after + Span::from_secs(AHEAD_S);
    Explanation {
        expression: arguments.expression.clone(),
        canonical: schedule.to_string(),
        dialect: timeball_schedule::language::Dialect::from(arguments.dialect).name(),
        time_zone: zone.name().to_owned(),
        meaning: schedule.describe(),
        left_out: left_out(arguments, schedule, after),
        next: schedule_next::next(schedule, after, arguments.count),
        traps: schedule.traps(after, until).into_iter().map(change).collect(),
    }
}

/// The instants that are there without calendars only.
fn left_out(
    arguments: &ExpressionArguments,
    schedule: &Schedule,
    after: Timestamp,
) -> Vec<LeftOutInstant> {
    let horizon = after + Span::from_secs(AHEAD_S);
    let mut until = after;
    for _ in 0..arguments.count {
        until = schedule.next_after(until).unwrap_or(horizon);
    }
    let mut found = Vec::new();
    let mut at = after;
    while found.len() < arguments.count as usize
        && let Some(LeftOut { at: next, excluded_by }) = schedule.next_left_out(at, horizon)
        && (next < until || found.is_empty())
    {
        let instant = Instant::of(next, schedule.zone());
        found.push(LeftOutInstant { instant, excluded_by: excluded_by.map(str::to_owned) });
        at = next;
    }
    found
}

fn sentence(change: &Change) -> String {
    let Change { at, change_s, local, count, effect } = change;
    let minutes = change_s.abs() / 60;
    let way = if *change_s > 0 { "forward" } else { "back" };
    let time = local.split_once('T').map_or(local.as_str(), |(_, time)| time);
    let (times, verb) = match count {
        1 => (time.to_owned(), "s"),
        count => (format!("{count} times from {time} on"), ""),
    };
    let become_of_it = match *effect {
        "at-the-jump" => format!(
            "{times} do{e} not exist, run{verb} right after the jump",
            e = if *count == 1 { "es" } else { "" }
        ),
        "skipped" => format!(
            "{times} do{e} not exist, do{e} not run",
            e = if *count == 1 { "es" } else { "" }
        ),
        "once" => format!("{times} come{verb} twice, run{verb} the first time only"),
        _ => format!("{times} come{verb} twice, run{verb} twice"),
    };
    format!("{at}  {minutes} min {way}: {become_of_it}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        explain: ExpressionArguments,
    }

    #[test]
    fn instants_that_calendars_leave_out_are_shown_beside_those_that_stay() {
        let name = format!("timeball-explain-{}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let calendar = "apiVersion: timeball.dev/v1alpha1\nkind: Calendar\n\
            metadata: { name: holidays }\n\
            spec: { days: [{ from: 2026-12-24, to: 2026-12-26 }, { cron: '* * SUN' }] }\n";
        std::fs::write(&path, calendar).unwrap();
        let file = path.to_str().unwrap();
        let line = ["explain", "0 9 * * *", "--after", "2026-12-22T12:00:00Z", "-n", "3"];
        let line = Line::parse_from(line.into_iter().chain(["--exclude", file]));
        let (schedule, after) = schedule_next::compile(&line.explain).unwrap();
        std::fs::remove_file(&path).unwrap();
        let explanation = explain(&line.explain, &schedule, after);
        assert_eq!(explanation.meaning, "at 09:00, every day, not on days of `holidays`");
        let day = |instant: &Instant| instant.at[8..10].to_owned();
        let next: Vec<String> = explanation.next.iter().map(day).collect();
        assert_eq!(next, ["23", "28", "29"]);
        let left_out: Vec<String> =
            explanation.left_out.iter().map(|it| day(&it.instant)).collect();
        assert_eq!(left_out, ["24", "25", "26"]);
        assert_eq!(explanation.left_out[0].excluded_by.as_deref(), Some("holidays"));
        let wrong = Line::parse_from(["explain", "@daily", "--include", "/nonexistent"]);
        let error = schedule_next::compile(&wrong.explain).unwrap_err();
        let said = format!("{error:?}");
        assert!(said.contains("--include /nonexistent: cannot be read"), "{said}");
    }
}
