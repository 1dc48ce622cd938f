//! One wish to stop, made known to everybody.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A flag that is raised once and wakes whoever waits for it; clones share it.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Shared>);

impl Shutdown {
    /// Makes a flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag; further calls do nothing.
    pub fn request(&self) {
        let wakers = {
            let mut state = self.lock();
            state.requested = true;
            std::mem::take(&mut state.wakers)
        };
        self.0.changed.notify_all();
        wakers.into_iter().for_each(|wake| wake());
    }

    /// Whether the flag is raised.
    pub fn is_requested(&self) -> bool {
        self.lock().requested
    }

    /// Waits until the flag is raised.
    pub fn wait(&self) {
        let mut state = self.lock();
        while !state.requested {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the flag is raised, at most `limit`; returns whether it is.
    pub fn wait_for(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        while !state.requested {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Has `wake` called when the flag is raised, at once if it is: for those who wait for
    /// something else. It must not block.
    pub fn on_request(&self, wake: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.requested {
            drop(state);
            wake();
        } else {
            state.wakers.push(Box::new(wake));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("requested", &self.is_requested()).finish()
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requested: bool,
    wakers: Vec<Box<dyn FnOnce() + Send>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    #[test]
    fn a_request_wakes_all_who_wait_and_calls_each_waker_once() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait_for(Duration::from_millis(5)));
        let woken = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&woken);
        shutdown.on_request(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let waiter = thread::spawn({
            let shutdown = shutdown.clone();
            move || shutdown.wait()
        });
        shutdown.request();
        shutdown.request();
        waiter.join().unwrap();
        assert!(shutdown.wait_for(Duration::ZERO));
        let count = Arc::clone(&woken);
        shutdown.on_request(move || {
            count.fetch_add(10, Ordering::Relaxed);
        });
        assert_eq!(woken.load(Ordering::Relaxed), 11);
    }
}
