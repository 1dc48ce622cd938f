//! Worlds for tests and benchmarks: a client's clocks, a network and servers, all simulated from a
//! seed.
//!
//! A [`Scenario`] says the physics, a seed makes it one [`World`], to the bit. True time, the
//! oscillator, the system clock, the network and the servers are modelled here and nowhere else;
//! the engine sees of them what it would see in a process. The checkers judge what the engine
//! publishes and does, and know nothing of how it came about; the servers are written from the
//! protocol, not with the engine's own code.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod checks;
mod clairvoyant;
mod clock;
mod floor;
mod network;
mod noise;
mod records;
mod reference;
mod scenario;
mod seeds;
mod server;
mod world;
pub mod worlds;

pub use checks::{Rule, Violation};
pub use clairvoyant::clairvoyant_rms;
pub use clock::{Oscillator, RefusedWrite};
pub use floor::Exchange;
pub use network::{Bursts, Path, Tail, Way};
pub use noise::Noise;
pub use records::{Records, Series, median};
pub use scenario::{Attack, Happening, Scenario, Smear};
pub use seeds::seeds;
pub use server::{
    Absence, Announcement, Behaviour, Broken, ClockAtHand, ClockKind, Follows, Server,
};
pub use world::{CLIENT, World};
