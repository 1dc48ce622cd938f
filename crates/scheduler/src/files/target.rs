//! From a document's target to one that can be prepared.

use crate::sys;
use crate::targets::Target;
use crate::targets::exec::Program;
use crate::targets::http::Request;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use thiserror::Error;
use timeball_api::cron_job::{self, ExecTarget, HttpTarget};

/// What is wrong with a target; begins with the field's name below `spec.target`.
#[derive(Debug, Error)]
pub(crate) enum TargetError {
    #[error("exec.command is empty; give the program and its arguments")]
    NoCommand,
    #[error("{field} contains a null character")]
    Null { field: &'static str },
    #[error("exec.command: `{program}` is neither an absolute path nor a name to be found in PATH")]
    Relative { program: String },
    #[error("exec.command: there is no program `{program}` in PATH ({path})")]
    NotInPath { program: String, path: String },
    #[error("exec.command: {} cannot be run: {source}", path.display())]
    NotRunnable { path: PathBuf, source: io::Error },
    #[error("exec.workingDirectory: {} is not a directory that can be entered", path.display())]
    Directory { path: PathBuf },
    #[error(
        "exec.env: `{name}` cannot be the name of a variable; names are not empty, have no `=`, \
         and those that begin with TIMEBALL_ are set by the scheduler"
    )]
    Variable { name: String },
    #[error("exec.user: only root can run programs as another user; leave it out, or run as root")]
    NotRoot,
    #[error("exec.user: there is no user `{name}`")]
    NoUser { name: String },
    #[error("exec.user: user `{name}` cannot be looked up: {source}")]
    User { name: String, source: io::Error },
    #[error("{field} is {value}; it must be {least} to {most}")]
    Range { field: &'static str, value: i64, least: i64, most: i64 },
    #[error("http.url `{url}` {problem}")]
    Url { url: String, problem: &'static str },
    #[error("http.method `{method}` is no HTTP method")]
    Method { method: String },
    #[error("http.headers: `{name}: {value}` is no header that can be sent")]
    Header { name: String, value: String },
    #[error("http.headers: `{name}` is set by the scheduler; leave it out")]
    ReservedHeader { name: String },
    #[error("http.body has {octets} octets; at most {octets_max} are sent")]
    Body { octets: usize, octets_max: usize },
}

const TIMEOUT_S_MAX: i64 = 7 * 86_400;
const RETRIES_MAX: i64 = 10;
const BODY_OCTETS_MAX: usize = 256 * 1024;
/// What the scheduler or HTTP itself sets.
const RESERVED_HEADERS: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "idempotency-key",
];

/// Checks a target and resolves what it names; `None` where it has no member or two.
pub(super) fn parse(target: &cron_job::Target) -> Result<Option<Target>, TargetError> {
    match (&target.exec, &target.http) {
        (Some(exec), None) => Ok(Some(Target::Exec(Arc::new(program(exec)?)))),
        (None, Some(http)) => Ok(Some(Target::Http(Arc::new(request(http)?)))),
        (None, None) | (Some(_), Some(_)) => Ok(None),
    }
}

fn program(exec: &ExecTarget) -> Result<Program, TargetError> {
    let name = exec.command.first().filter(|name| !name.is_empty());
    let path = resolve(name.ok_or(TargetError::NoCommand)?)?;
    let arguments: Result<_, _> =
        exec.command.iter().map(|word| c_string("exec.command", word.as_bytes())).collect();
    let directory = PathBuf::from(exec.working_directory.as_deref().unwrap_or("/"));
    if !directory.is_absolute() || !directory.is_dir() {
        return Err(TargetError::Directory { path: directory });
    }
    for variable in &exec.env {
        let name = &variable.name;
        if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("TIMEBALL_") {
            return Err(TargetError::Variable { name: name.escape_debug().to_string() });
        }
        c_string("exec.env", variable.value.as_bytes())?;
    }
    let user = exec.user.as_deref().filter(|user| !user.is_empty());
    Ok(Program {
        path: c_string("exec.command", path.as_os_str().as_bytes())?,
        arguments: arguments?,
        directory: c_string("exec.workingDirectory", directory.as_os_str().as_bytes())?,
        variables: exec.env.iter().map(|v| (v.name.clone(), v.value.clone())).collect(),
        account: user.map(account).transpose()?,
        timeout: timeout("exec.timeoutSeconds", exec.timeout_seconds)?,
        retries: retries("exec.retries.limit", exec.retries.limit)?,
    })
}

fn c_string(field: &'static str, octets: &[u8]) -> Result<CString, TargetError> {
    CString::new(octets).map_err(|_| TargetError::Null { field })
}

/// Finds the program's file now, so that nothing has to be searched for at T.
fn resolve(program: &str) -> Result<PathBuf, TargetError> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        if !path.is_absolute() {
            return Err(TargetError::Relative { program: program.to_owned() });
        }
        return match runnable(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(TargetError::NotRunnable { path, source }),
        };
    }
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|candidate| runnable(candidate).is_ok())
        .ok_or_else(|| TargetError::NotInPath { program: program.to_owned(), path })
}

fn runnable(path: &Path) -> io::Result<()> {
    let file = fs::metadata(path)?;
    if !file.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if file.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::other("it is not executable (chmod +x makes it so)"));
    }
    Ok(())
}

fn account(name: &str) -> Result<sys::Account, TargetError> {
    if !sys::effective_user_is_root() {
        return Err(TargetError::NotRoot);
    }
    match sys::account(name) {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(TargetError::NoUser { name: name.to_owned() }),
        Err(source) => Err(TargetError::User { name: name.to_owned(), source }),
    }
}

fn timeout(field: &'static str, value: i64) -> Result<Duration, TargetError> {
    let seconds = range(field, value, 1, TIMEOUT_S_MAX)?;
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}

fn retries(field: &'static str, value: i32) -> Result<u32, TargetError> {
    let value = range(field, i64::from(value), 0, RETRIES_MAX)?;
    Ok(u32::try_from(value).expect("the range was checked"))
}

fn range(field: &'static str, value: i64, least: i64, most: i64) -> Result<i64, TargetError> {
    let within = (least..=most).contains(&value);
    if within { Ok(value) } else { Err(TargetError::Range { field, value, least, most }) }
}

fn request(http: &HttpTarget) -> Result<Request, TargetError> {
    let wrong = |problem| TargetError::Url { url: http.url.clone(), problem };
    let uri: Uri = http.url.parse().map_err(|_| wrong("is no address"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(wrong(
                "is https, which this version cannot send to; use http, or a proxy on this machine \
                 that speaks TLS",
            ));
        }
        _ => return Err(wrong("must begin with http://")),
    }
    if http.url.contains('#') {
        return Err(wrong("has a fragment (`#`), which a server never sees; leave it out"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("names no server"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("has a user in it; give an Authorization header instead"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(wrong("names no server"));
    }
    if authority.port_u16().is_none() && authority.as_str().ends_with(':') {
        return Err(wrong("has no port after `:`"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path: Uri = path.parse().map_err(|_| wrong("is no address"))?;
    if http.body.as_ref().is_some_and(|body| body.len() > BODY_OCTETS_MAX) {
        let octets = http.body.as_ref().map_or(0, String::len);
        return Err(TargetError::Body { octets, octets_max: BODY_OCTETS_MAX });
    }
    Ok(Request {
        url: http.url.clone(),
        host,
        port: authority.port_u16().unwrap_or(80),
        path,
        method: method(&http.method)?,
        headers: headers(authority.as_str(), &http.headers)?,
        body: http.body.clone().map(hyper::body::Bytes::from),
        timeout: timeout("http.timeoutSeconds", http.timeout_seconds)?,
        retries: retries("http.retries.limit", http.retries.limit)?,
    })
}

fn method(method: &str) -> Result<Method, TargetError> {
    let parsed = Method::from_bytes(method.as_bytes());
    match parsed {
        Ok(parsed)
            if parsed != Method::CONNECT && method.bytes().all(|c| c.is_ascii_uppercase()) =>
        {
            Ok(parsed)
        }
        _ => Err(TargetError::Method { method: method.escape_debug().to_string() }),
    }
}

fn headers(authority: &str, given: &[cron_job::Header]) -> Result<HeaderMap, TargetError> {
    let mut headers = HeaderMap::new();
    let bad = |name: &str, value: &str| TargetError::Header {
        name: name.escape_debug().to_string(),
        value: value.escape_debug().to_string(),
    };
    let host = HeaderValue::from_str(authority).map_err(|_| bad("host", authority))?;
    headers.insert("host", host);
    for header in given {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_str(&header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(bad(&header.name, &header.value));
        };
        if RESERVED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("ce-") {
            return Err(TargetError::ReservedHeader { name: header.name.clone() });
        }
        headers.append(name, value);
    }
    Ok(headers)
}
