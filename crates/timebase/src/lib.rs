//! The vocabulary of time that every other crate speaks: spans, instants, frequencies and bounds.
//!
//! All arithmetic is exact integer arithmetic in nanoseconds (spans, instants) or in parts per
//! 10^15 (frequencies); what leaves the representable range saturates, so that no input, however
//! absurd, makes a caller panic. The crate has no dependencies, allocates nothing and reads no
//! clock.
#![no_std]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod bound;
mod clock_state;
mod frequency;
mod instant;
mod interval;
mod leap;
mod ntp_time;
pub mod segment;
mod span;

pub use bound::{Bound, Reading};
pub use clock_state::{ClockState, Now, STATE_AGE_MAX, SyncState};
pub use frequency::Frequency;
pub use instant::{MonoTime, Timestamp};
pub use interval::{Interval, coverage_hull, deepest_overlap};
pub use leap::{Leap, LeapSecond};
pub use ntp_time::{NtpShort, NtpTime};
pub use span::Span;
