//! The UNIX socket of the same user.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use tokio::net::UnixStream;

use crate::sys;

/// The user at the other end of a UNIX socket, as the kernel says it (`SO_PEERCRED`): this
/// process's own, or root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalUser {
    /// The user's number.
    pub uid: u32,
    /// The process that connected; `None` where it is of another namespace.
    pub pid: Option<i32>,
}

impl fmt::Display for LocalUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match self.pid {
            Some(pid) => write!(f, " (process {pid})"),
            None => Ok(()),
        }
    }
}

/// Makes the socket, readable and writable by its owner only.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    // Whoever connects in between is asked for who he is all the same.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Who is at the other end; `None` for a stranger.
pub(super) fn user_of(stream: &UnixStream) -> io::Result<Option<LocalUser>> {
    let peer = stream.peer_cred()?;
    let known = peer.uid() == sys::user() || peer.uid() == 0;
    Ok(known.then(|| LocalUser { uid: peer.uid(), pid: peer.pid() }))
}
