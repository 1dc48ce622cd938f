//! Watches the directory for changes, on a thread of its own.

use super::{LoadedSet, schedule_files};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the directory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often everything is read anew though no file changed, for what lies outside the directory:
/// the
/// zone database, programs.
const READ_EVERY: u32 = 60;

/// A thread that reads the directory again whenever it changes; ends when dropped.
pub(crate) struct Watcher {
    /// Dropped to end the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What tells two states of a directory apart.
type Signature = Vec<(PathBuf, u64, i64, i64, u64)>;

impl Watcher {
    /// Watches `directory`, which was last read as `seen` tells; `changed` takes what it holds.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub(crate) fn start(
        directory: PathBuf,
        seen: Seen,
        mut changed: impl FnMut(LoadedSet) + Send + 'static,
    ) -> io::Result<Self> {
        let (alive, is_over) = mpsc::channel();
        let mut seen = seen.0;
        let thread =
            std::thread::Builder::new().name("schedule-files".to_owned()).spawn(move || {
                let mut looks = 0;
                loop {
                    if is_over.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                    looks += 1;
                    // Taken before the files are read: what changes in between is seen the next
                    // time.
                    let now = signature(&directory);
                    if now != seen || looks >= READ_EVERY {
                        seen = now;
                        looks = 0;
                        changed(LoadedSet::read(&directory));
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

/// The state of a directory at a moment, to be taken before it is read.
pub(crate) struct Seen(Signature);

impl Seen {
    pub(crate) fn now(directory: &Path) -> Self {
        Self(signature(directory))
    }
}

fn signature(directory: &Path) -> Signature {
    let files = schedule_files(directory).unwrap_or_default();
    let described = files.into_iter().map(|path| match fs::metadata(&path) {
        Ok(file) => (path, file.ino(), file.mtime(), file.mtime_nsec(), file.size()),
        Err(_) => (path, 0, 0, 0, 0),
    });
    described.collect()
}
