//! Whether the clock is good enough: by the shared segment in which a time service tells its bound.

use crate::sys::{Errno, coarse_monotonic, open_read, realtime};
use core::ffi::CStr;
use thiserror::Error;
use timeball_timebase::Span;
use timeball_timebase::segment::{SEGMENT_OCTETS, Segment, SegmentError};

/// Where ClockBound's daemon and our agent share theirs.
pub(crate) const SEGMENT: &CStr = c"/var/run/clockbound/shm0";
/// How often a segment that is being written is read again.
const ATTEMPTS: usize = 100;

/// How wrong the clock may be at the instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accuracy<'a> {
    /// At most this far from UTC; at least zero.
    pub(crate) max_error: Span,
    /// The segment that tells how wrong it can be.
    pub(crate) segment: &'a CStr,
}

/// Why the clock is not good enough.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Inaccurate {
    #[error("the clock may be {} us off, which --max-error forbids", .0.as_nanos() / 1_000)]
    TooFar(Span),
    #[error("nothing is promised of the clock, and --max-error needs it: no source vouches for it")]
    Unknown,
    #[error("nothing is known of the clock, and --max-error needs it: the segment: {0}")]
    Unreadable(Errno),
    #[error("nothing is known of the clock, and --max-error needs it: the segment: {0}")]
    Content(SegmentError),
}

impl Accuracy<'_> {
    /// Asks the segment, now.
    pub(crate) fn check(&self) -> Result<(), Inaccurate> {
        let segment = self.read()?;
        // In this order an interruption only makes the bound wider.
        let system = realtime();
        let reading = segment.reading(system, coarse_monotonic());
        match reading.map_err(Inaccurate::Content)?.0.half_width {
            Some(error) if error <= self.max_error => Ok(()),
            Some(error) => Err(Inaccurate::TooFar(error)),
            None => Err(Inaccurate::Unknown),
        }
    }

    fn read(&self) -> Result<Segment, Inaccurate> {
        let mut last = SegmentError::BeingWritten;
        for _ in 0..ATTEMPTS {
            // What reads the same twice, generation and all, was not written in between.
            let (first, again) = (self.octets()?, self.octets()?);
            match Segment::parse(&first) {
                Ok((segment, _)) if first == again => return Ok(segment),
                Ok(_) => {}
                Err(SegmentError::BeingWritten) => last = SegmentError::BeingWritten,
                Err(error) => return Err(Inaccurate::Content(error)),
            }
        }
        Err(Inaccurate::Content(last))
    }

    /// The file's beginning; zeros, which are no segment, where it is shorter.
    fn octets(&self) -> Result<[u8; SEGMENT_OCTETS], Inaccurate> {
        let mut octets = [0; SEGMENT_OCTETS];
        let file = open_read(self.segment).map_err(Inaccurate::Unreadable)?;
        file.read(&mut octets).map_err(Inaccurate::Unreadable)?;
        Ok(octets)
    }
}
