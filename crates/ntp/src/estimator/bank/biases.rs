//! What differences between sources are known, to be told and to be begun with.

use super::{BIASES, Bank};

impl Bank {
    /// A source's bias as it is estimated, in seconds.
    pub(in crate::estimator) fn bias(&self, source: usize) -> f64 {
        let members = self.members.iter().zip(self.weights());
        members.map(|(member, weight)| weight * member.state[BIASES + source]).sum()
    }

    /// Variance of the difference between two sources' biases, s², by the likeliest filter.
    pub(in crate::estimator) fn difference_variance(&self, one: usize, other: usize) -> f64 {
        let (n, p) = (self.dimension, &self.likeliest().covariance);
        let (one, other) = (BIASES + one, BIASES + other);
        (p[one * n + one] + p[other * n + other] - 2.0 * p[one * n + other]).max(0.0)
    }

    /// Sets what a source's bias is likely to be, where nothing was measured of it yet. The phase
    /// and all other biases stay as they are.
    pub(in crate::estimator) fn expect_bias(&mut self, source: usize, bias: f64) {
        for member in self.change() {
            member.state[BIASES + source] = bias;
        }
    }

    /// Takes it as known, with this variance, how much larger the bias of one source is than that
    /// of another.
    pub(in crate::estimator) fn relate(
        &mut self,
        one: usize,
        other: usize,
        difference: f64,
        variance: f64,
    ) {
        let n = self.dimension;
        let (one, other) = (BIASES + one, BIASES + other);
        let mut column = vec![0.0; n];
        for member in self.change() {
            for (i, own) in column.iter_mut().enumerate() {
                *own = member.covariance[i * n + one] - member.covariance[i * n + other];
            }
            let innovation = difference - (member.state[one] - member.state[other]);
            let total = column[one] - column[other] + variance;
            member.absorb(innovation, total, &column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_difference_makes_one_source_tell_of_the_other_and_leaves_the_common_part() {
        let sd = 1e-3;
        let mut bank = Bank::new(2, 0.0, 1e-4);
        (0..2).for_each(|source| bank.set_bias(source, sd * sd));
        bank.expect_bias(0, 3e-4);
        bank.expect_bias(1, -5e-4);
        bank.relate(1, 0, -8e-4, 1e-12);
        assert!((bank.bias(0) - 3e-4).abs() < 1e-9 && (bank.bias(1) + 5e-4).abs() < 1e-9);
        assert!((bank.difference_variance(0, 1).sqrt() - 1e-6).abs() < 1e-8);
        bank.set_phase(0.0, 1.0);
        for _ in 0..100 {
            bank.update(0, 1e-1 + 3e-4, 1e-10);
        }
        assert!((bank.predict(1).0 - (1e-1 - 5e-4)).abs() < 3e-6, "{:?}", bank.predict(1));
        // Both were set to be off by this much in common, which nobody can measure.
        let phase_sd = bank.estimate().phase_variance.sqrt();
        assert!((phase_sd / (sd / 2_f64.sqrt()) - 1.0).abs() < 0.01, "{phase_sd}");
    }
}
