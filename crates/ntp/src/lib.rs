//! The NTP engine: pure logic from packets to a disciplined clock with a bound.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod association;
pub mod engine;
