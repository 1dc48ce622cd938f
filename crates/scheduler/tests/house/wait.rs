//! Waiting for something to be there.

use std::time::{Duration, Instant};

/// How long anything may take before it is a failure: brokers start slowly on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Looks until `found` gives something.
///
/// # Panics
/// With `what` once it took longer than [`PATIENCE`].
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
