//! `timeball schedule next`: the instants an expression means.

use crate::arguments::{DialectName, DstName, ExpressionArguments};
use crate::error::CliError;
use crate::output::{self, Format};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use timeball_schedule::language::{DayCalendar, Dialect, DstPolicy, Schedule, Zone};
use timeball_scheduler::{Zones, read_calendars};
use timeball_timebase::{Span, Timestamp};

/// One instant, as the JSON shows it.
#[derive(Serialize)]
pub(crate) struct Instant {
    /// RFC 3339 with the zone's offset.
    pub(crate) at: String,
    /// RFC 3339 in UTC.
    pub(crate) utc: String,
}

impl Instant {
    pub(crate) fn of(at: Timestamp, zone: &Zone) -> Self {
        Self { at: in_zone(at, zone), utc: at.to_string() }
    }
}

pub(crate) fn run(arguments: &ExpressionArguments) -> Result<ExitCode, CliError> {
    let (schedule, after) = compile(arguments)?;
    let instants = next(&schedule, after, arguments.count);
    if instants.is_empty() {
        output::talk("the expression is valid, but no instant follows");
    }
    match arguments.output {
        Format::Json => {
            output::json(&instants);
        }
        Format::Table => {
            for instant in &instants {
                if output::write_line(&instant.at).is_err() {
                    break;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles the expression of a command line, and gives the moment from which instants are asked.
pub(crate) fn compile(arguments: &ExpressionArguments) -> Result<(Schedule, Timestamp), CliError> {
    let mut zones = Zones::new();
    let zone =
        zones.zone(&arguments.zone).map_err(|error| CliError::usage(format!("--tz: {error}")))?;
    let include = calendars("--include", &arguments.include, &mut zones)?;
    let exclude = calendars("--exclude", &arguments.exclude, &mut zones)?;
    let (text, dialect) = (&arguments.expression, arguments.dialect.into());
    let dst = arguments.dst.map(DstPolicy::from);
    let schedule = match arguments.seed {
        Some(seed) => Schedule::parse_seeded(text, dialect, &zone, dst, seed),
        None => Schedule::parse(text, dialect, &zone, dst),
    };
    let schedule = schedule.map_err(|error| {
        let pointer = " ".repeat(error.position.min(text.len()));
        CliError::usage(format!("{error}\n  {text}\n  {pointer}^"))
    })?;
    Ok((schedule.on_days(&include, &exclude), after(arguments)?))
}

/// The calendars of files.
fn calendars(
    option: &str,
    files: &[PathBuf],
    zones: &mut Zones,
) -> Result<Vec<DayCalendar>, CliError> {
    let mut all = Vec::new();
    for file in files {
        let calendars = read_calendars(file, zones)
            .map_err(|why| CliError::usage(format!("{option} {}: {why}", file.display())))?;
        all.extend(calendars);
    }
    Ok(all)
}

/// The next instants after a moment.
pub(crate) fn next(schedule: &Schedule, after: Timestamp, count: u32) -> Vec<Instant> {
    let mut at = after;
    let mut instants = Vec::new();
    while instants.len() < count as usize {
        let Some(next) = schedule.next_after(at) else { break };
        at = next;
        instants.push(Instant::of(at, schedule.zone()));
    }
    instants
}

/// RFC 3339 with the zone's offset.
pub(crate) fn in_zone(at: Timestamp, zone: &Zone) -> String {
    let offset_s = i64::from(zone.offset_s_at(at));
    let local = (at + Span::from_secs(offset_s)).to_string();
    let sign = if offset_s < 0 { '-' } else { '+' };
    let minutes = offset_s.abs() / 60;
    format!("{}{sign}{:02}:{:02}", local.trim_end_matches('Z'), minutes / 60, minutes % 60)
}

fn after(arguments: &ExpressionArguments) -> Result<Timestamp, CliError> {
    let Some(text) = &arguments.after else {
        return Ok(timeball_runtime::read_clocks().system);
    };
    instant("--after", text)
}

/// The instant that an option gives.
pub(crate) fn instant(option: &str, text: &str) -> Result<Timestamp, CliError> {
    let instant: jiff::Timestamp = text.parse().map_err(|error| {
        CliError::usage(format!("{option} {text}: {error}"))
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
