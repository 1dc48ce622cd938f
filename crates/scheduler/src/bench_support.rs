//! What benchmarks and nobody else need of the inside.

use crate::store::Journal;
use crate::timer::{Timer, TimerEvent, TimerOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;
use timeball_runtime::ClockCell;
use timeball_schedule::planner::{ArmedFire, ClockPolicy};
use timeball_schedule::{FireId, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// How long it takes to note fires in a journal of this directory, one after the other, as a
/// target does just before its effect.
///
/// # Errors
/// Where the journal cannot be written.
pub fn note_in_journal(directory: &Path, fires: u32) -> io::Result<Vec<Span>> {
    let (journal, _) = Journal::open(&directory.join("journal"), [0; 16], None)?;
    let mut spans = Vec::new();
    for n in 0..fires {
        let scheduled_at = Timestamp::from_unix(i64::from(n), 0);
        let start = Instant::now();
        let noted = journal.begin(FireId { schedule: ScheduleUid([0; 16]), scheduled_at });
        let nanos = start.elapsed().as_nanos();
        noted.map_err(io::Error::other)?;
        spans.push(Span::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)));
        // As a commit does.
        let (_, mark) = journal.absorb();
        journal.settle(mark);
    }
    Ok(spans)
}

/// The real firing thread, with releases that do nothing.
pub struct FiringThread {
    timer: Timer,
    events: Receiver<TimerEvent>,
}

impl FiringThread {
    /// Starts it.
    ///
    /// # Errors
    /// Where the process has no descriptor or thread left.
    pub fn start(spin: Span) -> io::Result<Self> {
        let (told, events) = mpsc::channel();
        let timer = Timer::start(TimerOptions {
            clock: Arc::new(ClockCell::new()),
            spin,
            tell: Box::new(move |event| {
                // Nobody hears the last events of a benchmark that ends.
                let _ = told.send(event);
            }),
        })?;
        Ok(Self { timer, events })
    }

    /// Arms fires at these instants and waits for them; returns how late each was released.
    pub fn fire(&self, instants: &[Timestamp]) -> Vec<Span> {
        for at in instants {
            let fire = FireId { schedule: ScheduleUid([0; 16]), scheduled_at: *at };
            let clock = ClockPolicy::default();
            let armed = ArmedFire { fire, release_at: *at, not_after: None, clock };
            self.timer.arm(armed, Box::new(|| {}));
        }
        let mut late = Vec::with_capacity(instants.len());
        while late.len() < instants.len() {
            match self.events.recv() {
                Ok(TimerEvent::Released { lateness, .. }) => late.push(lateness),
                Ok(TimerEvent::ClockSet) => self.timer.resume(),
                Ok(TimerEvent::Unreleased { .. }) => {}
                Err(_) => break,
            }
        }
        late
    }

    /// Gives the calling thread the timer slack of the firing thread.
    pub fn sleep_bare_prepare() {
        crate::sys::set_timer_slack(1);
    }

    /// Sleeps until `at` of the system clock, with nothing around it (`clock_nanosleep`).
    pub fn sleep_bare(at: Timestamp) {
        crate::sys::sleep_until(at);
    }
}
