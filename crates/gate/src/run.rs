//! The gate from its arguments to its end.

use crate::accuracy::Inaccurate;
use crate::arguments::{Deed, Gate, HELP, Request, parse};
use crate::cue::{Cue, Progress};
use crate::entry::{self, Ended};
use crate::exit::Exit;
use crate::hold::{Revoked, Trigger};
use crate::search::{ProgramPath, SearchError, find};
use crate::sys::{
    Disposition, Errno, Pid, Vector, exit, forgo_core_dump, is_executable, mode, own_pid, print,
    realtime, say, send, set_mask,
};
use crate::targets::{Fifo, TargetError, Waited, become_command, open_process, resume, wait};
use crate::text::{Line, Shown};
use crate::watch::Inherited;
use core::ffi::CStr;
use core::fmt;
use timeball_timebase::Span;

const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;

/// Runs the gate with the arguments of its process (its own name first) and the environment that
/// the command is to have, and says how it ends.
///
/// In mode `exec` this process becomes the command, and the function returns only if that fails. If
/// a signal ended the command, this process dies of the same one, unless it cannot. The process
/// must have no other children and no other thread that takes signals.
pub fn run(mut arguments: Vector<'_>, environment: Vector<'_>) -> Exit {
    arguments.next();
    match parse(arguments) {
        Ok(Request::Help) => printed(HELP.as_bytes()),
        Ok(Request::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            printed(Line::new(format_args!("timeball-gate {version}\n")).as_bytes())
        }
        Ok(Request::Now) => {
            let now = realtime();
            let (seconds, nanos) = (now.unix_seconds(), now.subsec_nanos());
            printed(Line::new(format_args!("@{seconds}.{nanos:09}\n")).as_bytes())
        }
        Ok(Request::Gate(gate)) => match Inherited::take() {
            Err(error) => failed(format_args!("cannot block signals: {error}")),
            Ok(inherited) => match Cue::of(gate.trigger) {
                Ok(mut cue) => end(Run { gate, environment, inherited }.deed(&mut cue)),
                Err(error) => failed(format_args!("the descriptor of --on: {error}")),
            },
        },
        Err(error) => failed(format_args!("{error}")),
    }
}

/// Ends the process after an error of our own making, found on `line` of the source.
pub fn fail(line: u32) -> ! {
    failed(format_args!("internal error (line {line}); please report it"));
    exit(125)
}

struct Run<'a> {
    gate: Gate<'a>,
    environment: Vector<'a>,
    inherited: Inherited,
}

impl<'a> Run<'a> {
    fn deed(&self, cue: &mut Cue) -> Exit {
        match &self.gate.deed {
            Deed::Entry(command) => self.with_program(command, cue, Self::entry),
            Deed::Exec(command) => self.with_program(command, cue, Self::exec),
            Deed::Signal(pid) => self.signal(*pid, cue).unwrap_or_else(target_failed),
            Deed::Fifo(path) => self.fifo(path, cue).unwrap_or_else(target_failed),
        }
    }

    fn with_program(
        &self,
        command: &Vector<'a>,
        cue: &mut Cue,
        deed: fn(&Self, &ProgramPath, &Vector<'a>, &mut Cue) -> Exit,
    ) -> Exit {
        let name = command.clone().next().unwrap_or_default().to_bytes();
        let file = self.gate.file.unwrap_or(name);
        match find(file, self.environment.value("PATH"), can_be_run) {
            Ok(path) => deed(self, &path, command, cue),
            Err(error) => {
                cue.tell(Progress::Failed);
                said(format_args!("{}: {error}", Shown(file)));
                match error {
                    SearchError::NotFound | SearchError::NotInPath => Exit::NOT_FOUND,
                    SearchError::NotExecutable(_) | SearchError::TooLong => Exit::NOT_EXECUTABLE,
                }
            }
        }
    }

    fn entry(&self, path: &ProgramPath, command: &Vector<'a>, cue: &mut Cue) -> Exit {
        let trigger = self.gate.trigger;
        if let Trigger::Instant { at, .. } = trigger
            && realtime() >= at
        {
            // There is nothing to wait for, so there is nothing to gain.
            return self.exec(path, command, cue);
        }
        let name = Shown(path.as_c_str().to_bytes());
        let held = entry::Order { trigger, accuracy: self.gate.accuracy };
        match entry::hold(held, cue, path, command, &self.environment, &self.inherited) {
            Ended::After(exit) => exit,
            Ended::Loading(exit) => {
                said(format_args!("{name} ended while it was loaded, before the instant"));
                exit
            }
            Ended::Revoked(by) => revoked(by),
            Ended::Missed(lateness) => missed(lateness),
            Ended::Inaccurate(why) => inaccurate(why),
            Ended::Untraceable(reason) => {
                said(format_args!(
                    "{name} cannot be held at its entry point ({reason}); \
                     it is executed at the instant instead, and loads after it"
                ));
                self.exec(path, command, cue)
            }
            Ended::NotExecutable(error) => not_executable(path, error, cue),
            Ended::Failed(error) => failed(format_args!("cannot hold {name}: {error}")),
        }
    }

    fn exec(&self, path: &ProgramPath, command: &Vector<'a>, cue: &mut Cue) -> Exit {
        cue.tell(Progress::ToBeExecuted);
        match wait(self.gate.trigger, cue, &self.inherited, None).map(|w| self.ended_early(w)) {
            Ok(None) => {}
            Ok(Some(exit)) => return exit,
            Err(error) => return target_failed(error),
        }
        cue.tell(Progress::LetGo);
        match become_command(path, command, &self.environment, &self.inherited) {
            TargetError::Execute(error) => not_executable(path, error, cue),
            error => target_failed(error),
        }
    }

    fn signal(&self, pid: Pid, cue: &mut Cue) -> Result<Exit, TargetError> {
        let process = open_process(pid)?;
        match wait(self.gate.trigger, cue, &self.inherited, Some(&process))? {
            Waited::Gone => Err(TargetError::ProcessEnded(pid.0)),
            waited => self.ended_early(waited).map_or_else(|| resume(pid, &process), Ok),
        }
    }

    fn fifo(&self, path: &CStr, cue: &mut Cue) -> Result<Exit, TargetError> {
        let fifo = Fifo::open(path)?;
        let waited = wait(self.gate.trigger, cue, &self.inherited, None)?;
        self.ended_early(waited).map_or_else(|| fifo.release(), Ok)
    }

    /// The end of a wait that did not come to its instant, or came there by a bad clock; `None`:
    /// it did.
    fn ended_early(&self, waited: Waited) -> Option<Exit> {
        match waited {
            Waited::Due(_) | Waited::Gone => {
                self.gate.accuracy.and_then(|accuracy| accuracy.check().err()).map(inaccurate)
            }
            Waited::Revoked(by) => Some(revoked(by)),
            Waited::Missed(lateness) => Some(missed(lateness)),
        }
    }
}

/// Whether a file can be run, as far as it can be told before.
fn can_be_run(path: &CStr) -> Result<(), Errno> {
    is_executable(path)?;
    // A directory may be "executed" too, which means to be entered.
    if mode(path)? & S_IFMT == S_IFREG { Ok(()) } else { Err(Errno::EACCES) }
}

/// Ends as the command did: of the same signal, if it was one.
fn end(how: Exit) -> Exit {
    if let Exit::Signal(signal) = how {
        // The command has left the core dump, if there was to be one.
        forgo_core_dump();
        let died = Disposition::standard()
            .set(signal)
            // SIGKILL has no disposition that could be set.
            .or(Ok(()))
            .and_then(|()| send(own_pid(), signal))
            .and_then(|()| set_mask(0));
        // Still here: process 1 of a container does not die of signals.
        let _: Result<(), Errno> = died;
    }
    how
}

fn revoked(by: Revoked) -> Exit {
    match by {
        Revoked::BySignal(signal) => {
            said(format_args!("revoked by signal {signal} before the instant"));
        }
        // Whoever closed the descriptor knows.
        Revoked::ByClosing => {}
    }
    Exit::REVOKED
}

fn missed(lateness: Span) -> Exit {
    let millis = lateness.as_millis();
    said(format_args!("missed: the instant passed {millis} ms ago, which --not-after forbids"));
    Exit::MISSED
}

fn inaccurate(why: Inaccurate) -> Exit {
    said(format_args!("missed: {why}"));
    Exit::MISSED
}

fn not_executable(path: &ProgramPath, error: Errno, cue: &mut Cue) -> Exit {
    cue.tell(Progress::Failed);
    let name = Shown(path.as_c_str().to_bytes());
    const ENOEXEC: Errno = Errno::from_raw(8);
    let hint =
        if error == ENOEXEC { "; a script needs a first line such as #!/bin/sh" } else { "" };
    said(format_args!("{name} cannot be run: {error}{hint}"));
    // A file that is there, and yet is "not found": its interpreter is missing.
    Exit::NOT_EXECUTABLE
}

fn target_failed(error: TargetError) -> Exit {
    failed(format_args!("{error}"))
}

fn failed(message: fmt::Arguments<'_>) -> Exit {
    said(message);
    Exit::FAILED
}

fn said(message: fmt::Arguments<'_>) {
    say(Line::message(message).as_bytes());
}

fn printed(text: &[u8]) -> Exit {
    match print(text) {
        Ok(()) => Exit::DONE,
        Err(error) => failed(format_args!("cannot write to standard output: {error}")),
    }
}
