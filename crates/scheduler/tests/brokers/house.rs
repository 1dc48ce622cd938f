//! A scheduler with its files, and what is asked of it.

#[path = "../house/wait.rs"]
mod wait;

pub(crate) use wait::{PATIENCE, wait_for};

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use timeball_api::schedules::{Outcome, Schedule};
use timeball_runtime::ClockCell;
use timeball_scheduler::{Scheduler, SchedulerOptions};

/// A scheduler in a directory of its own, with one schedule.
pub(crate) struct House {
    scheduler: Scheduler,
    /// Dropped last.
    _root: TempDir,
}

impl House {
    /// Starts a scheduler whose schedule `flush` has this spec.
    pub(crate) fn start(spec: &str) -> Self {
        let head = "apiVersion: timeball.dev/v1alpha1\nkind: PreciseCronJob\n";
        Self::with_file(&format!("{head}metadata: {{ name: flush }}\nspec:\n{spec}\n"))
    }

    /// Starts a scheduler with this schedule file.
    pub(crate) fn with_file(text: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (schedules, state) = (root.path().join("schedules"), root.path().join("state"));
        fs::create_dir(&schedules).unwrap();
        fs::write(schedules.join("flush.yaml"), text).unwrap();
        let clock = Arc::new(ClockCell::new());
        let scheduler = Scheduler::start(SchedulerOptions::new(schedules, state, clock)).unwrap();
        assert_eq!(scheduler.schedules().problems, []);
        Self { scheduler, _root: root }
    }

    /// How the schedule fares.
    pub(crate) fn schedule(&self) -> Schedule {
        wait_for("the schedule", || self.scheduler.schedules().schedules.pop())
    }

    /// Waits until the schedule is as wanted.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Schedule) -> bool) -> Schedule {
        let start = Instant::now();
        loop {
            let schedule = self.schedule();
            if is_so(&schedule) {
                return schedule;
            }
            let last = &schedule.last;
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}, last {last:?}", schedule.counts);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the outcome of an instant, nanoseconds since 1970.
    pub(crate) fn outcome_of(&self, at_ns: i64) -> Outcome {
        wait_for("the instant's outcome", || {
            let outcomes = self.scheduler.history("default", "flush").ok()?.outcomes;
            outcomes.into_iter().find(|o| o.scheduled_ns <= at_ns && at_ns <= o.until_ns)
        })
    }

    /// Ends it; everything that it has sent is recorded then.
    pub(crate) fn stop(self) -> Schedule {
        self.scheduler.shutdown();
        self.schedule()
    }
}

/// Runs what speaks to a broker.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("in time") })
}
