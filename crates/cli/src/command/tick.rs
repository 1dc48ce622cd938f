//! `timeball tick`: ticks for a program that runs.

use crate::arguments::TickArguments;
use crate::error::CliError;
use crate::output::Format;
use crate::state_client;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use timeball_runtime::segment::{SEGMENT_PATH, read_bounded_clock};
use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_scheduler::{Delivery, Tick, TickReceiver, Ticker, Zones};
use timeball_timebase::Span;

const SIGUSR1: i32 = 10;

/// One tick, as the JSON shows it.
#[derive(Serialize)]
struct Line {
    sequence: u64,
    scheduled: String,
    real: String,
    /// `real` less the true time is at most this, either way; null: unknown.
    bound_ns: Option<i64>,
    skipped: u64,
}

pub(crate) fn run(arguments: &TickArguments) -> Result<ExitCode, CliError> {
    let schedule = parse(&arguments.every)?;
    let mut receiver = receiver(arguments)?;
    let error = ClockError::new(arguments);
    let now = timeball_runtime::read_clocks().system;
    let instants = schedule.next_after(now).and_then(|at| Some((at, schedule.next_after(at)?)));
    let Some((first, second)) = instants else {
        return Err(CliError::usage("--every: no instant follows; give a shorter period"));
    };
    let mut ticker =
        Ticker::start(first, second - first, arguments.catch_up).map_err(CliError::failed)?;
    let (mut left, mut dropped) = (arguments.count, 0);
    while left != Some(0) {
        let tick = ticker.wait().map_err(CliError::failed)?;
        let tick = Tick { skipped: tick.skipped + dropped, ..tick };
        let line = format!("{}\n", text(&tick, error.bound(), arguments.output));
        let delivery = receiver
            .send(&tick, &line)
            .map_err(|error| CliError::failed(format!("no tick can be given any more: {error}")))?;
        match delivery {
            Delivery::Sent => (left, dropped) = (left.map(|left| left - 1), 0),
            Delivery::Dropped => dropped = tick.skipped + 1,
            Delivery::Over => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a period with the language of schedules, which has it: `10ms`, `1s/250ms`.
fn parse(every: &str) -> Result<Schedule, CliError> {
    let wrong = |message: String| {
        CliError::usage(format!("--every {every}: {message}"))
            .hint("write it like 10ms, 1s, or 1s/250ms for a quarter past each second")
    };
    let utc: Zone = Zones::new().zone("Etc/UTC").map_err(|error| wrong(error.to_string()))?;
    Schedule::parse(&format!("@every {every}"), Dialect::Vixie, &utc, None)
        .map_err(|error| wrong(error.to_string()))
}

fn receiver(arguments: &TickArguments) -> Result<TickReceiver, CliError> {
    let receiver = named_receiver(arguments)?;
    Ok(if arguments.catch_up { receiver.taking_all() } else { receiver })
}

fn named_receiver(arguments: &TickArguments) -> Result<TickReceiver, CliError> {
    let named = |what: String, receiver: std::io::Result<TickReceiver>| {
        receiver.map_err(|error| CliError::failed(format!("{what}: {error}")))
    };
    if let Some(path) = &arguments.fifo {
        return named(format!("--fifo {}", path.display()), TickReceiver::fifo(path));
    }
    if let Some(path) = &arguments.socket {
        return named(format!("--socket {}", path.display()), TickReceiver::socket(path));
    }
    let Some(target) = &arguments.signal else {
        return named("standard output".to_owned(), TickReceiver::stdout());
    };
    let (pid, signal) = match target.split_once(':') {
        Some((pid, signal)) => (pid.parse().ok(), signal.parse().ok()),
        None => (target.parse().ok(), Some(SIGUSR1)),
    };
    match (pid.filter(|pid| *pid > 1), signal) {
        (Some(pid), Some(signal)) => {
            named(format!("--signal {target}"), TickReceiver::process(pid, signal))
        }
        _ => Err(CliError::usage(format!("--signal {target}: expected PID or PID:SIGNAL"))
            .hint("both are numbers, for example 4711:10")),
    }
}

fn text(tick: &Tick, bound: Option<Span>, format: Format) -> String {
    let Tick { sequence, scheduled, real, skipped } = *tick;
    match format {
        Format::Json => {
            let (scheduled, real) = (scheduled.to_string(), real.to_string());
            let bound_ns = bound.map(Span::as_nanos);
            let line = Line { sequence, scheduled, real, bound_ns, skipped };
            serde_json::to_string(&line).expect("plain data serializes")
        }
        Format::Table => {
            let bound = bound.map_or("unknown".to_owned(), |bound| bound.as_nanos().to_string());
            format!("{sequence} {scheduled} {real} {bound}")
        }
    }
}

/// The shared segments that may tell how wrong the system clock can be: that of a running `up`, and
/// that of an agent (or ClockBound's own daemon) of this machine.
struct ClockError(Vec<PathBuf>);

impl ClockError {
    fn new(arguments: &TickArguments) -> Self {
        let state = state_client::state_directory(&arguments.state).ok();
        let of_up = state.map(|state| state_client::segment(&state));
        Self(of_up.into_iter().chain([PathBuf::from(SEGMENT_PATH)]).collect())
    }

    /// The largest error now, by the first that tells one.
    fn bound(&self) -> Option<Span> {
        self.0.iter().find_map(|path| read_bounded_clock(path).ok()?.0.half_width)
    }
}
