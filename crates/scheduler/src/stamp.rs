//! What tells two states of a file apart without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The state of a file at a moment: one that is written, replaced or goes away has another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp(Option<Traits>);

/// A file's traits; there are none of one that is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Traits {
    inode: u64,
    modified: (i64, i64),
    octets: u64,
}

/// Files with their states, to be taken before they are read: so what changes in between shows.
pub(crate) type Stamped = Vec<(PathBuf, Stamp)>;

impl Stamp {
    /// The state of a file now.
    pub(crate) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|file| Traits {
            inode: file.ino(),
            modified: (file.mtime(), file.mtime_nsec()),
            octets: file.size(),
        }))
    }
}
