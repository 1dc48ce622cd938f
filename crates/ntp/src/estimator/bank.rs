//! A bank of Kalman filters that differ only in how fast they let the frequency wander.
//!
//! State of each: phase (true time less raw clock, seconds, from an anchor), frequency, and one
//! constant bias per source (what its path's asymmetry and its own error add to every measurement).
//! Differences of biases are observed, their common part is not, so it stays in the uncertainty.

mod biases;
mod habits;

use core::cell::Cell;

use habits::Habits;

/// Power spectral densities of the frequency's random walk, 1/s: ten decades in half-decade steps.
pub(super) const MEMBERS: usize = 17;
const WANDER_EXPONENT_MIN: f64 = -21.5;

/// How much of a member's likelihood is remembered from one measurement to the next.
const FADING: f64 = 0.98;
/// An innovation's square counts at most this many variances, so that one outlier decides nothing.
const LIKELIHOOD_CAP: f64 = 25.0;
/// How likely it is, by the filters' weights, that the wander told is not exceeded.
const WANDER_QUANTILE: f64 = 0.95;
/// Oscillators of computers wander less than this, 1/s, and the more, the rarer: this much less
/// likely, as a logarithm, with every decade.
const WANDER_TAME: f64 = 1e-17;
const WILDNESS: f64 = 3.0;
/// They hardly wander less than this either, and a few measurements that agree by chance look just
/// like it: who believed them would ask too seldom and hear of a change late.
const WANDER_CALM: f64 = 3e-19;
const CALMNESS: f64 = 1.0;
/// A variance that tells nothing beside others, as a multiple of theirs.
const NOTHING_KNOWN: f64 = 1e4;
/// Position of phase and frequency in the state; biases follow.
const PHASE: usize = 0;
const FREQUENCY: usize = 1;
const BIASES: usize = 2;

/// What the filters agree on, at the time they were advanced to.
#[derive(Clone, Copy, Debug)]
pub(super) struct BankEstimate {
    /// Seconds from the anchor.
    pub(super) phase: f64,
    /// Seconds per second.
    pub(super) frequency: f64,
    /// Variance of the phase, s².
    pub(super) phase_variance: f64,
    /// Covariance of both, s.
    pub(super) covariance: f64,
    /// Variance of the frequency.
    pub(super) frequency_variance: f64,
    /// Power spectral density of the frequency's random walk, 1/s.
    pub(super) wander: f64,
}

/// The filters, all at the same time.
#[derive(Clone, Debug)]
pub(super) struct Bank {
    dimension: usize,
    members: Vec<Member>,
    /// What [`Bank::estimate`] told last, until something changes: it is asked for many times
    /// between two measurements.
    told: Cell<Option<BankEstimate>>,
    habits: Habits,
}

#[derive(Clone, Debug)]
struct Member {
    wander: f64,
    /// How much less likely, as a logarithm, it is than its record says.
    handicap: f64,
    state: Vec<f64>,
    /// Row by row, symmetric.
    covariance: Vec<f64>,
    /// Logarithm of its likelihood by the latest measurements.
    score: f64,
    /// The same by those of the last hours.
    habit: f64,
}

impl Bank {
    /// Filters for `sources` sources that know the frequency to a standard deviation and nothing
    /// else.
    pub(super) fn new(sources: usize, frequency: f64, frequency_sd: f64) -> Self {
        let dimension = BIASES + sources;
        let members = (0..MEMBERS).map(|i| {
            let mut state = vec![0.0; dimension];
            let mut covariance = vec![0.0; dimension * dimension];
            state[FREQUENCY] = frequency;
            covariance[FREQUENCY * dimension + FREQUENCY] = frequency_sd * frequency_sd;
            let wander = 10_f64.powf(WANDER_EXPONENT_MIN + 0.5 * i as f64);
            Member { wander, handicap: handicap(wander), state, covariance, score: 0.0, habit: 0.0 }
        });
        Self {
            dimension,
            members: members.collect(),
            told: Cell::new(None),
            habits: Habits::default(),
        }
    }

    /// Sets the phase to be learned anew: `phase` with this variance, whatever was known.
    pub(super) fn set_phase(&mut self, phase: f64, variance: f64) {
        let n = self.dimension;
        for member in self.change() {
            member.state[PHASE] = phase;
            for i in 0..n {
                member.covariance[PHASE * n + i] = 0.0;
                member.covariance[i * n + PHASE] = 0.0;
            }
            member.covariance[PHASE * n + PHASE] = variance;
        }
    }

    /// Sets the phase to what a source measured first, with this variance, its bias included: by
    /// what that turns out to be, the phase is less. Were both taken as independent, part of the
    /// noise of this one measurement would stay in the bias, and in the phase, for ever.
    pub(super) fn set_phase_by(&mut self, source: usize, phase: f64, variance: f64) {
        self.set_phase(phase, variance);
        let (n, at) = (self.dimension, BIASES + source);
        for member in self.change() {
            let p = &mut member.covariance;
            let shared = p[at * n + at].min(variance);
            p[PHASE * n + at] = -shared;
            p[at * n + PHASE] = -shared;
        }
    }

    /// Forgets a source's bias: zero with this variance.
    pub(super) fn set_bias(&mut self, source: usize, variance: f64) {
        let (n, at) = (self.dimension, BIASES + source);
        for member in self.change() {
            member.state[at] = 0.0;
            for i in 0..n {
                member.covariance[at * n + i] = 0.0;
                member.covariance[i * n + at] = 0.0;
            }
            member.covariance[at * n + at] = variance;
        }
    }

    /// Sets the frequency to be learned anew, with this variance.
    pub(super) fn set_frequency(&mut self, frequency: f64, variance: f64) {
        let n = self.dimension;
        for member in self.change() {
            member.state[FREQUENCY] = frequency;
            for i in 0..n {
                member.covariance[FREQUENCY * n + i] = 0.0;
                member.covariance[i * n + FREQUENCY] = 0.0;
            }
            member.covariance[FREQUENCY * n + FREQUENCY] = variance;
        }
    }

    /// Finds anew where the phase lies among the measurements: by these sources, whose biases are
    /// zero with these variances, and by nothing that was known before. What was learned of
    /// differences between sources, and of the frequency, stays.
    pub(super) fn reanchor(&mut self, sources: &[(usize, f64)]) {
        let Some(most) = sources.iter().map(|(_, variance)| *variance).reduce(f64::max) else {
            return;
        };
        let n = self.dimension;
        for member in self.change() {
            // What all measurements have in common may be the phase or all biases alike.
            let common = |i: usize| match i {
                PHASE => 1.0,
                FREQUENCY => 0.0,
                _ => -1.0,
            };
            for i in 0..n {
                for j in 0..n {
                    member.covariance[i * n + j] += NOTHING_KNOWN * most * common(i) * common(j);
                }
            }
            for &(source, variance) in sources {
                let at = BIASES + source;
                let column: Vec<f64> = (0..n).map(|i| member.covariance[i * n + at]).collect();
                member.absorb(-member.state[at], column[at] + variance, &column);
            }
        }
    }

    /// Moves the phase of all filters.
    pub(super) fn shift(&mut self, seconds: f64) {
        for member in self.change() {
            member.state[PHASE] += seconds;
        }
    }

    /// Moves all filters `dt` seconds on; `bias_walk` is how fast biases may change, s²/s.
    pub(super) fn advance(&mut self, dt: f64, bias_walk: &[f64]) {
        self.habits.advance(dt);
        let n = self.dimension;
        for member in self.change() {
            member.state[PHASE] += dt * member.state[FREQUENCY];
            let p = &mut member.covariance;
            for i in 0..n {
                p[PHASE * n + i] += dt * p[FREQUENCY * n + i];
            }
            for i in 0..n {
                p[i * n + PHASE] += dt * p[i * n + FREQUENCY];
            }
            let q = member.wander;
            p[PHASE * n + PHASE] += q * dt * dt * dt / 3.0;
            p[PHASE * n + FREQUENCY] += q * dt * dt / 2.0;
            p[FREQUENCY * n + PHASE] += q * dt * dt / 2.0;
            p[FREQUENCY * n + FREQUENCY] += q * dt;
            for (i, walk) in bias_walk.iter().enumerate() {
                let at = BIASES + i;
                p[at * n + at] += walk * dt;
            }
        }
    }

    /// What a measurement by `source` is expected to be, and the variance of that, by the
    /// likeliest.
    pub(super) fn predict(&self, source: usize) -> (f64, f64) {
        let likeliest = self.likeliest();
        (likeliest.expected(source), likeliest.expected_variance(self.dimension, source))
    }

    /// Variance of what is expected of whichever of these sources it is known best of, by the
    /// likeliest: how well the clock is followed, whatever it may be off by for ever.
    pub(super) fn tracking_variance(&self, sources: impl Iterator<Item = usize>) -> Option<f64> {
        let likeliest = self.likeliest();
        let variances = sources.map(|source| likeliest.expected_variance(self.dimension, source));
        variances.reduce(f64::min)
    }

    /// The weight, 0 to 1, of a measurement by `source` with this variance `dt` seconds from now:
    /// the filters' mean, as the likeliest of them is another from one measurement to the next.
    pub(super) fn weight_after(&self, source: usize, dt: f64, noise: f64) -> f64 {
        let weight = |member: &Member| {
            let variance = member.expected_variance_after(self.dimension, source, dt);
            variance / (variance + noise).max(f64::MIN_POSITIVE)
        };
        self.members.iter().zip(self.weights()).map(|(m, belief)| belief * weight(m)).sum()
    }

    /// Makes phase and frequency more uncertain by these variances.
    pub(super) fn widen(&mut self, phase_variance: f64, frequency_variance: f64) {
        let n = self.dimension;
        for member in self.change() {
            member.covariance[PHASE * n + PHASE] += phase_variance;
            member.covariance[FREQUENCY * n + FREQUENCY] += frequency_variance;
        }
    }

    /// Makes a source's bias more uncertain by this variance, but no more than `limit` altogether.
    pub(super) fn widen_bias(&mut self, source: usize, variance: f64, limit: f64) {
        let (n, at) = (self.dimension, BIASES + source);
        for member in self.change() {
            let known = &mut member.covariance[at * n + at];
            *known = (*known + variance).min(limit.max(*known));
        }
    }

    /// Takes a measurement of phase plus the source's bias, with its variance.
    pub(super) fn update(&mut self, source: usize, measured: f64, variance: f64) {
        let n = self.dimension;
        let at = BIASES + source;
        let mut column = Vec::with_capacity(n);
        let fading_of_habit = self.habits.fading();
        for member in self.change() {
            let innovation = measured - member.expected(source);
            let total = member.expected_variance(n, source) + variance;
            let distance = (innovation * innovation / total).min(LIKELIHOOD_CAP);
            let likelihood = -0.5 * (total.ln() + distance);
            member.score = member.score * FADING + likelihood;
            member.habit = member.habit * fading_of_habit + likelihood;
            let p = &member.covariance;
            column.clear();
            column.extend((0..n).map(|i| p[i * n + PHASE] + p[i * n + at]));
            member.absorb(innovation, total, &column);
        }
    }

    /// The filters' mean, weighted by their likelihood, with the spread between them.
    pub(super) fn estimate(&self) -> BankEstimate {
        let estimate = self.told.get().unwrap_or_else(|| self.mean());
        self.told.set(Some(estimate));
        estimate
    }

    /// The filters, to be changed.
    fn change(&mut self) -> &mut [Member] {
        self.told.set(None);
        &mut self.members
    }

    fn mean(&self) -> BankEstimate {
        let n = self.dimension;
        let weights = self.weights();
        let (mut phase, mut frequency) = (0.0, 0.0);
        for (member, weight) in self.members.iter().zip(weights) {
            phase += weight * member.state[PHASE];
            frequency += weight * member.state[FREQUENCY];
        }
        let (mut phase_variance, mut covariance, mut frequency_variance) = (0.0, 0.0, 0.0);
        for (Member { state, covariance: p, .. }, weight) in self.members.iter().zip(weights) {
            let (by_phase, by_frequency) = (state[PHASE] - phase, state[FREQUENCY] - frequency);
            phase_variance += weight * (p[PHASE * n + PHASE] + by_phase * by_phase);
            covariance += weight * (p[PHASE * n + FREQUENCY] + by_phase * by_frequency);
            frequency_variance +=
                weight * (p[FREQUENCY * n + FREQUENCY] + by_frequency * by_frequency);
        }
        let wander = self.wander();
        BankEstimate { phase, frequency, phase_variance, covariance, frequency_variance, wander }
    }

    /// A wander that the true one hardly exceeds. The mean would be that of the fastest filter, as
    /// members are decades apart, however unlikely it is.
    fn wander(&self) -> f64 {
        let weights = shares(self.of_each(|member| member.habit - member.handicap));
        let mut sum = 0.0;
        let members = self.members.iter().zip(weights);
        let enough = members.map(|(member, weight)| (member.wander, weight)).find(|(_, weight)| {
            sum += *weight;
            sum >= WANDER_QUANTILE
        });
        enough.map_or(0.0, |(wander, _)| wander)
    }

    fn weights(&self) -> [f64; MEMBERS] {
        shares(self.of_each(Member::belief))
    }

    fn of_each(&self, value: impl Fn(&Member) -> f64) -> [f64; MEMBERS] {
        let mut values = [f64::NEG_INFINITY; MEMBERS];
        values.iter_mut().zip(&self.members).for_each(|(told, member)| *told = value(member));
        values
    }

    fn likeliest(&self) -> &Member {
        self.members
            .iter()
            .max_by(|a, b| a.belief().total_cmp(&b.belief()))
            .expect("a bank is made with members")
    }
}

impl Member {
    /// Logarithm of how likely the member is: by its record, and by what oscillators are like.
    fn belief(&self) -> f64 {
        self.score - self.handicap
    }

    /// Takes something measured that is off by `innovation` from what was expected, with this
    /// variance of the two together; `column` is its covariance with the state.
    fn absorb(&mut self, innovation: f64, total: f64, column: &[f64]) {
        let n = column.len();
        for (i, own) in column.iter().enumerate() {
            let gain = own / total;
            self.state[i] += gain * innovation;
            for (j, other) in column.iter().enumerate() {
                self.covariance[i * n + j] -= gain * other;
            }
        }
        // Rounding must not make a variance negative.
        for i in 0..n {
            self.covariance[i * n + i] = self.covariance[i * n + i].max(0.0);
        }
    }

    fn expected(&self, source: usize) -> f64 {
        self.state[PHASE] + self.state[BIASES + source]
    }

    fn expected_variance(&self, n: usize, source: usize) -> f64 {
        let at = BIASES + source;
        let p = &self.covariance;
        (p[PHASE * n + PHASE] + 2.0 * p[PHASE * n + at] + p[at * n + at]).max(0.0)
    }

    /// The same `dt` seconds from now.
    fn expected_variance_after(&self, n: usize, source: usize, dt: f64) -> f64 {
        let (at, p) = (BIASES + source, &self.covariance);
        let frequency = p[FREQUENCY * n + FREQUENCY] + self.wander * dt / 3.0;
        let shared = p[PHASE * n + FREQUENCY] + p[FREQUENCY * n + at];
        (self.expected_variance(n, source) + 2.0 * dt * shared + dt * dt * frequency).max(0.0)
    }
}

/// How likely each is, by the logarithms of how likely they are but for what all have in common.
fn shares(logarithms: [f64; MEMBERS]) -> [f64; MEMBERS] {
    let best = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares = logarithms;
    shares.iter_mut().for_each(|share| *share = (*share - best).exp());
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

/// How much less likely, as a logarithm, an oscillator that wanders so is than a usual one.
fn handicap(wander: f64) -> f64 {
    let wild = WILDNESS * (wander / WANDER_TAME).log10().max(0.0);
    let calm = CALMNESS * (WANDER_CALM / wander).log10().max(0.0);
    wild + calm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_and_frequency_of_a_steady_clock_are_found() {
        let mut bank = Bank::new(1, 0.0, 1e-4);
        bank.set_phase(0.0, 1.0);
        for step in 1..200 {
            bank.advance(64.0, &[0.0]);
            bank.update(0, 0.5 + 12e-6 * 64.0 * f64::from(step), 1e-10);
        }
        let estimate = bank.estimate();
        assert!((estimate.frequency - 12e-6).abs() < 1e-9, "{estimate:?}");
        assert!((estimate.phase - 0.5 - 12e-6 * 64.0 * 199.0).abs() < 1e-7, "{estimate:?}");
    }

    #[test]
    fn the_noise_of_the_first_measurement_does_not_stay_in_the_bias() {
        let mut bank = Bank::new(1, 0.0, 1e-4);
        bank.set_bias(0, 125e-6_f64.powi(2));
        bank.set_phase_by(0, 300e-6, 500e-6_f64.powi(2));
        for step in 0..4_000 {
            bank.advance(1.0, &[0.0]);
            let noise = if step % 2 == 0 { 100e-6 } else { -100e-6 };
            bank.update(0, noise, 1e-8);
        }
        assert!(bank.bias(0).abs() < 1e-7, "{}", bank.bias(0));
        assert!(bank.estimate().phase.abs() < 5e-6, "{:?}", bank.estimate());
    }

    #[test]
    fn what_a_source_that_lied_made_of_the_phase_is_taken_back() {
        let sd = 1e-3;
        let mut bank = Bank::new(4, 0.0, 1e-4);
        (0..4).for_each(|source| bank.set_bias(source, sd * sd));
        bank.set_phase_by(0, 25e-3, 1e-4);
        for step in 1..100 {
            bank.advance(1.0, &[0.0; 4]);
            let liars_too = if step < 3 { 0..4 } else { 1..4 };
            liars_too.for_each(|i| bank.update(i, if i == 0 { 25e-3 } else { 0.0 }, 1e-8));
        }
        assert!(bank.estimate().phase > 5e-3, "{:?}", bank.estimate());
        bank.set_bias(0, sd * sd);
        bank.reanchor(&[1, 2, 3].map(|source| (source, sd * sd)));
        let estimate = bank.estimate();
        assert!(estimate.phase.abs() < 1e-6, "{estimate:?}");
        assert!((estimate.phase_variance.sqrt() / sd - 1.0 / 3_f64.sqrt()).abs() < 0.01);
        assert!(bank.bias(1).abs() < 1e-6, "{}", bank.bias(1));
    }

    #[test]
    fn where_the_phase_lies_is_found_anew_whatever_was_doubted_before() {
        let (sd, most) = (1e-3, 1e-1);
        let mut bank = Bank::new(2, 0.0, 1e-4);
        (0..2).for_each(|source| bank.set_bias(source, sd * sd));
        bank.set_phase_by(0, 40e-3, 1e-2);
        for step in 1..100 {
            bank.advance(1.0, &[0.0; 2]);
            (0..2).for_each(|i| bank.update(i, [40e-3, 1e-3][i], 1e-8));
            if step == 2 {
                (0..2).for_each(|i| bank.widen_bias(i, most * most, most * most));
            }
        }
        let frequency = bank.estimate().frequency;
        bank.set_bias(0, sd * sd);
        bank.reanchor(&[(1, sd * sd)]);
        let estimate = bank.estimate();
        assert!((estimate.phase - 1e-3).abs() < 1e-5, "{estimate:?}");
        assert!((estimate.phase_variance.sqrt() / sd - 1.0).abs() < 0.01, "{estimate:?}");
        assert!((estimate.frequency - frequency).abs() < 1e-9, "{estimate:?}");
    }

    #[test]
    fn a_constant_difference_between_sources_goes_into_their_biases() {
        let mut bank = Bank::new(2, 0.0, 1e-4);
        bank.set_phase(0.0, 1.0);
        bank.set_bias(0, 1e-6);
        bank.set_bias(1, 1e-6);
        for step in 0..400 {
            bank.advance(16.0, &[0.0, 0.0]);
            let bias = if step % 2 == 0 { 1e-3 } else { -1e-3 };
            bank.update(step % 2, bias, 1e-10);
        }
        let estimate = bank.estimate();
        assert!(estimate.phase.abs() < 1e-4, "{estimate:?}");
        assert!(estimate.frequency.abs() < 1e-8, "{estimate:?}");
        assert!((bank.predict(0).0 - 1e-3).abs() < 1e-5);
        assert!((bank.predict(1).0 + 1e-3).abs() < 1e-5);
    }
}
