//! The gate as a part of a program that has the standard library, such as a hidden subcommand.

use crate::sys::{Disposition, Errno, OwnedVector};
use crate::{Exit, run};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::vec::Vec;

const SIGPIPE: u8 = 13;

/// Runs the gate in this process, which must have one thread and no children: see [`run`].
///
/// `arguments` begin with the program's name. The environment is the process's own. Rust's start
/// has set SIGPIPE to be ignored; the command gets the default.
///
/// # Errors
/// An argument holds a NUL, which no process could be given; or the kernel refused to change what
/// happens on SIGPIPE.
pub fn run_here(arguments: impl IntoIterator<Item = OsString>) -> Result<Exit, HostedError> {
    let arguments: Result<Vec<CString>, _> =
        arguments.into_iter().map(|argument| CString::new(argument.into_vec())).collect();
    let environment = std::env::vars_os().filter_map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        // A variable of our own process holds no NUL.
        CString::new(name.into_vec()).ok()
    });
    let arguments = OwnedVector::new(arguments.map_err(|_| HostedError::Nul)?);
    let environment = OwnedVector::new(environment.collect());
    Disposition::standard().set(SIGPIPE).map_err(HostedError::Signal)?;
    Ok(run(arguments.as_vector(), environment.as_vector()))
}

/// Why the gate cannot run here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HostedError {
    /// An argument holds a NUL.
    #[error("an argument holds a NUL octet; no process can be given one")]
    Nul,
    /// SIGPIPE could not be set to its default.
    #[error("SIGPIPE cannot be set to its default: {0}")]
    Signal(Errno),
}
