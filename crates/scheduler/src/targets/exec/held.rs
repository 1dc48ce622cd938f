//! A program that a gate has loaded and holds at its entry point.

use super::start::{Started, start};
use crate::sys::{Process, SpawnPlan};
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use timeball_gate::{HAS_BEGUN, Progress};

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
    line: Line,
}

/// The line to a gate, whose other end is the gate's.
#[derive(Debug)]
struct Line {
    socket: UnixStream,
    /// What the gate has told and was not taken yet.
    told: Vec<u8>,
    /// The program, once it is stopped at its entry point.
    program: Option<Process>,
    /// Whether the program has certainly begun.
    has_begun: bool,
}

/// Where it is to be seen whether a program has begun.
#[derive(Debug)]
pub(super) struct Began(Line);

impl Held {
    /// Starts a gate that loads the program.
    pub(super) fn load(gate: &GateProgram, plan: &SpawnPlan) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let number = CString::new(theirs.as_raw_fd().to_string())?;
        let file = [c"--on".to_owned(), number, c"--file".to_owned(), plan.path.clone()];
        let arguments = gate.arguments.iter().cloned().chain(file).chain([c"--".to_owned()]);
        let plan = SpawnPlan {
            path: gate.path.clone(),
            arguments: arguments.chain(plan.arguments.iter().cloned()).collect(),
            passed: Some(theirs.as_raw_fd()),
            ..plan.clone()
        };
        let line = Line { socket, told: Vec::new(), program: None, has_begun: false };
        Ok(Self(Some(Parts { started: start(&plan)?, line })))
    }

    /// Gets ready to let the program go without its gate, if it is loaded by now.
    pub(super) fn make_ready(&mut self) {
        if let Some(parts) = &mut self.0 {
            parts.line.listen();
        }
    }

    /// Lets the program begin, at once or as soon as it is loaded. Does not block.
    pub(super) fn let_go(&mut self) {
        if let Some(parts) = &mut self.0 {
            parts.line.let_go();
        }
    }

    /// Gives up the hold; what it was let do it goes on with.
    pub(super) fn into_parts(mut self) -> (Started, Began) {
        let Parts { started, line } = self.0.take().expect("taken here and when dropped only");
        if line.has_begun {
            // Not at the instant itself, when it would wake the gate beside its program. If we die
            // before, the gate finds out by itself.
            line.say(HAS_BEGUN);
        }
        (started, Began(line))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Parts { started, line }) = self.0.take() {
            drop(line);
            started.child.signal_group(libc::SIGKILL);
            if let Err(error) = started.child.wait() {
                tracing::warn!(%error, "a program was taken back, and its end not seen");
            }
        }
    }
}

impl Began {
    /// Whether the program has certainly begun, by what we know and the gate has told so far.
    pub(super) fn is_certain(&mut self) -> bool {
        self.0.listen();
        self.0.has_begun
    }
}

impl Line {
    /// Takes what the gate has told.
    fn listen(&mut self) {
        let mut octets = [0; 16];
        let told = self.socket.read(&mut octets).unwrap_or(0);
        self.told.extend_from_slice(&octets[..told]);
        while let Some((progress, rest)) = Progress::first_of(&self.told) {
            let taken = self.told.len() - rest.len();
            match progress {
                // The gate has not waited for the program's end, so the number is still its own.
                Progress::Held { pid } => self.program = Process::open(pid).ok(),
                Progress::LetGo => self.has_begun = true,
                Progress::Failed => self.has_begun = false,
                Progress::ToBeExecuted => {}
            }
            self.told.drain(..taken);
        }
    }

    fn let_go(&mut self) {
        let stopped = self.program.as_ref();
        self.has_begun = stopped.is_some_and(|program| program.signal(libc::SIGCONT).is_ok());
        if !self.has_begun {
            self.say(b'\n');
        }
    }

    fn say(&self, octet: u8) {
        // A gate that is gone has left a status, and perhaps a message.
        let _ = (&self.socket).write(&[octet]);
    }
}
