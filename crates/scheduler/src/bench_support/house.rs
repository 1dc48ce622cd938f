//! The planner with real books, a real journal and the real firing thread; targets that do nothing.

use super::FiringThread;
use crate::store::{DetailLimits, DiskStore, Enrolment, Journal, Ledger};
use crate::timer::TimerEvent;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use timeball_runtime::read_clocks;
use timeball_schedule::planner::{Action, Follow, Input, Planner, PlannerOptions, ScheduleSpec};
use timeball_schedule::{Outcome, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// Events taken between two looks at the time, as the dispatcher does.
const EVENTS_MAX: usize = 1_000;

/// Everything between a schedule and its target, as the dispatcher puts it together.
pub struct House {
    planner: Planner,
    ledger: Ledger,
    journal: Arc<Journal>,
    firing: FiringThread,
    wake_at: Option<Timestamp>,
    seen: Seen,
}

/// What was seen of a [`House`] at work.
#[derive(Debug, Default)]
pub struct Seen {
    /// How late each fire was released.
    pub lateness: Vec<Span>,
    /// How many claims each commit of claims held, and how long it took.
    pub commits: Vec<(usize, Span)>,
    /// Durable commits of any kind.
    pub commits_of_any_kind: u64,
    /// Fires that ended otherwise.
    pub not_fired: u64,
}

impl House {
    /// Opens the books in this directory; the firing thread has a real-time priority where one is
    /// given.
    ///
    /// # Errors
    /// Where they cannot be written, or the process has no descriptor or thread left.
    pub fn open(directory: &Path, real_time: Option<u8>) -> io::Result<Self> {
        let (store, _) = DiskStore::open(&directory.join("store")).map_err(io::Error::other)?;
        let path = directory.join("journal");
        let books = Ledger::open(Box::new(store), Some((&path, [0; 16])));
        let ledger = books.map_err(io::Error::other)?;
        Ok(Self {
            planner: Planner::new(PlannerOptions::default()),
            journal: ledger.journal(),
            ledger,
            firing: FiringThread::start_in(Span::ZERO, real_time)?,
            wake_at: None,
            seen: Seen::default(),
        })
    }

    /// Takes up a schedule.
    pub fn put(&mut self, spec: ScheduleSpec) {
        let enrolment = Enrolment {
            uid: spec.uid,
            definition: format!("vixie {} {}", spec.schedule, spec.schedule.zone().name()),
            limits: DetailLimits { successful: 3, failed: 1 },
            repeatable: false,
        };
        let resume = self.ledger.enroll(enrolment, read_clocks().system);
        self.input(Input::Upsert { spec: Box::new(spec), resume });
    }

    /// Makes what was put durable.
    pub fn commit(&mut self) {
        self.ledger.commit();
    }

    /// Lets it work for some time, and tells what was seen meanwhile.
    pub fn work(&mut self, time: Duration) -> Seen {
        self.seen = Seen::default();
        let before = self.ledger.counters().commits;
        let end = Instant::now() + time;
        while Instant::now() < end {
            let flush_at = self.ledger.flush_due();
            let wake = self.wake_at.map_or(Span::from_secs(1), |at| at - read_clocks().system);
            let wait = Duration::from_nanos(wake.as_nanos().clamp(0, 100_000_000).unsigned_abs());
            let wait =
                flush_at.map_or(wait, |at| wait.min(at.saturating_duration_since(Instant::now())));
            match self.firing.events.recv_timeout(wait) {
                Ok(event) => {
                    self.take(event);
                    for _ in 0..EVENTS_MAX {
                        let Ok(event) = self.firing.events.try_recv() else { break };
                        self.take(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.wake_at.is_some_and(|at| at <= read_clocks().system) {
                self.wake_at = None;
                self.input(Input::Wake);
            }
        }
        self.seen.commits_of_any_kind = self.ledger.counters().commits - before;
        std::mem::take(&mut self.seen)
    }

    fn take(&mut self, event: TimerEvent) {
        match event {
            TimerEvent::Released { fire, lateness, clock_bound, clock_exceeded } => {
                self.seen.lateness.push(lateness);
                // The target's part, which has nothing to do but this.
                let begun = self.journal.begin(fire);
                self.ledger.released(fire);
                self.input(Input::Released { fire, lateness, clock_bound, clock_exceeded });
                let outcome = match begun {
                    Ok(()) => Outcome::Fired,
                    Err(_) => Outcome::Failed(timeball_schedule::Reason::StoreFailed),
                };
                self.seen.not_fired += u64::from(outcome != Outcome::Fired);
                self.input(Input::Finished { fire, outcome, duration: Some(Span::ZERO) });
            }
            TimerEvent::Unreleased { fire, outcome } => {
                self.seen.not_fired += 1;
                self.input(Input::Finished { fire, outcome, duration: None });
            }
            TimerEvent::ClockSet => {
                self.input(Input::ClockStepped(vec![Follow::Auto]));
                self.firing.timer.resume();
            }
        }
    }

    fn input(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let now = read_clocks().system;
            let actions = self.planner.handle_input(now, input);
            for action in &actions {
                if let Action::Claim(claims) = action {
                    self.ledger.expect(claims);
                }
            }
            for action in actions {
                match action {
                    Action::Claim(claims) => {
                        let start = Instant::now();
                        let answer = self.ledger.claim(&claims);
                        let nanos = i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX);
                        self.seen.commits.push((claims.len(), Span::from_nanos(nanos)));
                        next = Some(Input::Claimed(answer));
                    }
                    Action::Arm(fire) => self.firing.timer.arm(fire, Box::new(|| {})),
                    Action::Revoke(fire) => self.firing.timer.revoke(fire),
                    Action::Account { schedule, until } => self.ledger.account(schedule, until),
                    Action::Adopt(schedule) => self.ledger.adopt(schedule),
                    Action::Record(record) => self.ledger.record(&record, String::new()),
                    Action::WakeAt(at) => self.wake_at = Some(at),
                    // Nothing here is replaced, or fails so often that it rests.
                    Action::Stop(_) | Action::Pause { .. } => {}
                }
            }
        }
    }

    /// The uid of the `n`th schedule.
    pub fn uid(n: u64) -> ScheduleUid {
        // Spread, as real ones are.
        let high = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&high);
        octets[8..].copy_from_slice(&n.to_be_bytes());
        ScheduleUid(octets)
    }
}
