//! PTP hardware clocks: read together with the system clock by their driver.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use timeball_ntp::engine::{ReferenceError, ReferenceReading};
use timeball_timebase::{Leap, Span, Timestamp};

use super::system_error;
use crate::sys::reference::{self, CrossStamp};

/// Readings of which the quickest is taken.
const READINGS: usize = 8;

/// An open hardware clock.
pub(super) struct Phc {
    device: OwnedFd,
    ahead: Span,
    /// The way that it was read by; none before it was.
    method: Option<Method>,
}

/// How the driver compares the clock with the system's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Method {
    /// The hardware stamps both at once.
    Precise,
    /// Each reading lies between two of the system clock, taken by the driver next to it.
    Extended,
    /// The same, taken by the kernel around the whole driver.
    Plain,
}

impl Method {
    /// The best first. The last is one that every driver has.
    const ALL: [Self; 3] = [Self::Precise, Self::Extended, Self::Plain];
}

impl Phc {
    pub(super) fn open(path: &str, ahead: Span) -> io::Result<Self> {
        let device = reference::open_device(path)?;
        Ok(Self { device, ahead, method: None })
    }

    pub(super) fn read(&mut self) -> Result<ReferenceReading, ReferenceError> {
        let stamps = self.stamps().map_err(|error| system_error(&error))?;
        let best = quickest(&stamps).ok_or(ReferenceError::Malformed)?;
        Ok(ReferenceReading { time: best.time - self.ahead, ..best })
    }

    /// Reads by the way that worked before, and at first by the best that works. Whatever a way
    /// fails with, the next one is tried: a card that can stamp both clocks at once says `ENODEV`,
    /// not `EOPNOTSUPP`, where the system's clock runs on another counter than the card knows.
    fn stamps(&mut self) -> io::Result<Vec<CrossStamp>> {
        if let Some(method) = self.method {
            return self.stamps_by(method);
        }
        let mut outcome = Ok(Vec::new());
        for method in Method::ALL {
            outcome = self.stamps_by(method);
            if outcome.is_ok() {
                self.method = Some(method);
                break;
            }
        }
        outcome
    }

    fn stamps_by(&self, method: Method) -> io::Result<Vec<CrossStamp>> {
        let fd = self.device.as_fd();
        match method {
            Method::Precise => reference::phc_precise(fd).map(|stamp| vec![stamp]),
            Method::Extended => reference::phc_extended(fd, READINGS),
            Method::Plain => reference::phc_plain(fd, READINGS),
        }
    }
}

/// The reading that took the shortest time, and so can be wrong by the least.
fn quickest(stamps: &[CrossStamp]) -> Option<ReferenceReading> {
    let readings = stamps.iter().filter_map(|stamp| {
        let stamp_of = |(seconds, nanos): (i64, u32)| {
            (nanos < 1_000_000_000).then(|| Timestamp::from_unix(seconds, i64::from(nanos)))
        };
        let (before, after) = (stamp_of(stamp.before)?, stamp_of(stamp.after)?);
        let delay = after - before;
        let reading = ReferenceReading {
            system: before + delay / 2,
            time: stamp_of(stamp.device)?,
            delay,
            leap: Leap::None,
            is_pulse: false,
        };
        (!delay.is_negative()).then_some(reading)
    });
    readings.min_by_key(|reading| reading.delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(before: u32, device: u32, after: u32) -> CrossStamp {
        let at = |nanos| (1_795_000_000, nanos);
        CrossStamp { before: at(before), device: at(device), after: at(after) }
    }

    #[test]
    fn of_several_readings_the_quickest_counts() {
        let readings =
            [stamp(100, 5_000, 900), stamp(1_000, 5_500, 1_200), stamp(2_000, 6_000, 900)];
        let best = quickest(&readings).unwrap();
        assert_eq!(best.system, Timestamp::from_unix(1_795_000_000, 1_100));
        assert_eq!(best.time, Timestamp::from_unix(1_795_000_000, 5_500));
        assert_eq!(best.delay, Span::from_nanos(200));
        assert_eq!(quickest(&[]), None);
        assert_eq!(quickest(&[stamp(1, 2_000_000_000, 3)]), None);
    }

    #[test]
    fn what_is_no_hardware_clock_says_so() {
        let mut phc = Phc::open("/dev/null", Span::ZERO).unwrap();
        let error = phc.read().unwrap_err();
        assert_eq!(error, ReferenceError::System { errno: libc::ENOTTY });
        assert_eq!(phc.method, None);
        assert!(Phc::open("/dev/ptp-none", Span::ZERO).is_err());
    }
}
