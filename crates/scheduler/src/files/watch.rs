//! Watches the directory and the zone database for changes, on a thread of its own.

use super::{LoadedSet, schedule_files};
use crate::stamp::{Stamp, Stamped};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often both are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(750);
/// How often everything is read anew though no file changed, for what lies outside of both:
/// programs, certificates.
const READ_EVERY: u32 = 80;
/// A change is read once there was no other for this long: whoever writes a file in parts, or
/// several of them, is not done in between, and what he has not written yet would be taken for
/// removed.
const QUIET: Duration = Duration::from_millis(200);
/// After so many changes in a row it is read though there are more.
const UNREST_MAX: u32 = 20;

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
                let rest = |time| is_over.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
                while rest(LOOK_EVERY) {
                    looks += 1;
                    if seen.is_current(&directory) && looks < READ_EVERY {
                        continue;
                    }
                    let settled = settled(|| Seen::now(&directory), || rest(QUIET));
                    let Some(now) = settled else { return };
                    let set = LoadedSet::read(&directory);
                    seen = now.with_zones_of(&set);
                    looks = 0;
                    changed(set);
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

/// Looks until nothing has changed between two looks with a `rest` between them; `None` where a
/// rest says that all is over.
fn settled<S: PartialEq>(mut look: impl FnMut() -> S, rest: impl Fn() -> bool) -> Option<S> {
    let mut seen = look();
    for _ in 0..UNREST_MAX {
        if !rest() {
            return None;
        }
        let now = look();
        if now == seen {
            break;
        }
        seen = now;
    }
    Some(seen)
}

/// The state of everything that is watched, each file's as it was before it was read.
#[derive(Clone, Debug, PartialEq)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_is_read_once_it_is_written_and_not_waited_for_without_end() {
        let mut sizes = [0, 4_096, 8_192, 8_192, 9_000].into_iter();
        assert_eq!(settled(|| sizes.next().unwrap(), || true), Some(8_192));
        let mut sizes = 0..;
        assert_eq!(settled(|| sizes.next().unwrap(), || true), Some(UNREST_MAX));
        assert_eq!(settled(|| 0, || false), None);
    }
}
