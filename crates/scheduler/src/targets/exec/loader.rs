//! The thread that has programs loaded shortly before their instants.
//!
//! Starting a gate takes about a millisecond, which the firing thread does not have and the
//! dispatcher should not spend while it plans others.

use super::held::{GateProgram, Held};
use crate::sys::SpawnPlan;
use crate::targets::Report;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use timeball_schedule::FireId;
use timeball_schedule::planner::ArmedFire;
use timeball_timebase::Span;

/// How long before its instant a program is loaded. A loaded machine takes tens of milliseconds,
/// and what waits costs a megabyte and no processor time.
const LOAD_AHEAD: Duration = Duration::from_millis(500);
/// How long before its instant it is noted that a program may begin from now on: the firing thread,
/// which lets it go, writes no files. A crash in between leaves it unknown, though it was killed.
const NOTE_AHEAD: Duration = Duration::from_millis(20);
/// With less time than this, a program is better started at its instant.
const LOAD_AHEAD_MIN: Duration = Duration::from_millis(30);

/// A handle to the thread, which ends when this is dropped.
pub(super) struct Loader {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    gate: GateProgram,
    report: Arc<dyn Report>,
    held: AtomicUsize,
    held_max: usize,
    agenda: Mutex<Agenda>,
    changed: Condvar,
}

#[derive(Default)]
struct Agenda {
    to_load: BTreeMap<(Instant, u64), Arc<Slot>>,
    to_note: BTreeMap<(Instant, u64), Arc<Slot>>,
    /// Programs that were taken back: to be killed and waited for.
    taken_back: Vec<Held>,
    /// Tells apart what is due at the same moment.
    number: u64,
    stopped: bool,
}

/// The place of one armed program.
struct Slot {
    fire: FireId,
    plan: Arc<SpawnPlan>,
    state: Mutex<State>,
    loaded: Condvar,
}

enum State {
    Waiting,
    Loading { revoked: bool },
    Held { held: Held, is_noted: bool, was_let_go: bool },
    Gone,
}

/// A program that was loaded, and is its taker's from now on.
pub(super) struct Taken {
    /// The program.
    pub(super) held: Held,
    /// Whether it was let go; if not, that is left to be noted and done.
    pub(super) was_let_go: bool,
}

/// An armed program: let go and taken, or dropped and so taken back.
pub(super) struct Armed {
    slot: Arc<Slot>,
    shared: Arc<Shared>,
}

impl Loader {
    /// Starts the thread; no more than `held_max` programs are held at a time.
    pub(super) fn start(
        gate: GateProgram,
        held_max: usize,
        report: Arc<dyn Report>,
    ) -> io::Result<Self> {
        let (held, agenda) = (AtomicUsize::new(0), Mutex::default());
        let changed = Condvar::new();
        let shared = Arc::new(Shared { gate, report, held, held_max, agenda, changed });
        let inner = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("loader".to_owned()).spawn(move || inner.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has the program loaded before its instant; `None` if there is no time for that.
    pub(super) fn arm(
        &self,
        fire: &ArmedFire,
        plan: &Arc<SpawnPlan>,
        due_in: Span,
    ) -> Option<Armed> {
        let due_in = Duration::from_nanos(due_in.as_nanos().max(0).unsigned_abs());
        if due_in < LOAD_AHEAD_MIN {
            return None;
        }
        let state = Mutex::new(State::Waiting);
        let (ArmedFire { fire, clock, .. }, plan) = (*fire, Arc::clone(plan));
        let slot = Arc::new(Slot { fire, plan, state, loaded: Condvar::new() });
        let mut agenda = self.shared.lock();
        agenda.number += 1;
        let (now, number) = (Instant::now(), agenda.number);
        let ahead = |ahead| (now + due_in.saturating_sub(ahead), number);
        agenda.to_load.insert(ahead(LOAD_AHEAD), Arc::clone(&slot));
        // Where it may wait for hours, a crash meanwhile must not leave it unknown: it is noted by
        // whoever takes it, and let go a little later.
        if !clock.may_wait() {
            agenda.to_note.insert(ahead(NOTE_AHEAD), Arc::clone(&slot));
        }
        drop(agenda);
        self.shared.changed.notify_one();
        Some(Armed { slot, shared: Arc::clone(&self.shared) })
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the loading thread panicked");
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(work) = self.next() {
            match work {
                Work::Load(slot) => self.load(&slot),
                Work::Note(slot) => slot.note(&*self.report),
                Work::TakeBack(held) => {
                    self.held.fetch_sub(held.len(), Ordering::Relaxed);
                    drop(held);
                }
            }
        }
    }

    /// Waits for something to do; `None` once the loader was dropped and nothing is left.
    fn next(&self) -> Option<Work> {
        let mut agenda = self.lock();
        loop {
            if !agenda.taken_back.is_empty() {
                return Some(Work::TakeBack(std::mem::take(&mut agenda.taken_back)));
            }
            if agenda.stopped {
                return None;
            }
            let now = Instant::now();
            let is_due = |first: Option<&(Instant, u64)>| first.is_some_and(|(at, _)| *at <= now);
            // Microseconds, and somebody waits for it: before what takes a millisecond each.
            if is_due(agenda.to_note.keys().next()) {
                let (_, slot) = agenda.to_note.pop_first().expect("there is a first key");
                return Some(Work::Note(slot));
            }
            if is_due(agenda.to_load.keys().next()) {
                let (_, slot) = agenda.to_load.pop_first().expect("there is a first key");
                return Some(Work::Load(slot));
            }
            let firsts = [agenda.to_note.keys().next(), agenda.to_load.keys().next()];
            agenda = match firsts.into_iter().flatten().map(|(at, _)| *at).min() {
                Some(at) => {
                    let waited = self.changed.wait_timeout(agenda, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(agenda).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn load(&self, slot: &Slot) {
        if !slot.begin() {
            return;
        }
        let has_place = |held: usize| (held < self.held_max).then_some(held + 1);
        if self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_place).is_err() {
            tracing::debug!(max = self.held_max, "too many programs are held; one is not");
            slot.finish(None);
            return;
        }
        let loaded = Held::load(&self.gate, &slot.plan);
        let loaded = loaded.inspect_err(|error| {
            tracing::warn!(%error, "no gate could be started; its program starts at T");
            self.held.fetch_sub(1, Ordering::Relaxed);
        });
        if let Some(revoked) = slot.finish(loaded.ok()) {
            self.held.fetch_sub(1, Ordering::Relaxed);
            drop(revoked);
        }
    }

    fn take_back(&self, held: Held) {
        let mut agenda = self.lock();
        if agenda.stopped {
            drop(agenda);
            drop(held);
        } else {
            agenda.taken_back.push(held);
            drop(agenda);
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Work {
    Load(Arc<Slot>),
    Note(Arc<Slot>),
    TakeBack(Vec<Held>),
}

impl Slot {
    /// Begins to load; `false` if it is not wanted any more.
    fn begin(&self) -> bool {
        let mut state = self.lock();
        let wanted = matches!(*state, State::Waiting);
        if wanted {
            *state = State::Loading { revoked: false };
        }
        wanted
    }

    /// Takes what was loaded, and gives it back if it is not wanted any more.
    fn finish(&self, held: Option<Held>) -> Option<Held> {
        let mut state = self.lock();
        let State::Loading { revoked } = *state else { return held };
        let (next, unwanted) = match held {
            Some(held) if revoked => (State::Gone, Some(held)),
            Some(held) => (State::Held { held, is_noted: false, was_let_go: false }, None),
            None => (State::Gone, None),
        };
        *state = next;
        self.loaded.notify_all();
        unwanted
    }

    /// Notes that the program may begin from now on, so that the firing thread may let it go.
    fn note(&self, report: &dyn Report) {
        if !matches!(*self.lock(), State::Held { is_noted: false, .. }) {
            return;
        }
        // Not under the lock, for which the firing thread may wait. What is taken back in between
        // is noted and does not begin, which harms nothing.
        if let Err(error) = report.begin(self.fire) {
            tracing::warn!(%error, "it could not be noted that a program may begin");
            return;
        }
        if let State::Held { held, is_noted, .. } = &mut *self.lock() {
            held.make_ready();
            *is_noted = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Armed {
    /// Lets the program begin if it is loaded and that was noted; if not, that is left to whoever
    /// takes it. Does not block.
    pub(super) fn let_go(&self) {
        let mut state = self.slot.lock();
        match &mut *state {
            State::Held { held, is_noted: true, was_let_go } => {
                held.let_go();
                *was_let_go = true;
            }
            // It would come too late; it is started instead.
            State::Waiting => *state = State::Gone,
            State::Held { .. } | State::Loading { .. } | State::Gone => {}
        }
    }

    /// Takes the program, waiting for it if it is just being loaded; `None` if it was not loaded.
    pub(super) fn take(self) -> Option<Taken> {
        let mut state = self.slot.lock();
        while matches!(*state, State::Loading { .. }) {
            state = self.slot.loaded.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut *state, State::Gone) {
            State::Held { held, was_let_go, .. } => {
                self.shared.held.fetch_sub(1, Ordering::Relaxed);
                Some(Taken { held, was_let_go })
            }
            State::Waiting | State::Loading { .. } | State::Gone => None,
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        if let State::Loading { revoked } = &mut *state {
            *revoked = true;
            return;
        }
        let before = std::mem::replace(&mut *state, State::Gone);
        drop(state);
        if let State::Held { held, .. } = before {
            self.shared.take_back(held);
        }
    }
}
