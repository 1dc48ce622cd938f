//! Finds a running `timeball up` through its state directory and asks it.

use crate::arguments::StateArguments;
use crate::error::CliError;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use timeball_api::control::Refused;
use timeball_runtime::token::Token;
use tokio::io::{AsyncRead, AsyncWrite};

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

    /// The UNIX socket in a state directory over which its user may change things.
    pub(crate) fn socket(state: &Path) -> PathBuf {
        state.join("control.sock")
    }

    /// The file of the token in a state directory.
    pub(crate) fn token(state: &Path) -> PathBuf {
        state.join("token")
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
    ask(state, path, Request::get(path).body(Full::default()))
}

/// Asks the running `up` of a state directory to change something, over its socket where there is
/// one, else with its token.
pub(crate) fn post<T: DeserializeOwned>(
    state: &Path,
    path: &str,
    body: &impl Serialize,
) -> Result<T, CliError> {
    let octets = serde_json::to_vec(body).expect("plain data serializes");
    let mut request = Request::post(path).header(CONTENT_TYPE, "application/json");
    if !RunFile::socket(state).exists() {
        let token = Token::load(&RunFile::token(state)).map_err(CliError::failed)?;
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.secret()));
    }
    ask(state, path, request.body(Full::from(octets)))
}

/// The link to the page of the running `up`, with the token that lets it change things: behind the
/// `#`, so that no server and no log sees it.
pub(crate) fn page_link(state: &Path) -> Result<String, CliError> {
    let run = running(state)?;
    let token = Token::load(&RunFile::token(state)).map_err(CliError::failed)?;
    Ok(format!("{}#token={}", run.url(), token.secret()))
}

fn ask<T: DeserializeOwned>(
    state: &Path,
    path: &str,
    request: hyper::http::Result<Request<Full<Bytes>>>,
) -> Result<T, CliError> {
    let run = running(state)?;
    let request = request.map_err(CliError::failed)?;
    let (status, body) = fetch(state, run.address, request).map_err(|error| {
        CliError::failed(format!("timeball up (process {}) does not answer: {error:#}", run.pid))
            .hint(format!("if that process is gone, delete {}", RunFile::path(state).display()))
    })?;
    if let Ok(Refused { message, .. }) = serde_json::from_slice(&body)
        && status != 200
    {
        return Err(CliError::failed(message));
    }
    if status != 200 {
        let said = String::from_utf8_lossy(&body);
        return Err(CliError::failed(format!("timeball up answered {status}: {}", said.trim())));
    }
    serde_json::from_slice(&body).map_err(|error| {
        CliError::failed(format!("the answer of timeball up to {path} is not understood: {error}"))
            .hint("the running program may be of another version")
    })
}

/// The API's path of a schedule: NAME or NAMESPACE/NAME.
pub(crate) fn path_of(text: &str) -> Result<String, CliError> {
    let (namespace, name) = named(text)?;
    Ok(format!("/v1/schedules/{namespace}/{name}"))
}

/// Namespace and name of a schedule: NAME or NAMESPACE/NAME.
pub(crate) fn named(text: &str) -> Result<(&str, &str), CliError> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    for part in [namespace, name] {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if part.is_empty() || !part.chars().all(fits) {
            return Err(CliError::usage(format!("`{text}` is no schedule's name"))
                .hint("names are as in the file's metadata: NAME or NAMESPACE/NAME"));
        }
    }
    Ok((namespace, name))
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

fn fetch(
    state: &Path,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(u16, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = async {
            match tokio::net::UnixStream::connect(RunFile::socket(state)).await {
                Ok(stream) => exchange(stream, "localhost".to_owned(), request).await,
                Err(_) => {
                    let stream = tokio::net::TcpStream::connect(address).await?;
                    exchange(stream, address.to_string(), request).await
                }
            }
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer);
        answer.await.map_err(|_| anyhow::anyhow!("no answer in {ANSWER_TIMEOUT:?}"))?
    })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: String,
    mut request: Request<Full<Bytes>>,
) -> anyhow::Result<(u16, Bytes)> {
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    request.headers_mut().insert(HOST, HeaderValue::try_from(host)?);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_OCTETS_MAX)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((status, body.to_bytes()))
}
