//! Random numbers that are the same on every machine.

/// A stream of random numbers (SplitMix64).
pub(super) struct Noise(u64);

impl Noise {
    /// The stream `name` of a seed.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mut noise = Self(seed);
        for octet in name.bytes() {
            noise.0 = noise.next() ^ u64::from(octet);
        }
        noise
    }

    /// Uniform from 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Normal with mean 0 and standard deviation 1.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_have_the_moments_they_should_have() {
        let mut noise = Noise::new(1, "test");
        let draws = 200_000;
        let mut mean = |draw: &mut dyn FnMut(&mut Noise) -> f64| {
            (0..draws).map(|_| draw(&mut noise)).sum::<f64>() / f64::from(draws)
        };
        assert!((mean(&mut Noise::unit) - 0.5).abs() < 0.01);
        assert!((mean(&mut Noise::exponential) - 1.0).abs() < 0.02);
        assert!(mean(&mut Noise::normal).abs() < 0.02);
        assert!((mean(&mut |n| n.normal().powi(2)) - 1.0).abs() < 0.03);
    }
}
