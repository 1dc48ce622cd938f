//! SIGINT and SIGTERM, turned into a [`Shutdown`]; SIGHUP, turned into a call.

use std::fs::File;
use std::io::{self, Read};
use std::thread;

use crate::shutdown::Shutdown;
use crate::sys;

/// Raises `shutdown` at the first SIGINT or SIGTERM; a second signal ends the process at once.
///
/// A thread waits for the handler's word, since a handler itself may call next to nothing.
///
/// # Errors
/// Where the process has no descriptor or thread left.
pub fn forward_to(shutdown: Shutdown) -> io::Result<()> {
    let (reader, writer) = sys::pipe()?;
    sys::catch_termination(Some(writer))?;
    let mut reader = File::from(reader);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if matches!(reader.read(&mut [0]), Ok(1)) {
            shutdown.request();
        }
    })?;
    Ok(())
}

/// Has `reload` called at each SIGHUP, on a thread of its own. Signals that come while it runs are
/// one.
///
/// # Errors
/// Where the process has no descriptor or thread left.
pub fn on_hangup(reload: impl Fn() + Send + 'static) -> io::Result<()> {
    let (reader, writer) = sys::pipe()?;
    sys::catch_hangup(writer)?;
    let mut reader = File::from(reader);
    thread::Builder::new().name("hangup".to_owned()).spawn(move || {
        // The writing end is never closed, and a pipe holds more octets than anybody sends.
        while matches!(reader.read(&mut [0; 64]), Ok(1..)) {
            reload();
        }
    })?;
    Ok(())
}

/// Catches SIGINT and SIGTERM without a thread: they interrupt blocking calls, and [`raised`]
/// tells.
///
/// # Errors
/// Where the system refuses a handler.
pub fn catch() -> io::Result<()> {
    sys::catch_termination(None)
}

/// Whether SIGINT or SIGTERM has arrived since [`catch`] or [`forward_to`].
pub fn raised() -> bool {
    sys::termination_raised()
}
