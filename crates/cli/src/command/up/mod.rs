//! `timeball up`: everything on this machine, in one process, unprivileged.

mod lines;
mod setup;
mod spool;

use crate::arguments::{UpArguments, VERSION};
use crate::command::agent::{log_failed, log_filter};
use crate::error::CliError;
use crate::service;
use crate::state_client::{self, RunFile};
use lines::Started;
use spool::Spool;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timeball_agent::{Agent, AgentOptions};
use timeball_api::events::ClockPoint;
use timeball_api::status::Status;
use timeball_page::PageSources;
use timeball_runtime::http::{HttpOptions, Router, Server};
use timeball_runtime::logging::{self, LogFormat};
use timeball_runtime::metrics::Metrics;
use timeball_runtime::state::StateDirectory;
use timeball_runtime::token::Token;
use timeball_runtime::{ClockCell, Shutdown, read_clocks, signals};
use timeball_scheduler::{GateProgram, Scheduler, SchedulerOptions};
use timeball_timebase::{Span, SyncState};

/// The newest format of the state directory that this version knows.
const STATE_FORMAT: u32 = 1;
/// The priority of the firing thread where real time is asked for: above everything that has none,
/// below the kernel's own threads.
const REAL_TIME_PRIORITY: u8 = 10;
/// How long the first answers of the sources are waited for.
const FIRST_ANSWERS: Duration = Duration::from_secs(3);

pub(crate) fn run(arguments: &UpArguments) -> Result<ExitCode, CliError> {
    let log = logging::init_unhindered(LogFormat::Text, &log_filter("warn"));
    let _log = log.map_err(log_failed)?;
    let shutdown = Shutdown::new();
    signals::forward_to(shutdown.clone()).map_err(CliError::failed)?;

    let state = state_client::state_directory(&arguments.state)?;
    // Settings are read first: a mistake in them leaves no directory behind.
    let (config, sources) = setup::config(arguments, &state)?;
    let directory = StateDirectory::open(&state, STATE_FORMAT).map_err(|error| {
        CliError::failed(error).hint("`--state DIR` names another directory for the state")
    })?;
    let schedules = setup::schedules(arguments, &state)?;
    let mut notes = Vec::new();
    let listener = setup::page_listener(arguments.port, &mut notes)?;

    let metrics = Metrics::new();
    let options = AgentOptions {
        version: VERSION.to_owned(),
        metrics: metrics.clone(),
        ..AgentOptions::default()
    };
    let agent = setup::start_agent(config, &options, arguments.ntp_port, &mut notes)?;
    let options = scheduler_options(arguments, &schedules, &state, &agent);
    let scheduler = Scheduler::start(options).map_err(CliError::failed)?;
    notes.extend(scheduler.store_kept_aside().map(|aside| {
        let aside = aside.display();
        format!("the history could not be read; it is kept as {aside}, a new one begins")
    }));
    notes.extend(scheduler.real_time_refused().iter().map(ToString::to_string));
    let scheduler = Arc::new(scheduler);
    let measured = Arc::clone(&scheduler);
    metrics.add(move |registry| measured.metrics(registry));

    let router = router(&agent, &scheduler, &shutdown, &state)?;
    let local = start_local(&state, router.clone(), &mut notes);
    let server =
        Server::start(listener, router, HttpOptions::default()).map_err(CliError::failed)?;
    reload_at_hangup(&scheduler).map_err(CliError::failed)?;
    let run_file = RunFile { pid: std::process::id(), address: server.address() };
    write_run_file(&directory, &run_file)?;

    let started = Started {
        event: "started",
        page: run_file.url(),
        ntp: agent.server_addresses().first().copied(),
        state: &state,
        schedules: &schedules,
        sources_from: &sources.origin,
        sources: &sources.names,
        notes: &notes,
    };
    let out = Spool::start(shutdown.clone()).map_err(CliError::failed)?;
    lines::started(&started, arguments.output, &out);
    service::ready();
    talk(arguments, &agent, &scheduler, &shutdown, &out);
    service::stopping();

    server.stop();
    drop(local);
    scheduler.shutdown();
    agent.shutdown();
    let _ = std::fs::remove_file(RunFile::path(&state));
    drop(directory);
    out.finish();
    Ok(ExitCode::SUCCESS)
}

fn scheduler_options(
    arguments: &UpArguments,
    schedules: &Path,
    state: &Path,
    agent: &Agent,
) -> SchedulerOptions {
    SchedulerOptions {
        gate: GateProgram::of_this_process(crate::gate::SUBCOMMAND),
        spin: Span::from_micros(arguments.spin.into()),
        real_time: arguments.real_time.then_some(REAL_TIME_PRIORITY),
        ..SchedulerOptions::new(schedules.to_owned(), state.to_owned(), agent.clock())
    }
}

/// The page and the API, with the token that lets them change things.
fn router(
    agent: &Agent,
    scheduler: &Arc<Scheduler>,
    shutdown: &Shutdown,
    state: &Path,
) -> Result<Router, CliError> {
    let token = Token::load_or_create(&RunFile::token(state)).map_err(CliError::failed)?;
    let page = timeball_page::router(page_sources(agent, scheduler, shutdown));
    let page = page.map_err(CliError::failed)?;
    Ok(agent.router().merge(scheduler.router(token)).merge(page))
}

/// Serves the same on a UNIX socket, whose user needs no token. Without one the token still does.
fn start_local(state: &Path, router: Router, notes: &mut Vec<String>) -> Option<Server> {
    let path = RunFile::socket(state);
    Server::start_local(&path, router, HttpOptions::default())
        .inspect_err(|error| notes.push(format!("no socket at {}: {error}", path.display())))
        .ok()
}

/// Has the schedule files read at each SIGHUP; what comes of it is in the log.
fn reload_at_hangup(scheduler: &Arc<Scheduler>) -> std::io::Result<()> {
    let scheduler = Arc::clone(scheduler);
    signals::on_hangup(move || {
        tracing::info!("SIGHUP: reading the schedule files");
        if let Err(error) = scheduler.reload() {
            tracing::error!(%error, "the schedule files were not read");
        }
    })
}

fn page_sources(agent: &Agent, scheduler: &Arc<Scheduler>, shutdown: &Shutdown) -> PageSources {
    let (clock, status) = (agent.clock(), agent.status());
    let scheduler = Arc::clone(scheduler);
    PageSources {
        clock: Box::new(move || clock_point(&clock)),
        status: Box::new(move || status.read()),
        schedules: Box::new(move || scheduler.schedules()),
        shutdown: shutdown.clone(),
    }
}

fn clock_point(clock: &ClockCell) -> ClockPoint {
    let now = read_clocks();
    let state = clock.read_at(now.raw);
    let reading = state.reading(now);
    let name = match state.state {
        SyncState::Unsynchronized => "unsynchronized",
        SyncState::Acquiring => "acquiring",
        SyncState::Synchronized => "synchronized",
        SyncState::Holdover => "holdover",
    };
    ClockPoint {
        system_ns: now.system.as_unix_nanos(),
        offset_ns: state.offset.map(|_| (reading.estimate - now.system).as_nanos()),
        bound_ns: reading.half_width.map(Span::as_nanos),
        earliest_offset_ns: reading.earliest().map(|end| (end - now.system).as_nanos()),
        latest_offset_ns: reading.latest().map(|end| (end - now.system).as_nanos()),
        state: name.to_owned(),
    }
}

fn write_run_file(directory: &StateDirectory, run: &RunFile) -> Result<(), CliError> {
    let octets = serde_json::to_vec(run).expect("plain data serializes");
    directory.write(RunFile::NAME, &octets).map_err(CliError::failed)
}

/// Says which sources answer, then a line a second until the end is asked for.
fn talk(
    arguments: &UpArguments,
    agent: &Agent,
    scheduler: &Scheduler,
    shutdown: &Shutdown,
    out: &Spool,
) {
    let status = agent.status();
    let answered = |status: &Status| status.sources.iter().all(|source| source.received > 0);
    let begun = Instant::now();
    while begun.elapsed() < FIRST_ANSWERS
        && (status.read().sources.is_empty() || !answered(&status.read()))
    {
        if shutdown.wait_for(Duration::from_millis(50)) {
            return;
        }
    }
    lines::first_answers(&status.read(), arguments.output, out);
    let mut told_at_ns = None;
    loop {
        let now = read_clocks().system;
        let schedules = scheduler.schedules();
        if let Some(reload) = schedules.reload.as_ref().filter(|it| told_at_ns != Some(it.at_ns)) {
            told_at_ns = Some(reload.at_ns);
            lines::reloaded(reload, &schedules.problems, arguments.output, out);
        }
        lines::second(&status.read(), &schedules, now, arguments.output, out);
        service::alive();
        let to_next = 1_000_000_000 - u64::from(read_clocks().system.subsec_nanos());
        if shutdown.wait_for(Duration::from_nanos(to_next)) {
            return;
        }
    }
}
