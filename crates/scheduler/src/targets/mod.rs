//! What a fire does: run a program, or send a message.
//!
//! A target is parsed when its file is read, prepared when a fire is armed, released on the firing
//! thread (which only hands over), and told of when it has ended.

pub(crate) mod brokers;
mod couriers;
mod event;
pub(crate) mod exec;
pub(crate) mod form;
pub(crate) mod http;
mod latch;
mod pool;
mod secret;
mod tls;
mod trigger;

use crate::store::JournalError;
use crate::timer::Release;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use timeball_schedule::planner::ArmedFire;
use timeball_schedule::{FireId, Outcome, Reason};
use timeball_timebase::Span;

/// What a schedule does at its instants.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Runs a program.
    Exec(Arc<exec::Program>),
    /// Sends an HTTP request.
    Http(Arc<http::Request>),
    /// Gives a message to a broker.
    Broker(brokers::Errand),
}

impl Target {
    /// Whether a fire may be repeated under its key after a crash: only where the file says that
    /// more than one try is wanted, and the receiver gets a key to tell them apart.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Self::Exec(_) => false,
            Self::Http(request) => request.retries > 0,
            Self::Broker(errand) => errand.retries() > 0,
        }
    }
}

impl fmt::Display for Target {
    /// Writes the kind and the program or address, for eyes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec(program) => write!(f, "exec {program}"),
            Self::Http(request) => write!(f, "http {request}"),
            Self::Broker(errand) => errand.fmt(f),
        }
    }
}

/// Whose fire it is, for receivers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ScheduleName {
    /// Namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
}

impl fmt::Display for ScheduleName {
    /// Writes `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How a released target ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    /// Which fire.
    pub(crate) fire: FireId,
    /// How.
    pub(crate) outcome: Outcome,
    /// From release to end.
    pub(crate) duration: Span,
    /// Details for a person; may be empty, at most [`MESSAGE_OCTETS_MAX`].
    pub(crate) message: String,
}

/// How long a message about one outcome may be.
pub(crate) const MESSAGE_OCTETS_MAX: usize = 1_024;

/// Hears from targets what becomes of fires; may be called from any thread but the firing one.
pub(crate) trait Report: Send + Sync {
    /// A fire is about to have its first effect outside of this process, or may have it from now
    /// on; its repeats need no word. It is noted for the case that the process dies: without this,
    /// the fire would count as never released then, and might be released again. So every target
    /// says it, as late as it can, and always before the effect; where the effect is the firing
    /// thread's, shortly before T. A fire that is revoked after this is still revoked.
    ///
    /// Takes microseconds as a rule, and may wait for the file system.
    ///
    /// # Errors
    /// Where it cannot be noted: the effect must not happen, and the fire ends as
    /// `Failed(StoreFailed)`.
    fn begin(&self, fire: FireId) -> Result<(), JournalError>;

    /// A released fire has ended.
    fn end(&self, ended: Ended);
}

/// Tests that keep no journal hear only of the end.
#[cfg(test)]
impl<F: Fn(Ended) + Send + Sync> Report for F {
    fn begin(&self, _fire: FireId) -> Result<(), JournalError> {
        Ok(())
    }

    fn end(&self, ended: Ended) {
        self(ended);
    }
}

/// A fire of a test, which goes by the clock as most do.
#[cfg(test)]
pub(crate) fn armed(fire: FireId) -> ArmedFire {
    let release_at = fire.scheduled_at;
    ArmedFire { fire, release_at, not_after: None, clock: Default::default() }
}

/// All targets that run or are prepared.
pub(crate) struct Targets {
    exec: exec::Runner,
    couriers: couriers::Couriers,
    http: http::Client,
    brokers: brokers::Posts,
}

impl Targets {
    /// Starts what targets need.
    ///
    /// # Errors
    /// Where the process has no thread or descriptor left.
    pub(crate) fn start(
        limits: TargetLimits,
        gate: Option<exec::GateProgram>,
        report: Arc<dyn Report>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            exec: exec::Runner::new(limits, gate, Arc::clone(&report))?,
            couriers: couriers::Couriers::start(limits, report)?,
            http: http::Client::default(),
            brokers: brokers::Posts::default(),
        })
    }

    /// Does ahead of time what can be done, and returns what is left for the instant itself.
    /// `due_in` is about how far away that is; negative for a late fire.
    pub(crate) fn prepare(
        &self,
        fire: &ArmedFire,
        due_in: Span,
        name: &ScheduleName,
        target: &Target,
    ) -> Release {
        match target {
            Target::Exec(program) => self.exec.prepare(fire, due_in, name, program),
            Target::Http(request) => self.http.prepare(&self.couriers, fire, due_in, name, request),
            Target::Broker(errand) => {
                self.brokers.prepare(&self.couriers, fire, due_in, name, errand)
            }
        }
    }

    /// Stops a released fire's target, which then ends as `Failed(reason)`. Nothing happens where
    /// it has ended.
    pub(crate) fn stop(&self, fire: FireId, reason: Reason) {
        self.exec.stop(fire, reason);
        self.couriers.stop(fire, reason);
    }

    /// Stops everything that runs.
    pub(crate) fn stop_all(&self, reason: Reason) {
        self.exec.stop_all(reason);
        self.couriers.stop_all(reason);
    }
}

/// What targets never exceed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TargetLimits {
    /// Programs that run at once; further fires fail.
    pub(crate) programs_max: usize,
    /// Messages under way at once, from shortly before their instants on; further fires fail.
    pub(crate) messages_max: usize,
    /// How long a stopped program has between SIGTERM and SIGKILL.
    pub(crate) term_grace: Span,
}

impl Default for TargetLimits {
    fn default() -> Self {
        Self { programs_max: 128, messages_max: 512, term_grace: Span::from_secs(5) }
    }
}

/// How long is waited before the `retry`th repeat (1+) of a fire's target.
pub(crate) fn back_off(fire: FireId, retry: u32) -> Duration {
    couriers::duration(fire.back_off(retry))
}

/// Cuts a message to its limit, at a character's end.
pub(crate) fn shorten(mut message: String) -> String {
    if message.len() > MESSAGE_OCTETS_MAX {
        let mut end = MESSAGE_OCTETS_MAX - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}
