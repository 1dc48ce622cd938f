//! What the firing thread pulls at T.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A message that lies ready.
pub(crate) trait Load: Send + Sync + 'static {
    /// Lets it leave, as far as the system takes it now, without waiting for anything.
    fn release(&self);
}

/// Stands between a message that is made ready and the firing thread, which lets it leave.
pub(super) struct Trigger<L>(Mutex<Aim<L>>);

enum Aim<L> {
    Nothing,
    Loaded(Arc<L>),
    Pulled,
}

impl<L> Default for Trigger<L> {
    fn default() -> Self {
        Self(Mutex::new(Aim::Nothing))
    }
}

impl<L: Load> Trigger<L> {
    /// Lets what it is aimed at leave.
    pub(super) fn pull(&self) {
        let aim = std::mem::replace(&mut *self.lock(), Aim::Pulled);
        if let Aim::Loaded(load) = aim {
            load.release();
        }
    }

    /// Has the firing thread release this; where it has pulled already, it is released here.
    pub(super) fn aim(&self, load: &Arc<L>) {
        let mut aim = self.lock();
        match *aim {
            Aim::Pulled => load.release(),
            _ => *aim = Aim::Loaded(Arc::clone(load)),
        }
    }

    /// Aims at nothing; `false` where it has been pulled.
    pub(super) fn lower(&self) -> bool {
        let mut aim = self.lock();
        if matches!(*aim, Aim::Pulled) {
            return false;
        }
        *aim = Aim::Nothing;
        true
    }

    fn lock(&self) -> MutexGuard<'_, Aim<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
