//! Where ticks go. Nothing here waits for a receiver, unless all ticks are wanted: one that is not
//! taken is dropped, and so is one that comes before the tick before it was taken. So whoever stood
//! still finds one old tick, and no burst of them.

use super::Tick;
use crate::sys::{Process, Reader, is_unreceived, reader_of_pipe};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The first of the signals of which several may wait (real-time signals).
const SIGNAL_QUEUED_MIN: i32 = 32;

/// A receiver of ticks.
#[derive(Debug)]
pub struct TickReceiver {
    kind: Kind,
    /// Whether it gets ticks although it has not taken those before.
    all: bool,
}

#[derive(Debug)]
enum Kind {
    Stdout { file: File, is_pipe: bool, is_socket: bool },
    Fifo { path: PathBuf, open: Option<File> },
    Socket { path: PathBuf, socket: UnixDatagram },
    Process { process: Process, pid: i32, signal: i32 },
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// It was handed over.
    Sent,
    /// Nobody was there to take it, its place was full, or the one before it lies there still.
    Dropped,
    /// Nobody will take any more: the reader of standard output has gone.
    Over,
}

impl TickReceiver {
    /// Our standard output, which gets a line a tick. If that is a pipe or socket, the line before
    /// has to be read first.
    ///
    /// # Errors
    /// Where the process has no descriptor left, or no standard output.
    pub fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        let (is_pipe, is_socket) = (kind.is_fifo(), kind.is_socket());
        Ok(Self::of(Kind::Stdout { file, is_pipe, is_socket }))
    }

    /// A FIFO, which gets a line a tick while somebody has it open for reading.
    ///
    /// # Errors
    /// Where there is no such FIFO.
    pub fn fifo(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path);
        if matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return Err(io::Error::other("there is none; make one with mkfifo"));
        }
        if !found?.file_type().is_fifo() {
            return Err(io::Error::other("that is no FIFO; make one with mkfifo"));
        }
        Ok(Self::of(Kind::Fifo { path: path.to_owned(), open: None }))
    }

    /// A UNIX datagram socket that a receiver has bound, or will: a datagram a tick.
    ///
    /// # Errors
    /// Where the process has no descriptor left.
    pub fn socket(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self::of(Kind::Socket { path: path.to_owned(), socket }))
    }

    /// A process, which gets a signal (1 to 64) a tick, with the tick's number as its value
    /// (`si_value`). One that is real-time is not sent while one of the same number waits.
    ///
    /// # Errors
    /// Where there is no such process, it is not ours, or there is no such signal.
    pub fn process(pid: i32, signal: i32) -> io::Result<Self> {
        let process = Process::open(pid)?;
        if !(1..=64).contains(&signal) {
            return Err(io::Error::other("signals are 1 to 64"));
        }
        process.signal(0)?;
        Ok(Self::of(Kind::Process { process, pid, signal }))
    }

    /// The same receiver, which is to get all ticks: they wait for it as far as there is room, and
    /// standard output is waited for.
    #[must_use]
    pub fn taking_all(self) -> Self {
        Self { all: true, ..self }
    }

    /// Hands a tick over: its line, or the signal.
    ///
    /// # Errors
    /// Where no later tick can be handed over either: the process has ended, or standard output
    /// cannot be written.
    pub fn send(&mut self, tick: &Tick, line: &str) -> io::Result<Delivery> {
        if !self.all && self.is_behind() {
            return Ok(Delivery::Dropped);
        }
        match &mut self.kind {
            Kind::Stdout { file, .. } => match file.write_all(line.as_bytes()) {
                Ok(()) => Ok(Delivery::Sent),
                Err(error) => match error.kind() {
                    io::ErrorKind::BrokenPipe => Ok(Delivery::Over),
                    io::ErrorKind::WouldBlock => Ok(Delivery::Dropped),
                    _ => Err(error),
                },
            },
            Kind::Fifo { path, open } => Ok(delivery(&write_line(path, open, line))),
            Kind::Socket { path, socket } => {
                Ok(delivery(&socket.send_to(line.as_bytes(), path).map(drop)))
            }
            Kind::Process { process, signal, .. } => match process.queue(*signal, tick.sequence) {
                // As many wait as may.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Delivery::Dropped),
                sent => sent.map(|()| Delivery::Sent),
            },
        }
    }

    fn of(kind: Kind) -> Self {
        Self { kind, all: false }
    }

    /// Whether the tick before lies there still. What cannot be asked shows when it is written.
    fn is_behind(&mut self) -> bool {
        match &mut self.kind {
            Kind::Stdout { file, is_pipe: true, .. } => {
                reader_of_pipe(file).is_ok_and(|reader| reader == Reader::Behind)
            }
            Kind::Stdout { file, is_socket: true, .. } => is_unreceived(file).unwrap_or(false),
            Kind::Stdout { .. } | Kind::Fifo { open: None, .. } => false,
            Kind::Fifo { open: Some(file), .. } => {
                reader_of_pipe(file).is_ok_and(|reader| reader == Reader::Behind)
            }
            Kind::Socket { socket, .. } => is_unreceived(socket).unwrap_or(false),
            Kind::Process { pid, signal, .. } => {
                *signal >= SIGNAL_QUEUED_MIN && is_pending(*pid, *signal).unwrap_or(false)
            }
        }
    }
}

fn delivery(result: &io::Result<()>) -> Delivery {
    if result.is_ok() { Delivery::Sent } else { Delivery::Dropped }
}

/// Whether a signal waits for a process, as `/proc` tells it.
fn is_pending(pid: i32, signal: i32) -> Option<bool> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (signal - 1) & 1 == 1)
}

fn write_line(path: &Path, open: &mut Option<File>, line: &str) -> io::Result<()> {
    if let Some(file) = open
        && reader_of_pipe(file)? == Reader::Gone
    {
        // With the last end that is open goes what nobody has read.
        *open = None;
    }
    let file = match open {
        Some(file) => file,
        // Fails while nobody has it open for reading.
        None => {
            let mut options = OpenOptions::new();
            open.insert(options.write(true).custom_flags(libc::O_NONBLOCK).open(path)?)
        }
    };
    // A line is shorter than PIPE_BUF, so it is written whole or not at all.
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, Command, Stdio};
    use timeball_timebase::Timestamp;

    fn tick(sequence: u64) -> Tick {
        Tick { sequence, scheduled: Timestamp::MIN, real: Timestamp::MIN, skipped: 0 }
    }

    fn send(receiver: &mut TickReceiver, sequence: u64) -> Delivery {
        receiver.send(&tick(sequence), &format!("{sequence}\n")).unwrap()
    }

    fn fifo(directory: &tempfile::TempDir) -> PathBuf {
        let path = directory.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    fn open(path: &Path) -> File {
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap()
    }

    fn text(mut reader: impl Read) -> String {
        let mut octets = [0; 64];
        let length = reader.read(&mut octets).unwrap();
        String::from_utf8(octets[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_fifo_gets_lines_while_somebody_reads_and_none_wait_for_a_later_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(&directory);
        let mut receiver = TickReceiver::fifo(&path).unwrap();
        assert_eq!(send(&mut receiver, 0), Delivery::Dropped);
        let reader = open(&path);
        assert_eq!(send(&mut receiver, 1), Delivery::Sent);
        assert_eq!(text(&reader), "1\n");
        assert_eq!(send(&mut receiver, 2), Delivery::Sent);
        drop(reader);
        assert_eq!(send(&mut receiver, 3), Delivery::Dropped);
        let reader = open(&path);
        assert_eq!(send(&mut receiver, 4), Delivery::Sent);
        assert_eq!(text(&reader), "4\n");
        assert!(TickReceiver::fifo("/dev/null".as_ref()).is_err());
    }

    #[test]
    fn a_socket_gets_a_datagram_a_tick_once_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut receiver = TickReceiver::socket(&path).unwrap();
        assert_eq!(send(&mut receiver, 0), Delivery::Dropped);
        let bound = UnixDatagram::bind(&path).unwrap();
        assert_eq!(send(&mut receiver, 1), Delivery::Sent);
        let mut octets = [0; 8];
        assert_eq!(bound.recv(&mut octets).unwrap(), 2);
        assert_eq!(&octets[..2], b"1\n");
    }

    #[test]
    fn whoever_stood_still_finds_one_tick_unless_all_are_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(&directory);
        let reader = open(&path);
        let mut receiver = TickReceiver::fifo(&path).unwrap();
        let deliveries = [0, 1, 2].map(|number| send(&mut receiver, number));
        assert_eq!(deliveries, [Delivery::Sent, Delivery::Dropped, Delivery::Dropped]);
        assert_eq!(text(&reader), "0\n");
        assert_eq!(send(&mut receiver, 3), Delivery::Sent);
        assert_eq!(text(&reader), "3\n");
        let mut receiver = receiver.taking_all();
        assert_eq!([4, 5].map(|number| send(&mut receiver, number)), [Delivery::Sent; 2]);
        assert_eq!(text(&reader), "4\n5\n");

        let path = directory.path().join("socket");
        let bound = UnixDatagram::bind(&path).unwrap();
        let mut receiver = TickReceiver::socket(&path).unwrap();
        assert_eq!([0, 1].map(|n| send(&mut receiver, n)), [Delivery::Sent, Delivery::Dropped]);
        assert_eq!(bound.recv(&mut [0; 8]).unwrap(), 2);
        assert_eq!(send(&mut receiver, 2), Delivery::Sent);
        let mut receiver = receiver.taking_all();
        assert_eq!(send(&mut receiver, 3), Delivery::Sent);
    }

    #[test]
    fn a_process_gets_a_signal_and_its_end_is_an_error() {
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(sleeper.id()).unwrap();
        assert!(TickReceiver::process(pid, 0).is_err());
        let mut receiver = TickReceiver::process(pid, libc::SIGUSR1).unwrap();
        assert_eq!(send(&mut receiver, 0), Delivery::Sent);
        // SIGUSR1 ends a program that does not expect it.
        sleeper.wait().unwrap();
        assert!(receiver.send(&tick(1), "").is_err());
        assert!(TickReceiver::process(pid, libc::SIGUSR1).is_err());
    }

    /// A program that says the values of each signal of this number once it reads a line; `None`
    /// without Python.
    fn listener(signal: i32) -> Option<Child> {
        let script = format!(
            "import ctypes, signal, sys\n\
             c = ctypes.CDLL(None)\n\
             mask = ctypes.create_string_buffer(128)\n\
             c.sigaddset(mask, {signal})\n\
             c.sigprocmask(0, mask, None)\n\
             print('ready', flush=True)\n\
             told = ctypes.create_string_buffer(128)\n\
             none = (ctypes.c_long * 2)()\n\
             for line in sys.stdin:\n\
             \x20   while c.sigtimedwait(mask, told, none) == {signal}:\n\
             \x20       print(int.from_bytes(told[24:32], 'little'), flush=True)\n\
             \x20   print('all', flush=True)\n"
        );
        let mut python = Command::new("python3");
        python.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        python.spawn().ok()
    }

    #[test]
    fn a_signal_carries_the_number_of_its_tick_and_none_waits_behind_another() {
        let Some(mut child) = listener(40) else { return };
        let (mut ask, mut told) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        assert_eq!(told.next().unwrap().unwrap(), "ready");
        let pid = i32::try_from(child.id()).unwrap();
        let mut receiver = TickReceiver::process(pid, 40).unwrap();
        let mut values = || {
            ask.write_all(b"\n").unwrap();
            told.by_ref().map(Result::unwrap).take_while(|line| line != "all").collect::<Vec<_>>()
        };
        assert_eq!(send(&mut receiver, 5_000_000_000), Delivery::Sent);
        assert_eq!(send(&mut receiver, 5_000_000_001), Delivery::Dropped);
        assert_eq!(values(), ["5000000000"]);
        let mut receiver = receiver.taking_all();
        assert_eq!([7, 8].map(|number| send(&mut receiver, number)), [Delivery::Sent; 2]);
        assert_eq!(values(), ["7", "8"]);
        drop(ask);
        child.wait().unwrap();
    }
}
