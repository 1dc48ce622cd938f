//! Ways that took turns, compared round by round: ratios and verdicts that say how sure they are.
//!
//! A 99th percentile over a whole run is decided by the machine's worst moments, whoever was at
//! work in them. So values are compared that were measured within seconds of each other: each round
//! gives a ratio, and their median counts, together with the interval in which the true median lies
//! with a confidence of 95 % (by order statistics, which suppose nothing about how ratios are
//! spread).

use std::fmt;

/// The values of one way by round, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<Vec<i64>>);

/// How one way compares to another: the median of the rounds' ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median.
    pub median: f64,
    /// Where the true median lies with a confidence of 95 %; `None` with fewer than six rounds.
    pub interval: Option<(f64, f64)>,
}

/// Whether a limit is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The whole interval is within the limit.
    Held,
    /// The whole interval is above the limit.
    NotHeld,
    /// The limit is within the interval: more rounds, or a quieter machine, would tell.
    Undecided,
}

impl Rounds {
    /// Adds the values of the next round, which may have none.
    pub fn push(&mut self, mut values: Vec<i64>) {
        values.sort_unstable();
        self.0.push(values);
    }

    /// All values, in order.
    #[must_use]
    pub fn sorted(&self) -> Vec<i64> {
        let mut all = self.0.concat();
        all.sort_unstable();
        all
    }

    /// How this way's percentiles compare to those of the others taken together, in the same
    /// rounds; `None` where no round has values of both.
    #[must_use]
    pub fn ratio(&self, share: f64, others: &[&Self]) -> Option<Ratio> {
        let of_round = |(round, values): (usize, &Vec<i64>)| {
            let rest = others.iter().filter_map(|other| other.0.get(round));
            let mut rest: Vec<i64> = rest.flatten().copied().collect();
            rest.sort_unstable();
            Some(percentile(values, share)? / percentile(&rest, share)?)
        };
        Ratio::of(self.0.iter().enumerate().filter_map(of_round).collect())
    }
}

impl Ratio {
    fn of(mut ratios: Vec<f64>) -> Option<Self> {
        ratios.sort_unstable_by(f64::total_cmp);
        let n = ratios.len();
        let median = (ratios.get(n.checked_sub(1)? / 2)? + ratios[n / 2]) / 2.0;
        let interval = rank(n).map(|rank| (ratios[rank], ratios[n - 1 - rank]));
        Some(Self { median, interval })
    }

    /// Whether the ratio is at most `limit`.
    #[must_use]
    pub fn verdict(&self, limit: f64) -> Verdict {
        match self.interval {
            Some((_, high)) if high <= limit => Verdict::Held,
            Some((low, _)) if low > limit => Verdict::NotHeld,
            _ => Verdict::Undecided,
        }
    }
}

impl fmt::Display for Ratio {
    /// Writes `1.13 (1.08 to 1.19)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.median)?;
        self.interval.map_or(Ok(()), |(low, high)| write!(f, " ({low:.2} to {high:.2})"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::NotHeld => "NOT held",
            Self::Undecided => "not decided",
        })
    }
}

/// The value below which `share` of the sorted values lie; `None` of none.
#[must_use]
pub fn percentile(sorted: &[i64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[(last as f64 * share) as usize] as f64)
}

/// How many of `n` values in order lie outside the interval at each end: the most that leave the
/// median inside with a probability of 95 %. `None` where there are too few values for any.
fn rank(n: usize) -> Option<usize> {
    let mut probability = 0.5_f64.powi(i32::try_from(n).ok()?);
    let mut below = probability;
    let mut rank = None;
    for k in 0..n / 2 {
        if 2.0 * below > 0.05 {
            break;
        }
        rank = Some(k);
        probability *= (n - k) as f64 / (k + 1) as f64;
        below += probability;
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_median_is_that_of_the_tables() {
        // Ranks of the sign test at 95 %, counted from one: 1 of 6, 3 of 12, 6 of 20, 22 of 60.
        for (n, expected) in [(5, None), (6, Some(0)), (12, Some(2)), (20, Some(5)), (60, Some(21))]
        {
            assert_eq!(rank(n), expected, "{n}");
        }
    }

    #[test]
    fn a_ratio_is_that_of_the_rounds_and_not_of_the_worst_moments() {
        let (mut bare, mut ours) = (Rounds::default(), Rounds::default());
        for round in 0..12 {
            // One moment of the machine that hits one of the two.
            let outlier = if round == 7 { 1_000_000 } else { 110 };
            bare.push(vec![100; 100]);
            ours.push([vec![110; 50], vec![outlier; 50]].concat());
        }
        let ratio = ours.ratio(0.99, &[&bare]).unwrap();
        assert_eq!(ratio, Ratio { median: 1.1, interval: Some((1.1, 1.1)) });
        assert_eq!(ratio.to_string(), "1.10 (1.10 to 1.10)");
        assert_eq!((ratio.verdict(1.2), ratio.verdict(1.05)), (Verdict::Held, Verdict::NotHeld));
        assert_eq!(percentile(&ours.sorted(), 0.99), Some(1_000_000.0));
    }

    #[test]
    fn with_few_rounds_or_a_wide_spread_nothing_is_decided() {
        let few = Ratio::of(vec![1.0, 1.1, 1.2]).unwrap();
        assert_eq!((few.median, few.interval, few.verdict(2.0)), (1.1, None, Verdict::Undecided));
        let wide = Ratio::of((1..=12).map(f64::from).collect()).unwrap();
        assert_eq!((wide.median, wide.interval), (6.5, Some((3.0, 10.0))));
        assert_eq!(wide.verdict(6.5), Verdict::Undecided);
        assert!(Ratio::of(Vec::new()).is_none());
        assert!(Rounds::default().ratio(0.5, &[]).is_none());
    }
}
