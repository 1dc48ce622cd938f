//! Random numbers of a world.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of random numbers; streams of different names are independent.
#[derive(Clone, Debug)]
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream `name` of the world `seed`.
    pub fn new(seed: u64, name: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(name);
        Self(rng)
    }

    /// Uniform from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform from `low` to below `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// From `low` to below `high`, both positive, every decade as likely as every other.
    pub fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// 1 or −1.
    pub fn sign(&mut self) -> f64 {
        if self.unit() < 0.5 { -1.0 } else { 1.0 }
    }

    /// One of 0 to below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Pareto from zero on (Lomax): the tail falls as a power, so that a few values in a thousand
    /// are a hundred times the mean. `shape` is above 1.
    pub fn heavy(&mut self, mean: f64, shape: f64) -> f64 {
        mean * (shape - 1.0) * ((1.0 - self.unit()).powf(-1.0 / shape) - 1.0)
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller's method).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (core::f64::consts::TAU * self.unit()).cos()
    }

    /// 32 octets for a seed.
    pub fn octets(&mut self) -> [u8; 32] {
        let mut octets = [0; 32];
        self.0.fill_bytes(&mut octets);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_has_the_mean_it_is_asked_for() {
        let mut noise = Noise::new(1, 0);
        let draws = 400_000;
        let mut mean = |draw: &mut dyn FnMut(&mut Noise) -> f64| {
            (0..draws).map(|_| draw(&mut noise)).sum::<f64>() / f64::from(draws)
        };
        assert!((mean(&mut |n| n.exponential(2.0)) - 2.0).abs() < 0.02);
        assert!((mean(&mut |n| n.heavy(2.0, 2.5)) - 2.0).abs() < 0.05);
        assert!(mean(&mut Noise::normal).abs() < 0.01);
        assert!((mean(&mut |n| n.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!(mean(&mut Noise::sign).abs() < 0.01);
    }
}
