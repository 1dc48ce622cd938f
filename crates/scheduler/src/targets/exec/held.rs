//! A program that a gate has loaded and holds at its entry point.

use super::start::{Started, start};
use crate::sys::SpawnPlan;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use timeball_gate::Progress;

/// The program that holds others: `timeball-gate`, or one that has the gate as a subcommand.
#[derive(Clone, Debug)]
pub struct GateProgram {
    pub(super) path: CString,
    /// Its name first.
    pub(super) arguments: Vec<CString>,
}

impl GateProgram {
    /// The program of this very process, where it runs the gate if its first argument is
    /// `subcommand` (`timeball_gate::hosted::run_here`). `None` if that holds a NUL.
    pub fn of_this_process(subcommand: &str) -> Option<Self> {
        let name = c"timeball".to_owned();
        let arguments = vec![name, CString::new(subcommand).ok()?];
        // Not the path as it was: that may be another program by now, and another user may not be
        // able to reach it.
        Some(Self { path: c"/proc/self/exe".to_owned(), arguments })
    }
}

/// A program that waits at its entry point, or is on its way there. Dropped, it never begins.
#[derive(Debug)]
pub(super) struct Held(Option<Parts>);

#[derive(Debug)]
struct Parts {
    /// The gate, which leads the process group, and its program's output.
    started: Started,
    /// The other end is the gate's.
    cue: UnixStream,
}

/// Where it is to be seen whether a program has begun.
#[derive(Debug)]
pub(super) struct Began(UnixStream);

impl Held {
    /// Starts a gate that loads the program.
    pub(super) fn load(gate: &GateProgram, plan: &SpawnPlan) -> io::Result<Self> {
        let (cue, theirs) = UnixStream::pair()?;
        cue.set_nonblocking(true)?;
        let number = CString::new(theirs.as_raw_fd().to_string())?;
        let file = [c"--on".to_owned(), number, c"--file".to_owned(), plan.path.clone()];
        let arguments = gate.arguments.iter().cloned().chain(file).chain([c"--".to_owned()]);
        let plan = SpawnPlan {
            path: gate.path.clone(),
            arguments: arguments.chain(plan.arguments.iter().cloned()).collect(),
            passed: Some(theirs.as_raw_fd()),
            ..plan.clone()
        };
        Ok(Self(Some(Parts { started: start(&plan)?, cue })))
    }

    /// Lets the program begin, at once or as soon as it is loaded. Does not block.
    pub(super) fn let_go(&self) {
        if let Some(parts) = &self.0 {
            // A gate that is gone has left a status, and perhaps a message.
            let _ = (&parts.cue).write(b"\n");
        }
    }

    /// Gives up the hold; what it was let do it goes on with.
    pub(super) fn into_parts(mut self) -> (Started, Began) {
        let Parts { started, cue } = self.0.take().expect("taken here and when dropped only");
        (started, Began(cue))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Parts { started, cue }) = self.0.take() {
            drop(cue);
            started.child.signal_group(libc::SIGKILL);
            if let Err(error) = started.child.wait() {
                tracing::warn!(%error, "a program was taken back, and its end not seen");
            }
        }
    }
}

impl Began {
    /// Whether the program has certainly begun, by what the gate has told so far.
    pub(super) fn is_certain(&self) -> bool {
        let mut octets = [0; 8];
        let told = (&self.0).read(&mut octets).unwrap_or(0);
        let last = octets[..told].last().copied().and_then(Progress::from_octet);
        last == Some(Progress::LetGo)
    }
}
