//! Finds a running `timeball up` through its state directory and asks it.

use crate::arguments::StateArguments;
use crate::error::CliError;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `up` leaves in its state directory for the other commands, while it runs.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RunFile {
    /// Its process id.
    pub(crate) pid: u32,
    /// The address of its page and API.
    pub(crate) address: SocketAddr,
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_OCTETS_MAX: usize = 64 << 20;

impl RunFile {
    /// The file's name in a state directory.
    pub(crate) const NAME: &str = "up.json";

    /// The file's path in a state directory.
    pub(crate) fn path(state: &Path) -> PathBuf {
        state.join(Self::NAME)
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// The state directory: as asked, else by the XDG rules.
pub(crate) fn state_directory(arguments: &StateArguments) -> Result<PathBuf, CliError> {
    if let Some(path) = &arguments.state {
        return std::path::absolute(path)
            .map_err(|error| CliError::usage(format!("--state {}: {error}", path.display())));
    }
    xdg("XDG_STATE_HOME", ".local/state").map(|base| base.join("timeball")).ok_or_else(|| {
        CliError::usage("there is no place for the state: neither HOME nor XDG_STATE_HOME is set")
            .hint("say where with --state DIR")
    })
}

/// Where a running `up` shares its clock's bound, in the layout of ClockBound.
pub(crate) fn segment(state: &Path) -> PathBuf {
    state.join("clockbound/shm0")
}

/// A base directory of the XDG specification; its relative values are to be ignored.
pub(crate) fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

/// Asks the running `up` of a state directory for a JSON document.
pub(crate) fn get<T: DeserializeOwned>(state: &Path, path: &str) -> Result<T, CliError> {
    let run = running(state)?;
    let (status, body) = fetch(run.address, path).map_err(|error| {
        CliError::failed(format!("timeball up (process {}) does not answer: {error:#}", run.pid))
            .hint(format!("if that process is gone, delete {}", RunFile::path(state).display()))
    })?;
    if status != 200 {
        let said = String::from_utf8_lossy(&body);
        return Err(CliError::failed(format!("timeball up answered {status}: {}", said.trim())));
    }
    serde_json::from_slice(&body).map_err(|error| {
        CliError::failed(format!("the answer of timeball up to {path} is not understood: {error}"))
            .hint("the running program may be of another version")
    })
}

fn running(state: &Path) -> Result<RunFile, CliError> {
    let nobody = || {
        CliError::failed(format!("no timeball up is running on the state in {}", state.display()))
            .hint("start one with `timeball up`, or name its state with --state DIR")
    };
    let path = RunFile::path(state);
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => nobody(),
        _ => CliError::failed(format!("{}: {error}", path.display())),
    })?;
    let run: RunFile = serde_json::from_str(&text)
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    // The file of a process that was killed outlives it.
    if Path::new(&format!("/proc/{}", run.pid)).exists() { Ok(run) } else { Err(nobody()) }
}

fn fetch(address: SocketAddr, path: &str) -> anyhow::Result<(u16, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, fetch_async(address, path));
        answer.await.map_err(|_| anyhow::anyhow!("no answer in {ANSWER_TIMEOUT:?}"))?
    })
}

async fn fetch_async(address: SocketAddr, path: &str) -> anyhow::Result<(u16, Bytes)> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    let request =
        hyper::Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_OCTETS_MAX)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((status, body.to_bytes()))
}
