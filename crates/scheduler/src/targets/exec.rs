//! The target `exec`: runs a program at T.
//!
//! Ahead of T the program's path is resolved, its arguments and environment are encoded and a
//! thread stands ready; at T that thread starts the program. Once started it leads a process group
//! of its own; standard input is empty, standard output and error are read to their end and the
//! last of them is kept for the outcome. It inherits our environment (without what a service
//! manager put there for us), umask and resource limits. At its timeout, when another fire replaces
//! it, or when we are stopped, the group gets SIGTERM and, after a grace, SIGKILL. What it leaves
//! behind in its group when it ends by itself is let be. If we crash, it runs on, and its outcome
//! is unknown.

mod run;
mod tail;

use super::pool::Pool;
use super::{Ended, Report, ScheduleName, TargetLimits};
use crate::sys::{Account, Poked, SpawnPlan, poll_readable};
use crate::timer::Release;
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
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
pub(crate) struct Runner(Arc<Shared>);

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
    pub(crate) fn new(limits: TargetLimits, report: Arc<dyn Report>) -> Self {
        let pool = Pool::new(limits.programs_max);
        Self(Arc::new(Shared { pool, limits, report, running: Mutex::new(HashMap::new()) }))
    }

    /// Encodes what the program gets; the release wakes a thread that starts it.
    pub(crate) fn prepare(
        &self,
        fire: FireId,
        name: &ScheduleName,
        program: &Arc<Program>,
    ) -> Release {
        let plan = spawn_plan(fire, name, program);
        if let Err(error) = self.0.pool.warm(READY_MAX) {
            tracing::warn!(%error, "no thread could be made ready for programs");
        }
        let (shared, program) = (Arc::clone(&self.0), Arc::clone(program));
        let sign = Arc::new(StopSign::default());
        Box::new(move || {
            let released = Instant::now();
            shared.lock().insert(fire, Arc::clone(&sign));
            let inner = Arc::clone(&shared);
            let job = Box::new(move || {
                let (outcome, message) = inner.run(fire, &plan, &program, &sign);
                inner.end(fire, released, outcome, message);
            });
            if shared.pool.run(job).is_err() {
                let max = shared.limits.programs_max;
                let message = format!("{max} programs run already; this one was not started");
                shared.end(fire, released, Outcome::Failed(Reason::Unreachable), message);
            }
        })
    }

    pub(crate) fn stop(&self, fire: FireId, reason: Reason) {
        if let Some(sign) = self.0.lock().get(&fire) {
            sign.raise(reason);
        }
    }

    pub(crate) fn stop_all(&self, reason: Reason) {
        self.0.lock().values().for_each(|sign| sign.raise(reason));
    }
}

impl Shared {
    fn run(
        &self,
        fire: FireId,
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
        if let Err(error) = self.report.begin(fire) {
            return (Outcome::Failed(Reason::StoreFailed), error.to_string());
        }
        let once = || run::once(plan, program.timeout, self.limits.term_grace, sign, poked);
        let mut last = once();
        for retry in 1..=program.retries {
            // A program that was stopped from outside is not wanted any more.
            if last.0 == Outcome::Fired || wait(sign, poked, super::back_off(retry)) {
                break;
            }
            last = once();
        }
        last
    }

    fn end(&self, fire: FireId, released: Instant, outcome: Outcome, message: String) {
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

/// Variables of ours that would mislead a program: they speak to the process that a service manager
/// started.
const NOT_INHERITED: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
];
/// The path of another user's programs, since ours may have directories that are none of theirs.
const PATH_OF_OTHERS: &str = "/usr/local/bin:/usr/bin:/bin";

fn spawn_plan(fire: FireId, name: &ScheduleName, program: &Program) -> SpawnPlan {
    let mut variables: HashMap<String, String> = HashMap::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    match &program.account {
        None => {
            for (name, value) in std::env::vars_os() {
                // What is not UTF-8 cannot be meant for anything that we know of.
                if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
                    && !NOT_INHERITED.contains(&name)
                {
                    set(name, value);
                }
            }
        }
        Some(account) => {
            set("PATH", PATH_OF_OTHERS);
            set("HOME", &account.home);
            set("SHELL", &account.shell);
            set("USER", &account.name);
            set("LOGNAME", &account.name);
        }
    }
    for (name, value) in &program.variables {
        set(name, value);
    }
    set("TIMEBALL_FIRE_ID", &fire.to_string());
    set("TIMEBALL_SCHEDULED_AT", &fire.scheduled_at.to_string());
    set("TIMEBALL_SCHEDULE", &name.to_string());
    let environment = variables
        .into_iter()
        // A file with a null octet in a variable was refused, and the system has none.
        .filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok())
        .collect();
    SpawnPlan {
        path: program.path.clone(),
        arguments: program.arguments.clone(),
        environment,
        directory: program.directory.clone(),
        account: program.account.clone(),
    }
}

#[cfg(test)]
mod tests;
