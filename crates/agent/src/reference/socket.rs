//! The datagram socket that chrony's SOCK driver has, and to which gpsd sends its samples.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use timeball_ntp::engine::{ReferenceError, ReferenceReading};
use timeball_timebase::{Leap, MonoTime, Span, Timestamp};

use super::system_error;

/// Octets of a sample on 64-bit Linux.
pub const SOCKET_SAMPLE_OCTETS: usize = 40;
/// The sample's mark, "SOCK".
const MAGIC: u32 = 0x534f_434b;
/// Only its owner may send: whoever can, can set the clock.
const MODE: u32 = 0o600;
/// Samples that come faster than this wait, so that nobody keeps the time loop busy.
const PAUSE: Span = Span::from_millis(50);
/// Samples that are taken off at once, of which the newest counts; the kernel's queue holds fewer.
const DRAIN_MAX: usize = 512;
/// A clock further off than this is no clock.
const OFFSET_MAX_S: f64 = 1e9;

/// A bound socket, removed when dropped.
pub(super) struct SampleSocket {
    socket: UnixDatagram,
    path: PathBuf,
    taken_at: Option<MonoTime>,
}

impl SampleSocket {
    /// Makes the socket; one that an earlier run left is replaced, anything else is not.
    pub(super) fn bind(path: &str) -> io::Result<Self> {
        let path = Path::new(path);
        if is_forsaken(path) {
            fs::remove_file(path)?;
        }
        let socket = UnixDatagram::bind(path)?;
        let path = path.to_owned();
        let socket = Self { socket, path, taken_at: None };
        fs::set_permissions(&socket.path, Permissions::from_mode(MODE))?;
        socket.socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// The newest of the samples that came.
    pub(super) fn read(
        &mut self,
        now: MonoTime,
    ) -> Result<Option<ReferenceReading>, ReferenceError> {
        // One octet more than a sample has, so that a longer one is noticed.
        let mut octets = [0; SOCKET_SAMPLE_OCTETS + 1];
        let mut newest = Ok(None);
        for _ in 0..DRAIN_MAX {
            match self.socket.recv(&mut octets) {
                Ok(length) => newest = parse_socket_sample(&octets[..length]).map(Some),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(system_error(&error)),
            }
            self.taken_at = Some(now);
        }
        newest
    }

    /// The descriptor, unless a sample was taken just before.
    pub(super) fn fd(&self, now: MonoTime) -> Option<RawFd> {
        let rested = self.taken_at.is_none_or(|at| now - at >= PAUSE);
        rested.then(|| self.socket.as_raw_fd())
    }
}

impl Drop for SampleSocket {
    fn drop(&mut self) {
        // It may have been removed already; there is nobody to tell of anything else.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether there is a socket at `path` that no process has any more.
fn is_forsaken(path: &Path) -> bool {
    let is_socket = |metadata: fs::Metadata| metadata.file_type().is_socket();
    let refusal = || UnixDatagram::unbound()?.connect(path);
    fs::symlink_metadata(path).is_ok_and(is_socket)
        && refusal().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Reads a sample: system time (s, µs), the clock's time less that (seconds, a double), whether it
/// is a pulse, leap second, four octets unused, and the mark.
///
/// # Errors
/// [`ReferenceError::Malformed`] where it is none, [`ReferenceError::Unsynchronized`] where the
/// clock says so.
pub fn parse_socket_sample(octets: &[u8]) -> Result<ReferenceReading, ReferenceError> {
    let octets: &[u8; SOCKET_SAMPLE_OCTETS] =
        octets.try_into().map_err(|_| ReferenceError::Malformed)?;
    let long = |at: usize| i64::from_ne_bytes(octets[at..at + 8].try_into().expect("eight octets"));
    let int = |at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().expect("four octets"));
    let (seconds, micros, offset) = (long(0), long(8), f64::from_bits(long(16).cast_unsigned()));
    let leap = match int(28) {
        0 => Leap::None,
        1 => Leap::Insert,
        2 => Leap::Delete,
        3 => return Err(ReferenceError::Unsynchronized),
        _ => return Err(ReferenceError::Malformed),
    };
    let in_range = (0..=i64::MAX / 4_000_000_000).contains(&seconds)
        && (0..1_000_000).contains(&micros)
        && offset.abs() <= OFFSET_MAX_S;
    if int(36) != MAGIC || !in_range {
        return Err(ReferenceError::Malformed);
    }
    let system = Timestamp::from_unix(seconds, micros * 1_000);
    let offset = Span::from_seconds_f64(offset).ok_or(ReferenceError::Malformed)?;
    let is_pulse = int(24) != 0;
    Ok(ReferenceReading { system, time: system + offset, delay: Span::ZERO, leap, is_pulse })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(micros: i64, offset: f64, pulse: u32, leap: u32) -> [u8; SOCKET_SAMPLE_OCTETS] {
        let mut octets = [0; SOCKET_SAMPLE_OCTETS];
        octets[..8].copy_from_slice(&1_795_000_000_i64.to_ne_bytes());
        octets[8..16].copy_from_slice(&micros.to_ne_bytes());
        octets[16..24].copy_from_slice(&offset.to_ne_bytes());
        octets[24..28].copy_from_slice(&pulse.to_ne_bytes());
        octets[28..32].copy_from_slice(&leap.to_ne_bytes());
        octets[36..40].copy_from_slice(&MAGIC.to_ne_bytes());
        octets
    }

    #[test]
    fn a_sample_is_the_system_time_and_what_the_clock_is_ahead_of_it() {
        let reading = parse_socket_sample(&sample(250_000, -0.125, 0, 2)).unwrap();
        assert_eq!(reading.system, Timestamp::from_unix(1_795_000_000, 250_000_000));
        assert_eq!(reading.time, Timestamp::from_unix(1_795_000_000, 125_000_000));
        assert_eq!((reading.leap, reading.is_pulse), (Leap::Delete, false));
        assert!(parse_socket_sample(&sample(0, 0.1, 1, 0)).unwrap().is_pulse);
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        let good = sample(0, 0.0, 0, 0);
        assert!(parse_socket_sample(&good).is_ok());
        let mut unmarked = good;
        unmarked[36] ^= 1;
        for bad in [&good[..39], &[], &unmarked, &sample(1_000_000, 0.0, 0, 0)] {
            assert_eq!(parse_socket_sample(bad), Err(ReferenceError::Malformed));
        }
        for offset in [f64::NAN, f64::INFINITY, 1e10] {
            let refused = parse_socket_sample(&sample(0, offset, 0, 0));
            assert_eq!(refused, Err(ReferenceError::Malformed));
        }
        let unsynchronized = parse_socket_sample(&sample(0, 0.0, 0, 3));
        assert_eq!(unsynchronized, Err(ReferenceError::Unsynchronized));
    }

    #[test]
    fn the_newest_of_several_samples_counts_and_a_flood_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("refclock.sock");
        let at = MonoTime::from_nanos(1_000_000_000);
        let mut socket = SampleSocket::bind(path.to_str().unwrap()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(socket.read(at), Ok(None));
        let sender = UnixDatagram::unbound().unwrap();
        for micros in 0..5 {
            sender.send_to(&sample(micros, 0.0, 0, 0), &path).unwrap();
        }
        assert!(socket.fd(at).is_some());
        let newest = socket.read(at).unwrap().unwrap();
        assert_eq!(newest.system, Timestamp::from_unix(1_795_000_000, 4_000));
        assert_eq!((socket.read(at), socket.fd(at)), (Ok(None), None));
        assert!(socket.fd(at + PAUSE).is_some());
        sender.send_to(&[0; 41], &path).unwrap();
        assert_eq!(socket.read(at), Err(ReferenceError::Malformed));
    }

    #[test]
    fn an_old_socket_is_replaced_and_anything_else_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("refclock.sock");
        let text = path.to_str().unwrap();
        // As a run leaves it that was killed.
        drop(UnixDatagram::bind(&path).unwrap());
        drop(SampleSocket::bind(text).unwrap());
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert!(SampleSocket::bind(text).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_socket_that_another_process_has_is_left_to_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("refclock.sock");
        let refused = || SampleSocket::bind(path.to_str().unwrap()).err().map(|e| e.kind());
        let first = SampleSocket::bind(path.to_str().unwrap()).unwrap();
        assert_eq!(refused(), Some(io::ErrorKind::AddrInUse));
        assert!(path.exists());
        drop(first);
        // Nor is one of another kind, as of a service that somebody named by mistake.
        let service = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(refused(), Some(io::ErrorKind::AddrInUse));
        drop(service);
        assert_eq!(refused(), None, "nobody has it any more");
    }
}
