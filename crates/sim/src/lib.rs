//! Worlds for tests: a client's clocks, a network and servers, all simulated from a seed.
//!
//! True time, the oscillator, the system clock, the network and the servers are modelled here and
//! nowhere else; the engine sees of them what it would see in a process. The same seed gives
//! the same world to the bit. `checks` judges what the engine publishes and knows nothing of how it
//! came about; the servers are written from the protocol, not with the engine's own code.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod checks;
mod clock;
mod network;
mod noise;
mod seeds;
mod server;
mod world;

pub use checks::{Errors, Violation};
pub use clock::Oscillator;
pub use network::Path;
pub use noise::Noise;
pub use seeds::seeds;
pub use server::{Behaviour, Broken, Server};
pub use world::{Attack, World};
