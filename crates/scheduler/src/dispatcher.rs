//! The thread that owns the planner: it turns what happens into inputs, and carries out actions.

use crate::board::{Board, Progress};
use crate::files::{LoadedSchedule, LoadedSet};
use crate::store::{Enrolment, HistoryEntry, Ledger};
use crate::targets::{Ended, Targets};
use crate::timer::{Timer, TimerEvent};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use timeball_api::schedules::FileProblem;
use timeball_runtime::read_clocks;
use timeball_schedule::planner::{
    Action, ArmedFire, Input, OutcomeRecord, Planner, PlannerOptions,
};
use timeball_schedule::{FireId, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// What the dispatcher is told.
pub(crate) enum Message {
    /// By the firing thread.
    Timer(TimerEvent),
    /// By a target.
    Ended(Ended),
    /// By whoever watches the files.
    Files(LoadedSet),
    /// By somebody who wants to know the outcomes of a schedule, newest first.
    History(ScheduleUid, Sender<Vec<HistoryEntry>>),
    /// The last message.
    Stop,
}

/// What the dispatcher works with.
pub(crate) struct Parts {
    pub(crate) ledger: Ledger,
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
    /// Whether schedules that no file names were settled.
    absent_settled: bool,
    /// What targets said, until the outcome is recorded.
    messages: HashMap<FireId, String>,
    /// Released fires that have not ended.
    running: HashSet<FireId>,
    /// Ends of fires of whose release the firing thread is yet to tell: a target may be quicker.
    ended_early: HashMap<FireId, Ended>,
    wake_at: Option<Timestamp>,
    stopping: bool,
}

/// The longest wait: the system clock may be set while the planner waits for an instant of it.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Messages taken between two looks at the time.
const MESSAGES_MAX: usize = 1_000;

impl Dispatcher {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            planner: Planner::new(PlannerOptions::default()),
            schedules: BTreeMap::new(),
            accepted_problems: Vec::new(),
            absent_settled: false,
            messages: HashMap::new(),
            running: HashSet::new(),
            ended_early: HashMap::new(),
            wake_at: None,
            stopping: false,
        }
    }

    /// Runs until told to stop, then ends everything in order.
    pub(crate) fn run(mut self) {
        loop {
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
            let now = read_clocks().system;
            if self.wake_at.is_some_and(|at| at <= now) {
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
            Message::Files(set) if !self.stopping => self.take_files(set),
            Message::Files(_) | Message::Stop => {}
            Message::History(uid, reply) => {
                // Whoever asked may have lost patience.
                let _ = reply.send(self.parts.ledger.history(uid).cloned().collect());
            }
        }
    }

    fn take_event(&mut self, event: TimerEvent) {
        match event {
            TimerEvent::Released { fire, lateness, clock_bound, clock_exceeded } => {
                self.parts.ledger.released(fire);
                self.running.insert(fire);
                self.parts.board.count_lateness(lateness);
                if let Some(panel) = self.parts.board.panel(fire.schedule) {
                    let mut progress = panel.progress();
                    progress.lateness.add(lateness);
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
                self.input(Input::ClockStepped);
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
            let now = read_clocks().system;
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

    fn carry_out(&mut self, action: Action, now: Timestamp) -> Option<Input> {
        match action {
            Action::Record(record) => self.record(&record),
            Action::Account { schedule, until } => self.parts.ledger.account(schedule, until),
            Action::Adopt(schedule) => self.parts.ledger.adopt(schedule),
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

    fn arm(&mut self, fire: ArmedFire, now: Timestamp) -> Option<Input> {
        let Some(schedule) = self.schedules.get(&fire.fire.schedule) else {
            // The planner arms nothing of a schedule that was removed; should it, nothing is run.
            let outcome = timeball_schedule::Outcome::Skipped(Reason::Revoked);
            return Some(Input::Finished { fire: fire.fire, outcome, duration: None });
        };
        let due_in = fire.release_at - now;
        let targets = &self.parts.targets;
        let release = targets.prepare(fire.fire, due_in, &schedule.name, &schedule.target);
        if let Some(timer) = &self.parts.timer {
            timer.arm(fire, release);
        }
        None
    }

    fn record(&mut self, record: &OutcomeRecord) {
        let OutcomeRecord { schedule, from, until, count, outcome, detail } = *record;
        let message =
            self.messages.remove(&FireId { schedule, scheduled_at: from }).unwrap_or_default();
        let entry = HistoryEntry { from, until, count, outcome, detail, message };
        self.parts.ledger.record(record, entry.message.clone());
        self.parts.board.count(&entry);
        if let Some(panel) = self.parts.board.panel(schedule) {
            let mut progress = panel.progress();
            progress.tally = self.parts.ledger.tally(schedule);
            progress.last = Some(entry);
        }
    }

    /// Takes up what the files hold now: all of it, or nothing where something new is wrong.
    fn take_files(&mut self, set: LoadedSet) {
        let first = self.schedules.is_empty() && !self.absent_settled;
        let is_new = |problem: &FileProblem| !self.accepted_problems.contains(problem);
        let refused = !first && set.problems.iter().any(is_new);
        self.parts.board.set_file_problems(set.problems.clone());
        for problem in set.problems.iter().filter(|problem| is_new(problem)) {
            tracing::error!(file = %problem.file, message = %problem.message, "schedule file");
        }
        if refused {
            tracing::warn!("the schedules go on as they were until the files are mended");
            return;
        }
        let gone: Vec<ScheduleUid> =
            self.schedules.keys().filter(|uid| !set.schedules.contains_key(uid)).copied().collect();
        for uid in gone {
            self.remove(uid);
        }
        for (uid, schedule) in set.schedules {
            self.upsert(uid, schedule);
        }
        self.input(Input::Wake);
        // While a file is wrong, its schedules are not known to be gone.
        if !self.absent_settled && set.problems.is_empty() {
            self.parts.ledger.retire_absent(read_clocks().system);
            self.absent_settled = true;
        }
        self.accepted_problems = set.problems;
    }

    fn remove(&mut self, uid: ScheduleUid) {
        if let Some(schedule) = self.schedules.remove(&uid) {
            tracing::info!(schedule = %schedule.name, "schedule removed");
        }
        self.input(Input::Remove(uid));
        self.parts.ledger.retire(uid, read_clocks().system);
        self.parts.board.remove(uid);
    }

    fn upsert(&mut self, uid: ScheduleUid, schedule: LoadedSchedule) {
        let before = self.schedules.get(&uid);
        if before.is_some_and(|before| before.spec.generation == schedule.spec.generation) {
            return;
        }
        match before {
            None => tracing::info!(
                schedule = %schedule.name,
                expression = %schedule.expression,
                "schedule added"
            ),
            Some(before) => tracing::info!(
                schedule = %schedule.name,
                before = %before.definition,
                after = %schedule.definition,
                "schedule changed"
            ),
        }
        if schedule.spec.schedule.next_after(read_clocks().system).is_none() {
            tracing::warn!(schedule = %schedule.name, "this schedule has no instant ahead");
        }
        let enrolment = Enrolment {
            uid,
            namespace: schedule.name.namespace.clone(),
            name: schedule.name.name.clone(),
            definition: schedule.definition.clone(),
            limits: schedule.limits,
            repeatable: schedule.target.is_repeatable(),
        };
        let resume = self.parts.ledger.enroll(enrolment, read_clocks().system);
        let progress = match self.parts.board.panel(uid) {
            Some(panel) => panel.progress().clone(),
            None => Progress {
                last: self.parts.ledger.history(uid).next().cloned(),
                tally: self.parts.ledger.tally(uid),
                ..Progress::default()
            },
        };
        let spec = Box::new(schedule.spec.clone());
        self.parts.board.put(schedule.clone(), progress);
        self.schedules.insert(uid, schedule);
        self.input(Input::Upsert { spec, resume });
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
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.as_nanos().max(0).unsigned_abs())
}

#[cfg(test)]
mod tests;
