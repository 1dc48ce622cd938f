//! What one source's round trips tell about the error of its measurements.
//!
//! Of a round trip with excess e over the smallest possible, some share was spent on the way to the
//! server and the rest on the way back, and the measured offset is wrong by half their difference.
//! With exponential queues of rates a and b, the share on the way there has a density proportional
//! to exp(-(a - b) u) on [0, e]: its mean and variance are those of a truncated exponential,
//! uniform where both ways are alike. Which tilt fits is learned from the innovations.

use std::collections::VecDeque;

/// Round trips that are remembered.
const WINDOW: usize = 400;
/// So many round trips in a row that all exceed the former median are a new path, not queues.
const NEW_PATH: usize = 20;
/// Candidate tilts, in units of the median excess.
const TILTS: [f64; 11] = [-8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0];
const FADING: f64 = 0.99;
const LIKELIHOOD_CAP: f64 = 25.0;
/// Round trips needed before a tilt is believed.
const TILT_SAMPLES_MIN: usize = 20;
/// The smallest seen is above the smallest possible by about this much of the scale over √n.
const FLOOR_DOUBT: f64 = 0.7;
/// Share of a path's only round trip that may well be queueing.
const FIRST_DOUBT: f64 = 0.25;

/// How a measurement is to be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Noise {
    /// To be subtracted from the measured offset, seconds.
    pub(super) shift: f64,
    /// Variance of what is left, s².
    pub(super) variance: f64,
}

/// The recent round trips of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    recent: VecDeque<f64>,
    scores: [f64; TILTS.len()],
}

impl Delays {
    /// How many round trips are remembered.
    pub(super) fn count(&self) -> usize {
        self.recent.len()
    }

    /// The smallest round trip remembered, in seconds; zero before the first.
    pub(super) fn floor(&self) -> f64 {
        self.recent.iter().copied().reduce(f64::min).unwrap_or(0.0)
    }

    /// Remembers the round trip of a measurement and tells how to take the measurement.
    ///
    /// `residual` is measured less expected offset, with the variance of the expectation;
    /// `floor_sd` is the error of reading the clocks. All in seconds.
    pub(super) fn measure(
        &mut self,
        delay: f64,
        residual: f64,
        expected_variance: f64,
        floor_sd: f64,
    ) -> Noise {
        self.remember(delay);
        let floor = self.floor();
        let n = self.recent.len() as f64;
        let scale = (self.median() - floor).max(1e-9);
        let doubt = FLOOR_DOUBT * scale.max(FIRST_DOUBT * floor / n) / n.sqrt();
        let excess = delay - floor + doubt;
        let reading = floor_sd * floor_sd;
        for (score, tilt) in self.scores.iter_mut().zip(TILTS) {
            let (mean, variance) = truncated_exponential(tilt / scale, excess);
            let error = residual - (mean - excess / 2.0);
            let total = expected_variance + variance + reading;
            let distance = (error * error / total).min(LIKELIHOOD_CAP);
            *score = *score * FADING - 0.5 * (total.ln() + distance);
        }
        let tilt = if self.recent.len() > TILT_SAMPLES_MIN { self.tilt() / scale } else { 0.0 };
        let (mean, variance) = truncated_exponential(tilt, excess);
        Noise { shift: mean - excess / 2.0, variance: variance + reading }
    }

    fn remember(&mut self, delay: f64) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(delay);
        if self.recent.len() >= 2 * NEW_PATH {
            let newest_floor = self.newest_floor();
            if newest_floor > self.median_before_newest() {
                self.recent.drain(..self.recent.len() - NEW_PATH);
            }
        }
    }

    fn newest_floor(&self) -> f64 {
        self.recent.iter().rev().take(NEW_PATH).copied().reduce(f64::min).unwrap_or(0.0)
    }

    fn median_before_newest(&self) -> f64 {
        median(self.recent.iter().take(self.recent.len() - NEW_PATH).copied().collect())
    }

    fn median(&self) -> f64 {
        median(self.recent.iter().copied().collect())
    }

    fn tilt(&self) -> f64 {
        let scores = self.scores.iter().zip(TILTS);
        scores.max_by(|a, b| a.0.total_cmp(b.0)).map_or(0.0, |(_, tilt)| tilt)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Mean and variance on [0, width] of the density proportional to exp(-rate u); uniform at rate 0.
fn truncated_exponential(rate: f64, width: f64) -> (f64, f64) {
    let turns = rate * width;
    if turns.abs() < 1e-3 {
        return (width / 2.0, width * width / 12.0);
    }
    if turns > 50.0 {
        return (1.0 / rate, 1.0 / (rate * rate));
    }
    if turns < -50.0 {
        return (width + 1.0 / rate, 1.0 / (rate * rate));
    }
    let q = turns.exp_m1();
    let variance = 1.0 / (rate * rate) - width * width * (q + 1.0) / (q * q);
    (1.0 / rate - width / q, variance.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truncated_exponential_has_the_moments_of_its_density() {
        for rate in [-60.0, -7.0, -0.5, 0.0, 1e-4, 2.0, 20.0, 80.0] {
            let steps = 200_000;
            let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
            for i in 0..steps {
                let u = (f64::from(i) + 0.5) / f64::from(steps);
                let density = (-rate * u).exp();
                mass += density;
                first += density * u;
                second += density * u * u;
            }
            let mean = first / mass;
            let (told_mean, told_variance) = truncated_exponential(rate, 1.0);
            assert!((told_mean - mean).abs() < 1e-4, "{rate}");
            assert!((told_variance - (second / mass - mean * mean)).abs() < 1e-4, "{rate}");
        }
    }

    #[test]
    fn a_late_answer_is_worth_less_and_a_new_path_is_believed_after_a_while() {
        let mut delays = Delays::default();
        for i in 0..100 {
            delays.measure(1e-3 + 1e-5 * f64::from(i % 7), 0.0, 1e-12, 1e-7);
        }
        let prompt = delays.measure(1e-3, 0.0, 1e-12, 1e-7);
        let late = delays.measure(5e-3, 0.0, 1e-12, 1e-7);
        assert!(late.variance > 1e4 * prompt.variance, "{late:?} {prompt:?}");
        for _ in 0..NEW_PATH {
            delays.measure(5e-3, 0.0, 1e-12, 1e-7);
        }
        assert_eq!(delays.floor(), 5e-3);
    }

    #[test]
    fn queues_on_one_way_only_are_learned() {
        let mut delays = Delays::default();
        let mut noise = Noise { shift: 0.0, variance: 0.0 };
        for i in 0..200 {
            // All of the excess is on the way to the server: it makes the offset look larger.
            let excess = 1e-4 * f64::from(i % 10);
            noise = delays.measure(1e-3 + excess, excess / 2.0, 1e-12, 1e-7);
        }
        assert!((noise.shift - 4.5e-4).abs() < 1e-4, "{noise:?}");
    }
}
