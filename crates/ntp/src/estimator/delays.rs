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
/// Candidate tilts, in units of the median excess. At the ends queues are on one way only.
const TILTS: [f64; 17] = [
    -100.0, -32.0, -16.0, -8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0,
    100.0,
];
const FADING: f64 = 0.99;
const LIKELIHOOD_CAP: f64 = 25.0;
/// Round trips needed before a tilt is believed.
const TILT_SAMPLES_MIN: usize = 20;
/// The smallest seen is above the smallest possible by about this much of the scale over √n.
const FLOOR_DOUBT: f64 = 0.7;
/// The scale of queues is taken to be at least this, in seconds.
const SCALE_MIN: f64 = 1e-9;
/// With queues both ways, the two smallest of n are further apart than this much of the scale over
/// √n once in 500 times at n = 20, and hardly ever from 50 on.
const LONELY: f64 = 5.0;
const LONELY_COUNT_MIN: usize = 20;
/// Share of a path's only round trip that may well be queueing. How far the first few are apart
/// tells soon.
const FIRST_DOUBT: f64 = 0.25;
const FIRST_FEW: f64 = 8.0;

/// Round trips that stand for those of an earlier run: excess over the least, in units of what the
/// median exceeds it by.
const REMEMBERED: [f64; 9] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0];
/// So many round trips in a row that all exceed the remembered median are of another path than that
/// which is remembered.
const OTHER_PATH: usize = 8;

/// How a measurement is to be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Noise {
    /// To be subtracted from the measured offset, seconds.
    pub(super) shift: f64,
    /// Variance of what is left, s².
    pub(super) variance: f64,
    /// The same of a measurement whose round trip is the median, s².
    pub(super) usual_variance: f64,
    /// How little the smallest possible round trip is known, and so the variance, seconds: before a
    /// measurement surprises, it must stand out of this, too.
    pub(super) doubt: f64,
}

/// The recent round trips of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    recent: VecDeque<f64>,
    /// The same, shortest first.
    ranked: Vec<f64>,
    /// How many of the oldest only stand for those of an earlier run.
    remembered: usize,
    scores: [f64; TILTS.len()],
}

impl Delays {
    /// How many round trips of this run are known.
    pub(super) fn count(&self) -> usize {
        self.recent.len() - self.remembered
    }

    /// Begins with what was learned in an earlier run: the least round trip, and what the median
    /// exceeds it by, in seconds.
    pub(super) fn recall(&mut self, floor: f64, scale: f64) {
        *self = Self::default();
        REMEMBERED.iter().for_each(|excess| self.insert(floor + excess * scale.max(SCALE_MIN)));
        self.remembered = REMEMBERED.len();
    }

    /// What the median round trip exceeds the least by, in seconds.
    pub(super) fn scale(&self) -> f64 {
        (self.median() - self.floor()).max(SCALE_MIN)
    }

    /// The smallest round trip remembered, in seconds; zero before the first. One that is far below
    /// all others is no measure of the path: one of its stamps was wrong.
    pub(super) fn floor(&self) -> f64 {
        match self.ranked[..] {
            [] => 0.0,
            [least, next, ..] if self.is_lonely(next - least) => next,
            [least, ..] => least,
        }
    }

    /// Whether queues hardly leave so much between the two smallest round trips of so many.
    fn is_lonely(&self, gap: f64) -> bool {
        let n = self.ranked.len();
        let typical = (self.median() - self.ranked[1]).max(SCALE_MIN) / (n as f64).sqrt();
        n >= LONELY_COUNT_MIN && gap > LONELY * typical
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
        let scale = self.scale();
        let doubt = FLOOR_DOUBT * scale.max(first_doubt(n) * floor) / n.sqrt();
        let excess = (delay - floor).abs() + doubt;
        let reading = floor_sd * floor_sd;
        for (score, tilt) in self.scores.iter_mut().zip(TILTS) {
            let (mean, variance) = truncated_exponential(tilt / scale, excess);
            let error = residual - (mean - excess / 2.0);
            let total = expected_variance + variance + reading;
            let distance = (error * error / total).min(LIKELIHOOD_CAP);
            *score = *score * FADING - 0.5 * (total.ln() + distance);
        }
        let tilt = if self.count() > TILT_SAMPLES_MIN { self.tilt() / scale } else { 0.0 };
        let (mean, variance) = truncated_exponential(tilt, excess);
        let (_, usual) = truncated_exponential(tilt, scale + doubt);
        Noise {
            shift: mean - excess / 2.0,
            variance: variance + reading,
            usual_variance: usual + reading,
            doubt,
        }
    }

    fn remember(&mut self, delay: f64) {
        if self.recent.len() == WINDOW
            && let Some(oldest) = self.recent.pop_front()
        {
            self.ranked.remove(self.rank(oldest));
            self.remembered = self.remembered.saturating_sub(1);
        }
        self.insert(delay);
        let is_other_path = self.count() == OTHER_PATH && self.remembered > 0;
        if is_other_path && self.is_new_path(OTHER_PATH) {
            self.keep_newest(OTHER_PATH);
        } else if self.recent.len() >= 2 * NEW_PATH && self.is_new_path(NEW_PATH) {
            self.keep_newest(NEW_PATH);
        }
    }

    fn insert(&mut self, delay: f64) {
        self.recent.push_back(delay);
        self.ranked.insert(self.rank(delay), delay);
    }

    fn keep_newest(&mut self, count: usize) {
        self.recent.drain(..self.recent.len() - count);
        self.ranked.clear();
        self.ranked.extend(&self.recent);
        self.ranked.sort_unstable_by(f64::total_cmp);
        self.remembered = 0;
    }

    /// Whether so many newest all exceed the median of those before them.
    fn is_new_path(&self, count: usize) -> bool {
        let newest = self.recent.iter().rev().take(count);
        let newest_floor = newest.copied().reduce(f64::min).unwrap_or(0.0);
        // Whatever is shorter than the newest's shortest came before them.
        self.rank(newest_floor) > (self.recent.len() - count) / 2
    }

    fn median(&self) -> f64 {
        self.ranked.get(self.ranked.len() / 2).copied().unwrap_or(0.0)
    }

    /// How many are shorter.
    fn rank(&self, delay: f64) -> usize {
        self.ranked.partition_point(|ranked| ranked.total_cmp(&delay).is_lt())
    }

    fn tilt(&self) -> f64 {
        let scores = self.scores.iter().zip(TILTS);
        scores.max_by(|a, b| a.0.total_cmp(b.0)).map_or(0.0, |(_, tilt)| tilt)
    }
}

/// Share of the least of `n` round trips that may well be queueing, however near to each other they
/// are.
fn first_doubt(n: f64) -> f64 {
    FIRST_DOUBT / n * (FIRST_FEW / n).min(1.0).powi(2)
}

/// Mean and variance on [0, width] of the density proportional to exp(-rate u); uniform at rate 0.
///
/// It is asked for once a tilt at each answer, by when an agent that slept has no code in the
/// processor's caches: one copy is fetched sooner than three.
#[inline(never)]
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

    /// What [`Delays`] keeps ranked, found the plain way.
    fn looked_up(recent: &mut VecDeque<f64>, delay: f64) -> (f64, f64) {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        if recent.len() == WINDOW {
            recent.pop_front();
        }
        recent.push_back(delay);
        if recent.len() >= 2 * NEW_PATH {
            let before = recent.len() - NEW_PATH;
            let newest_floor = recent.range(before..).copied().fold(f64::INFINITY, f64::min);
            if newest_floor > median(recent.range(..before).copied().collect()) {
                recent.drain(..before);
            }
        }
        let least = recent.iter().copied().fold(f64::INFINITY, f64::min);
        (least, median(recent.iter().copied().collect()))
    }

    #[test]
    fn least_and_median_are_those_of_the_round_trips_remembered_whatever_comes() {
        let mut random = crate::random::Random::new([7; 32]);
        let (mut delays, mut recent) = (Delays::default(), VecDeque::new());
        let (mut base, mut new_paths) = (1e-3, 0);
        for i in 0..20_000 {
            if random.unit() < 0.002 {
                base = 1e-4 + 1e-2 * random.unit();
            }
            // Coarse, so that many are the same.
            let delay = base + 1e-5 * (random.unit() * 50.0).floor();
            let before = recent.len();
            let expected = looked_up(&mut recent, delay);
            new_paths += u32::from(recent.len() < before);
            delays.remember(delay);
            assert_eq!((delays.ranked[0], delays.median()), expected, "round trip {i}");
            assert_eq!(delays.recent, recent);
        }
        assert!(new_paths > 5, "{new_paths}");
    }

    #[test]
    fn one_round_trip_that_is_too_short_spoils_nothing() {
        let mut random = crate::random::Random::new([7; 32]);
        let mut delays = Delays::default();
        delays.measure(28e-6, 0.0, 1e-12, 1e-7);
        for _ in 0..30 {
            let queues = -1e-6 * (random.unit().ln() + random.unit().ln());
            delays.measure(40e-6 + queues, 0.0, 1e-12, 1e-7);
        }
        assert!((40e-6..42e-6).contains(&delays.floor()), "{}", delays.floor());
        let prompt = delays.measure(40.5e-6, 0.0, 1e-12, 1e-7);
        assert!(prompt.variance.sqrt() < 0.7e-6, "{prompt:?}");
        delays.measure(28.2e-6, 0.0, 1e-12, 1e-7);
        // That makes two: it is a shorter path.
        assert_eq!(delays.floor(), 28e-6);
    }

    #[test]
    fn a_remembered_path_is_relied_on_at_once_and_given_up_where_another_is_found() {
        let recalled = || {
            let mut delays = Delays::default();
            delays.recall(1e-3, 1e-4);
            assert_eq!((delays.count(), delays.floor()), (0, 1e-3));
            assert!((delays.scale() - 1e-4).abs() < 1e-9);
            delays
        };
        let late = recalled().measure(4e-3, 0.0, 1e-6, 1e-7);
        let unknown = Delays::default().measure(4e-3, 0.0, 1e-6, 1e-7);
        assert!(late.variance > 10.0 * unknown.variance, "{late:?} {unknown:?}");
        let mut delays = recalled();
        for i in 0..8 {
            assert_eq!(delays.floor(), 1e-3);
            delays.measure(4e-3 + 1e-5 * f64::from(i), 0.0, 1e-6, 1e-7);
        }
        assert_eq!((delays.count(), delays.floor()), (8, 4e-3));
        let mut delays = recalled();
        for i in 0..WINDOW {
            delays.measure(1.05e-3 + 1e-6 * (i * 37 % 50) as f64, 0.0, 1e-6, 1e-7);
        }
        assert_eq!((delays.count(), delays.floor()), (WINDOW, 1.05e-3));
    }

    #[test]
    fn queues_on_one_way_only_are_learned() {
        let mut delays = Delays::default();
        let mut noise = Noise { shift: 0.0, variance: 0.0, usual_variance: 0.0, doubt: 0.0 };
        for i in 0..200 {
            // All of the excess is on the way to the server: it makes the offset look larger.
            let excess = 1e-4 * f64::from(i % 10);
            noise = delays.measure(1e-3 + excess, excess / 2.0, 1e-12, 1e-7);
        }
        assert!((noise.shift - 4.5e-4).abs() < 1e-4, "{noise:?}");
    }
}
