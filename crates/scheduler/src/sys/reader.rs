//! Whoever reads what we write into a pipe or a socket: whether he is there, and keeps up.

use super::check;
use std::io;
use std::os::fd::AsRawFd;

/// The other end of a pipe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reader {
    /// Nobody has it open.
    Gone,
    /// What was written before has not been read.
    Behind,
    /// Everything has been read.
    Ready,
}

/// How the reader of a pipe fares whose end for writing this is.
pub(crate) fn reader_of_pipe(pipe: &impl AsRawFd) -> io::Result<Reader> {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    check(unsafe { libc::poll(&raw mut poll, 1, 0) })?;
    if poll.revents & libc::POLLERR != 0 {
        return Ok(Reader::Gone);
    }
    Ok(if ask(pipe, libc::FIONREAD)? > 0 { Reader::Behind } else { Reader::Ready })
}

/// Whether something that left by a socket has not been received.
pub(crate) fn is_unreceived(socket: &impl AsRawFd) -> io::Result<bool> {
    Ok(ask(socket, libc::TIOCOUTQ)? > 0)
}

/// Asks for one number.
fn ask(fd: &impl AsRawFd, request: libc::Ioctl) -> io::Result<libc::c_int> {
    let mut answer: libc::c_int = 0;
    // SAFETY: both requests write one int, which lives through the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut answer) })?;
    Ok(answer)
}
