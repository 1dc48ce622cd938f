//! A directory for what must survive a restart: one process at a time, no half-written file, and
//! nothing that cannot be read is ever deleted.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

/// The lock's file: locked by the process that uses the directory, whose pid it holds.
const LOCK: &str = "lock";
/// The file that tells the format of all others.
const FORMAT: &str = "format";
/// A process that was killed while it started a program leaves the lock to that program until it
/// begins: a moment, longer on a busy machine. So long is waited for the lock of a dead process.
const ORPHAN_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often the lock of a dead process is tried meanwhile.
const ORPHAN_LOOK_EVERY: Duration = Duration::from_millis(10);
/// Copies of one broken file that are kept apart by number.
const SET_ASIDE_MAX: u32 = 1_000;

/// A state directory in use by this process; another process can use it once this is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// Held for its lock, which the kernel releases however the process ends.
    _lock: File,
}

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// A file or the directory itself cannot be made, read or written.
    #[error("the state directory cannot be used: {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses it.
    #[error(
        "state directory {} is in use by process {}; stop that one, or use another directory",
        path.display(),
        pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Whose it is; `None` where it did not say.
        pid: Option<u32>,
    },
    /// A newer version wrote it.
    #[error(
        "state directory {} has format {found}, but this version knows only up to {known}; \
         use the newer version that wrote it, or another directory",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
}

impl StateDirectory {
    /// Takes `path` into use, making it (mode 0700) where it is missing. `format` is the newest
    /// format that the caller knows (1+); it is written where none is.
    ///
    /// # Errors
    /// Where the directory cannot be written, is in use, or was written by a newer version.
    pub fn open(path: &Path, format: u32) -> Result<Self, StateError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| StateError::File { path: path.to_owned(), source })?;
        let lock = take_lock(path)?;
        let directory = Self { path: path.to_owned(), _lock: lock };
        directory.check_format(format)?;
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file `name` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file of at most `octets_max` octets; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read or is longer.
    pub fn read(&self, name: &str, octets_max: u64) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        let failed = |source| StateError::File { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut octets = Vec::new();
        file.take(octets_max.saturating_add(1)).read_to_end(&mut octets).map_err(failed)?;
        if octets.len() as u64 > octets_max {
            let message = format!("longer than {octets_max} octets");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(Some(octets))
    }

    /// Replaces a file as a whole: after a crash it has either the old or the new content.
    ///
    /// # Errors
    /// Where it cannot be written; the old content then stays.
    pub fn write(&self, name: &str, octets: &[u8]) -> Result<(), StateError> {
        let path = self.file(name);
        write_atomic(&path, octets).map_err(|source| StateError::File { path, source })
    }

    /// Moves a file that cannot be understood out of the way, to `NAME.corrupt-N`; returns where
    /// to.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StateError> {
        set_aside(&self.file(name))
    }

    fn check_format(&self, known: u32) -> Result<(), StateError> {
        let found = match self.read(FORMAT, 64)? {
            None => return self.write(FORMAT, format!("{known}\n").as_bytes()),
            Some(octets) => std::str::from_utf8(&octets).ok().and_then(|t| t.trim().parse().ok()),
        };
        match found {
            Some(found) if found > known => {
                Err(StateError::Newer { path: self.path.clone(), found, known })
            }
            Some(_) => Ok(()),
            None => {
                let aside = self.set_aside(FORMAT)?;
                tracing::warn!(kept_as = %aside.display(), "the state's format file was unreadable");
                self.write(FORMAT, format!("{known}\n").as_bytes())
            }
        }
    }
}

/// Replaces the file at `path` as a whole (mode 0600): the content is written beside it, flushed to
/// the disk, and renamed.
///
/// # Errors
/// Where any of that fails; the old content then stays.
pub fn write_atomic(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The rename itself lasts only once the directory is on the disk.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Moves a file that cannot be understood out of the way, to `PATH.corrupt-N` with the first free
/// N; returns where to.
///
/// # Errors
/// Where it cannot be moved.
pub fn set_aside(path: &Path) -> Result<PathBuf, StateError> {
    let failed = |source| StateError::File { path: path.to_owned(), source };
    for n in 1..=SET_ASIDE_MAX {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".corrupt-{n}"));
        let aside = PathBuf::from(aside);
        if !aside.try_exists().map_err(failed)? {
            return fs::rename(path, &aside).map(|()| aside).map_err(failed);
        }
    }
    Err(failed(io::Error::other("a thousand corrupt copies are already kept; remove some")))
}

fn take_lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK);
    let failed = |source| StateError::File { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file
                    .seek(SeekFrom::Start(0))
                    .and_then(|_| Read::by_ref(&mut file).take(32).read_to_string(&mut text));
                let pid: Option<u32> = read.ok().and_then(|_| text.trim().parse().ok());
                if pid.is_none_or(is_alive) || start.elapsed() > ORPHAN_WAIT_MAX {
                    return Err(StateError::InUse { path: directory.to_owned(), pid });
                }
                std::thread::sleep(ORPHAN_LOOK_EVERY);
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}

/// Whether a process runs; one that has died and is yet to be waited for does not.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state is in brackets, and may have any character in it.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_second_user_is_refused_with_the_pid_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let first = StateDirectory::open(&path, 1).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let error = StateDirectory::open(&path, 1).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, StateError::InUse { pid: Some(pid), .. } if pid == own));
        drop(first);
        StateDirectory::open(&path, 1).unwrap();
    }

    #[test]
    fn the_lock_that_a_dead_process_left_to_its_child_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(root.path(), 1).unwrap();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        let pid = dead.id();
        dead.wait().unwrap();
        fs::write(root.path().join(LOCK), format!("{pid}\n")).unwrap();
        let child = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(first);
        });
        StateDirectory::open(root.path(), 1).unwrap();
        child.join().unwrap();
        assert!(is_alive(std::process::id()) && !is_alive(pid));
    }

    #[test]
    fn a_newer_format_is_refused_and_an_older_one_is_taken() {
        let root = tempfile::tempdir().unwrap();
        drop(StateDirectory::open(root.path(), 2).unwrap());
        let error = StateDirectory::open(root.path(), 1).unwrap_err();
        assert!(matches!(error, StateError::Newer { found: 2, known: 1, .. }), "{error}");
        StateDirectory::open(root.path(), 3).unwrap();
    }

    #[test]
    fn a_corrupt_file_is_kept_aside_and_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(root.path(), 1).unwrap();
        for n in 1..=3 {
            state.write("drift", format!("broken {n}").as_bytes()).unwrap();
            let aside = state.set_aside("drift").unwrap();
            assert_eq!(aside, root.path().join(format!("drift.corrupt-{n}")));
            assert_eq!(fs::read_to_string(aside).unwrap(), format!("broken {n}"));
        }
        assert_eq!(state.read("drift", 100).unwrap(), None);
        drop(state);
        fs::write(root.path().join(FORMAT), "gibberish").unwrap();
        StateDirectory::open(root.path(), 1).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("format.corrupt-1")).unwrap(), "gibberish");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_read_with_a_limit() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(root.path(), 1).unwrap();
        state.write("drift", b"one").unwrap();
        state.write("drift", b"two").unwrap();
        assert_eq!(state.read("drift", 3).unwrap().as_deref(), Some(&b"two"[..]));
        assert!(state.read("drift", 2).is_err());
        assert!(!state.file("drift.new").exists());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateDirectory::open(&file.join("state"), 1).unwrap_err().to_string();
        assert!(error.contains("file/state"), "{error}");
    }
}
