//! What the service manager is told that started us (sd_notify(3)): ready, alive, stopping. Without
//! one, nobody is told.

use sd_notify::NotifyState;

/// Everything is up.
pub(crate) fn ready() {
    tell(&NotifyState::Ready);
}

/// We still do our work; to be said more often than the manager's watchdog asks for.
pub(crate) fn alive() {
    if sd_notify::watchdog_enabled().is_some() {
        tell(&NotifyState::Watchdog);
    }
}

/// We are about to end.
pub(crate) fn stopping() {
    tell(&NotifyState::Stopping);
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the service manager cannot be told: {state}");
    }
}
