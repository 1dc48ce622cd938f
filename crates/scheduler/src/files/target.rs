//! From a document's target to one that can be prepared.

use crate::sys;
use crate::targets::Target;
use crate::targets::brokers::{Errand, Nats, Order};
use crate::targets::exec::Program;
use crate::targets::form::{FormError, retries, timeout};
use crate::targets::http::Request;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};
use thiserror::Error;
use timeball_api::cron_job::{self, ExecTarget};

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
    #[error(transparent)]
    Form(#[from] FormError),
}

impl TargetError {
    /// Whether it is for want of something that another machine may have.
    pub(super) fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Directory { path } => path.is_absolute(),
            Self::NotInPath { .. }
            | Self::NotRunnable { .. }
            | Self::NotRoot
            | Self::NoUser { .. }
            | Self::User { .. } => true,
            _ => false,
        }
    }
}

/// Checks a target and resolves what it names; `None` where it has no member or two.
pub(super) fn parse(target: &cron_job::Target) -> Result<Option<Target>, TargetError> {
    if members(target) != 1 {
        return Ok(None);
    }
    let parsed = match target {
        cron_job::Target { exec: Some(exec), .. } => Target::Exec(Arc::new(program(exec)?)),
        cron_job::Target { http: Some(http), .. } => Target::Http(Arc::new(Request::parse(http)?)),
        cron_job::Target { nats: Some(nats), .. } => {
            Target::Broker(Errand::Nats(Arc::new(Order::<Nats>::parse(nats)?)))
        }
        other => Target::Broker(other_broker(other)?),
    };
    Ok(Some(parsed))
}

/// How many members a target has; it should be one.
pub(super) fn members(target: &cron_job::Target) -> usize {
    let cron_job::Target { exec, http, nats, rabbitmq, kafka } = target;
    let given =
        [exec.is_some(), http.is_some(), nats.is_some(), rabbitmq.is_some(), kafka.is_some()];
    given.into_iter().filter(|given| *given).count()
}

#[cfg(feature = "brokers")]
fn other_broker(target: &cron_job::Target) -> Result<Errand, FormError> {
    use crate::targets::brokers::{Kafka, RabbitMq};
    let cron_job::Target { rabbitmq, kafka, .. } = target;
    Ok(match (rabbitmq, kafka) {
        (Some(form), _) => Errand::RabbitMq(Arc::new(Order::<RabbitMq>::parse(form)?)),
        (_, Some(form)) => Errand::Kafka(Arc::new(Order::<Kafka>::parse(form)?)),
        (None, None) => unreachable!("one member is given, and it is none of the others"),
    })
}

#[cfg(not(feature = "brokers"))]
fn other_broker(target: &cron_job::Target) -> Result<Errand, FormError> {
    let target = if target.rabbitmq.is_some() { "rabbitmq" } else { "kafka" };
    Err(FormError::NoBrokers { target })
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
