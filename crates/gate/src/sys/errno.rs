//! Why the kernel refused a call.

use core::fmt;

/// An error number of Linux, 1 to 4095.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Errno(u16);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Self = Self(1);
    /// No such file or directory.
    pub const ENOENT: Self = Self(2);
    /// No such process.
    pub const ESRCH: Self = Self(3);
    /// Interrupted by a signal.
    pub const EINTR: Self = Self(4);
    /// Permission denied.
    pub const EACCES: Self = Self(13);
    /// Not a directory.
    pub const ENOTDIR: Self = Self(20);
    /// The clock was set.
    pub const ECANCELED: Self = Self(125);

    /// Makes the error of this number.
    pub const fn from_raw(number: u16) -> Self {
        Self(number)
    }

    /// The error's number.
    pub const fn as_raw(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Errno {
    /// Writes what the number means where it is a common one: `permission denied (errno 13)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.0 {
            1 => "operation not permitted",
            2 => "no such file or directory",
            3 => "no such process",
            5 => "input/output error",
            6 => "no such device",
            7 => "arguments and environment are too long",
            8 => "not a format that the kernel can run",
            11 => "no more processes allowed",
            12 => "out of memory",
            13 => "permission denied",
            20 => "a part of the path is no directory",
            21 => "it is a directory",
            22 => "invalid argument",
            23 | 24 => "too many open files",
            26 => "the file is being written",
            36 => "the name is too long",
            38 => "the kernel does not have this call",
            40 => "too many symbolic links",
            _ => "the kernel refused",
        };
        write!(f, "{meaning} (errno {})", self.0)
    }
}

impl core::error::Error for Errno {}
