//! The thread that sends messages: each fire has a flight of its own, prepared ahead of T.

use super::{Ended, Report, TargetLimits, shorten};
use crate::fault::{self, Point};
use crate::store::JournalError;
use crate::timer::Release;
use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;
use timeball_schedule::planner::ArmedFire;
use timeball_schedule::{FireId, Outcome, Reason};
use timeball_timebase::Span;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How long before T a flight is made ready.
const READY_AHEAD: Duration = Duration::from_millis(500);

/// How long before T a message is handed to its connection, to be released by the firing thread.
/// From then on its fire counts as begun.
const LOAD_AHEAD: Duration = Duration::from_millis(20);

/// How long after its instant a message lies ready that was not released: where the clock was set
/// back, say, others want its place.
const UNRELEASED_MAX: Duration = Duration::from_secs(1);

/// What is said of a message that was stopped in time.
const UNSENT: &str = "stopped before it was sent";

/// One message on its way, from its preparation to its answer.
pub(super) trait Flight: Send + 'static {
    /// Does what can be done ahead of T, in a limited time. What fails here is tried again later.
    fn make_ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Sees to it that what was made ready is so at T; may be dropped at any point.
    fn keep_ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Lets go of all that was made ready, and leaves the message to its release; `false` where
    /// that has come.
    fn stand_down(&mut self) -> bool;

    /// Whether the message may have left since its release.
    fn may_have_left(&self) -> bool;

    /// How long each try may take, the first from the release on.
    fn timeout(&self) -> Duration;

    /// Sends the message, which was released then, as often as its file allows, and says how that
    /// ended, with a message for a person.
    fn send(&mut self, released_at: Instant) -> impl Future<Output = (Outcome, String)> + Send;
}

/// Sends messages; clones share its thread.
pub(crate) struct Couriers {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    report: Arc<dyn Report>,
    messages_max: usize,
    under_way: Arc<Semaphore>,
    /// Where a released flight is told to stop.
    released: Mutex<HashMap<FireId, oneshot::Sender<Reason>>>,
}

/// Word from the firing thread that a message is to leave.
struct Released {
    at: Instant,
    stopped: oneshot::Receiver<Reason>,
}

/// The beginning of a fire: noted once, by whoever is the first to let its message leave. From
/// shortly before that until it has ended, the fire has one of the places of what is under way.
pub(super) struct Beginning {
    fire: FireId,
    due: Instant,
    /// Whether the release may come long after `due`.
    may_wait: bool,
    couriers: Arc<Shared>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    place: Option<OwnedSemaphorePermit>,
    is_noted: bool,
}

/// Why a message must not leave.
#[derive(Debug, Error)]
pub(super) enum BeginError {
    #[error("{messages_max} messages are under way; this one was not sent")]
    Full { messages_max: usize },
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl BeginError {
    fn reason(&self) -> Reason {
        match self {
            Self::Full { .. } => Reason::Unreachable,
            Self::Journal(_) => Reason::StoreFailed,
        }
    }
}

impl Beginning {
    /// When to hand the message to its connection; `None` where it may wait there for hours: it
    /// would have a place all that time, and be unknown after a crash.
    pub(super) fn load_at(&self) -> Option<Instant> {
        let load_at = self.due.checked_sub(LOAD_AHEAD).unwrap_or(self.due);
        (!self.may_wait).then_some(load_at)
    }

    /// Takes a place among the messages under way, where it has none.
    ///
    /// # Errors
    /// Where all are taken: the message must not leave.
    pub(super) fn take_place(&self) -> Result<(), BeginError> {
        let mut progress = self.lock();
        if progress.place.is_none() {
            let Shared { under_way, messages_max, .. } = &*self.couriers;
            let full = |_| BeginError::Full { messages_max: *messages_max };
            progress.place = Some(Arc::clone(under_way).try_acquire_owned().map_err(full)?);
        }
        Ok(())
    }

    /// Takes a place and notes the fire, as far as that has not been done. Only the flight's own
    /// task may call this.
    ///
    /// # Errors
    /// Where it cannot be noted, or too many are under way: the message must not leave.
    pub(super) fn note(&self) -> Result<(), BeginError> {
        self.take_place()?;
        if !self.lock().is_noted {
            self.couriers.report.begin(self.fire)?;
            self.lock().is_noted = true;
        }
        Ok(())
    }

    /// Leaves the place to others, until the release.
    fn give_way(&self) {
        self.lock().place = None;
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Couriers {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the process has no thread or descriptor left.
    pub(crate) fn start(limits: TargetLimits, report: Arc<dyn Report>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name("couriers".to_owned()).spawn(move || {
            // An error means that the couriers are gone, which is as good a reason to end.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        let messages_max = limits.messages_max;
        let shared = Arc::new(Shared {
            report,
            messages_max,
            under_way: Arc::new(Semaphore::new(messages_max)),
            released: Mutex::default(),
        });
        Ok(Self { shared, runtime: handle, stop: Some(stop), thread: Some(thread) })
    }

    /// The beginning of a fire that is due in about `due_in`, to be noted before its message can
    /// leave.
    pub(super) fn beginning(&self, armed: &ArmedFire, due_in: Span) -> Arc<Beginning> {
        let ArmedFire { fire, clock, .. } = *armed;
        let (due, may_wait) = (Instant::now() + duration(due_in), clock.may_wait());
        let (couriers, progress) = (Arc::clone(&self.shared), Mutex::default());
        Arc::new(Beginning { fire, due, may_wait, couriers, progress })
    }

    /// Has a flight made ready shortly before it is due; the release calls `at_release` on the
    /// firing thread, then sends it. A fire whose release is dropped ends without a word.
    pub(super) fn prepare(
        &self,
        beginning: Arc<Beginning>,
        flight: impl Flight,
        at_release: impl FnOnce() + Send + 'static,
    ) -> Release {
        let (release, released) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let fire = beginning.fire;
        self.runtime.spawn(Arc::clone(&shared).fly(beginning, flight, released));
        Box::new(move || {
            let at = Instant::now();
            at_release();
            let (stop, stopped) = oneshot::channel();
            shared.lock().insert(fire, stop);
            // The receiver is gone only when the thread is, at the end of the process.
            let _ = release.send(Released { at, stopped });
        })
    }

    pub(crate) fn stop(&self, fire: FireId, reason: Reason) {
        if let Some(stop) = self.shared.lock().remove(&fire) {
            // Where nobody hears, the flight has just ended.
            let _ = stop.send(reason);
        }
    }

    pub(crate) fn stop_all(&self, reason: Reason) {
        for (_, stop) in self.shared.lock().drain() {
            let _ = stop.send(reason);
        }
    }
}

impl Drop for Couriers {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of messages panicked");
        }
    }
}

impl Shared {
    async fn fly(
        self: Arc<Self>,
        beginning: Arc<Beginning>,
        mut flight: impl Flight,
        released: oneshot::Receiver<Released>,
    ) {
        let standing_by = stand_by(&mut flight, &beginning, released);
        let Some((at, stop)) = standing_by.await else { return };
        let (outcome, message) = match stop {
            Stop::Asked(reason) => (Outcome::Failed(reason), UNSENT.to_owned()),
            Stop::Open(stopped) => match beginning.note() {
                Ok(()) => send(flight, at, stopped).await,
                Err(error) => (Outcome::Failed(error.reason()), error.to_string()),
            },
        };
        fault::pass(Point::EffectDone);
        let fire = beginning.fire;
        self.lock().remove(&fire);
        let nanos = i64::try_from(at.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let message = shorten(message);
        self.report.end(Ended { fire, outcome, duration: Span::from_nanos(nanos), message });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FireId, oneshot::Sender<Reason>>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(
    mut flight: impl Flight,
    released_at: Instant,
    stopped: oneshot::Receiver<Reason>,
) -> (Outcome, String) {
    tokio::select! {
        ended = flight.send(released_at) => ended,
        Ok(reason) = stopped => {
            let message = match flight.may_have_left() {
                true => "stopped before an answer came; whether it arrived is not known",
                false => UNSENT,
            };
            (Outcome::Failed(reason), message.to_owned())
        }
    }
}

/// Whether a released flight was stopped while it was still made ready.
enum Stop {
    Asked(Reason),
    Open(oneshot::Receiver<Reason>),
}

/// Makes a flight ready and keeps it so until its release; `None` where that never comes.
async fn stand_by(
    flight: &mut impl Flight,
    beginning: &Beginning,
    mut released: oneshot::Receiver<Released>,
) -> Option<(Instant, Stop)> {
    let ready_at = beginning.due.checked_sub(READY_AHEAD).unwrap_or(beginning.due);
    tokio::select! {
        word = &mut released => {
            let Released { at, stopped } = word.ok()?;
            return Some((at, Stop::Open(stopped)));
        }
        () = tokio::time::sleep_until(ready_at.into()) => {}
    }
    {
        let timeout = flight.timeout();
        let mut ready = pin!(flight.make_ready());
        tokio::select! {
            // What was begun is as good a way to a connection as a new one, for as long as a try
            // may take.
            word = &mut released => {
                let Released { at, mut stopped } = word.ok()?;
                tokio::select! {
                    _ = tokio::time::timeout_at((at + timeout).into(), &mut ready) => {
                        return Some((at, Stop::Open(stopped)));
                    }
                    reason = &mut stopped => return Some((at, Stop::Asked(reason.ok()?))),
                }
            }
            () = &mut ready => {}
        }
    }
    let kept = async {
        flight.keep_ready().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        word = &mut released => {
            let Released { at, stopped } = word.ok()?;
            return Some((at, Stop::Open(stopped)));
        }
        () = kept => {}
        () = tokio::time::sleep_until((beginning.due + UNRELEASED_MAX).into()) => {}
    }
    if flight.stand_down() {
        beginning.give_way();
    }
    let Released { at, stopped } = released.await.ok()?;
    Some((at, Stop::Open(stopped)))
}

/// A span as a duration; zero where it is negative.
pub(super) fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.as_nanos().max(0).unsigned_abs())
}
