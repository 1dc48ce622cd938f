//! The target `exec`: runs a program at T.
//!
//! Half a second ahead of T a gate (`timeball-gate`, of our own program) is started, which loads
//! the program and holds it at its entry point; at T the firing thread lets it go with one octet. A
//! fire that is revoked takes its program back, and so does our end. Where there is no gate, or no
//! time for it, the program is started at T.
//!
//! Gate and program are a process group of their own; standard input is empty, standard output and
//! error are read to their end and the last of them is kept for the outcome. The program inherits
//! our environment (without what a service manager put there for us), umask and resource limits. At
//! its timeout, when another fire replaces it, or when we are stopped, the group gets SIGTERM and,
//! after a grace, SIGKILL. What it leaves behind in its group when it ends by itself is let be. If
//! we crash after T, it runs on, and its outcome is unknown.

mod held;
mod loader;
mod plan;
mod run;
mod start;
mod tail;

pub use held::GateProgram;

use super::pool::Pool;
use super::{Ended, Report, ScheduleName, TargetLimits};
use crate::fault::{self, Point};
use crate::sys::{Account, Poked, SpawnPlan, poll_readable};
use crate::timer::Release;
use loader::{Armed, Loader, Taken};
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use timeball_schedule::planner::ArmedFire;
use timeball_schedule::{FireId, Outcome, Reason};
use timeball_timebase::Span;

/// A program as its file asks for it, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The program's file, an absolute path.
    pub(crate) path: CString,
    /// Its arguments, its name as written first.
    pub(crate) arguments: Vec<CString>,
    /// The directory it starts in.
    pub(crate) directory: CString,
    /// Variables added to the environment.
    pub(crate) variables: Vec<(String, String)>,
    /// Whom it runs as, where that is not ourselves.
    pub(crate) account: Option<Account>,
    /// How long it may run; above zero.
    pub(crate) timeout: Duration,
    /// How often it is run again after a failure that was seen.
    pub(crate) retries: u32,
}

impl fmt::Display for Program {
    /// Writes the program's name as it was written in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arguments[0].to_string_lossy())
    }
}

/// Runs programs.
pub(crate) struct Runner {
    shared: Arc<Shared>,
    /// Loads programs ahead; `None` without a gate.
    loader: Option<Loader>,
}

struct Shared {
    pool: Pool,
    limits: TargetLimits,
    report: Arc<dyn Report>,
    running: Mutex<HashMap<FireId, Arc<StopSign>>>,
}

/// Where the thread of a released program is told to stop it.
#[derive(Default)]
struct StopSign {
    /// Made by the thread itself: descriptors are only for programs that run.
    poked: OnceLock<Poked>,
    reason: Mutex<Option<Reason>>,
}

/// How many threads stand ready for programs that are armed.
const READY_MAX: usize = 8;

impl Runner {
    /// Makes a runner; with a gate, programs are loaded ahead.
    ///
    /// # Errors
    /// Where the process has no thread left.
    pub(crate) fn new(
        limits: TargetLimits,
        gate: Option<GateProgram>,
        report: Arc<dyn Report>,
    ) -> io::Result<Self> {
        // A thread whose program has ended is not ready for the next one in the same moment.
        let pool = Pool::new(limits.programs_max + READY_MAX);
        let loader = gate.map(|gate| Loader::start(gate, limits.programs_max, Arc::clone(&report)));
        let loader = loader.transpose()?;
        let running = Mutex::new(HashMap::new());
        Ok(Self { shared: Arc::new(Shared { pool, limits, report, running }), loader })
    }

    /// Encodes what the program gets, and has it loaded shortly before its instant, which is
    /// `due_in` from now. The release lets it go, or wakes a thread that starts it; dropped
    /// instead, it takes the program back.
    pub(crate) fn prepare(
        &self,
        armed: &ArmedFire,
        due_in: Span,
        name: &ScheduleName,
        program: &Arc<Program>,
    ) -> Release {
        let fire = armed.fire;
        let plan = Arc::new(plan::spawn_plan(fire, name, program));
        if let Err(error) = self.shared.pool.warm(READY_MAX) {
            tracing::warn!(%error, "no thread could be made ready for programs");
        }
        let armed = self.loader.as_ref().and_then(|loader| loader.arm(armed, &plan, due_in));
        let (shared, program) = (Arc::clone(&self.shared), Arc::clone(program));
        Box::new(move || shared.release(fire, armed, plan, program))
    }

    pub(crate) fn stop(&self, fire: FireId, reason: Reason) {
        if let Some(sign) = self.shared.lock().get(&fire) {
            sign.raise(reason);
        }
    }

    pub(crate) fn stop_all(&self, reason: Reason) {
        self.shared.lock().values().for_each(|sign| sign.raise(reason));
    }
}

impl Shared {
    /// On the firing thread: lets the program go, and has a thread watch it.
    fn release(
        self: Arc<Self>,
        fire: FireId,
        armed: Option<Armed>,
        plan: Arc<SpawnPlan>,
        program: Arc<Program>,
    ) {
        let released = Instant::now();
        let refused = |message: String| {
            self.end(fire, released, Outcome::Failed(Reason::Unreachable), message);
        };
        let sign = Arc::new(StopSign::default());
        let max = self.limits.programs_max;
        let has_place = {
            let mut running = self.lock();
            let has_place = running.len() < max;
            if has_place {
                // The program is let go first of all: what follows costs it no time.
                if let Some(armed) = &armed {
                    armed.let_go();
                }
                running.insert(fire, Arc::clone(&sign));
            }
            has_place
        };
        if !has_place {
            return refused(format!("{max} programs run already; this one was not started"));
        }
        let inner = Arc::clone(&self);
        let job = Box::new(move || {
            let held = armed.and_then(Armed::take);
            let (outcome, message) = inner.run(fire, held, &plan, &program, &sign);
            inner.end(fire, released, outcome, message);
        });
        if self.pool.run(job).is_err() {
            refused("no thread was left to watch the program, so it was killed".to_owned());
        }
    }

    fn run(
        &self,
        fire: FireId,
        held: Option<Taken>,
        plan: &SpawnPlan,
        program: &Program,
        sign: &StopSign,
    ) -> (Outcome, String) {
        let poked = match Poked::new() {
            Ok(poked) => sign.poked.get_or_init(|| poked),
            Err(error) => return (Outcome::Failed(Reason::Unreachable), error.to_string()),
        };
        if let Some(reason) = sign.reason() {
            return (Outcome::Failed(reason), "stopped before it was started".to_owned());
        }
        let has_begun = held.as_ref().is_some_and(|taken| taken.was_let_go);
        if !has_begun && let Err(error) = self.report.begin(fire) {
            return (Outcome::Failed(Reason::StoreFailed), error.to_string());
        }
        let watch =
            run::Watch { timeout: program.timeout, grace: self.limits.term_grace, sign, poked };
        let mut last = match held {
            Some(Taken { mut held, was_let_go }) => {
                if !was_let_go {
                    held.let_go();
                }
                run::held(held, plan, &watch)
            }
            None => run::once(plan, &watch),
        };
        for retry in 1..=program.retries {
            // A program that was stopped from outside is not wanted any more.
            if last.0 == Outcome::Fired || wait(sign, poked, super::back_off(fire, retry)) {
                break;
            }
            last = run::once(plan, &watch);
        }
        last
    }

    fn end(&self, fire: FireId, released: Instant, outcome: Outcome, message: String) {
        fault::pass(Point::EffectDone);
        let nanos = i64::try_from(released.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let message = super::shorten(message);
        self.lock().remove(&fire);
        self.report.end(Ended { fire, outcome, duration: Span::from_nanos(nanos), message });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FireId, Arc<StopSign>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StopSign {
    fn raise(&self, reason: Reason) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        // Where there is none yet, the thread looks at the reason once it has made one.
        if let Some(poked) = self.poked.get() {
            poked.poke();
        }
    }

    fn reason(&self) -> Option<Reason> {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the sign; returns whether it was raised.
fn wait(sign: &StopSign, poked: &Poked, limit: Duration) -> bool {
    let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // An error leaves the sign itself to be looked at.
    let _ = poll_readable([poked.as_raw_fd()], millis);
    sign.reason().is_some()
}

#[cfg(test)]
mod tests;
