//! What time it is in a guest's world: this machine's, or that of another day, with a leap second
//! in it.

use std::sync::{Arc, Mutex};

use crate::support::{Liar, Lie, Told, unix_ns};

const SECOND_NS: i64 = 1_000_000_000;

/// The true time of one world, which whoever is a part of it shares.
#[derive(Clone, Debug)]
pub(crate) struct Timeline(Arc<Mutex<Course>>);

#[derive(Clone, Copy, Debug)]
struct Course {
    /// What it is ahead of this machine's clock by.
    ahead_ns: i64,
    /// The midnight before which a second is inserted, in seconds since 1970.
    leap_at_s: Option<i64>,
}

impl Timeline {
    /// This machine's time.
    pub(crate) fn of_this_machine() -> Self {
        Self(Arc::new(Mutex::new(Course { ahead_ns: 0, leap_at_s: None })))
    }

    /// A time in which a second is inserted before `leap_at_s`, a midnight in seconds since 1970.
    /// It is `from_s` now.
    pub(crate) fn with_leap_second(leap_at_s: i64, from_s: i64) -> Self {
        let timeline =
            Self(Arc::new(Mutex::new(Course { ahead_ns: 0, leap_at_s: Some(leap_at_s) })));
        timeline.restart(from_s);
        timeline
    }

    /// Goes on from `from_s`, in seconds since 1970.
    pub(crate) fn restart(&self, from_s: i64) {
        self.0.lock().expect("nobody panics with it").ahead_ns = from_s * SECOND_NS - unix_ns();
    }

    /// True time, counted as the kernel does: the second before an inserted one comes twice.
    pub(crate) fn now_s(&self) -> f64 {
        self.told().unix_ns as f64 * 1e-9
    }

    /// How long ago the inserted second began, in seconds; negative before it.
    pub(crate) fn since_leap_s(&self) -> f64 {
        let Course { ahead_ns, leap_at_s } = *self.0.lock().expect("nobody panics with it");
        let leap_at_s = leap_at_s.expect("a time with a leap second");
        (unix_ns() + ahead_ns - leap_at_s * SECOND_NS) as f64 * 1e-9
    }

    /// Starts a server that tells this time and announces the leap second.
    pub(crate) fn serve(&self) -> Liar {
        let timeline = self.clone();
        Liar::start_telling(Lie::default(), move || timeline.told())
    }

    fn told(&self) -> Told {
        let Course { ahead_ns, leap_at_s } = *self.0.lock().expect("nobody panics with it");
        let unix_ns = unix_ns() + ahead_ns;
        match leap_at_s {
            None => Told { unix_ns, leap: 0 },
            Some(at_s) if unix_ns < at_s * SECOND_NS => Told { unix_ns, leap: 1 },
            Some(_) => Told { unix_ns: unix_ns - SECOND_NS, leap: 0 },
        }
    }
}
