//! Connections to brokers, shared by all fires that name the same broker in the same way.

use super::Protocol;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;

/// A connection that nobody has used for this long is closed.
const LINGER: Duration = Duration::from_secs(30);

/// The open connections of one kind of broker.
pub(super) struct Links<C>(Mutex<HashMap<String, Slot<C>>>);

/// Locked by whoever connects, so that the others wait for the same connection.
type Slot<C> = Arc<AsyncMutex<Weak<Link<C>>>>;

/// An open connection, closed when the last user lets go of it.
pub(super) struct Link<C> {
    connection: C,
    used: Mutex<Instant>,
}

impl<C> Link<C> {
    pub(super) fn connection(&self) -> &C {
        &self.connection
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

impl<C: Send + Sync + 'static> Links<C> {
    /// The connection to a broker, opened where there is none.
    pub(super) async fn link<P>(&self, protocol: &P) -> Result<Arc<Link<C>>, String>
    where
        P: Protocol<Connection = C>,
    {
        let slot = Arc::clone(self.lock().entry(protocol.place()).or_default());
        let mut slot = slot.lock().await;
        if let Some(link) = slot.upgrade().filter(|link| !P::is_closed(&link.connection)) {
            link.touch();
            return Ok(link);
        }
        let connection = protocol.connect().await?;
        let link = Arc::new(Link { connection, used: Mutex::new(Instant::now()) });
        *slot = Arc::downgrade(&link);
        tokio::spawn(linger::<P>(Arc::clone(&link)));
        Ok(link)
    }

    /// Has the next fire open a connection of its own.
    pub(super) fn forget<P: Protocol<Connection = C>>(&self, protocol: &P) {
        let mut slots = self.lock();
        slots.remove(&protocol.place());
        // What is not in use any more is forgotten on the way.
        slots.retain(|_, slot| {
            slot.try_lock()
                .map_or(true, |link| Arc::strong_count(slot) > 1 || link.strong_count() > 0)
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a connection until nobody has used it for a while.
async fn linger<P: Protocol>(link: Arc<Link<P::Connection>>) {
    while !link.is_unused() && !P::is_closed(&link.connection) {
        tokio::time::sleep(LINGER / 10).await;
    }
}
