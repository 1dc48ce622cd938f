//! `timeball agent --set-and-go`: the clock is set once, and that is all.

use super::agent::{init_logging, read_config};
use super::status;
use crate::arguments::{AgentArguments, VERSION};
use crate::error::CliError;
use crate::output::{self, Format, Style, length, styled};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use timeball_agent::{AdjustError, AgentOptions, SetOnce, SetOnceError, set_once};
use timeball_api::status::Source;
use timeball_runtime::{Shutdown, signals};

/// What was found and done, as the JSON shows it.
#[derive(Debug, Serialize)]
struct Done<'a> {
    hostname: &'a str,
    /// Whether the clock was set; it is not in mode `observe`.
    set: bool,
    /// UTC less the clock as it was found, positive where it was behind.
    offset_ns: i64,
    /// Largest error of that.
    bound_ns: i64,
    /// UTC less the clock right after it was set.
    left_ns: Option<i64>,
    sources: &'a [Source],
}

pub(crate) fn run(arguments: &AgentArguments) -> Result<ExitCode, CliError> {
    let config = read_config(&arguments.config)?;
    init_logging("warn")?;
    let shutdown = Shutdown::new();
    signals::forward_to(shutdown.clone()).map_err(CliError::failed)?;
    let options = AgentOptions {
        version: VERSION.to_owned(),
        trace: arguments.trace.clone(),
        ..AgentOptions::default()
    };
    let timeout = Duration::from_secs_f64(arguments.timeout);
    let found = set_once(config, options, timeout, &shutdown).map_err(|error| failure(&error))?;
    let done = Done {
        hostname: &found.status.hostname,
        set: found.left.is_some(),
        offset_ns: found.offset.as_nanos(),
        bound_ns: found.bound.as_nanos(),
        left_ns: found.left.map(|left| left.as_nanos()),
        sources: &found.status.sources,
    };
    match arguments.output {
        Format::Json => output::json(&done),
        Format::Table => output::line(&text(&done, &found)),
    };
    Ok(ExitCode::SUCCESS)
}

fn text(done: &Done<'_>, found: &SetOnce) -> String {
    let (was, end) = match found.left {
        Some(left) => (
            "was",
            format!(
                "it was set, and is {} off now",
                length(Some(left.as_nanos().saturating_abs()))
            ),
        ),
        None => ("is", "mode is observe, so it was not set".to_owned()),
    };
    let side = if done.offset_ns < 0 { "ahead of" } else { "behind" };
    let sentence = format!(
        "The clock of {} {was} {} {side} UTC, certainly within ±{} of that; {end}.",
        done.hostname,
        length(Some(done.offset_ns.saturating_abs())),
        length(Some(done.bound_ns)),
    );
    format!("{}\n\n{}", styled(&sentence, Style::Bold), status::table(done.sources))
}

fn failure(error: &SetOnceError) -> CliError {
    let failed = CliError::failed(error);
    match error {
        SetOnceError::NoMajority { .. } => {
            failed.hint("`timeball query` shows each server; --timeout waits longer")
        }
        SetOnceError::Write(AdjustError::NotPermitted) => {
            failed.hint("run it as root, or give it the capability CAP_SYS_TIME")
        }
        _ => failed,
    }
}
