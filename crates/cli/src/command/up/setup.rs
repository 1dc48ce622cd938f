//! What `up` needs before it can start: directories, sources, ports.

use crate::arguments::UpArguments;
use crate::command::agent::read_config;
use crate::error::CliError;
use crate::state_client::{self, xdg};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use timeball_agent::{Agent, AgentConfig, AgentOptions, HostPort, StartError, host_sources};
use timeball_ntp::engine::{ClockMode, SourceConfig};

const PAGE_PORT: u16 = 9133;
const NTP_PORT: u16 = 11_123;

/// The two schedules that a new directory begins with.
const EXAMPLES: [(&str, &str); 2] = [
    ("tick.yaml", include_str!("../../../../../examples/schedules/tick.yaml")),
    ("minute.yaml", include_str!("../../../../../examples/schedules/minute.yaml")),
];

/// The time sources and who named them.
pub(crate) struct Sources {
    /// In words: `--source`, a file, the default.
    pub(crate) origin: String,
    /// As configured.
    pub(crate) names: Vec<String>,
}

/// The directory of schedules, made with the examples where it is missing.
pub(crate) fn schedules(arguments: &UpArguments, state: &Path) -> Result<PathBuf, CliError> {
    let given = arguments.schedules.as_ref().map(std::path::absolute);
    let directory = given.transpose().map_err(CliError::usage)?;
    let directory = directory.unwrap_or_else(|| state.join("schedules"));
    let failed = |path: &Path, error: std::io::Error| {
        CliError::failed(format!("schedules: {}: {error}", path.display()))
    };
    if directory.exists() {
        std::fs::read_dir(&directory).map_err(|error| {
            failed(&directory, error).hint("`--schedules DIR` names a directory that we may read")
        })?;
    } else {
        std::fs::create_dir_all(&directory).map_err(|error| failed(&directory, error))?;
        for (name, text) in EXAMPLES {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(directory)
}

/// The agent's settings: always observing, with the sources that were asked for or found, and with
/// the shared segment in the state directory.
pub(crate) fn config(
    arguments: &UpArguments,
    state: &Path,
) -> Result<(AgentConfig, Sources), CliError> {
    let default = xdg("XDG_CONFIG_HOME", ".config").map(|base| base.join("timeball/timeball.toml"));
    let file = arguments.config.clone().or(default.filter(|path| path.exists()));
    let mut config = match &file {
        Some(path) => read_config(path)?,
        None => AgentConfig::default(),
    };
    config.mode = ClockMode::Observe;
    config.server_listen.clear();
    config.admin_listen = None;
    // Nothing is written elsewhere: an agent beside may have what the settings name, and the same
    // directory as ours. What is learned of a clock that is only measured is not kept.
    config.state_directory = None;
    config.segment = Some(state_client::segment(state));
    let origin = if !arguments.sources.is_empty() {
        config.sources =
            arguments.sources.iter().map(|text| source(text)).collect::<Result<_, _>>()?;
        "from --source".to_owned()
    } else if let (Some(path), false) = (&file, config.sources.is_empty()) {
        format!("from {}", path.display())
    } else {
        let found = host_sources(Path::new("/"));
        config.sources = found.sources;
        match found.file {
            Some(file) => format!("from {}", file.display()),
            None => "the default; this host names none".to_owned(),
        }
    };
    let name = |source: &SourceConfig| {
        HostPort { host: source.host.clone(), port: source.port }.to_string()
    };
    let names = config.sources.iter().map(name).collect();
    Ok((config, Sources { origin, names }))
}

/// A source as `--source` names it, polled as often as is polite to anybody's server.
fn source(text: &str) -> Result<SourceConfig, CliError> {
    timeball_agent::source(text)
        .map_err(|error| CliError::usage(format!("--source {text}: {error}")))
}

/// The page's port: the one asked for, or the usual one, or any.
pub(crate) fn page_listener(
    asked: Option<u16>,
    notes: &mut Vec<String>,
) -> Result<TcpListener, CliError> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match (asked, bind(asked.unwrap_or(PAGE_PORT))) {
        (_, Ok(listener)) => Ok(listener),
        (Some(port), Err(error)) => {
            Err(CliError::failed(format!("--port {port}: 127.0.0.1:{port}: {error}"))
                .hint("choose another port, or 0 for any free one"))
        }
        (None, Err(error)) => {
            notes.push(format!("port {PAGE_PORT} is not to be had ({error}): took a free one"));
            bind(0).map_err(CliError::failed)
        }
    }
}

/// Starts the agent with its NTP server on the port asked for, or the usual one, or any.
pub(crate) fn start_agent(
    config: AgentConfig,
    options: &AgentOptions,
    asked: Option<u16>,
    notes: &mut Vec<String>,
) -> Result<Agent, CliError> {
    let start = |port: u16| {
        let mut config = config.clone();
        config.server_listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        Agent::start(config, options.clone())
    };
    let first = start(asked.unwrap_or(NTP_PORT));
    match (asked, first) {
        (None, Err(StartError::Listen { source, .. })) if source.kind() == ErrorKind::AddrInUse => {
            notes.push(format!("UDP port {NTP_PORT} is taken: took a free one"));
            start(0).map_err(CliError::failed)
        }
        (_, outcome) => outcome.map_err(CliError::failed),
    }
}
