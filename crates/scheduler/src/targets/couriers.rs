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
use timeball_schedule::{FireId, Outcome, Reason};
use timeball_timebase::Span;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How long before T a flight is made ready.
const READY_AHEAD: Duration = Duration::from_millis(500);

/// How long before T a message is handed to its connection, to be released by the firing thread.
/// From then on its fire counts as begun.
pub(super) const LOAD_AHEAD: Duration = Duration::from_millis(20);

/// One message on its way, from its preparation to its answer.
pub(super) trait Flight: Send + 'static {
    /// Does what can be done ahead of T, in a limited time. What fails here is tried again later.
    fn make_ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Sees to it that what was made ready is so at T; may be dropped at any point.
    fn keep_ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Sends the message, as often as its file allows, and says how that ended, with a message for
    /// a person.
    fn send(&mut self) -> impl Future<Output = (Outcome, String)> + Send;
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

/// The beginning of a fire: noted once, by whoever is the first to let its message leave. The fire
/// counts as under way from then until this is dropped.
pub(super) struct Beginning {
    fire: FireId,
    couriers: Arc<Shared>,
    place: Mutex<Option<OwnedSemaphorePermit>>,
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
    /// Notes it, if that has not been done. Only the flight's own task may call this.
    ///
    /// # Errors
    /// Where it cannot be noted, or too many are under way: the message must not leave.
    pub(super) fn note(&self) -> Result<(), BeginError> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            let Shared { report, under_way, messages_max, .. } = &*self.couriers;
            let full = |_| BeginError::Full { messages_max: *messages_max };
            let free = Arc::clone(under_way).try_acquire_owned().map_err(full)?;
            report.begin(self.fire)?;
            *place = Some(free);
        }
        Ok(())
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

    /// The beginning of a fire, to be noted before its message can leave.
    pub(super) fn beginning(&self, fire: FireId) -> Arc<Beginning> {
        Arc::new(Beginning { fire, couriers: Arc::clone(&self.shared), place: Mutex::default() })
    }

    /// Has a flight made ready shortly before it is due; the release calls `at_release` on the
    /// firing thread, then sends it. A fire whose release is dropped ends without a word.
    pub(super) fn prepare(
        &self,
        beginning: Arc<Beginning>,
        due_in: Span,
        flight: impl Flight,
        at_release: impl FnOnce() + Send + 'static,
    ) -> Release {
        let (release, released) = oneshot::channel();
        let wait = duration(due_in).saturating_sub(READY_AHEAD);
        let shared = Arc::clone(&self.shared);
        let fire = beginning.fire;
        self.runtime.spawn(Arc::clone(&shared).fly(beginning, flight, wait, released));
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
        wait: Duration,
        released: oneshot::Receiver<Released>,
    ) {
        let Some((at, stop)) = stand_by(&mut flight, wait, released).await else { return };
        let (outcome, message) = match stop {
            Stop::Asked(reason) => (Outcome::Failed(reason), "stopped before it was sent".into()),
            Stop::Open(stopped) => match beginning.note() {
                Ok(()) => send(flight, stopped).await,
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

async fn send(mut flight: impl Flight, stopped: oneshot::Receiver<Reason>) -> (Outcome, String) {
    tokio::select! {
        ended = flight.send() => ended,
        Ok(reason) = stopped => {
            let message = "stopped before an answer came; whether it arrived is not known";
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
    wait: Duration,
    mut released: oneshot::Receiver<Released>,
) -> Option<(Instant, Stop)> {
    tokio::select! {
        word = &mut released => {
            let Released { at, stopped } = word.ok()?;
            return Some((at, Stop::Open(stopped)));
        }
        () = tokio::time::sleep(wait) => {}
    }
    {
        let mut ready = pin!(flight.make_ready());
        tokio::select! {
            // What was begun is as good a way to a connection as a new one.
            word = &mut released => {
                let Released { at, mut stopped } = word.ok()?;
                tokio::select! {
                    () = &mut ready => return Some((at, Stop::Open(stopped))),
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
    let word = tokio::select! {
        word = released => word,
        () = kept => return None,
    };
    let Released { at, stopped } = word.ok()?;
    Some((at, Stop::Open(stopped)))
}

/// A span as a duration; zero where it is negative.
pub(super) fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.as_nanos().max(0).unsigned_abs())
}
