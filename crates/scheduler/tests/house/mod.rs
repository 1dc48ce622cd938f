//! A scheduler with its directories, and what is asked of it.

mod wait;

pub(crate) use wait::wait_for;

use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use timeball_api::schedules::Schedule;
use timeball_runtime::ClockCell;
use timeball_scheduler::{Scheduler, SchedulerOptions, StartError};

/// The directories of a scheduler, and what is known of the machine's clock.
pub(crate) struct House {
    pub(crate) root: TempDir,
    pub(crate) clock: Arc<ClockCell>,
}

impl House {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("schedules")).unwrap();
        Self { root, clock: Arc::default() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.root.path().join(name).display().to_string()
    }

    /// Writes a file with one schedule; `spec` is indented by two.
    pub(crate) fn write(&self, file: &str, name: &str, spec: &str) {
        let head = "apiVersion: timeball.dev/v1alpha1\nkind: PreciseCronJob\n";
        let text = format!("{head}metadata: {{ name: {name} }}\nspec:\n{spec}\n");
        fs::write(self.root.path().join("schedules").join(file), text).unwrap();
    }

    pub(crate) fn try_start(&self) -> Result<Scheduler, StartError> {
        let clock = Arc::clone(&self.clock);
        let (schedules, state) =
            (self.root.path().join("schedules"), self.root.path().join("state"));
        Scheduler::start(SchedulerOptions::new(schedules, state, clock))
    }

    pub(crate) fn start(&self) -> Scheduler {
        self.try_start().unwrap()
    }

    /// A target that appends the keys of its fires to a file.
    pub(crate) fn append(&self, file: &str) -> String {
        let script = format!("echo $TIMEBALL_FIRE_ID >> {}", self.path(file));
        format!("  target: {{ exec: {{ command: [sh, -c, '{script}'] }} }}")
    }
}

pub(crate) fn find(scheduler: &Scheduler, name: &str) -> Option<Schedule> {
    scheduler.schedules().schedules.into_iter().find(|schedule| schedule.name == name)
}

pub(crate) fn lines(path: &str) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
