//! The NTP engine: pure logic from packets to a disciplined clock with a bound.
//!
//! Nothing in here reads a clock, a socket, a file, the environment or a source of randomness: time
//! and datagrams come in as arguments, random numbers from a seed, and effects leave as values.
//! Rooms: [`packet`] (the octets), [`association`] (which answers count), [`sample`] (one
//! measurement), [`engine`] (the client's state machine with estimator, selection and discipline
//! inside), [`mac`] (shared keys), [`server`] (the responder) and [`query`] (a one-shot
//! measurement).
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod association;
pub mod engine;
mod era;
mod estimator;
pub mod mac;
pub mod packet;
pub mod query;
mod random;
pub mod sample;
pub mod server;
