//! Waiting for several things at once.

use super::arch::number;
use super::file::{Fd, write};
use super::{Errno, call};

const POLLIN: i16 = 1;
const POLLERR: i16 = 8;
const POLLHUP: i16 = 16;

/// A descriptor that is waited for, and after [`poll`] whether it has something to say.
#[repr(C)]
pub(crate) struct Interest {
    descriptor: i32,
    events: i16,
    returned: i16,
}

impl Interest {
    /// Waits for `fd` to become readable (or for an error, which is always waited for).
    pub(crate) fn readable(fd: &Fd) -> Self {
        Self { descriptor: fd.number(), events: POLLIN, returned: 0 }
    }

    /// A place that waits for nothing.
    pub(crate) fn none() -> Self {
        Self { descriptor: -1, events: 0, returned: 0 }
    }

    /// Whether it is readable.
    pub(crate) fn is_ready(&self) -> bool {
        self.returned & POLLIN != 0
    }

    /// Whether the other end was closed, of a pipe or a socket.
    pub(crate) fn is_closed(&self) -> bool {
        self.returned & (POLLHUP | POLLERR) != 0
    }

    /// Whether it has failed; a FIFO's writing end: nobody has it open for reading.
    pub(crate) fn has_failed(&self) -> bool {
        self.returned & POLLERR != 0
    }
}

/// Waits until at least one of them has something to say; with `at_once`, only looks.
pub(crate) fn poll(interests: &mut [Interest], at_once: bool) -> Result<(), Errno> {
    let nothing = [0_i64; 2];
    let timeout = if at_once { nothing.as_ptr() as usize } else { 0 };
    let arguments = [interests.as_mut_ptr() as usize, interests.len(), timeout, 0, 8, 0];
    loop {
        // SAFETY: the kernel reads and writes `len` pollfds, whose layout is that of `Interest`,
        // and reads (and may write, on our stack) one timespec where there is one.
        match unsafe { call(number::PPOLL, arguments) } {
            Err(Errno::EINTR) => {}
            result => return result.map(|_| ()),
        }
    }
}

/// Says something on standard error. It may be closed or full, and nobody is left to tell.
pub(crate) fn say(text: &[u8]) {
    let _ = write(2, text);
}

/// Writes data to standard output.
pub(crate) fn print(text: &[u8]) -> Result<(), Errno> {
    write(1, text).map(|_| ())
}
