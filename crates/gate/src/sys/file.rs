//! Files and pipes.

use super::arch::number;
use super::{AT_FDCWD, Errno, call};
use core::ffi::CStr;

const O_WRONLY: usize = 1;
const O_RDWR: usize = 2;
const O_NONBLOCK: usize = 0o4_000;
const O_CLOEXEC: usize = 0o2_000_000;
const X_OK: usize = 1;
const F_SETFD: usize = 2;
const FD_CLOEXEC: usize = 1;
const MSG_DONTWAIT_NOSIGNAL: usize = 0x4040;
const STATX_TYPE_AND_MODE: usize = 3;
/// Where `stx_mode` stands in `struct statx`.
const STATX_MODE_AT: usize = 28;

/// An open file, closed when dropped; never passed on to the command.
#[derive(Debug)]
pub(crate) struct Fd(i32);

impl Fd {
    /// Takes the descriptor that a system call has just made.
    pub(super) fn from_call(descriptor: usize) -> Self {
        Self(descriptor as i32)
    }

    /// Takes a descriptor that we were started with, and keeps it from the command.
    pub(crate) fn inherited(number: i32) -> Result<Self, Errno> {
        // SAFETY: no pointer is passed. A number that is not open is refused.
        unsafe { call(number::FCNTL, [number as usize, F_SETFD, FD_CLOEXEC, 0, 0, 0])? };
        Ok(Self(number))
    }

    /// Sends a message if this is a socket, without waiting and without SIGPIPE.
    pub(crate) fn send(&self, octets: &[u8]) -> Result<usize, Errno> {
        let (place, flags) = (octets.as_ptr() as usize, MSG_DONTWAIT_NOSIGNAL);
        let arguments = [self.as_argument(), place, octets.len(), flags, 0, 0];
        // SAFETY: the kernel reads `len` octets from a buffer of that length; no address follows.
        unsafe { call(number::SENDTO, arguments) }
    }

    /// The descriptor's number.
    pub(super) fn number(&self) -> i32 {
        self.0
    }

    pub(super) fn as_argument(&self) -> usize {
        self.0 as usize
    }

    /// Reads what there is, at most as much as fits.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let arguments = [self.as_argument(), into.as_mut_ptr() as usize, into.len(), 0, 0, 0];
        loop {
            // SAFETY: the kernel writes at most `len` octets to a buffer of that length.
            match unsafe { call(number::READ, arguments) } {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }

    /// Reads what stands at an offset of a file, at most as much as fits.
    pub(crate) fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let (place, length) = (into.as_mut_ptr() as usize, into.len());
        let arguments = [self.as_argument(), place, length, offset as usize, 0, 0];
        // SAFETY: the kernel writes at most `len` octets to a buffer of that length.
        unsafe { call(number::PREAD64, arguments) }
    }

    /// Writes, perhaps only a part.
    pub(crate) fn write(&self, octets: &[u8]) -> Result<usize, Errno> {
        write(self.0, octets)
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: we own the descriptor, so nobody else uses it. An error of close() says nothing
        // that could be acted on here.
        let _ = unsafe { call(number::CLOSE, [self.as_argument(), 0, 0, 0, 0, 0]) };
    }
}

/// Writes to a descriptor by its number, such as 2 for standard error.
pub(super) fn write(descriptor: i32, octets: &[u8]) -> Result<usize, Errno> {
    let arguments = [descriptor as usize, octets.as_ptr() as usize, octets.len(), 0, 0, 0];
    loop {
        // SAFETY: the kernel reads `len` octets from a buffer of that length.
        match unsafe { call(number::WRITE, arguments) } {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Opens for reading.
pub(crate) fn open_read(path: &CStr) -> Result<Fd, Errno> {
    open(path, 0)
}

/// Opens for reading and writing; of a FIFO, without waiting for the other side.
pub(crate) fn open_read_write(path: &CStr) -> Result<Fd, Errno> {
    open(path, O_RDWR | O_NONBLOCK)
}

/// Opens for writing; of a FIFO that has no reader, fails with `ENXIO`.
pub(crate) fn open_write(path: &CStr) -> Result<Fd, Errno> {
    open(path, O_WRONLY | O_NONBLOCK)
}

fn open(path: &CStr, flags: usize) -> Result<Fd, Errno> {
    let arguments = [AT_FDCWD, path.as_ptr() as usize, flags | O_CLOEXEC, 0, 0, 0];
    // SAFETY: the path ends with NUL, and the kernel only reads it.
    unsafe { call(number::OPENAT, arguments) }.map(Fd::from_call)
}

/// Makes a pipe: the end to read from, then the end to write to.
pub(crate) fn pipe() -> Result<(Fd, Fd), Errno> {
    let mut ends = [0_i32; 2];
    // SAFETY: the kernel writes two descriptors to a place that holds two.
    unsafe { call(number::PIPE2, [ends.as_mut_ptr() as usize, O_CLOEXEC, 0, 0, 0, 0])? };
    Ok((Fd(ends[0]), Fd(ends[1])))
}

/// Type and permissions of a file, as `st_mode` has them; symbolic links are followed.
pub(crate) fn mode(path: &CStr) -> Result<u16, Errno> {
    let mut statx = [0_u64; 32];
    let place = statx.as_mut_ptr() as usize;
    let arguments = [AT_FDCWD, path.as_ptr() as usize, 0, STATX_TYPE_AND_MODE, place, 0];
    // SAFETY: the path ends with NUL; the kernel writes one struct statx, which is 256 octets.
    unsafe { call(number::STATX, arguments)? };
    let word = statx[STATX_MODE_AT / 8].to_ne_bytes();
    Ok(u16::from_ne_bytes([word[STATX_MODE_AT % 8], word[STATX_MODE_AT % 8 + 1]]))
}

/// Whether we may execute the file, going by its permissions.
pub(crate) fn is_executable(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path ends with NUL, and the kernel only reads it.
    unsafe { call(number::FACCESSAT, [AT_FDCWD, path.as_ptr() as usize, X_OK, 0, 0, 0]) }
        .map(|_| ())
}

/// Whether running the file gives capabilities (`setcap`).
pub(crate) fn has_capabilities(path: &CStr) -> bool {
    let name = c"security.capability".as_ptr() as usize;
    // SAFETY: both strings end with NUL; with a size of zero nothing is written.
    unsafe { call(number::GETXATTR, [path.as_ptr() as usize, name, 0, 0, 0, 0]) }
        .is_ok_and(|octets| octets > 0)
}
