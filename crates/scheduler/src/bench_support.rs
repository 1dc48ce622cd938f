//! What benchmarks and nobody else need of the inside.

mod bars;
mod house;
mod rounds;

pub use bars::Bars;
pub use house::{House, Seen};
pub use rounds::{Ratio, Rounds, Verdict, percentile};

use crate::store::{Journal, JournalError};
use crate::targets::brokers::{Errand, Nats, Order};
use crate::targets::exec::{GateProgram, Program, Runner};
use crate::targets::{Ended, Report, ScheduleName, Target, TargetLimits, Targets, http};
use crate::timer::{FollowedClock, Timer, TimerEvent, TimerOptions};
use std::ffi::CString;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use timeball_schedule::planner::{ArmedFire, ClockPolicy};
use timeball_schedule::{FireId, Outcome, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// The numbers below `ways` in random order, so that no way is always measured after the same one.
#[must_use]
pub fn shuffled(ways: usize, seed: &mut u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ways).collect();
    for last in (1..ways).rev() {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (*seed >> 33) as usize % (last + 1));
    }
    order
}

/// How long it takes to note fires in a journal of this directory, one after the other, as a
/// target does just before its effect.
///
/// # Errors
/// Where the journal cannot be written.
pub fn note_in_journal(directory: &Path, fires: u32) -> io::Result<Vec<Span>> {
    let opened = Journal::open(&directory.join("journal"), [0; 16], None);
    let (journal, _) = opened.map_err(io::Error::other)?;
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
        Self::start_in(spin, None)
    }

    /// Starts it in the class SCHED_FIFO with this priority.
    ///
    /// # Errors
    /// Where the process has no descriptor or thread left, or is refused real time.
    pub fn start_in(spin: Span, real_time: Option<u8>) -> io::Result<Self> {
        let (told, events) = mpsc::channel();
        let mut timer = Timer::start(TimerOptions {
            clock: Arc::new(FollowedClock::new(Arc::default())),
            spin,
            real_time,
            tell: Box::new(move |event| {
                // Nobody hears the last events of a benchmark that ends.
                let _ = told.send(event);
            }),
        })?;
        match timer.take_refused().pop() {
            None => Ok(Self { timer, events }),
            Some(refused) => Err(io::Error::other(refused)),
        }
    }

    /// Arms fires at these instants and waits for them; returns how late each was released.
    pub fn fire(&self, instants: &[Timestamp]) -> Vec<Span> {
        for (number, at) in (0_u128..).zip(instants) {
            // A schedule each: several may have the same instant.
            let schedule = ScheduleUid(number.to_be_bytes());
            let fire = FireId { schedule, scheduled_at: *at };
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

    /// Puts the calling thread into the class of a firing thread that was started with `real_time`.
    ///
    /// # Errors
    /// Where that is refused.
    pub fn sleep_bare_in(real_time: Option<u8>) -> io::Result<()> {
        real_time.map_or(Ok(()), crate::sys::schedule_fifo)
    }

    /// Sleeps until `at` of the system clock, with nothing around it (`clock_nanosleep`).
    pub fn sleep_bare(at: Timestamp) {
        crate::sys::sleep_until(at);
    }
}

/// The real firing thread, with the real target `exec`.
pub struct Programs {
    timer: Timer,
    events: Receiver<TimerEvent>,
    runner: Runner,
    ended: Receiver<Ended>,
}

impl Programs {
    /// Starts it; with a gate, programs are held by it.
    ///
    /// # Errors
    /// Where the process has no descriptor or thread left.
    pub fn start(gate: Option<GateProgram>) -> io::Result<Self> {
        let FiringThread { timer, events } = FiringThread::start(Span::ZERO)?;
        let (sender, ended) = mpsc::channel();
        let ends = Arc::new(Ends(Mutex::new(sender)));
        let runner = Runner::new(TargetLimits::default(), gate, ends)?;
        Ok(Self { timer, events, runner, ended })
    }

    /// Runs a program (an absolute path) at each instant; returns what they said, in any order.
    ///
    /// # Errors
    /// Where one of them fails.
    pub fn run(&self, path: &str, arguments: &[&str], at: &[Timestamp]) -> io::Result<Vec<String>> {
        let words = [path].into_iter().chain(arguments.iter().copied()).map(CString::new);
        let program = Arc::new(Program {
            path: CString::new(path)?,
            arguments: words.collect::<Result<_, _>>()?,
            directory: c"/".to_owned(),
            variables: Vec::new(),
            account: None,
            timeout: Duration::from_secs(10),
            retries: 0,
        });
        let name = ScheduleName { namespace: "bench".to_owned(), name: "targets".to_owned() };
        for at in at {
            let fire = FireId { schedule: ScheduleUid([0; 16]), scheduled_at: *at };
            let due_in = *at - timeball_runtime::read_clocks().system;
            let clock = ClockPolicy::default();
            let armed = ArmedFire { fire, release_at: *at, not_after: None, clock };
            self.timer.arm(armed, self.runner.prepare(&armed, due_in, &name, &program));
        }
        let mut said = Vec::with_capacity(at.len());
        while said.len() < at.len() {
            if let Ok(TimerEvent::ClockSet) = self.events.try_recv() {
                self.timer.resume();
            }
            match self.ended.recv_timeout(Duration::from_millis(50)) {
                Ok(Ended { outcome: Outcome::Fired, message, .. }) => said.push(message),
                Ok(ended) => return Err(io::Error::other(ended.message)),
                Err(_) => {}
            }
        }
        Ok(said)
    }
}

/// The real firing thread with real targets, one of which is tried.
pub struct Messenger {
    timer: Timer,
    targets: Targets,
    target: Target,
    events: Receiver<TimerEvent>,
    ended: Receiver<Ended>,
}

impl Messenger {
    /// Starts one for a target `http` with this form, in YAML; the firing thread has a real-time
    /// priority where one is given.
    ///
    /// # Errors
    /// Where the form is wrong, the process has no descriptor or thread left, or real time is
    /// refused.
    pub fn http(form: &str, real_time: Option<u8>) -> io::Result<Self> {
        let form = serde_saphyr::from_str(form).map_err(io::Error::other)?;
        let request = http::Request::parse(&form).map_err(io::Error::other)?;
        Self::start(Target::Http(Arc::new(request)), real_time)
    }

    /// Starts one for a target `nats` with this form, in YAML; the firing thread has a real-time
    /// priority where one is given.
    ///
    /// # Errors
    /// Where the form is wrong, the process has no descriptor or thread left, or real time is
    /// refused.
    pub fn nats(form: &str, real_time: Option<u8>) -> io::Result<Self> {
        let form = serde_saphyr::from_str(form).map_err(io::Error::other)?;
        let order = Order::<Nats>::parse(&form).map_err(io::Error::other)?;
        Self::start(Target::Broker(Errand::Nats(Arc::new(order))), real_time)
    }

    fn start(target: Target, real_time: Option<u8>) -> io::Result<Self> {
        let FiringThread { timer, events } = FiringThread::start_in(Span::ZERO, real_time)?;
        let (sender, ended) = mpsc::channel();
        let ends = Arc::new(Ends(Mutex::new(sender)));
        let targets = Targets::start(TargetLimits::default(), None, ends)?;
        Ok(Self { timer, targets, target, events, ended })
    }

    /// Sends a message at each of these instants, and waits until all have ended; returns what was
    /// said of those that failed.
    pub fn send(&self, instants: &[Timestamp]) -> Vec<String> {
        let name = ScheduleName { namespace: "default".to_owned(), name: "bench".to_owned() };
        for at in instants {
            let fire = FireId { schedule: ScheduleUid([0; 16]), scheduled_at: *at };
            let clock = ClockPolicy::default();
            let armed = ArmedFire { fire, release_at: *at, not_after: None, clock };
            let due_in = *at - timeball_runtime::read_clocks().system;
            self.timer.arm(armed, self.targets.prepare(&armed, due_in, &name, &self.target));
        }
        let patience = Duration::from_secs(60);
        let ends = instants.iter().map_while(|_| self.ended.recv_timeout(patience).ok());
        let failed = ends.filter(|ended| ended.outcome != Outcome::Fired);
        let failed = failed.map(|ended| ended.message).collect();
        for event in self.events.try_iter() {
            if event == TimerEvent::ClockSet {
                self.timer.resume();
            }
        }
        failed
    }
}

struct Ends(Mutex<Sender<Ended>>);

impl Report for Ends {
    fn begin(&self, _fire: FireId) -> Result<(), JournalError> {
        Ok(())
    }

    fn end(&self, ended: Ended) {
        // Nobody hears the last ends of a benchmark that ends.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(ended);
    }
}
