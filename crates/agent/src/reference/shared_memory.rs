//! The shared memory of ntpd's driver 28, which gpsd and others write.
//!
//! A writer of mode 1 counts before and after it writes; one of mode 0 only says when its sample is
//! valid. A reader takes a sample once and marks it as taken.

use std::io;

use timeball_ntp::engine::{ReferenceError, ReferenceReading};
use timeball_timebase::{Leap, Span, Timestamp};

use crate::sys::reference::SharedSegment;

/// Octets of the segment on 64-bit Linux.
pub const SHARED_MEMORY_OCTETS: usize = 96;
/// The key of unit 0, "NTP0"; those of the others follow.
const KEY: i32 = 0x4e54_5030;
/// Where the count and the mark of a valid sample stand.
const COUNT_AT: usize = 4;
const VALID_AT: usize = 48;

/// A sample as the segment holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharedSample {
    /// The writer's count.
    pub count: u32,
    /// What it says.
    pub reading: ReferenceReading,
}

/// An attached segment.
pub(super) struct SharedMemory {
    segment: SharedSegment,
    /// The last sample that was taken: where it cannot be marked, it is known by this.
    taken: Option<SharedSample>,
}

impl SharedMemory {
    /// Attaches the segment of a unit, and makes it where it is missing.
    pub(super) fn attach(unit: u8, mode: u32) -> io::Result<Self> {
        let segment = SharedSegment::attach(KEY + i32::from(unit), SHARED_MEMORY_OCTETS, mode)?;
        if segment.others_may_write() {
            tracing::warn!(unit, "every user of this machine may write this shared memory");
        }
        Ok(Self { segment, taken: None })
    }

    /// The sample that is there, once.
    pub(super) fn read(&mut self) -> Result<Option<ReferenceReading>, ReferenceError> {
        let mut octets = [0; SHARED_MEMORY_OCTETS];
        self.segment.copy(&mut octets);
        if word(&octets, VALID_AT) == 0 {
            return Ok(None);
        }
        let sample = parse_shared_memory(&octets);
        // Written while it was read, it is complete the next time.
        if word(&octets, COUNT_AT) != self.segment.word(COUNT_AT) {
            return Ok(None);
        }
        self.segment.set_word(VALID_AT, 0);
        let sample = sample?;
        if self.taken == Some(sample) {
            return Ok(None);
        }
        self.taken = Some(sample);
        Ok(Some(sample.reading))
    }
}

/// Reads the segment's octets, as the kernel's C lays them out on 64-bit Linux: mode, count, clock
/// time (s, µs), system time (s, µs), leap, precision, samples, valid, and both times' nanoseconds.
///
/// # Errors
/// [`ReferenceError::Malformed`] where a field cannot be, [`ReferenceError::Unsynchronized`] where
/// the clock says so.
pub fn parse_shared_memory(
    octets: &[u8; SHARED_MEMORY_OCTETS],
) -> Result<SharedSample, ReferenceError> {
    let mode = word(octets, 0);
    let leap = match word(octets, 36) {
        0 => Leap::None,
        1 => Leap::Insert,
        2 => Leap::Delete,
        3 => return Err(ReferenceError::Unsynchronized),
        _ => return Err(ReferenceError::Malformed),
    };
    if mode > 1 {
        return Err(ReferenceError::Malformed);
    }
    let reading = ReferenceReading {
        time: time(octets, 8, 52)?,
        system: time(octets, 24, 56)?,
        delay: Span::ZERO,
        leap,
        is_pulse: false,
    };
    Ok(SharedSample { count: word(octets, COUNT_AT), reading })
}

/// The time whose seconds and microseconds begin at `at`. Nanoseconds count only where they agree
/// with the microseconds: old writers leave them alone.
fn time(
    octets: &[u8; SHARED_MEMORY_OCTETS],
    at: usize,
    nanos_at: usize,
) -> Result<Timestamp, ReferenceError> {
    let (micros, nanos) = (word(octets, at + 8), word(octets, nanos_at));
    if micros >= 1_000_000 {
        return Err(ReferenceError::Malformed);
    }
    let nanos = if nanos / 1_000 == micros { nanos } else { micros * 1_000 };
    let seconds = u64::from(word(octets, at)) | u64::from(word(octets, at + 4)) << 32;
    let seconds = seconds.cast_signed();
    // Beyond these a timestamp of ours would not hold it.
    if !(0..=i64::MAX / 1_000_000_000 - 1).contains(&seconds) {
        return Err(ReferenceError::Malformed);
    }
    Ok(Timestamp::from_unix(seconds, i64::from(nanos)))
}

fn word(octets: &[u8; SHARED_MEMORY_OCTETS], at: usize) -> u32 {
    u32::from_ne_bytes(octets[at..at + 4].try_into().expect("four octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: i64 = 1_795_000_000;

    fn written(count: u32, clock_nanos: u32, leap: u32) -> [u8; SHARED_MEMORY_OCTETS] {
        let mut octets = [0; SHARED_MEMORY_OCTETS];
        let mut put = |at: usize, value: u32| {
            octets[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        };
        put(0, 1);
        put(COUNT_AT, count);
        put(8, SECONDS as u32);
        put(16, clock_nanos / 1_000);
        put(24, SECONDS as u32);
        put(32, 250_000);
        put(36, leap);
        put(VALID_AT, 1);
        put(52, clock_nanos);
        octets
    }

    #[test]
    fn a_sample_is_read_to_the_nanosecond_where_its_writer_knows_it() {
        let sample = parse_shared_memory(&written(7, 123_456_789, 1)).unwrap();
        assert_eq!((sample.count, sample.reading.leap), (7, Leap::Insert));
        assert_eq!(sample.reading.time, Timestamp::from_unix(SECONDS, 123_456_789));
        // The system time's nanoseconds were left at zero.
        assert_eq!(sample.reading.system, Timestamp::from_unix(SECONDS, 250_000_000));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(parse_shared_memory(&written(1, 0, 3)), Err(ReferenceError::Unsynchronized));
        for at in [0, 16, 36] {
            let mut octets = written(1, 5, 0);
            octets[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert_eq!(parse_shared_memory(&octets), Err(ReferenceError::Malformed), "{at}");
        }
        let mut octets = written(1, 5, 0);
        octets[8..16].copy_from_slice(&i64::MAX.to_ne_bytes());
        assert_eq!(parse_shared_memory(&octets), Err(ReferenceError::Malformed));
    }

    #[test]
    fn a_sample_in_a_real_segment_is_taken_once() {
        // A key that no driver has and no other test: the segment is removed when all let it go.
        let key = 0x5442_0000 | (std::process::id() & 0xffff).cast_signed();
        let segment = SharedSegment::attach(key, SHARED_MEMORY_OCTETS, 0o600).unwrap();
        let writer = SharedSegment::attach(key, SHARED_MEMORY_OCTETS, 0o600).unwrap();
        writer.remove().unwrap();
        assert!(!segment.others_may_write());
        let mut memory = SharedMemory { segment, taken: None };
        assert_eq!(memory.read(), Ok(None));
        for (at, value) in written(3, 123_456_789, 0).chunks(4).enumerate() {
            writer.set_word(at * 4, u32::from_ne_bytes(value.try_into().unwrap()));
        }
        let reading = memory.read().unwrap().unwrap();
        assert_eq!(reading.time, Timestamp::from_unix(SECONDS, 123_456_789));
        assert_eq!(writer.word(VALID_AT), 0);
        assert_eq!(memory.read(), Ok(None));
        writer.set_word(VALID_AT, 1);
        assert_eq!(memory.read(), Ok(None), "the same sample, however often it is marked");
        writer.set_word(COUNT_AT, 4);
        writer.set_word(VALID_AT, 1);
        assert!(memory.read().unwrap().is_some());
    }
}
