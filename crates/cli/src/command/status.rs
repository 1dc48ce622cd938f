//! `timeball status`: what a running `up` knows.

use crate::arguments::AskArguments;
use crate::error::CliError;
use crate::output::{self, Format, Style, length, span, styled};
use crate::state_client;
use std::process::ExitCode;
use timeball_api::status::{Clock, Source, Status};

pub(crate) fn run(arguments: &AskArguments) -> Result<ExitCode, CliError> {
    let state = state_client::state_directory(&arguments.state)?;
    let status: Status = state_client::get(&state, "/v1/status")?;
    match arguments.output {
        Format::Json => output::json(&status),
        Format::Table => output::line(&text(&status)),
    };
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> String {
    let mut lines = vec![styled(&sentence(status), Style::Bold), String::new()];
    lines.push(table(&status.sources));
    for notice in &status.notices {
        let style = if notice.severity == "info" { Style::Dim } else { Style::Warning };
        lines.push(String::new());
        lines.push(styled(&format!("{}: {}", notice.reason, notice.message), style));
    }
    lines.join("\n")
}

/// The sources, a row each, and what is wrong with which below.
pub(crate) fn table(sources: &[Source]) -> String {
    let header = ["SOURCE", "STATE", "STRATUM", "REACH", "POLL", "OFFSET", "DELAY"];
    let rows = sources.iter().map(source_row).collect();
    let mut text = output::table(&header, rows, &[("SOURCE", 20)]);
    for Source { name, problem, .. } in sources {
        if let Some(problem) = problem {
            text += &format!("\n {name}: {}", output::in_one_line(problem));
        }
    }
    text
}

/// How right the clock is, in one sentence.
pub(crate) fn sentence(status: &Status) -> String {
    let clock = &status.clock;
    match (clock.offset_ns, clock.bound_ns) {
        (Some(offset), Some(bound)) => {
            let side = if offset < 0 { "ahead of" } else { "behind" };
            format!(
                "The clock of {} is {} {side} UTC, certainly within {} of that ({}).",
                status.hostname,
                length(Some(offset.saturating_abs())),
                certain(clock, offset, bound),
                clock.state
            )
        }
        _ => {
            format!("How wrong the clock of {} is, is unknown ({}).", status.hostname, clock.state)
        }
    }
}

/// How far true time can be from the estimate: `±50.0 µs`, or both ways (later is positive) where
/// the nearer end is notably nearer than the bound.
fn certain(clock: &Clock, offset: i64, bound: i64) -> String {
    let ends = clock.earliest_offset_ns.zip(clock.latest_offset_ns);
    let ends = ends
        .map(|(earliest, latest)| (earliest.saturating_sub(offset), latest.saturating_sub(offset)));
    let notably = |ns: &i64| ns.unsigned_abs() < bound.unsigned_abs() / 10 * 9;
    match ends.filter(|(earliest, latest)| notably(earliest) || notably(latest)) {
        Some((earliest, latest)) => format!("{} and {}", span(Some(earliest)), span(Some(latest))),
        None => format!("±{}", length(Some(bound))),
    }
}

fn source_row(source: &Source) -> Vec<String> {
    vec![
        source.name.clone(),
        source.selection.clone(),
        if source.stratum == 0 { "-".to_owned() } else { source.stratum.to_string() },
        format!("{:08b}", source.reach),
        format!("{} s", source.poll_interval_s),
        span(source.offset_ns),
        length(source.delay_ns),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_told_where_one_is_notably_nearer() {
        let with = |earliest, latest| {
            let clock = Clock {
                state: "synchronized".to_owned(),
                offset_ns: Some(-7_000),
                bound_ns: Some(50_000),
                earliest_offset_ns: earliest,
                latest_offset_ns: latest,
                ..Clock::default()
            };
            sentence(&Status { hostname: "a".to_owned(), clock, ..Status::default() })
        };
        let even = "The clock of a is 7.0 µs ahead of UTC, certainly within ±50.0 µs of that \
                    (synchronized).";
        assert_eq!(with(Some(-57_000), Some(43_000)), even);
        assert_eq!(with(Some(-56_000), Some(43_000)), even);
        assert_eq!(with(None, None), even);
        let leaning = with(Some(-17_000), Some(43_000));
        assert!(leaning.contains("certainly within -10.0 µs and +50.0 µs of that"), "{leaning}");
    }
}
