//! Where ticks go. Nothing here waits for a receiver: a tick that is not taken is dropped.

use crate::sys::Process;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// A receiver of ticks.
#[derive(Debug)]
pub struct TickReceiver(Kind);

#[derive(Debug)]
enum Kind {
    Fifo { path: PathBuf, open: Option<File> },
    Socket { path: PathBuf, socket: UnixDatagram },
    Process { process: Process, signal: i32 },
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// It was handed over.
    Sent,
    /// Nobody was there to take it, or its place was full.
    Dropped,
}

impl TickReceiver {
    /// A FIFO, which gets a line a tick while somebody has it open for reading.
    ///
    /// # Errors
    /// Where there is no such FIFO.
    pub fn fifo(path: &Path) -> io::Result<Self> {
        if !std::fs::metadata(path)?.file_type().is_fifo() {
            return Err(io::Error::other("that is no FIFO; make one with mkfifo"));
        }
        Ok(Self(Kind::Fifo { path: path.to_owned(), open: None }))
    }

    /// A UNIX datagram socket that a receiver has bound, or will: a datagram a tick.
    ///
    /// # Errors
    /// Where the process has no descriptor left.
    pub fn socket(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Kind::Socket { path: path.to_owned(), socket }))
    }

    /// A process, which gets a signal (1 to 64) a tick.
    ///
    /// # Errors
    /// Where there is no such process, it is not ours, or there is no such signal.
    pub fn process(pid: i32, signal: i32) -> io::Result<Self> {
        let process = Process::open(pid)?;
        if !(1..=64).contains(&signal) {
            return Err(io::Error::other("signals are 1 to 64"));
        }
        process.signal(0)?;
        Ok(Self(Kind::Process { process, signal }))
    }

    /// Hands a tick over: its line, or the signal.
    ///
    /// # Errors
    /// Where no later tick can be handed over either: the process has ended.
    pub fn send(&mut self, line: &str) -> io::Result<Delivery> {
        let result = match &mut self.0 {
            Kind::Process { process, signal } => {
                return process.signal(*signal).map(|()| Delivery::Sent);
            }
            Kind::Fifo { path, open } => write_line(path, open, line),
            Kind::Socket { path, socket } => socket.send_to(line.as_bytes(), path).map(|_| ()),
        };
        Ok(if result.is_ok() { Delivery::Sent } else { Delivery::Dropped })
    }
}

fn write_line(path: &Path, open: &mut Option<File>, line: &str) -> io::Result<()> {
    let file = match open {
        Some(file) => file,
        // Fails while nobody has it open for reading.
        None => {
            let mut options = OpenOptions::new();
            open.insert(options.write(true).custom_flags(libc::O_NONBLOCK).open(path)?)
        }
    };
    // A line is shorter than PIPE_BUF, so it is written whole or not at all.
    let written = file.write_all(line.as_bytes());
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        *open = None;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Command;

    #[test]
    fn a_fifo_gets_lines_while_somebody_reads_and_none_wait_for_a_later_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut receiver = TickReceiver::fifo(&path).unwrap();
        assert_eq!(receiver.send("0\n").unwrap(), Delivery::Dropped);
        let mut options = OpenOptions::new();
        let mut reader = options.read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        assert_eq!(receiver.send("1\n").unwrap(), Delivery::Sent);
        let mut text = [0; 8];
        assert_eq!(reader.read(&mut text).unwrap(), 2);
        assert_eq!(&text[..2], b"1\n");
        drop(reader);
        assert_eq!(receiver.send("2\n").unwrap(), Delivery::Dropped);
        assert!(TickReceiver::fifo("/dev/null".as_ref()).is_err());
    }

    #[test]
    fn a_socket_gets_a_datagram_a_tick_once_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut receiver = TickReceiver::socket(&path).unwrap();
        assert_eq!(receiver.send("0\n").unwrap(), Delivery::Dropped);
        let bound = UnixDatagram::bind(&path).unwrap();
        assert_eq!(receiver.send("1\n").unwrap(), Delivery::Sent);
        let mut text = [0; 8];
        assert_eq!(bound.recv(&mut text).unwrap(), 2);
        assert_eq!(&text[..2], b"1\n");
    }

    #[test]
    fn a_process_gets_a_signal_and_its_end_is_an_error() {
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(sleeper.id()).unwrap();
        assert!(TickReceiver::process(pid, 0).is_err());
        let mut receiver = TickReceiver::process(pid, libc::SIGUSR1).unwrap();
        assert_eq!(receiver.send("").unwrap(), Delivery::Sent);
        // SIGUSR1 ends a program that does not expect it.
        sleeper.wait().unwrap();
        assert!(receiver.send("").is_err());
        assert!(TickReceiver::process(pid, libc::SIGUSR1).is_err());
    }
}
