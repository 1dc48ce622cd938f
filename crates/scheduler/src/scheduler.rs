//! The scheduler as a whole: what is started, read and stopped from outside.

use crate::board::{Board, Totals};
use crate::dispatcher::{BackfillRange, Command, ControlError, Dispatcher, Message, Parts, Wish};
use crate::files::{LoadedSet, Seen, Watcher};
use crate::store::{DiskStore, Journal, JournalError, Ledger, StoreError, boot_id};
use crate::targets::exec::GateProgram;
use crate::targets::{Ended, Report, TargetLimits, Targets};
use crate::timer::{FollowedClock, RealTimeError, Timer, TimerOptions, times_now};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use timeball_api::control::{Accepted, Backfill, WHY_OCTETS_MAX};
use timeball_api::files::FileChanges;
use timeball_api::schedules::{History, Schedules};
use timeball_runtime::ClockCell;
use timeball_schedule::{FireId, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// The store's file in the state directory.
const STORE_FILE: &str = "schedules.redb";
/// The journal beside it.
const JOURNAL_FILE: &str = "schedules.journal";
/// How long an answer of the dispatcher is waited for; some have to be stored first.
const ANSWER_WAIT: Duration = Duration::from_secs(8);

/// Where a scheduler finds its schedules, keeps its state and reads the clock's error.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// The directory of schedule files (`*.yaml`, `*.yml`, `*.json`); it may be missing for now.
    pub schedules_dir: PathBuf,
    /// The directory of the store; made (mode 0700) where it is missing.
    pub state_dir: PathBuf,
    /// The machine's clock state, as the time loop publishes it.
    pub clock: Arc<ClockCell>,
    /// How long before each fire the firing thread stops sleeping and watches the clock instead, at
    /// the cost of that much processor time a fire; zero or more.
    pub spin: Span,
    /// The priority (1 to 99) of the firing thread in the class SCHED_FIFO, with this process's
    /// memory locked; `None`: the usual class. See [`Scheduler::real_time_refused`].
    pub real_time: Option<u8>,
    /// How long what runs has to end when the scheduler is stopped, before it is killed.
    pub term_grace: Span,
    /// What holds the programs of `exec` until their instants; `None`: they are started then.
    pub gate: Option<GateProgram>,
}

impl SchedulerOptions {
    /// Options with the usual values: no spinning, no real time, 5 seconds of grace, no gate.
    pub fn new(schedules_dir: PathBuf, state_dir: PathBuf, clock: Arc<ClockCell>) -> Self {
        let term_grace = Span::from_secs(5);
        let (spin, real_time, gate) = (Span::ZERO, None, None);
        Self { schedules_dir, state_dir, clock, spin, real_time, term_grace, gate }
    }
}

/// Why a scheduler could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory cannot be made.
    #[error("state directory {} cannot be made: {source}", path.display())]
    StateDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process has no thread, descriptor or memory left.
    #[error("the scheduler's threads cannot be started: {0}")]
    System(#[from] io::Error),
}

/// A schedule by its name.
#[derive(Clone, Copy, Debug)]
pub struct Named<'n> {
    /// Its namespace.
    pub namespace: &'n str,
    /// Its name in it.
    pub name: &'n str,
}

/// A running scheduler; clones share it. It is stopped by [`Scheduler::shutdown`], or when the last
/// clone is dropped.
#[derive(Clone)]
pub struct Scheduler(Arc<Shared>);

pub(crate) struct Shared {
    board: Arc<Board>,
    clock: Arc<FollowedClock>,
    inbox: Sender<Message>,
    store_aside: Option<PathBuf>,
    real_time_refused: Vec<RealTimeError>,
    schedules_dir: PathBuf,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    watcher: Watcher,
    dispatcher: JoinHandle<()>,
}

impl Scheduler {
    /// Reads the schedules, opens the store and begins to fire.
    ///
    /// Schedule files that are wrong do not keep it from starting: see [`Scheduler::schedules`].
    ///
    /// # Errors
    /// Where the store is in use, of a newer version or cannot be written, or threads cannot be
    /// made.
    /// A corrupt store is kept aside and begun anew: see [`Scheduler::store_kept_aside`].
    pub fn start(options: SchedulerOptions) -> Result<Self, StartError> {
        let SchedulerOptions { schedules_dir, state_dir, clock, spin, real_time, .. } = options;
        let SchedulerOptions { term_grace, gate, .. } = options;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&state_dir)
            .map_err(|source| StartError::StateDirectory { path: state_dir.clone(), source })?;
        let store_path = state_dir.join(STORE_FILE);
        let (store, store_aside) = DiskStore::open(&store_path)?;
        let journal_path = state_dir.join(JOURNAL_FILE);
        let boot = boot_id();
        let ledger =
            Ledger::open(Box::new(store), boot.map(|boot| (journal_path.as_path(), boot)))?;
        // Unbounded, but what is sent is bounded: two messages for each fire that the planner arms,
        // and one for each change of the files.
        let (inbox, received) = mpsc::channel();
        let limits = TargetLimits { term_grace, ..TargetLimits::default() };
        let witness = Witness { journal: ledger.journal(), inbox: inbox.clone() };
        let targets = Targets::start(limits, gate, Arc::new(witness))?;
        let told = inbox.clone();
        let clock = Arc::new(FollowedClock::new(clock));
        let mut timer = Timer::start(TimerOptions {
            clock: Arc::clone(&clock),
            spin,
            real_time,
            tell: Box::new(move |event| drop(told.send(Message::Timer(event)))),
        })?;
        let real_time_refused = timer.take_refused();
        for refused in &real_time_refused {
            tracing::warn!("{refused}");
        }
        let board = Arc::new(Board::default());
        let grace = Duration::from_nanos(term_grace.as_nanos().unsigned_abs());
        let dispatcher = Dispatcher::new(Parts {
            ledger,
            clock: Arc::clone(&clock),
            timer: Some(timer),
            targets,
            board: Arc::clone(&board),
            inbox: received,
            store_path,
            stop_timeout: grace + Duration::from_secs(1),
        });
        let seen = Seen::now(&schedules_dir);
        // The first message of all, so that schedules are up before anything else happens.
        let first = LoadedSet::read(&schedules_dir);
        let seen = seen.with_zones_of(&first);
        board.set_file_problems(first.problems.clone());
        let _ = inbox.send(Message::Files(first, None));
        let dispatcher = std::thread::Builder::new()
            .name("dispatcher".to_owned())
            .spawn(move || dispatcher.run())?;
        let changed = inbox.clone();
        let watcher = Watcher::start(schedules_dir.clone(), seen, move |set| {
            drop(changed.send(Message::Files(set, None)));
        })?;
        let threads = Mutex::new(Some(Threads { watcher, dispatcher }));
        let shared =
            Shared { board, clock, inbox, store_aside, real_time_refused, schedules_dir, threads };
        Ok(Self(Arc::new(shared)))
    }

    /// All schedules and how they fare, and what is wrong with files or store. What is next is told
    /// by the clock that a schedule follows.
    pub fn schedules(&self) -> Schedules {
        self.0.board.report(&times_now(&self.0.clock))
    }

    /// The outcomes of a schedule, newest first. Waits for the dispatcher, milliseconds as a rule.
    ///
    /// # Errors
    /// [`ControlError::NoSuchSchedule`], or [`ControlError::NoAnswer`] in time.
    pub fn history(&self, namespace: &str, name: &str) -> Result<History, ControlError> {
        let uid = self.named(namespace, name)?;
        let (reply, answer) = mpsc::channel();
        let (entries, events) = self.ask(Message::History(uid, reply), &answer)?;
        Ok(History {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            outcomes: entries.iter().map(crate::board::outcome).collect(),
            events: events.iter().map(crate::board::event).collect(),
        })
    }

    /// Pauses a schedule until it is resumed, also through restarts: what passes is skipped.
    /// `by` and `why` are kept in its history.
    ///
    /// # Errors
    /// Where there is no such schedule, it is paused already, or the store cannot be written.
    pub fn pause(&self, of: &Named<'_>, by: &str, why: &str) -> Result<Accepted, ControlError> {
        self.wish(of, Command::Pause, by, why)
    }

    /// Lets a paused schedule go on from now.
    ///
    /// # Errors
    /// Where there is no such schedule, it is not paused, or the store cannot be written.
    pub fn resume(&self, of: &Named<'_>, by: &str, why: &str) -> Result<Accepted, ControlError> {
        self.wish(of, Command::Resume, by, why)
    }

    /// Runs a schedule's target as soon as its concurrency policy lets it, also while it rests.
    ///
    /// # Errors
    /// Where there is no such schedule, or the store cannot be written.
    pub fn run(&self, of: &Named<'_>, by: &str, why: &str) -> Result<Accepted, ControlError> {
        self.wish(of, Command::Run, by, why)
    }

    /// Runs instants of a range that has passed, oldest first.
    ///
    /// # Errors
    /// Where there is no such schedule, the range or a number makes no sense, nothing in it is to
    /// be run, it has more than its limit, or the store cannot be written.
    pub fn backfill(
        &self,
        of: &Named<'_>,
        by: &str,
        range: &Backfill,
    ) -> Result<Accepted, ControlError> {
        let command = Command::Backfill(BackfillRange {
            from: Timestamp::from_unix_nanos(range.from_ns),
            until: Timestamp::from_unix_nanos(range.until_ns),
            limit: range.limit,
            parallel: range.parallel,
            again: range.again,
            dry_run: range.dry_run,
        });
        self.wish(of, command, by, &range.why)
    }

    /// What the schedule files hold that is not in force. Reads them; nothing is taken up.
    ///
    /// # Errors
    /// Where the scheduler does not answer.
    pub fn file_changes(&self) -> Result<FileChanges, ControlError> {
        let (reply, answer) = mpsc::channel();
        self.ask(Message::Compare(LoadedSet::read(&self.0.schedules_dir), reply), &answer)
    }

    /// Reads the schedule files now and takes up what they hold, all or nothing; says what that
    /// changed.
    ///
    /// # Errors
    /// Where the scheduler does not answer.
    pub fn reload(&self) -> Result<FileChanges, ControlError> {
        let (reply, answer) = mpsc::channel();
        self.ask(Message::Files(LoadedSet::read(&self.0.schedules_dir), Some(reply)), &answer)
    }

    fn wish(
        &self,
        of: &Named<'_>,
        command: Command,
        by: &str,
        why: &str,
    ) -> Result<Accepted, ControlError> {
        if why.len() > WHY_OCTETS_MAX {
            let (octets, octets_max) = (why.len(), WHY_OCTETS_MAX);
            return Err(ControlError::WhyTooLong { octets, octets_max });
        }
        let schedule = self.named(of.namespace, of.name)?;
        let (reply, answer) = mpsc::channel();
        let (by, why) = (by.to_owned(), why.to_owned());
        self.ask(Message::Wish(Wish { schedule, command, by, why, reply }), &answer)?
    }

    fn named(&self, namespace: &str, name: &str) -> Result<ScheduleUid, ControlError> {
        self.0.board.named(namespace, name).ok_or_else(|| {
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            ControlError::NoSuchSchedule { namespace, name }
        })
    }

    fn ask<T>(&self, message: Message, answer: &Receiver<T>) -> Result<T, ControlError> {
        self.0.inbox.send(message).map_err(|_| ControlError::NoAnswer)?;
        answer.recv_timeout(ANSWER_WAIT).map_err(|_| ControlError::NoAnswer)
    }

    /// Where a corrupt store was kept when the scheduler started; `None` if it was sound.
    pub fn store_kept_aside(&self) -> Option<&std::path::Path> {
        self.0.store_aside.as_deref()
    }

    /// What of [`SchedulerOptions::real_time`] the system refused; empty where that was not asked.
    pub fn real_time_refused(&self) -> &[RealTimeError] {
        &self.0.real_time_refused
    }

    /// Stops: nothing more is fired, programs that run are asked to end (and killed after their
    /// grace), outcomes are stored. Returns when that is done; further calls do nothing.
    pub fn shutdown(&self) {
        let threads = self.lock().take();
        if let Some(threads) = threads {
            threads.stop(&self.0.inbox);
        }
    }

    /// What metrics tell.
    pub(crate) fn totals(&self) -> Totals {
        self.0.board.totals(&times_now(&self.0.clock))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Threads>> {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what targets have to report.
struct Witness {
    journal: Arc<Journal>,
    inbox: Sender<Message>,
}

impl Report for Witness {
    fn begin(&self, fire: FireId) -> Result<(), JournalError> {
        self.journal.begin(fire)
    }

    fn end(&self, ended: Ended) {
        // Nobody hears the last ends of a scheduler that was stopped.
        let _ = self.inbox.send(Message::Ended(ended));
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("running", &self.lock().is_some()).finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = threads {
            threads.stop(&self.inbox);
        }
    }
}

impl Threads {
    fn stop(self, inbox: &Sender<Message>) {
        drop(self.watcher);
        // Where nobody hears, the thread has panicked, which the join tells.
        let _ = inbox.send(Message::Stop);
        if self.dispatcher.join().is_err() {
            tracing::error!("the dispatcher panicked; its last outcomes are lost");
        }
    }
}

#[cfg(test)]
mod tests;
