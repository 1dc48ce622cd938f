//! `timeball schedule show`: all that is known of one schedule.

use crate::arguments::ShowArguments;
use crate::error::CliError;
use crate::output::{self, Format, ahead, in_one_line, length};
use crate::state_client;
use std::process::ExitCode;
use timeball_api::schedules::{Counts, Lateness, LatenessBucket, Schedule, Schedules};
use timeball_timebase::{Span, Timestamp};

/// The longest bar of the histogram, in characters.
const BAR_MAX: u64 = 40;

pub(crate) fn run(arguments: &ShowArguments) -> Result<ExitCode, CliError> {
    let state = state_client::state_directory(&arguments.ask.state)?;
    let all: Schedules = state_client::get(&state, "/v1/schedules")?;
    let (namespace, name) = state_client::named(&arguments.name)?;
    let found = all.schedules.iter().find(|it| it.namespace == namespace && it.name == name);
    let Some(schedule) = found else {
        let error = format!("there is no schedule {namespace}/{name}");
        return Err(CliError::failed(error).hint("`timeball schedule list` shows those there are"));
    };
    if arguments.ask.output == Format::Json {
        output::json(schedule);
    } else {
        let now = timeball_runtime::read_clocks().system;
        output::line(&text(schedule, now));
    }
    for problem in &all.problems {
        output::talk(&format!("warning: {}: {}", problem.file, problem.message));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(schedule: &Schedule, now: Timestamp) -> String {
    let mut lines = vec![
        format!("{}/{}", schedule.namespace, schedule.name),
        line("schedule", &format!("{} in {}", schedule.schedule, schedule.time_zone)),
        line("target", &schedule.target),
        line("state", &state(schedule)),
    ];
    lines.extend(days(schedule).map(|days| line("days", &days)));
    lines.push(line("outcomes", &counts(&schedule.counts)));
    if schedule.requested != Counts::default() {
        lines.push(line("asked for", &counts(&schedule.requested)));
    }
    if schedule.failures > 0 {
        let pause = schedule
            .pause_on_failure
            .map_or_else(String::new, |most| format!("; after {most} it pauses itself"));
        lines.push(line("failures", &format!("{} in a row{pause}", schedule.failures)));
    }
    if let Some(last) = &schedule.last {
        let at = Timestamp::from_unix_nanos(last.until_ns);
        let why = if last.message.is_empty() { &last.explanation } else { &last.message };
        let said = [last.result.as_str(), last.reason.as_str(), &in_one_line(why)];
        let said: Vec<&str> = said.into_iter().filter(|said| !said.is_empty()).collect();
        lines.push(line("last", &format!("{at}  {}", said.join(", "))));
    }
    lines.extend(next(schedule, now));
    lines.extend(lateness(&schedule.lateness));
    lines.join("\n")
}

fn line(head: &str, text: &str) -> String {
    format!("  {head:9}  {text}")
}

/// Whether it fires, and if not, why.
fn state(schedule: &Schedule) -> String {
    let mut words = Vec::new();
    if schedule.suspended {
        words.push("suspended by its file".to_owned());
    }
    if let Some(pause) = &schedule.paused {
        let since = Timestamp::from_unix_nanos(pause.at_ns);
        let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
        words.push(format!("paused since {since} by {}{why}", pause.by));
    }
    if schedule.next_ns.is_empty() {
        words.push("no instant is ahead".to_owned());
    }
    if words.is_empty() {
        words.push("fires at its instants".to_owned());
    }
    if schedule.running > 0 {
        words.push(format!("{} running", schedule.running));
    }
    in_one_line(&words.join(", "))
}

/// What calendars do to it, if it has any.
fn days(schedule: &Schedule) -> Option<String> {
    let of = |what: &str, calendars: &[String]| {
        (!calendars.is_empty()).then(|| format!("{what} those of {}", calendars.join(", ")))
    };
    let words = [of("only", &schedule.include), of("not", &schedule.exclude)];
    let mut words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() {
        return None;
    }
    if let Some(left_out) = &schedule.left_out {
        let at = Timestamp::from_unix_nanos(left_out.at_ns);
        let by = left_out.excluded_by.as_ref().map(|by| format!(" (`{by}`)"));
        words.push(format!("next left out is {at}{}", by.unwrap_or_default()));
    }
    Some(words.join("; "))
}

fn counts(counts: &Counts) -> String {
    let Counts { fired, missed, skipped, failed, unknown } = *counts;
    let others =
        [(missed, "missed"), (skipped, "skipped"), (failed, "failed"), (unknown, "unknown")];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    let others = others.map(|(count, name)| format!(", {count} {name}"));
    format!("{fired} fired{}", others.collect::<String>())
}

/// The next instants, and how far away they are.
fn next(schedule: &Schedule, now: Timestamp) -> impl Iterator<Item = String> {
    schedule.next_ns.iter().enumerate().map(move |(index, at)| {
        let at = Timestamp::from_unix_nanos(*at);
        let wait = at - now;
        let wait = match wait.as_millis() / 1_000 {
            seconds if seconds >= 2 => format!("in {}", ahead(seconds)),
            _ if wait.is_negative() => "now".to_owned(),
            _ => format!("in {}", length(Some(wait.as_nanos()))),
        };
        line(if index == 0 { "next" } else { "" }, &format!("{at}  {wait}"))
    })
}

/// How late fires were, as a bar for each range that has some.
fn lateness(lateness: &Lateness) -> Vec<String> {
    let Lateness { p50_ns: Some(p50), p99_ns: Some(p99), max_ns: Some(max), histogram } = lateness
    else {
        return Vec::new();
    };
    let [p50, p99, max] = [p50, p99, max].map(|nanos| length(Some(*nanos)));
    let mut lines = vec![line("late", &format!("p50 {p50}, p99 {p99}, at most {max}"))];
    let most = histogram.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
    let last = histogram.iter().rposition(|bucket| bucket.count > 0).map_or(0, |last| last + 1);
    let shown = histogram[..last].iter().skip_while(|bucket| bucket.count == 0);
    for LatenessBucket { upper_ns, count } in shown {
        let upper = upper_ns.map_or_else(
            || "more".to_owned(),
            |nanos| format!("≤ {}", length(Some(Span::from_nanos(nanos).as_nanos()))),
        );
        let bar = "█".repeat((count * BAR_MAX).div_ceil(most) as usize);
        lines.push(line("", &format!("{upper:>12} {bar} {count}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_api::schedules::{LeftOut, Outcome, Pause};

    const NOON_NS: i64 = 1_795_000_000_000_000_000;

    #[test]
    fn all_that_is_known_of_a_schedule_is_shown() {
        let bucket = |upper_ns, count| LatenessBucket { upper_ns, count };
        let schedule = Schedule {
            namespace: "default".to_owned(),
            name: "flush".to_owned(),
            schedule: "@every 1s".to_owned(),
            time_zone: "Etc/UTC".to_owned(),
            target: "exec true".to_owned(),
            paused: Some(Pause {
                at_ns: NOON_NS,
                by: "uid 0".to_owned(),
                why: "a test".to_owned(),
            }),
            failures: 1,
            pause_on_failure: Some(3),
            next_ns: vec![NOON_NS + 250_000_000, NOON_NS + 7_200_000_000_000],
            exclude: vec!["holidays".to_owned()],
            left_out: Some(LeftOut { at_ns: NOON_NS, excluded_by: Some("holidays".to_owned()) }),
            last: Some(Outcome {
                result: "failed".to_owned(),
                reason: "ExitStatus".to_owned(),
                message: "exit status 1; output: a\nb".to_owned(),
                until_ns: NOON_NS,
                ..Outcome::default()
            }),
            counts: Counts { fired: 44, failed: 1, ..Counts::default() },
            lateness: Lateness {
                p50_ns: Some(20_000),
                p99_ns: Some(60_000),
                max_ns: Some(2_000_000),
                histogram: vec![
                    bucket(Some(10_000), 0),
                    bucket(Some(50_000), 40),
                    bucket(Some(100_000), 4),
                    bucket(None, 1),
                ],
            },
            running: 1,
            ..Schedule::default()
        };
        let expected = format!(
            "default/flush\n  \
             schedule   @every 1s in Etc/UTC\n  \
             target     exec true\n  \
             state      paused since 2026-11-18T11:06:40Z by uid 0: a test, 1 running\n  \
             days       not those of holidays; \
             next left out is 2026-11-18T11:06:40Z (`holidays`)\n  \
             outcomes   44 fired, 1 failed\n  \
             failures   1 in a row; after 3 it pauses itself\n  \
             last       2026-11-18T11:06:40Z  failed, ExitStatus, exit status 1; output: a ⏎ b\n  \
             next       2026-11-18T11:06:40.250Z  in 250.00 ms\n             \
             2026-11-18T13:06:40Z  in 2 h\n  \
             late       p50 20.0 µs, p99 60.0 µs, at most 2.00 ms\n                \
             ≤ 50.0 µs {} 40\n               \
             ≤ 100.0 µs ████ 4\n                     \
             more █ 1",
            "█".repeat(40)
        );
        assert_eq!(text(&schedule, Timestamp::from_unix_nanos(NOON_NS)), expected);
    }
}
