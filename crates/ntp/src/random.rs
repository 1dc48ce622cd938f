//! The engine's own random numbers: a stream cipher's output from a seed, so that they cannot be
//! guessed from outside and repeat in a simulation.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(ChaCha12Rng);

impl Random {
    /// Starts the stream that belongs to `seed`.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits, which a float holds exactly.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
