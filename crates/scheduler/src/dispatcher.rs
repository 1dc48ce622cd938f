//! The thread that owns the planner: it turns what happens into inputs, and carries out actions.

mod clock_watch;
mod control;
mod reload;

pub use control::ControlError;
pub(crate) use control::{BackfillRange, Command, Wish};

use crate::board::Board;
use crate::fault::{self, Point};
use crate::files::{LoadedSchedule, LoadedSet};
use crate::store::{Event, HistoryEntry, Ledger};
use crate::targets::{Ended, Targets};
use crate::timer::{FollowedClock, Timer, TimerEvent};
use clock_watch::ClockWatch;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use timeball_api::files::{FileChanges, FileProblem};
use timeball_runtime::read_clocks;
use timeball_schedule::planner::{
    Action, ArmedFire, Input, OutcomeRecord, Planner, PlannerOptions, Times,
};
use timeball_schedule::{FireId, Reason, ScheduleUid, Trigger};
use timeball_timebase::{Span, Timestamp};

/// What the dispatcher is told.
pub(crate) enum Message {
    /// By the firing thread.
    Timer(TimerEvent),
    /// By a target.
    Ended(Ended),
    /// By whoever watches the files, or by somebody who wants to know what came of it.
    Files(LoadedSet, Option<Sender<FileChanges>>),
    /// By somebody who wants to know what the files would change.
    Compare(LoadedSet, Sender<FileChanges>),
    /// By somebody who wants something of a schedule.
    Wish(Wish),
    /// By somebody who wants to know the outcomes of a schedule, newest first.
    History(ScheduleUid, Sender<(Vec<HistoryEntry>, Vec<Event>)>),
    /// The last message.
    Stop,
}

/// What the dispatcher works with.
pub(crate) struct Parts {
    pub(crate) ledger: Ledger,
    /// The machine's clock.
    pub(crate) clock: Arc<FollowedClock>,
    /// `None` once the scheduler is being stopped.
    pub(crate) timer: Option<Timer>,
    pub(crate) targets: Targets,
    pub(crate) board: Arc<Board>,
    pub(crate) inbox: Receiver<Message>,
    /// The store's file, for problems.
    pub(crate) store_path: PathBuf,
    /// How long what runs has to end when the scheduler is stopped.
    pub(crate) stop_timeout: Duration,
}

/// The state of the thread.
pub(crate) struct Dispatcher {
    parts: Parts,
    planner: Planner,
    schedules: BTreeMap<ScheduleUid, LoadedSchedule>,
    /// Problems of the files as they were last taken: they do not stand in the way of others.
    accepted_problems: Vec<FileProblem>,
    /// Whether the files were read since the start.
    files_read: bool,
    /// What of them was refused last, while it is.
    refused: Option<FileChanges>,
    /// Whether schedules that no file names were settled.
    absent_settled: bool,
    /// When schedules that went away long ago are to be forgotten.
    forget_at: Instant,
    /// What targets said, until the outcome is recorded.
    messages: HashMap<FireId, String>,
    /// Released fires that have not ended.
    running: HashSet<FireId>,
    /// Ends of fires of whose release the firing thread is yet to tell: a target may be quicker.
    ended_early: HashMap<FireId, Ended>,
    wake_at: Option<Timestamp>,
    clock_watch: ClockWatch,
    stopping: bool,
}

/// The longest wait: the system clock may be set while the planner waits for an instant of it.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the books are looked through for schedules that went away long ago.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// How soon again where there were more than go into one commit, which is made meanwhile.
const FORGET_REST: Duration = Duration::from_secs(2);
/// Messages taken between two looks at the time.
const MESSAGES_MAX: usize = 1_000;

impl Dispatcher {
    pub(crate) fn new(parts: Parts) -> Self {
        let clock_watch = ClockWatch::new(Arc::clone(&parts.clock));
        Self {
            parts,
            planner: Planner::new(PlannerOptions::default()),
            schedules: BTreeMap::new(),
            accepted_problems: Vec::new(),
            files_read: false,
            refused: None,
            absent_settled: false,
            forget_at: Instant::now() + FORGET_EVERY,
            messages: HashMap::new(),
            running: HashSet::new(),
            ended_early: HashMap::new(),
            wake_at: None,
            clock_watch,
            stopping: false,
        }
    }

    /// Runs until told to stop, then ends everything in order.
    pub(crate) fn run(mut self) {
        loop {
            if self.forget_at <= Instant::now() {
                let more = self.parts.ledger.forget_removed(read_clocks().system);
                self.forget_at = Instant::now() + if more { FORGET_REST } else { FORGET_EVERY };
            }
            let flush_at = self.parts.ledger.flush_due();
            self.show_store();
            match self.parts.inbox.recv_timeout(self.wait(flush_at)) {
                Ok(message) => {
                    let mut next = Some(message);
                    for _ in 0..MESSAGES_MAX {
                        match next {
                            Some(Message::Stop) => return self.stop(),
                            Some(message) => self.take(message),
                            None => break,
                        }
                        next = self.parts.inbox.try_recv().ok();
                    }
                    if let Some(message) = next {
                        if matches!(message, Message::Stop) {
                            return self.stop();
                        }
                        self.take(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.stop(),
            }
            let seen = self.clock_watch.look();
            if !seen.set.is_empty() {
                self.input(Input::ClockStepped(seen.set));
            }
            if self.wake_at.is_some_and(|at| at <= seen.now.system) {
                self.wake_at = None;
                self.input(Input::Wake);
            }
        }
    }

    fn wait(&self, flush_at: Option<Instant>) -> Duration {
        let now = read_clocks().system;
        let until_wake = self.wake_at.map_or(WAIT_MAX, |at| duration(at - now));
        let until_flush =
            flush_at.map_or(WAIT_MAX, |at| at.saturating_duration_since(Instant::now()));
        WAIT_MAX.min(until_wake).min(until_flush)
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Timer(event) => self.take_event(event),
            Message::Ended(ended) => self.take_end(ended),
            Message::Files(set, reply) if !self.stopping => {
                let changes = self.take_files(set);
                if let Some(reply) = reply {
                    let _ = reply.send(changes);
                }
            }
            Message::Files(..) | Message::Stop => {}
            Message::Compare(set, reply) => drop(reply.send(self.compare(&set))),
            Message::Wish(wish) => self.take_wish(wish),
            Message::History(uid, reply) => {
                // Whoever asked may have lost patience.
                let ledger = &self.parts.ledger;
                let events = ledger.events(uid).iter().rev().cloned().collect();
                let _ = reply.send((ledger.outcomes(uid), events));
            }
        }
    }

    fn take_event(&mut self, event: TimerEvent) {
        match event {
            TimerEvent::Released { fire, lateness, clock_bound, clock_exceeded } => {
                self.parts.ledger.released(fire);
                self.running.insert(fire);
                // What was asked for is not held before T, so its lateness tells something else.
                let own = fire.trigger() == Trigger::Schedule;
                if own {
                    self.parts.board.count_lateness(lateness);
                }
                if let Some(panel) = self.parts.board.panel(fire.schedule) {
                    let mut progress = panel.progress();
                    if own {
                        progress.lateness.add(lateness);
                    }
                    progress.running += 1;
                }
                self.input(Input::Released { fire, lateness, clock_bound, clock_exceeded });
                if let Some(ended) = self.ended_early.remove(&fire) {
                    self.take_end(ended);
                }
            }
            TimerEvent::Unreleased { fire, outcome } => {
                self.input(Input::Finished { fire, outcome, duration: None });
            }
            TimerEvent::ClockSet => {
                tracing::info!("the system clock was set; everything is planned anew");
                let set = self.clock_watch.look_after_setting();
                self.input(Input::ClockStepped(set));
                if let Some(timer) = &self.parts.timer {
                    timer.resume();
                }
            }
        }
    }

    fn take_end(&mut self, ended: Ended) {
        if !self.running.remove(&ended.fire) {
            self.ended_early.insert(ended.fire, ended);
            return;
        }
        fault::pass(Point::EndTaken);
        let Ended { fire, outcome, duration, message } = ended;
        if let Some(panel) = self.parts.board.panel(fire.schedule) {
            let mut progress = panel.progress();
            progress.running = progress.running.saturating_sub(1);
        }
        if !message.is_empty() {
            self.messages.insert(fire, message);
        }
        self.input(Input::Finished { fire, outcome, duration: Some(duration) });
        // Whether it was recorded under this fire or not, nobody asks for it any more.
        self.messages.remove(&fire);
    }

    /// Hands an input to the planner, and carries out what comes of it.
    fn input(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let seen = self.clock_watch.look();
            if !seen.set.is_empty() {
                inputs.push_front(input);
                inputs.push_front(Input::ClockStepped(seen.set));
                continue;
            }
            let now = seen.now;
            let actions = self.planner.handle_input(now, input);
            for action in &actions {
                if let Action::Claim(claims) = action {
                    self.parts.ledger.expect(claims);
                }
            }
            for action in actions {
                if let Some(answer) = self.carry_out(action, now) {
                    inputs.push_back(answer);
                }
            }
        }
    }

    fn carry_out(&mut self, action: Action, now: Times) -> Option<Input> {
        match action {
            Action::Record(record) => self.record(&record),
            Action::Account { schedule, until } => self.parts.ledger.account(schedule, until),
            Action::Adopt(schedule) => {
                self.parts.ledger.adopt(schedule);
                fault::pass(Point::ReloadAdopted);
            }
            Action::Pause { schedule, failures } => {
                self.paused_itself(schedule, failures, now.system);
            }
            // What is armed while stopping could not be seen to its end, and what is claimed stays
            // open for the next start.
            _ if self.stopping => {}
            Action::Claim(claims) => {
                return Some(Input::Claimed(self.parts.ledger.claim(&claims)));
            }
            Action::Arm(fire) => return self.arm(fire, now),
            Action::Revoke(fire) => {
                if let Some(timer) = &self.parts.timer {
                    timer.revoke(fire);
                }
            }
            Action::Stop(fire) => self.parts.targets.stop(fire, Reason::Replaced),
            Action::WakeAt(at) => self.wake_at = Some(at),
        }
        None
    }

    fn arm(&mut self, fire: ArmedFire, now: Times) -> Option<Input> {
        let Some(schedule) = self.schedules.get(&fire.fire.schedule) else {
            // The planner arms nothing of a schedule that was removed; should it, nothing is run.
            let outcome = timeball_schedule::Outcome::Skipped(Reason::Revoked);
            return Some(Input::Finished { fire: fire.fire, outcome, duration: None });
        };
        let due_in = fire.release_at - now.by(fire.clock.follow);
        let targets = &self.parts.targets;
        let release = targets.prepare(&fire, due_in, &schedule.name, &schedule.target);
        if let Some(timer) = &self.parts.timer {
            timer.arm(fire, release);
            fault::pass(Point::FireArmed);
        }
        None
    }

    fn record(&mut self, record: &OutcomeRecord) {
        let OutcomeRecord { schedule, from, until, count, outcome, detail } = *record;
        let fire = FireId { schedule, scheduled_at: from };
        let told = self.messages.remove(&fire).filter(|message| !message.is_empty());
        let message = told.unwrap_or_else(|| self.remark(fire, outcome.reason()));
        let entry = HistoryEntry { from, until, count, outcome, detail, message };
        self.parts.ledger.record(record, entry.message.clone());
        self.parts.board.count(&entry);
        if let Some(panel) = self.parts.board.panel(schedule) {
            let mut progress = panel.progress();
            (progress.tally, progress.requested) = self.parts.ledger.tallies(schedule);
            progress.failures = self.parts.ledger.failures(schedule);
            progress.last = Some(entry);
        }
    }

    fn show_store(&self) {
        let ledger = &self.parts.ledger;
        let problem = ledger.problem().map(|error| FileProblem {
            file: self.parts.store_path.display().to_string(),
            message: format!("{error}; nothing is fired until claims can be stored again"),
        });
        self.parts.board.set_store(ledger.counters(), problem);
    }

    /// Ends everything in order: nothing more is released, what runs is stopped, and the books are
    /// closed. Claims that were not released stay open; the next start decides about them.
    fn stop(mut self) {
        self.stopping = true;
        // Joins the firing thread, so that all its releases are in the inbox by now.
        drop(self.parts.timer.take());
        while let Ok(message) = self.parts.inbox.try_recv() {
            self.take(message);
        }
        self.parts.targets.stop_all(Reason::Stopped);
        let deadline = Instant::now() + self.parts.stop_timeout;
        while !self.running.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.parts.inbox.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
        if !self.running.is_empty() {
            let fires = self.running.len();
            tracing::warn!(fires, "targets did not end in time; their outcomes are unknown");
        }
        if !self.parts.ledger.close() {
            tracing::error!("the last outcomes could not be stored");
        }
        fault::pass(Point::Closed);
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.as_nanos().max(0).unsigned_abs())
}

#[cfg(test)]
mod tests;
