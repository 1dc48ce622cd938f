//! Holding a command at its entry point.

use crate::accuracy::{Accuracy, Inaccurate};
use crate::cue::{Cue, Progress};
use crate::exit::Exit;
use crate::hold::{Action, Event, Hold, Revoked, Trigger};
use crate::image::places;
use crate::search::ProgramPath;
use crate::sys::{
    Breakpoint, Change, Disposition, Errno, Fd, Pid, Tracee, Vector, die_with_parent, execute,
    exit, fork, has_capabilities, mode, open_read, own_pid, parent_pid, pipe, realtime, send,
    set_mask, trace_me, wait_any,
};
use crate::targets::suspend;
use crate::text::Line;
use crate::watch::{Inherited, SIGCHLD, Wake, Watch};
use core::ffi::CStr;
use thiserror::Error;
use timeball_timebase::Span;

const SIGTRAP: u8 = 5;
/// A stop at a system call (PTRACE_O_TRACESYSGOOD).
const CALL: u8 = SIGTRAP | 0x80;
const SIGKILL: u8 = 9;
const SIGCONT: u8 = 18;
const SIGSTOP: u8 = 19;
/// Signals by which a program says that it is broken: SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV,
/// SIGSYS.
const FAULTS: [u8; 6] = [4, 6, 7, 8, 11, 31];
/// S_ISUID and S_ISGID.
const MODE_PRIVILEGED: u16 = 0o6_000;
/// Type of the entry in the auxiliary vector that holds the entry point.
const AT_ENTRY: u64 = 9;
/// Pairs in an auxiliary vector; Linux writes about twenty.
const AUXILIARY_PAIRS_MAX: usize = 64;
/// What the child writes when it may not be traced, and when it cannot execute.
const STAGE_TRACE: u8 = 1;
const STAGE_EXECUTE: u8 = 2;

/// How a hold ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// As the command did, after the instant.
    After(Exit),
    /// The command ended while it was loaded: its own loader found something wrong.
    Loading(Exit),
    /// It was taken back before the instant.
    Revoked(Revoked),
    /// Too late, by this.
    Missed(Span),
    /// The clock was not good enough at the instant.
    Inaccurate(Inaccurate),
    /// The command can be executed, but not be held; nothing has begun.
    Untraceable(Untraceable),
    /// The command cannot be executed.
    NotExecutable(Errno),
    /// A call was refused that everything depends on.
    Failed(Errno),
}

/// Why a command cannot be held at its entry point.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Untraceable {
    #[error("it may not be traced: {0}")]
    Refused(Errno),
    #[error("it was killed on being traced")]
    Killed,
    #[error("its file gives privileges (setuid, setgid or capabilities), which a traced one loses")]
    Privileged,
    #[error("its memory cannot be read or written: {0}")]
    Memory(Errno),
    #[error("SIGTRAP is set to be ignored")]
    TrapIgnored,
}

/// Where the child stands.
enum Stage {
    /// It has not yet begun its program.
    Starting,
    /// Its program has been begun by the kernel and is on its way to the breakpoint.
    Loading(Breakpoint),
    /// The start of its C library is on its way to the breakpoint, as far as its file tells; each
    /// of its system calls is looked at.
    Preparing(Breakpoint),
    /// It is at the entry point, or past it.
    Loaded,
    /// It is not traced any more, and on its way to a stop at its entry point.
    Parking,
    /// It is stopped there.
    Parked,
}

/// What lets the command go, and how good the clock has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) trigger: Trigger,
    pub(crate) accuracy: Option<Accuracy<'a>>,
}

/// Holds the command until its trigger, and then stays with it until it ends.
pub(crate) fn hold<'a>(
    order: Order<'a>,
    cue: &mut Cue,
    path: &'a ProgramPath,
    command: &'a Vector<'a>,
    environment: &'a Vector<'a>,
    inherited: &'a Inherited,
) -> Ended {
    if inherited.forbids_breakpoints() {
        return Ended::Untraceable(Untraceable::TrapIgnored);
    }
    let command = Program { path, command, environment };
    match Held::start(order, command, inherited) {
        Ok(held) => held.run(cue),
        Err(error) => Ended::Failed(error),
    }
}

/// What the child is to become.
#[derive(Clone, Copy)]
struct Program<'a> {
    path: &'a ProgramPath,
    command: &'a Vector<'a>,
    environment: &'a Vector<'a>,
}

struct Held<'a> {
    hold: Hold,
    program: Program<'a>,
    /// Whether a static program is led past its entry point.
    leads: bool,
    watch: Watch,
    inherited: &'a Inherited,
    accuracy: Option<Accuracy<'a>>,
    child: Pid,
    /// Whether the child has ended and was waited for: its number may be another's by now.
    has_ended: bool,
    stage: Stage,
    /// What the child says when it cannot become the command.
    report: Fd,
}

impl<'a> Held<'a> {
    fn start(
        order: Order<'a>,
        program: Program<'a>,
        inherited: &'a Inherited,
    ) -> Result<Self, Errno> {
        let watch = Watch::new()?;
        // A child's end is not told to a parent that ignores SIGCHLD.
        Disposition::standard().set(SIGCHLD)?;
        let (child, report) = program.begin(inherited)?;
        Ok(Self {
            hold: Hold::loading(order.trigger),
            program,
            leads: true,
            watch,
            inherited,
            accuracy: order.accuracy,
            child,
            has_ended: false,
            stage: Stage::Starting,
            report,
        })
    }

    /// Takes another child, which is not led past its entry point. The one that there was is killed
    /// at a system call that it has not made, and waited for like an orphan.
    fn begin_anew(&mut self) -> Result<(), Errno> {
        send(self.child, SIGKILL)?;
        (self.child, self.report) = self.program.begin(self.inherited)?;
        (self.leads, self.stage) = (false, Stage::Starting);
        Ok(())
    }

    fn run(mut self, cue: &mut Cue) -> Ended {
        let mut action = self.hold.start(realtime());
        loop {
            let carried_out = match action {
                Action::Wait => Ok(()),
                Action::Arm(at) => self.watch.arm(at),
                Action::Release { .. } => match self.release(cue) {
                    Ok(()) => Ok(()),
                    Err(ended) => return self.take_back(ended),
                },
                Action::Forward(signal) => {
                    // The command may have ended in the meantime.
                    let _ = send(self.child, signal);
                    Ok(())
                }
                Action::Suspend => {
                    suspend();
                    Ok(())
                }
                Action::Revoke(revoked) => return self.take_back(Ended::Revoked(revoked)),
                Action::Miss { lateness } => return self.take_back(Ended::Missed(lateness)),
                Action::Leave(exit) => return Ended::After(exit),
            };
            if let Err(error) = carried_out {
                return self.take_back(Ended::Failed(error));
            }
            let woken = self.watch.next(self.inherited, cue.watched()).map_err(Ended::Failed);
            action = match woken.and_then(|wake| self.take(wake, cue)) {
                Ok(action) => action,
                Err(ended) => return self.take_back(ended),
            };
        }
    }

    fn take(&mut self, wake: Wake, cue: &mut Cue) -> Result<Action, Ended> {
        // One that was let go without us is not taken back any more: so its state comes first.
        if matches!(self.stage, Stage::Parked) || wake == Wake::Child {
            let action = self.children(cue)?;
            if wake == Wake::Child || matches!(action, Action::Leave(_)) {
                return Ok(action);
            }
        }
        Ok(match wake {
            Wake::Event(event) => self.hold.handle(realtime(), event),
            Wake::Other => {
                cue.take().map_or(Action::Wait, |said| self.hold.handle(realtime(), said))
            }
            Wake::Child => Action::Wait,
        })
    }

    /// Takes what all children have to tell: one SIGCHLD may stand for several.
    fn children(&mut self, cue: &mut Cue) -> Result<Action, Ended> {
        let mut last = Action::Wait;
        while let Some(waited) = wait_any() {
            // As process 1 of a container we also get orphans; they are reaped by that.
            if waited.pid != self.child {
                continue;
            }
            self.has_ended |= waited.change.is_end();
            if let Some(event) = self.changed(waited.change, cue)? {
                let action = self.hold.handle(realtime(), event);
                match action {
                    Action::Wait if event == Event::Loaded && cue.watched().is_some() => {
                        self.park().map_err(Ended::Failed)?;
                    }
                    // At once: there may be more to tell, which must not take its place.
                    Action::Release { .. } => self.release(cue)?,
                    Action::Leave(_) => return Ok(action),
                    other => last = other,
                }
            }
        }
        Ok(last)
    }

    fn release(&self, cue: &mut Cue) -> Result<(), Ended> {
        if let Some(Err(why)) = self.accuracy.map(|accuracy| accuracy.check()) {
            return Err(Ended::Inaccurate(why));
        }
        let let_go = match self.stage {
            Stage::Parking | Stage::Parked => send(self.child, SIGCONT),
            Stage::Starting | Stage::Loading(_) | Stage::Preparing(_) | Stage::Loaded => {
                Tracee(self.child).detach()
            }
        };
        let_go.map_err(Ended::Failed)?;
        cue.tell(Progress::LetGo);
        Ok(())
    }

    /// Leaves the command at its entry point by a stop instead of by tracing it, so that another
    /// process can let it go with one call, and does not have to wake us first.
    fn park(&mut self) -> Result<(), Errno> {
        // It is pending when the command goes on, and is taken before any instruction.
        let parked = send(self.child, SIGSTOP).and_then(|()| Tracee(self.child).detach());
        self.stage = Stage::Parking;
        match parked {
            // It was killed: that is told by its end.
            Err(Errno::ESRCH) => Ok(()),
            parked => parked,
        }
    }

    /// The command has come to its stop: whoever says when is told whom to let go.
    fn parked(&mut self, cue: &mut Cue) -> Result<(), Errno> {
        self.stage = Stage::Parked;
        // What it is told of its going on would be the first thing that it does.
        Disposition::ends_only().set(SIGCHLD)?;
        cue.tell(Progress::Held { pid: self.child.0 });
        Ok(())
    }

    /// Leads the child on, or tells what has become of it.
    fn changed(&mut self, change: Change, cue: &mut Cue) -> Result<Option<Event>, Ended> {
        let tracee = Tracee(self.child);
        if self.hold.is_running() {
            return Ok(match change {
                Change::Exited(status) => Some(Event::Ended(Exit::Status(status))),
                Change::Killed(signal) => Some(Event::Ended(Exit::Signal(signal))),
                Change::Stopped(_) => Some(Event::Stopped),
                Change::Continued | Change::Executed => None,
            });
        }
        let untraceable = |error| Ended::Untraceable(Untraceable::Memory(error));
        match (change, &self.stage) {
            (Change::Exited(_) | Change::Killed(_), Stage::Starting) => Err(self.failure()),
            // It has begun, or was killed while it was stopped; its end says which.
            (Change::Exited(status), Stage::Parking | Stage::Parked) => {
                Ok(Some(Event::Ended(Exit::Status(status))))
            }
            (Change::Killed(signal), Stage::Parking | Stage::Parked) => {
                Ok(Some(Event::Ended(Exit::Signal(signal))))
            }
            (Change::Stopped(SIGSTOP), Stage::Parking) => {
                self.parked(cue).map(|()| None).map_err(Ended::Failed)
            }
            (Change::Continued, Stage::Parking | Stage::Parked) => Ok(Some(Event::Begun)),
            (Change::Exited(status), _) => Err(Ended::Loading(Exit::Status(status))),
            (Change::Killed(signal), _) => Err(Ended::Loading(Exit::Signal(signal))),
            (Change::Stopped(SIGSTOP), Stage::Starting) => {
                let traced = tracee.set_options().and_then(|()| tracee.resume(0));
                let refused = |error| Ended::Untraceable(Untraceable::Refused(error));
                traced.map(|()| None).map_err(refused)
            }
            (Change::Executed, Stage::Starting) => self.executed(),
            (Change::Stopped(CALL), Stage::Preparing(_)) if !tracee.is_at_unseen_call() => {
                self.begin_anew().map(|()| None).map_err(Ended::Failed)
            }
            (Change::Stopped(CALL), Stage::Preparing(_)) => {
                tracee.resume_to_call(0).map(|()| None).map_err(untraceable)
            }
            (
                Change::Stopped(SIGTRAP),
                Stage::Loading(breakpoint) | Stage::Preparing(breakpoint),
            ) if tracee.is_at(breakpoint).map_err(untraceable)? => {
                tracee.clear_breakpoint(breakpoint).map_err(untraceable)?;
                tracee.set_mask(self.inherited.mask).map_err(untraceable)?;
                self.stage = Stage::Loaded;
                Ok(Some(Event::Loaded))
            }
            (Change::Stopped(_), Stage::Loaded | Stage::Parking | Stage::Parked)
            | (Change::Executed | Change::Continued, _) => Ok(None),
            (Change::Stopped(signal), _) => {
                // A loader that is broken has to know. Other signals find no program yet.
                let delivered = if FAULTS.contains(&signal) { signal } else { 0 };
                let resumed = match self.stage {
                    Stage::Preparing(_) => tracee.resume_to_call(delivered),
                    _ => tracee.resume(delivered),
                };
                resumed.map(|()| None).map_err(untraceable)
            }
        }
    }

    /// The kernel has begun the program and stopped it before its first instruction.
    fn executed(&mut self) -> Result<Option<Event>, Ended> {
        let tracee = Tracee(self.child);
        let untraceable = |error| Ended::Untraceable(Untraceable::Memory(error));
        let program = proc_path(self.child, "exe");
        let program = as_path(&program);
        let permissions = mode(program).map_err(untraceable)?;
        if permissions & MODE_PRIVILEGED != 0 || has_capabilities(program) {
            return Err(Ended::Untraceable(Untraceable::Privileged));
        }
        let entry = entry_point(self.child).map_err(untraceable)?;
        self.stage = if tracee.program_counter().map_err(untraceable)? == entry {
            let init = init_of(program, entry).filter(|_| self.leads);
            // A static program has no loader. Where it cannot be led any further (its file may name
            // a place that is not in its memory), it is held here.
            let Some(breakpoint) = init.and_then(|init| tracee.set_breakpoint(init).ok()) else {
                self.stage = Stage::Loaded;
                return Ok(Some(Event::Loaded));
            };
            Stage::Preparing(breakpoint)
        } else {
            Stage::Loading(tracee.set_breakpoint(entry).map_err(untraceable)?)
        };
        // A trap that is blocked would be unblocked by force and the command's mask be changed;
        // so it is not blocked on the way, and the mask is set again at the entry point.
        let open = self.inherited.mask & !(1 << (SIGTRAP - 1));
        let resumed = tracee.set_mask(open).and_then(|()| match self.stage {
            Stage::Preparing(_) => tracee.resume_to_call(0),
            _ => tracee.resume(0),
        });
        resumed.map(|()| None).map_err(untraceable)
    }

    /// Why the child ended without having become the command.
    fn failure(&self) -> Ended {
        let mut told = [0; 3];
        let stage = match self.report.read(&mut told) {
            Ok(3) => told[0],
            _ => 0,
        };
        let error = Errno::from_raw(u16::from_le_bytes([told[1], told[2]]));
        match stage {
            STAGE_EXECUTE => Ended::NotExecutable(error),
            STAGE_TRACE => Ended::Untraceable(Untraceable::Refused(error)),
            _ => Ended::Untraceable(Untraceable::Killed),
        }
    }

    /// Sees to it that the command never begins (or, after a failure, does not go on).
    fn take_back(&self, ended: Ended) -> Ended {
        if self.has_ended || send(self.child, SIGKILL).is_err() {
            return ended;
        }
        loop {
            while let Some(waited) = wait_any() {
                if waited.pid == self.child && waited.change.is_end() {
                    return ended;
                }
            }
            if self.watch.next(self.inherited, None).is_err() {
                return ended;
            }
        }
    }
}

impl Program<'_> {
    /// Starts a child that is to become the command; returns where it says if it cannot.
    fn begin(self, inherited: &Inherited) -> Result<(Pid, Fd), Errno> {
        let (report, tell) = pipe()?;
        let parent = own_pid();
        let Some(child) = fork()? else {
            let (stage, error) = become_traced(parent, self, inherited);
            // If this does not arrive, the parent takes us for killed.
            let _ = tell.write(&[stage, error.as_raw() as u8, (error.as_raw() >> 8) as u8]);
            exit(0);
        };
        Ok((child, report))
    }
}

/// In the child: becomes the command, under the parent's eyes. Returns only if that fails.
fn become_traced(parent: Pid, program: Program<'_>, inherited: &Inherited) -> (u8, Errno) {
    let prepared = die_with_parent().and_then(|()| {
        // The parent may have ended before we asked.
        if parent_pid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
    });
    let traced = prepared.and_then(|()| trace_me()).and_then(|()| send(own_pid(), SIGSTOP));
    if let Err(error) = traced {
        return (STAGE_TRACE, error);
    }
    let restored = inherited.on_child.set(SIGCHLD).and_then(|()| set_mask(inherited.mask));
    if let Err(error) = restored {
        return (STAGE_TRACE, error);
    }
    let Program { path, command, environment } = program;
    (STAGE_EXECUTE, execute(path.as_c_str(), command, environment))
}

/// Reads where the program begins, which is known once the kernel has placed it.
fn entry_point(pid: Pid) -> Result<u64, Errno> {
    let path = proc_path(pid, "auxv");
    let mut octets = [0_u8; 16 * AUXILIARY_PAIRS_MAX];
    let length = open_read(as_path(&path))?.read(&mut octets)?;
    let word = |octets: &[u8]| octets.try_into().map_or(0, u64::from_ne_bytes);
    let mut pairs =
        octets[..length].chunks_exact(16).map(|pair| (word(&pair[..8]), word(&pair[8..])));
    // ENOEXEC: a 32-bit program has pairs of another size.
    pairs.find(|(kind, _)| *kind == AT_ENTRY).map(|(_, entry)| entry).ok_or(Errno::from_raw(8))
}

/// Where a static program that was placed with its entry point at `entry` is called first by its C
/// library.
fn init_of(program: &CStr, entry: u64) -> Option<u64> {
    let file = open_read(program).ok()?;
    let places =
        places(|at, buffer| file.read_at(at, buffer).is_ok_and(|octets| octets == buffer.len()))?;
    let moved_by = entry.wrapping_sub(places.entry);
    Some(places.init.wrapping_add(moved_by))
}

fn proc_path(pid: Pid, name: &str) -> Line {
    Line::new(format_args!("/proc/{}/{name}\0", pid.0))
}

fn as_path(line: &Line) -> &CStr {
    CStr::from_bytes_with_nul(line.as_bytes()).expect("proc_path ends it with NUL")
}
