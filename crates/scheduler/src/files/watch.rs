//! Watches the directory and the zone database for changes, on a thread of its own.

use super::{LoadedSet, schedule_files};
use crate::stamp::{Stamp, Stamped};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often both are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often everything is read anew though no file changed, for what lies outside of both:
/// programs, certificates.
const READ_EVERY: u32 = 60;

/// A thread that reads the directory again whenever it changes; ends when dropped.
pub(crate) struct Watcher {
    /// Dropped to end the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches `directory`, which was last read as `seen` tells; `changed` takes what it holds.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub(crate) fn start(
        directory: PathBuf,
        mut seen: Seen,
        mut changed: impl FnMut(LoadedSet) + Send + 'static,
    ) -> io::Result<Self> {
        let (alive, is_over) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("schedule-files".to_owned()).spawn(move || {
                let mut looks = 0;
                loop {
                    if is_over.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                    looks += 1;
                    if !seen.is_current(&directory) || looks >= READ_EVERY {
                        let now = Seen::now(&directory);
                        let set = LoadedSet::read(&directory);
                        seen = now.with_zones_of(&set);
                        looks = 0;
                        changed(set);
                    }
                }
            })?;
        Ok(Self { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches schedule files panicked");
        }
    }
}

/// The state of everything that is watched, each file's as it was before it was read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    schedules: Stamped,
    zones: Stamped,
}

impl Seen {
    /// The state of a directory, to be taken before it is read.
    pub(crate) fn now(directory: &Path) -> Self {
        Self { schedules: stamped(directory), zones: Stamped::new() }
    }

    /// The same with the zone files that the directory's schedules came to rest on.
    pub(crate) fn with_zones_of(self, set: &LoadedSet) -> Self {
        Self { zones: set.zone_files.clone(), ..self }
    }

    fn is_current(&self, directory: &Path) -> bool {
        let is_as_it_was = |(path, stamp): &(PathBuf, Stamp)| Stamp::of(path) == *stamp;
        self.schedules == stamped(directory) && self.zones.iter().all(is_as_it_was)
    }
}

fn stamped(directory: &Path) -> Stamped {
    let files = schedule_files(directory).unwrap_or_default();
    files.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect()
}
