//! The deeds that need no held command: executing one, a signal, a FIFO.

use crate::cue::Cue;
use crate::exit::Exit;
use crate::hold::{Action, Hold, Revoked, Trigger};
use crate::search::ProgramPath;
use crate::sys::{
    Errno, Fd, Interest, Pid, Vector, execute, mode, open_read_write, open_write, own_pid, poll,
    realtime, send, send_to,
};
use crate::watch::{Inherited, Wake, Watch};
use core::ffi::CStr;
use thiserror::Error;
use timeball_timebase::Span;

const SIGCONT: u8 = 18;
const SIGSTOP: u8 = 19;
const S_IFMT: u16 = 0o170_000;
const S_IFIFO: u16 = 0o010_000;

/// Why the deed could not be done.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum TargetError {
    /// A call that waiting needs was refused.
    #[error("cannot wait: {0}")]
    Wait(Errno),
    /// The command could not be executed.
    #[error("cannot be run: {0}")]
    Execute(Errno),
    /// The process is not there or not ours.
    #[error("PID {0}: {1}; give the number of a running process of your own")]
    NoProcess(i32, Errno),
    /// The process ended while we waited.
    #[error("process {0} has ended before the instant")]
    ProcessEnded(i32),
    /// The FIFO cannot be opened.
    #[error("the FIFO cannot be opened: {0}; make it with mkfifo, and check its permissions")]
    Open(Errno),
    /// The path is something else.
    #[error("that is no FIFO; make one with mkfifo")]
    NoFifo,
    /// The octet could not be written.
    #[error("the octet cannot be written to the FIFO: {0}")]
    Write(Errno),
    /// Nobody had the FIFO open.
    #[error("nobody has the FIFO open for reading at the instant; the octet is lost")]
    NoReader,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Waited {
    /// The instant has come; it is this late.
    Due(Span),
    /// It was taken back.
    Revoked(Revoked),
    /// It is too late, by this.
    Missed(Span),
    /// What was to be acted on is gone.
    Gone,
}

/// Waits for the instant or the cue; with `process`, also for that process to end.
pub(crate) fn wait(
    trigger: Trigger,
    cue: &mut Cue,
    inherited: &Inherited,
    process: Option<&Fd>,
) -> Result<Waited, TargetError> {
    let mut hold = Hold::ready(trigger);
    let watch = Watch::new().map_err(TargetError::Wait)?;
    let mut action = match cue.said() {
        None => hold.start(realtime()),
        // It came while we tried to hold the command.
        Some(said) => hold.handle(realtime(), said),
    };
    loop {
        match action {
            Action::Arm(at) => watch.arm(at).map_err(TargetError::Wait)?,
            Action::Release { lateness } => return Ok(Waited::Due(lateness)),
            Action::Revoke(revoked) => return Ok(Waited::Revoked(revoked)),
            Action::Miss { lateness } => return Ok(Waited::Missed(lateness)),
            Action::Suspend => suspend(),
            Action::Wait | Action::Forward(_) | Action::Leave(_) => {}
        }
        let other = process.or(cue.watched());
        action = match watch.next(inherited, other).map_err(TargetError::Wait)? {
            Wake::Event(event) => hold.handle(realtime(), event),
            Wake::Child => Action::Wait,
            Wake::Other if process.is_some() => return Ok(Waited::Gone),
            Wake::Other => cue.take().map_or(Action::Wait, |said| hold.handle(realtime(), said)),
        };
    }
}

/// Stops this process, until somebody sends SIGCONT.
pub(crate) fn suspend() {
    // Refused for process 1 of a container, which cannot be stopped.
    let _ = send(own_pid(), SIGSTOP);
}

/// Becomes the command; returns only if that fails.
pub(crate) fn become_command(
    path: &ProgramPath,
    command: &Vector<'_>,
    environment: &Vector<'_>,
    inherited: &Inherited,
) -> TargetError {
    if let Err(error) = inherited.restore() {
        return TargetError::Wait(error);
    }
    TargetError::Execute(execute(path.as_c_str(), command, environment))
}

/// Opens the process that is to be signalled, so that its number cannot come to mean another.
pub(crate) fn open_process(pid: Pid) -> Result<Fd, TargetError> {
    let refused = |error| TargetError::NoProcess(pid.0, error);
    let process = pid.open().map_err(refused)?;
    send_to(&process, 0).map_err(refused)?;
    Ok(process)
}

/// Lets a stopped process go on.
pub(crate) fn resume(pid: Pid, process: &Fd) -> Result<Exit, TargetError> {
    match send_to(process, SIGCONT) {
        Ok(()) => Ok(Exit::DONE),
        Err(Errno::ESRCH) => Err(TargetError::ProcessEnded(pid.0)),
        Err(error) => Err(TargetError::NoProcess(pid.0, error)),
    }
}

/// A FIFO, open for writing. Until the instant it is open for reading as well, so that neither we
/// nor a reader has to wait for the other.
pub(crate) struct Fifo {
    both: Fd,
    writing: Fd,
}

impl Fifo {
    pub(crate) fn open(path: &CStr) -> Result<Self, TargetError> {
        if mode(path).map_err(TargetError::Open)? & S_IFMT != S_IFIFO {
            return Err(TargetError::NoFifo);
        }
        let both = open_read_write(path).map_err(TargetError::Open)?;
        Ok(Self { both, writing: open_write(path).map_err(TargetError::Open)? })
    }

    /// Writes the octet, and looks whether anybody can read it.
    pub(crate) fn release(self) -> Result<Exit, TargetError> {
        // A line feed, so that whoever reads lines is let go as well.
        self.writing.write(b"\n").map_err(TargetError::Write)?;
        let Self { both, writing } = self;
        drop(both);
        // With our own reading end gone, the writing end fails if there is no other.
        let mut interests = [Interest::readable(&writing)];
        poll(&mut interests, true).map_err(TargetError::Wait)?;
        if interests[0].has_failed() { Err(TargetError::NoReader) } else { Ok(Exit::DONE) }
    }
}
