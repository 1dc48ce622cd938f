//! `timeball query`: one-shot measurements.

use crate::arguments::QueryArguments;
use crate::error::CliError;
use crate::output::{self, Format, length, span};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use timeball_agent::{HostPort, QueryResult, read_key};

/// One measurement, as the JSON shows it.
#[derive(Debug, Serialize)]
struct Measurement {
    host: String,
    address: Option<String>,
    /// The server's time less ours, positive when the server is ahead.
    offset_ns: Option<i64>,
    delay_ns: Option<i64>,
    /// How far true time may be from what was measured, by the server's word.
    error_margin_ns: Option<i64>,
    stratum: Option<u8>,
    root_delay_ns: Option<i64>,
    root_dispersion_ns: Option<i64>,
    server_time: Option<String>,
    error: Option<String>,
}

pub(crate) fn run(arguments: &QueryArguments) -> Result<ExitCode, CliError> {
    let targets: Vec<HostPort> = arguments
        .hosts
        .iter()
        .map(|text| text.parse().map_err(|error| CliError::usage(format!("{text}: {error}"))))
        .collect::<Result<_, _>>()?;
    let timeout = Duration::from_secs_f64(arguments.timeout);
    let key = arguments.keys.as_deref().zip(arguments.key);
    let key = key.map(|(keys, id)| read_key(keys, id, "--key")).transpose();
    let key = key.map_err(CliError::failed)?;
    let results = timeball_agent::query(&targets, key.as_ref(), timeout);
    let measurements: Vec<Measurement> = results.iter().map(measurement).collect();
    match arguments.output {
        Format::Json => {
            output::json(&measurements);
        }
        Format::Table => {
            let rows = measurements.iter().map(row).collect();
            let header = ["SERVER", "OFFSET", "± AT MOST", "DELAY", "STRATUM", "PROBLEM"];
            output::line(&output::table(&header, rows, &[("PROBLEM", 20)]));
        }
    }
    let all_answered = measurements.iter().all(|measurement| measurement.error.is_none());
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn measurement(result: &QueryResult) -> Measurement {
    let answer = result.outcome.as_ref().ok();
    Measurement {
        host: result.target.to_string(),
        address: result.address.map(|address| address.to_string()),
        offset_ns: answer.map(|answer| answer.offset.as_nanos()),
        delay_ns: answer.map(|answer| answer.delay.as_nanos()),
        error_margin_ns: answer.map(|answer| answer.error_margin.as_nanos()),
        stratum: answer.map(|answer| answer.stratum),
        root_delay_ns: answer.map(|answer| answer.root_delay.as_nanos()),
        root_dispersion_ns: answer.map(|answer| answer.root_dispersion.as_nanos()),
        server_time: answer.map(|answer| answer.server_time.to_string()),
        error: result.outcome.as_ref().err().map(ToString::to_string),
    }
}

fn row(measurement: &Measurement) -> Vec<String> {
    let known = |nanos: Option<i64>| nanos.map(|nanos| length(Some(nanos))).unwrap_or_default();
    vec![
        measurement.host.clone(),
        measurement.offset_ns.map(|nanos| span(Some(nanos))).unwrap_or_default(),
        known(measurement.error_margin_ns),
        known(measurement.delay_ns),
        measurement.stratum.map(|stratum| stratum.to_string()).unwrap_or_default(),
        measurement.error.clone().unwrap_or_default(),
    ]
}
