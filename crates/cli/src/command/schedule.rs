//! `timeball schedule …`: schedules of a running `up`, and files.

use crate::arguments::{AskArguments, HistoryArguments, ScheduleCommand};
use crate::command::{
    schedule_control, schedule_explain, schedule_files, schedule_next, schedule_show,
};
use crate::error::CliError;
use crate::output::{self, Format, length, span};
use crate::state_client;
use std::process::ExitCode;
use timeball_api::schedules::{Counts, Event, History, LeftOut, Outcome, Schedule, Schedules};
use timeball_timebase::Timestamp;

pub(crate) fn run(command: ScheduleCommand) -> Result<ExitCode, CliError> {
    match command {
        ScheduleCommand::Next(arguments) => schedule_next::run(&arguments),
        ScheduleCommand::Explain(arguments) => schedule_explain::run(&arguments),
        ScheduleCommand::Import(arguments) => schedule_files::import(&arguments),
        ScheduleCommand::Export(arguments) => schedule_files::export(&arguments),
        ScheduleCommand::List(arguments) => list(&arguments),
        ScheduleCommand::Show(arguments) => schedule_show::run(&arguments),
        ScheduleCommand::Pause(arguments) => schedule_control::pause(&arguments),
        ScheduleCommand::Resume(arguments) => schedule_control::resume(&arguments),
        ScheduleCommand::Run(arguments) => schedule_control::run(&arguments),
        ScheduleCommand::Backfill(arguments) => schedule_control::backfill(&arguments),
        ScheduleCommand::Diff(arguments) => schedule_control::diff(&arguments),
        ScheduleCommand::Reload(arguments) => schedule_control::reload(&arguments),
        ScheduleCommand::History(arguments) => history(&arguments),
    }
}

fn list(arguments: &AskArguments) -> Result<ExitCode, CliError> {
    let state = state_client::state_directory(&arguments.state)?;
    let all: Schedules = state_client::get(&state, "/v1/schedules")?;
    if arguments.output == Format::Json {
        output::json(&all);
        return Ok(ExitCode::SUCCESS);
    }
    if all.schedules.is_empty() {
        output::talk("no schedules: `timeball up` says in which directory their files belong");
    } else {
        output::line(&schedule_table(&all.schedules));
    }
    let with_days: Vec<&Schedule> = all
        .schedules
        .iter()
        .filter(|it| !(it.include.is_empty() && it.exclude.is_empty()))
        .collect();
    if !with_days.is_empty() {
        output::line("");
        let rows = with_days.into_iter().map(days_row).collect();
        let header = ["NAME", "ONLY ON DAYS OF", "NOT ON DAYS OF", "NEXT LEFT OUT", "BY"];
        output::line(&output::table(&header, rows, &[(header[1], 13), (header[2], 13)]));
    }
    for problem in &all.problems {
        output::talk(&format!("warning: {}: {}", problem.file, problem.message));
    }
    Ok(ExitCode::SUCCESS)
}

/// The schedules, a row each; an outcome that none of them has makes no column.
fn schedule_table(schedules: &[Schedule]) -> String {
    type Count = fn(&Counts) -> u64;
    let counts: [(&str, Count); 5] = [
        ("FIRED", |counts| counts.fired),
        ("SKIPPED", |counts| counts.skipped),
        ("MISSED", |counts| counts.missed),
        ("FAILED", |counts| counts.failed),
        ("UNKNOWN", |counts| counts.unknown),
    ];
    let is_shown = |(name, count): &(&str, Count)| {
        *name == "FIRED" || schedules.iter().any(|schedule| count(&schedule.counts) > 0)
    };
    let counts: Vec<(&str, Count)> = counts.into_iter().filter(is_shown).collect();
    let mut header = vec!["NAME", "SCHEDULE", "ZONE", "NEXT"];
    header.extend(counts.iter().map(|(name, _)| name));
    header.extend(["LATE P50", "MAX"]);
    let row = |schedule: &Schedule| {
        let mut row = schedule_row(schedule).to_vec();
        row.extend(counts.iter().map(|(_, count)| count(&schedule.counts).to_string()));
        row.extend([schedule.lateness.p50_ns, schedule.lateness.max_ns].map(lateness));
        row
    };
    output::table(
        &header,
        schedules.iter().map(row).collect(),
        &[("NAME", 24), ("SCHEDULE", 18), ("ZONE", 18)],
    )
}

/// A schedule's name as commands take it.
fn name(schedule: &Schedule) -> String {
    match schedule.namespace.as_str() {
        "default" => schedule.name.clone(),
        namespace => format!("{namespace}/{}", schedule.name),
    }
}

/// What a schedule is, and when it is next.
fn schedule_row(schedule: &Schedule) -> [String; 4] {
    let next = match schedule.next_ns.first() {
        _ if schedule.suspended => "suspended".to_owned(),
        _ if schedule.paused.is_some() => "paused".to_owned(),
        Some(&at) => Timestamp::from_unix_nanos(at).to_string(),
        None => "never".to_owned(),
    };
    [name(schedule), schedule.schedule.clone(), schedule.time_zone.clone(), next]
}

/// The calendars of a schedule, and what they do to it next.
fn days_row(schedule: &Schedule) -> Vec<String> {
    let (at, by) = match &schedule.left_out {
        None => ("none in two years".to_owned(), String::new()),
        Some(LeftOut { at_ns, excluded_by }) => (
            Timestamp::from_unix_nanos(*at_ns).to_string(),
            excluded_by.clone().unwrap_or_else(|| "(no included day)".to_owned()),
        ),
    };
    vec![name(schedule), schedule.include.join(", "), schedule.exclude.join(", "), at, by]
}

fn lateness(nanos: Option<i64>) -> String {
    nanos.map_or_else(|| "-".to_owned(), |nanos| length(Some(nanos)))
}

fn history(arguments: &HistoryArguments) -> Result<ExitCode, CliError> {
    let state = state_client::state_directory(&arguments.ask.state)?;
    let path =
        format!("{}/history?limit={}", state_client::path_of(&arguments.name)?, arguments.count);
    let history: History = state_client::get(&state, &path)?;
    if arguments.ask.output == Format::Json {
        output::json(&history);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = history.outcomes.iter().map(outcome_row).collect();
    let header = ["SCHEDULED", "COUNT", "RESULT", "LATE", "CLOCK ±", "TOOK", "DETAILS"];
    output::line(&output::table(
        &header,
        rows,
        &[("SCHEDULED", 24), ("RESULT", 13), ("DETAILS", 13)],
    ));
    if !history.events.is_empty() {
        output::line("");
        let rows = history.events.iter().map(event_row).collect();
        output::line(&output::table(
            &["WHEN", "WHAT", "BY", "WHY"],
            rows,
            &[("WHAT", 30), ("BY", 13), ("WHY", 13)],
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn event_row(event: &Event) -> Vec<String> {
    let at = |nanos: Option<i64>| Timestamp::from_unix_nanos(nanos.unwrap_or_default());
    let what = match event.count {
        0 => event.kind.clone(),
        1 => format!("{} of {}", event.kind, at(event.from_ns)),
        count => {
            let (from, until) = (at(event.from_ns), at(event.until_ns));
            format!("{} of {count}, {from} … {until}", event.kind)
        }
    };
    vec![at(Some(event.at_ns)).to_string(), what, event.by.clone(), event.why.clone()]
}

fn outcome_row(outcome: &Outcome) -> Vec<String> {
    let from = Timestamp::from_unix_nanos(outcome.scheduled_ns);
    let scheduled = if outcome.count > 1 {
        format!("{from} … {}", Timestamp::from_unix_nanos(outcome.until_ns))
    } else {
        from.to_string()
    };
    let mut result = match outcome.reason.as_str() {
        "" => outcome.result.clone(),
        reason => format!("{} ({reason})", outcome.result),
    };
    if outcome.trigger != "schedule" {
        result += &format!(", {}", outcome.trigger);
    }
    let known = |nanos: Option<i64>| nanos.map(|nanos| span(Some(nanos))).unwrap_or_default();
    let bound = match (outcome.lateness_ns, outcome.clock_bound_ns) {
        (None, _) => String::new(),
        (Some(_), bound) => length(bound),
    };
    vec![
        scheduled,
        outcome.count.to_string(),
        result,
        known(outcome.lateness_ns),
        bound,
        outcome.duration_ns.map(|nanos| length(Some(nanos))).unwrap_or_default(),
        if outcome.message.is_empty() { &outcome.explanation } else { &outcome.message }.clone(),
    ]
}
