//! `timeball status`: what a running `up` knows.

use crate::arguments::StatusArguments;
use crate::error::CliError;
use crate::output::{self, Format, Style, length, span, styled};
use crate::state_client;
use std::process::ExitCode;
use timeball_api::status::{Source, Status};

pub(crate) fn run(arguments: &StatusArguments) -> Result<ExitCode, CliError> {
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
    let rows = status.sources.iter().map(source_row).collect();
    let header = ["SOURCE", "STATE", "STRATUM", "REACH", "POLL", "OFFSET", "DELAY", "PROBLEM"];
    lines.push(output::table(&header, rows));
    for notice in &status.notices {
        let style = if notice.severity == "info" { Style::Dim } else { Style::Warning };
        lines.push(String::new());
        lines.push(styled(&format!("{}: {}", notice.reason, notice.message), style));
    }
    lines.join("\n")
}

/// How right the clock is, in one sentence.
pub(crate) fn sentence(status: &Status) -> String {
    let clock = &status.clock;
    match (clock.offset_ns, clock.bound_ns) {
        (Some(offset), Some(bound)) => {
            let side = if offset < 0 { "ahead of" } else { "behind" };
            format!(
                "The clock of {} is {} {side} UTC, certainly within ±{} of that ({}).",
                status.hostname,
                length(Some(offset.saturating_abs())),
                length(Some(bound)),
                clock.state
            )
        }
        _ => {
            format!("How wrong the clock of {} is, is unknown ({}).", status.hostname, clock.state)
        }
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
        source.problem.clone().unwrap_or_default(),
    ]
}
