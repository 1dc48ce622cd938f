//! `timeball schedule next`: the instants an expression means.

use crate::arguments::{DialectName, DstName, NextArguments};
use crate::error::CliError;
use crate::output::{self, Format};
use serde::Serialize;
use std::process::ExitCode;
use timeball_schedule::language::{Dialect, DstPolicy, Schedule, Zone};
use timeball_timebase::{Span, Timestamp};

/// One instant, as the JSON shows it.
#[derive(Serialize)]
struct Instant {
    /// RFC 3339 with the zone's offset.
    at: String,
    /// RFC 3339 in UTC.
    utc: String,
}

pub(crate) fn run(arguments: &NextArguments) -> Result<ExitCode, CliError> {
    let zone = timeball_scheduler::Zones::new()
        .zone(&arguments.zone)
        .map_err(|error| CliError::usage(format!("--tz: {error}")))?;
    let dst = arguments.dst.map(DstPolicy::from);
    let schedule = Schedule::parse(&arguments.expression, arguments.dialect.into(), &zone, dst)
        .map_err(|error| {
            let pointer = " ".repeat(error.position.min(arguments.expression.len()));
            CliError::usage(format!("{error}\n  {}\n  {pointer}^", arguments.expression))
        })?;
    let instants = next(&schedule, &zone, after(arguments)?, arguments.count);
    if instants.is_empty() {
        output::talk("the expression is valid, but no instant follows");
    }
    match arguments.output {
        Format::Json => {
            output::json(&instants);
        }
        Format::Table => {
            for instant in &instants {
                if !output::line(&instant.at) {
                    break;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn next(schedule: &Schedule, zone: &Zone, after: Timestamp, count: u32) -> Vec<Instant> {
    let mut at = after;
    let mut instants = Vec::new();
    while instants.len() < count as usize {
        let Some(next) = schedule.next_after(at) else { break };
        at = next;
        instants.push(Instant { at: in_zone(at, zone), utc: at.to_string() });
    }
    instants
}

fn in_zone(at: Timestamp, zone: &Zone) -> String {
    let offset_s = i64::from(zone.offset_s_at(at));
    let local = (at + Span::from_secs(offset_s)).to_string();
    let sign = if offset_s < 0 { '-' } else { '+' };
    let minutes = offset_s.abs() / 60;
    format!("{}{sign}{:02}:{:02}", local.trim_end_matches('Z'), minutes / 60, minutes % 60)
}

fn after(arguments: &NextArguments) -> Result<Timestamp, CliError> {
    let Some(text) = &arguments.after else {
        return Ok(timeball_runtime::read_clocks().system);
    };
    let instant: jiff::Timestamp = text.parse().map_err(|error| {
        CliError::usage(format!("--after {text}: {error}"))
            .hint("write it as RFC 3339 with an offset, for example 2026-12-01T08:00:00Z")
    })?;
    Ok(Timestamp::from_unix(instant.as_second(), i64::from(instant.subsec_nanosecond())))
}

impl From<DialectName> for Dialect {
    fn from(name: DialectName) -> Self {
        match name {
            DialectName::Vixie => Self::Vixie,
            DialectName::Kubernetes => Self::Kubernetes,
            DialectName::Quartz => Self::Quartz,
            DialectName::Ocps => Self::Ocps,
            DialectName::Systemd => Self::Systemd,
        }
    }
}

impl From<DstName> for DstPolicy {
    fn from(name: DstName) -> Self {
        match name {
            DstName::Vixie => Self::Vixie,
            DstName::Kubernetes => Self::Kubernetes,
            DstName::Ocps => Self::Ocps,
        }
    }
}
