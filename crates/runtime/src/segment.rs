//! The shared segment as a file: written by the time loop, read by anyone on the machine.
//!
//! Readers may map the file or read it; both see one page of the kernel's cache. A writer makes the
//! generation odd, writes the body, and makes it even again, each with a system call of its own:
//! the kernel takes the file's lock for each, so no processor sees them in another order.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use timeball_timebase::segment::{
    GENERATION_AT, HEADER_OCTETS, SEGMENT_OCTETS, Segment, SegmentError, SegmentStatus,
    next_generations,
};
use timeball_timebase::{ClockState, Reading};

use crate::clocks::{coarse_clock, read_clocks, system_clock};

/// Where ClockBound's clients look unless they are told otherwise.
pub const SEGMENT_PATH: &str = "/var/run/clockbound/shm0";

/// Anyone may read the time, and only its owner may write it.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// How often a segment that is being written is read again, and the pause between.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_micros(50);

/// Why a segment cannot be written.
#[derive(Debug, Error)]
pub enum SegmentOpenError {
    /// Another time service has it.
    #[error("{}: another time service writes it; give this one a path of its own", path.display())]
    Taken {
        /// The segment's path.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    System {
        /// The segment's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a segment tells nothing.
#[derive(Debug, Error)]
pub enum SegmentReadError {
    /// The file cannot be read.
    #[error("{}: {source}; is a time service running that writes it?", path.display())]
    System {
        /// The segment's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds nothing that can be used.
    #[error("{}: {source}", path.display())]
    Content {
        /// The segment's path.
        path: PathBuf,
        /// Why.
        source: SegmentError,
    },
}

/// The one writer of a segment.
#[derive(Debug)]
pub struct SegmentWriter {
    /// Locked as long as it is open.
    file: File,
    generation: u16,
}

impl SegmentWriter {
    /// Opens the segment, and makes it and its directory where they are missing.
    ///
    /// What an earlier run left is taken on, so that whoever has it open goes on reading; something
    /// else is replaced by a new file, and left alone for those who have it open.
    ///
    /// # Errors
    /// Where another writer has it, or the system refuses.
    pub fn open(path: &Path) -> Result<Self, SegmentOpenError> {
        let system = |source| SegmentOpenError::System { path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(system)?;
        }
        let file = match existing(path).map_err(system)? {
            Some(file) => file,
            None => create(path).map_err(system)?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SegmentOpenError::Taken { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(system(source)),
        }
        let generation = generation(&file).map_err(system)?;
        Ok(Self { file, generation })
    }

    /// Publishes what the clock state says of the system clock now. To be repeated every second or
    /// so: a segment that is older than five seconds counts as less.
    ///
    /// # Errors
    /// Where the file cannot be written; what is read then is the old content or none.
    pub fn publish(&mut self, state: &ClockState) -> io::Result<()> {
        // In this order an interruption makes the age larger and the bound wider.
        let as_of = coarse_clock();
        let segment = Segment::of(state, read_clocks(), as_of);
        let (writing, written) = next_generations(self.generation);
        self.write_generation(writing)?;
        self.file.write_all_at(&segment.body(), HEADER_OCTETS as u64)?;
        self.write_generation(written)?;
        self.generation = written;
        Ok(())
    }

    fn write_generation(&self, generation: u16) -> io::Result<()> {
        self.file.write_all_at(&generation.to_ne_bytes(), GENERATION_AT as u64)
    }
}

/// Reads the system clock with the bound that a segment gives it, and how far that may be trusted.
///
/// # Errors
/// Where there is no segment, or none that tells anything.
pub fn read_bounded_clock(path: &Path) -> Result<(Reading, SegmentStatus), SegmentReadError> {
    let segment = read(path)?;
    let system = system_clock();
    segment.reading(system, coarse_clock()).map_err(|source| content(path, source))
}

fn read(path: &Path) -> Result<Segment, SegmentReadError> {
    let system = |source| SegmentReadError::System { path: path.to_owned(), source };
    let file = File::open(path).map_err(system)?;
    let mut octets = [0; SEGMENT_OCTETS];
    for _ in 0..ATTEMPTS {
        let length = file.read_at(&mut octets, 0).map_err(system)?;
        match Segment::parse(&octets[..length]) {
            Ok((segment, before)) if generation(&file).map_err(system)? == before => {
                return Ok(segment);
            }
            Ok(_) | Err(SegmentError::BeingWritten) => thread::sleep(PAUSE),
            Err(source) => return Err(content(path, source)),
        }
    }
    Err(content(path, SegmentError::BeingWritten))
}

fn content(path: &Path, source: SegmentError) -> SegmentReadError {
    SegmentReadError::Content { path: path.to_owned(), source }
}

/// The file that is there, if it is a segment of this layout.
fn existing(path: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut octets = [0; SEGMENT_OCTETS];
    let length = file.read_at(&mut octets, 0)?;
    // A writer that died at work left it odd, which the next writing mends.
    let usable = matches!(
        Segment::parse(&octets[..length]),
        Ok(_) | Err(SegmentError::BeingWritten | SegmentError::Malformed)
    );
    Ok((usable && length == SEGMENT_OCTETS).then_some(file))
}

/// Makes a new segment that promises nothing, complete before it gets its name.
fn create(path: &Path) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unnamed = path.with_file_name(name);
    match fs::remove_file(&unnamed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(FILE_MODE).open(&unnamed)?;
    // Whatever the process's mask for new files says.
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    let (_, written) = next_generations(0);
    file.write_all_at(&Segment::header(written), 0)?;
    file.write_all_at(&Segment::unknown(coarse_clock()).body(), HEADER_OCTETS as u64)?;
    fs::rename(&unnamed, path)?;
    Ok(file)
}

fn generation(file: &File) -> io::Result<u16> {
    let mut octets = [0; 2];
    file.read_exact_at(&mut octets, GENERATION_AT as u64)?;
    Ok(u16::from_ne_bytes(octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use timeball_timebase::{Bound, Frequency, Span, SyncState};

    fn known(half_width: Span) -> ClockState {
        let now = read_clocks();
        ClockState {
            state: SyncState::Synchronized,
            as_of: now.raw,
            system: now.system,
            offset: Some(Span::ZERO),
            bound: Some(Bound { as_of: now.raw, half_width, growth: Frequency::ZERO }),
            ..ClockState::default()
        }
    }

    #[test]
    fn what_is_published_is_read_and_outlives_the_writer() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("clockbound/shm0");
        let mut writer = SegmentWriter::open(&path).unwrap();
        assert_eq!(read_bounded_clock(&path).unwrap().1, SegmentStatus::Unknown);
        writer.publish(&known(Span::from_micros(30))).unwrap();
        drop(writer);
        let (reading, status) = read_bounded_clock(&path).unwrap();
        assert_eq!(status, SegmentStatus::Synchronized);
        assert_eq!(reading.half_width, Some(Span::from_micros(30)));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, FILE_MODE);
        assert_eq!(fs::metadata(&path).unwrap().len(), SEGMENT_OCTETS as u64);
    }

    #[test]
    fn the_next_run_goes_on_in_the_same_file_and_a_foreign_one_is_replaced() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("shm0");
        let inode = || fs::metadata(&path).unwrap().ino();
        drop(SegmentWriter::open(&path).unwrap());
        let first = inode();
        // As a writer leaves it that dies at work.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&7_u16.to_ne_bytes(), GENERATION_AT as u64).unwrap();
        let mut writer = SegmentWriter::open(&path).unwrap();
        assert_eq!(inode(), first);
        writer.publish(&ClockState::default()).unwrap();
        assert_eq!(writer.generation, 8);
        drop(writer);
        let held = File::open(&path).unwrap();
        fs::write(&path, "something else").unwrap();
        drop(SegmentWriter::open(&path).unwrap());
        assert_ne!(inode(), first);
        assert_eq!(held.metadata().unwrap().len(), 14);
    }

    #[test]
    fn two_writers_are_one_too_many() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("shm0");
        let first = SegmentWriter::open(&path).unwrap();
        assert!(matches!(SegmentWriter::open(&path), Err(SegmentOpenError::Taken { .. })));
        drop(first);
        SegmentWriter::open(&path).unwrap();
    }

    #[test]
    fn a_segment_that_is_missing_or_empty_says_so() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("shm0");
        let error = read_bounded_clock(&path).unwrap_err().to_string();
        assert!(error.contains("is a time service running"), "{error}");
        fs::write(&path, "").unwrap();
        let error = read_bounded_clock(&path).unwrap_err().to_string();
        assert!(error.contains("0 octets, but a clock segment has 80"), "{error}");
    }

    #[test]
    fn no_reader_ever_sees_half_of_a_writing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("shm0");
        let mut writer = SegmentWriter::open(&path).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..10_000 {
                    // Bound and status say the same, or the reading is torn.
                    let half_width = Span::from_micros(30);
                    let state = known(half_width);
                    let state = if round % 2 == 0 { state } else { ClockState::default() };
                    writer.publish(&state).unwrap();
                }
                stop.store(true, Ordering::Relaxed);
            });
            let mut seen = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let segment = match read(&path) {
                    Ok(segment) => segment,
                    // This writer never rests, and where there are few processors it may be
                    // stopped at work each time that it is looked at.
                    Err(SegmentReadError::Content {
                        source: SegmentError::BeingWritten, ..
                    }) => continue,
                    Err(error) => panic!("{error}"),
                };
                let whole = match segment.status {
                    SegmentStatus::Synchronized => segment.bound >= Span::from_micros(30),
                    _ => segment.bound == Span::ZERO,
                };
                assert!(whole, "{segment:?}");
                seen += 1;
            }
            assert!(seen > 0);
        });
    }
}
