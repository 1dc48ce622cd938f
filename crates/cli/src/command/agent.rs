//! `timeball agent`: the time service alone.

use super::agent_log::AgentLog;
use crate::arguments::{AgentArguments, VERSION};
use crate::error::CliError;
use crate::service;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use timeball_agent::{Agent, AgentConfig, AgentOptions, ClockMode, run_bare};
use timeball_runtime::http::{HttpOptions, Server};
use timeball_runtime::logging::{self, LogError, LogFormat};
use timeball_runtime::{Shutdown, forget_code, signals};

pub(crate) fn run(arguments: &AgentArguments) -> Result<ExitCode, CliError> {
    let config = read_config(&arguments.config)?;
    if arguments.bare {
        // It has one thread, which is all that some simulators can do with.
        init_logging("info")?;
        run_bare(config, arguments.trace.as_deref()).map_err(CliError::failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = logging::init_unhindered(LogFormat::Text, &log_filter("info"));
    let _log = log.map_err(log_failed)?;
    let mode = config.mode;
    let shutdown = Shutdown::new();
    signals::forward_to(shutdown.clone()).map_err(CliError::failed)?;
    let admin = config.admin_listen.map(|at| {
        TcpListener::bind(at).map_err(|error| {
            CliError::failed(format!("[admin] listen = \"{at}\": {error}"))
                .hint("choose another port, or stop whoever has it")
        })
    });
    let admin = admin.transpose()?;
    let options = AgentOptions {
        version: VERSION.to_owned(),
        trace: arguments.trace.clone(),
        ..AgentOptions::default()
    };
    let agent = Agent::start(config, options).map_err(CliError::failed)?;
    say_start(&agent, mode, admin.as_ref());
    let server = admin
        .map(|listener| Server::start(listener, agent.router(), HttpOptions::default()))
        .transpose()
        .map_err(CliError::failed)?;
    let (mut log, status) = (AgentLog::default(), agent.status());
    if let Err(error) = forget_code() {
        tracing::debug!(%error, "what only the start needed stays resident");
    }
    service::ready();
    while !shutdown.wait_for(Duration::from_secs(1)) {
        log.follow(&status.read());
        service::alive();
    }
    service::stopping();
    if let Some(server) = server {
        server.stop();
    }
    agent.shutdown();
    Ok(ExitCode::SUCCESS)
}

fn say_start(agent: &Agent, mode: ClockMode, admin: Option<&TcpListener>) {
    let what = match mode {
        ClockMode::Observe => "measured and never changed",
        ClockMode::Discipline => "measured and disciplined",
    };
    tracing::info!("timeball {VERSION}: this machine's clock is {what}");
    for address in agent.server_addresses() {
        tracing::info!("NTP server on {address} (UDP)");
    }
    if let Some(address) = admin.and_then(|listener| listener.local_addr().ok()) {
        tracing::info!("status on http://{address}/v1/status, beside /metrics, /healthz, /readyz");
    }
}

/// Sends the log to stderr, at `level` unless `TIMEBALL_LOG` says otherwise.
pub(crate) fn init_logging(level: &str) -> Result<(), CliError> {
    logging::init(LogFormat::Text, &log_filter(level)).map_err(log_failed)
}

/// What is logged: as the environment says, else from this level on.
pub(crate) fn log_filter(level: &str) -> String {
    std::env::var("TIMEBALL_LOG").unwrap_or_else(|_| level.to_owned())
}

pub(crate) fn log_failed(error: LogError) -> CliError {
    CliError::usage(format!("TIMEBALL_LOG: {error}"))
}

/// Reads and parses a settings file.
pub(crate) fn read_config(path: &Path) -> Result<AgentConfig, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::failed(format!("settings {}: {error}", path.display()))
            .hint("docs/configuration.md shows the form of the file; `timeball up` needs none")
    })?;
    AgentConfig::parse(&text, &path.display().to_string()).map_err(CliError::failed)
}
