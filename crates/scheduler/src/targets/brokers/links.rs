//! Connections to brokers, shared by all fires that name the same broker in the same way.

use super::Protocol;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;

/// A connection that nobody has used for this long is closed.
const LINGER: Duration = Duration::from_secs(30);

/// The open connections of one kind of broker.
pub(super) struct Links<C>(Mutex<HashMap<String, Arc<Slot<C>>>>);

/// Locked by whoever connects, so that the others wait for the same connection.
type Slot<C> = AsyncMutex<Newest<C>>;

/// What came of connecting last.
struct Newest<C> {
    link: Weak<Link<C>>,
    failure: Option<(Instant, String)>,
}

/// An open connection, closed when the last user lets go of it.
pub(super) struct Link<C> {
    connection: C,
    made_at: Instant,
    used: Mutex<Instant>,
    is_forgotten: AtomicBool,
}

impl<C> Link<C> {
    fn new(connection: C) -> Self {
        let now = Instant::now();
        Self { connection, made_at: now, used: Mutex::new(now), is_forgotten: false.into() }
    }

    pub(super) fn connection(&self) -> &C {
        &self.connection
    }

    pub(super) fn is_older_than(&self, instant: Instant) -> bool {
        self.made_at < instant
    }

    /// Has the next fire open another connection.
    pub(super) fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
    }

    fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_unused(&self) -> bool {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= LINGER
    }
}

impl<C> Default for Links<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> Default for Newest<C> {
    fn default() -> Self {
        Self { link: Weak::new(), failure: None }
    }
}

impl<C: Send + Sync + 'static> Links<C> {
    /// The connection to a broker, opened where there is none.
    pub(super) async fn link<P>(&self, protocol: &P) -> Result<Arc<Link<C>>, String>
    where
        P: Protocol<Connection = C>,
    {
        let asked_at = Instant::now();
        let slot = self.slot(protocol.key());
        let mut newest = slot.lock().await;
        let link = newest.link.upgrade();
        let is_good = |link: &Arc<Link<C>>| !link.is_forgotten() && !P::is_closed(&link.connection);
        if let Some(link) = link.filter(is_good) {
            link.touch();
            return Ok(link);
        }
        // Whoever has waited for somebody else to connect has seen it fail.
        if let Some((_, problem)) = newest.failure.as_ref().filter(|(at, _)| *at >= asked_at) {
            return Err(problem.clone());
        }
        let connected = protocol.connect().await;
        let failed = |problem: &String| newest.failure = Some((Instant::now(), problem.clone()));
        let link = Arc::new(Link::new(connected.inspect_err(failed)?));
        newest.link = Arc::downgrade(&link);
        tokio::spawn(linger::<P>(Arc::clone(&link)));
        Ok(link)
    }

    fn slot(&self, key: String) -> Arc<Slot<C>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(&key) {
            // What is not in use any more is dropped on the way.
            slots.retain(|_, slot| {
                let is_linked = slot.try_lock().map_or(true, |slot| slot.link.strong_count() > 0);
                is_linked || Arc::strong_count(slot) > 1
            });
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

/// Holds a connection until nobody has used it for a while, or nobody should any more.
async fn linger<P: Protocol>(link: Arc<Link<P::Connection>>) {
    while !link.is_unused() && !link.is_forgotten() && !P::is_closed(&link.connection) {
        tokio::time::sleep(LINGER / 10).await;
    }
}
