//! One run of a program, from its start to its end.

use super::StopSign;
use super::held::Held;
use super::start::{Started, start};
use super::tail::Tail;
use crate::fault::{self, Point};
use crate::sys::{Child, Exit, Poked, SpawnPlan, poll_readable};
use std::io::{self, PipeReader, Read};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};
use timeball_schedule::{Outcome, Reason};
use timeball_timebase::Span;

/// How much of the output is kept for the outcome.
const TAIL_OCTETS_MAX: usize = 800;
/// How much output that is already there when the program ends is still read.
const LEFTOVER_READS_MAX: usize = 64;
/// How often it is looked whether something is left of a program that was stopped.
const REST_LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it is waited for to be gone once it was killed.
const KILLED_WAIT_MAX: Duration = Duration::from_millis(500);
/// The status of a gate that failed itself (`timeball_gate::Exit::FAILED`).
const GATE_FAILED: Exit = Exit::Status(125);

/// How a program is watched.
pub(super) struct Watch<'a> {
    /// How long it may run.
    pub(super) timeout: Duration,
    /// How long it has between SIGTERM and SIGKILL.
    pub(super) grace: Span,
    /// Where we are told to stop it.
    pub(super) sign: &'a StopSign,
    pub(super) poked: &'a Poked,
}

/// Runs the program once and says how it ended, with a message for a person.
pub(super) fn once(plan: &SpawnPlan, watch: &Watch<'_>) -> (Outcome, String) {
    match start(plan) {
        Ok(started) => Run::new(started, watch).finish(watch),
        Err(error) => not_started(plan, &error.to_string()),
    }
}

/// Stays with a program that was let go, and says how it ended.
pub(super) fn held(held: Held, plan: &SpawnPlan, watch: &Watch<'_>) -> (Outcome, String) {
    let (started, mut began) = held.into_parts();
    let mut run = Run::new(started, watch);
    let exit = match run.watch(watch.sign, watch.poked) {
        Ok(exit) => exit,
        Err(error) => return run.lost(&error),
    };
    if run.stopped_for.is_some() || began.is_certain() {
        return run.judge(exit, watch.timeout);
    }
    if exit == GATE_FAILED {
        tracing::warn!(said = %run.tail.text(), "a gate failed; its program is started without it");
        return once(plan, watch);
    }
    let said = run.tail.text();
    let said = said.trim_start_matches("timeball-gate: ");
    match exit {
        // A held program's gate ends as it did, and has nothing to say about that.
        Exit::Signal(signal) if said.is_empty() => {
            not_started(plan, &format!("it ended with signal {signal} before its instant"))
        }
        _ => not_started(plan, said),
    }
}

fn not_started(plan: &SpawnPlan, why: &str) -> (Outcome, String) {
    let path = plan.path.to_string_lossy();
    let message = format!("{path} could not be started: {why}");
    (Outcome::Failed(Reason::Unreachable), message)
}

struct Run {
    child: Child,
    /// `None` once everything was read.
    output: Option<PipeReader>,
    tail: Tail,
    /// When the program is stopped, or killed if it was asked to stop.
    deadline: Instant,
    term_grace: Duration,
    stopped_for: Option<Reason>,
    killed: bool,
}

impl Run {
    fn new(started: Started, watch: &Watch<'_>) -> Self {
        fault::pass(Point::ProgramStarted);
        Self {
            child: started.child,
            output: Some(started.output),
            tail: Tail::new(TAIL_OCTETS_MAX),
            deadline: Instant::now() + watch.timeout,
            term_grace: Duration::from_nanos(watch.grace.as_nanos().unsigned_abs()),
            stopped_for: None,
            killed: false,
        }
    }

    fn finish(mut self, watch: &Watch<'_>) -> (Outcome, String) {
        match self.watch(watch.sign, watch.poked) {
            Ok(exit) => self.judge(exit, watch.timeout),
            Err(error) => self.lost(&error),
        }
    }

    fn lost(&self, error: &io::Error) -> (Outcome, String) {
        self.child.signal_group(libc::SIGKILL);
        let message = format!("the program could not be watched and was killed: {error}");
        (Outcome::Failed(Reason::Unreachable), message)
    }

    fn watch(&mut self, sign: &StopSign, poked: &Poked) -> io::Result<Exit> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            // Rounded up, or the last millisecond would be spent in a busy loop.
            let millis = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
            let sign_fd = if self.stopped_for.is_none() { poked.as_raw_fd() } else { -1 };
            let output_fd = self.output.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            let fds = [self.child.as_raw_fd(), output_fd, sign_fd];
            let [ended, can_read, raised] = poll_readable(fds, millis)?;
            if can_read {
                self.read_output();
            }
            if ended && let Some(exit) = self.child.try_wait()? {
                if self.stopped_for.is_some() {
                    self.end_rest();
                }
                self.read_leftovers()?;
                return Ok(exit);
            }
            if raised && let Some(reason) = sign.reason() {
                self.ask_to_stop(reason);
            } else if Instant::now() >= self.deadline {
                match self.stopped_for {
                    None => self.ask_to_stop(Reason::TimedOut),
                    Some(_) => self.kill(),
                }
            }
        }
    }

    fn ask_to_stop(&mut self, reason: Reason) {
        self.stopped_for = Some(reason);
        self.child.signal_group(libc::SIGTERM);
        self.deadline = Instant::now() + self.term_grace;
    }

    fn kill(&mut self) {
        self.killed = true;
        self.child.signal_group(libc::SIGKILL);
        // It cannot refuse; the loop only waits for the kernel to say so.
        self.deadline = Instant::now() + Duration::from_secs(3_600);
    }

    /// Sees to it that nothing is left in the group of a program that was stopped and has ended:
    /// what does not end by itself in the time that the program had is killed.
    fn end_rest(&self) {
        let rest = self.child.rest();
        while rest.is_there() {
            let overdue = Instant::now().checked_duration_since(self.deadline);
            if overdue.is_some_and(|overdue| overdue > KILLED_WAIT_MAX) {
                return tracing::warn!("something that was killed is still there");
            }
            if overdue.is_some() {
                rest.signal(libc::SIGKILL);
            }
            thread::sleep(REST_LOOK_EVERY);
        }
    }

    /// Reads once; only called when there is something, so it does not wait.
    fn read_output(&mut self) {
        let mut octets = [0; 16 * 1024];
        let Some(output) = &mut self.output else { return };
        match output.read(&mut octets) {
            Ok(0) => self.output = None,
            Ok(n) => self.tail.push(&octets[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.output = None,
        }
    }

    /// Reads what is in the pipe when the program has ended. Whoever else still holds the other end
    /// (something left in the background) is not waited for.
    fn read_leftovers(&mut self) -> io::Result<()> {
        for _ in 0..LEFTOVER_READS_MAX {
            let Some(output) = &self.output else { break };
            if !poll_readable([output.as_raw_fd()], 0)?[0] {
                break;
            }
            self.read_output();
        }
        Ok(())
    }

    fn judge(&self, exit: Exit, timeout: Duration) -> (Outcome, String) {
        let how = match exit {
            Exit::Status(status) => format!("exit status {status}"),
            Exit::Signal(signal) => format!("signal {signal}"),
        };
        let (outcome, what) = match (self.stopped_for, exit) {
            (None, Exit::Status(0)) => (Outcome::Fired, String::new()),
            (None, _) => (Outcome::Failed(Reason::ExitStatus), how),
            (Some(reason), _) => {
                let why = match reason {
                    Reason::TimedOut => format!("still running after {} s", timeout.as_secs_f64()),
                    Reason::Replaced => "another fire took its place".to_owned(),
                    _ => "the scheduler was stopped".to_owned(),
                };
                let asked = if self.killed { "killed" } else { "asked to end" };
                (Outcome::Failed(reason), format!("{why}; {asked}, and ended with {how}"))
            }
        };
        let text = self.tail.text();
        let message = match (what.is_empty(), text.is_empty()) {
            (true, _) => text,
            (false, true) => what,
            (false, false) => format!("{what}; output: {text}"),
        };
        (outcome, message)
    }
}
