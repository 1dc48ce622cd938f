//! Clocks at hand, which are read where a server would be asked.

use timeball_ntp::engine::{ReferenceClock, ReferenceDevice, ReferenceError, ReferenceReading};
use timeball_timebase::{Leap, Span, Timestamp};

use crate::noise::Noise;
use crate::server::{Behaviour, ClockKind, Server};

/// Readings scatter within so many standard deviations: a claimed error is a limit.
const SCATTER_MAX: f64 = 5.0;
/// A pulse tells the fraction of the second; the second that comes with it is any.
const PULSE_OFF: Span = Span::from_secs(-7);

/// When a clock was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTimes {
    /// The system clock's reading half way between asking and being told.
    pub(crate) system: Timestamp,
    /// How long that took.
    pub(crate) delay: Span,
    /// True time at the reading.
    pub(crate) truth: Timestamp,
    /// What it would be if there were no leap second.
    pub(crate) counted: Timestamp,
}

impl Server {
    /// What the settings say of a clock at hand; `None` of a server.
    pub(crate) fn reference(&self) -> Option<ReferenceClock> {
        let (unit, mode) = (0, 0o600);
        let device = match self.clock?.kind {
            ClockKind::Counter { ahead } => {
                ReferenceDevice::Phc { path: "/dev/ptp0".to_owned(), ahead }
            }
            ClockKind::Utc => ReferenceDevice::SharedMemory { unit, mode },
            ClockKind::Pulse => ReferenceDevice::Socket { path: "/run/pps".to_owned() },
        };
        Some(ReferenceClock {
            device,
            error: self.claimed_error().max(Span::NANOSECOND),
            offset: Span::ZERO,
            delay: Span::ZERO,
            reference_id: *b"SIM\0",
        })
    }

    /// How far off it says that it may be.
    pub(crate) fn claimed_error(&self) -> Span {
        let scatter = self.clock.map_or(0.0, |clock| SCATTER_MAX * clock.scatter);
        self.error.abs() + Span::from_seconds_f64(scatter).expect("readings scatter by little")
    }

    /// How far one reading is off.
    pub(crate) fn draw_scatter(&self, noise: &mut Noise) -> Span {
        let scatter = self.clock.map_or(0.0, |clock| clock.scatter);
        let drawn = noise.normal().clamp(-SCATTER_MAX, SCATTER_MAX) * scatter;
        // Cut to whole nanoseconds it is within what is claimed.
        Span::from_nanos((drawn * 1e9) as i64)
    }

    /// A reading, which is `scatter` off.
    pub(crate) fn read(
        &self,
        times: &ReadTimes,
        scatter: Span,
        at_s: f64,
        awaited: Leap,
    ) -> Result<ReferenceReading, ReferenceError> {
        if matches!(self.behaviour, Behaviour::HonestUntil { until_s } if at_s >= until_s) {
            return Err(ReferenceError::Unsynchronized);
        }
        let kind = self.clock.map(|clock| clock.kind);
        let (told, leap) = match kind {
            Some(ClockKind::Counter { .. }) => (times.counted, Leap::None),
            Some(ClockKind::Pulse) => (times.truth + PULSE_OFF, Leap::None),
            Some(ClockKind::Utc) | None => (times.truth, awaited),
        };
        Ok(ReferenceReading {
            system: times.system,
            time: told + self.error_at(at_s) + scatter,
            delay: times.delay,
            leap,
            is_pulse: kind == Some(ClockKind::Pulse),
        })
    }
}
