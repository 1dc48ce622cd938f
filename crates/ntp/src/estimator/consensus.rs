//! Where the truth lies among sources that differ for ever.
//!
//! What all biases have in common no measurement tells; only what biases are like does. The bank
//! takes each for normal, as large as it may well be, and so puts the truth into the middle: a
//! source that is a little off, within its promise, so that no vote finds it false, draws the clock
//! along by its share. But a bias may be of any size from nothing to that. Sources which agree with
//! each other far better than they could by chance are those whose paths are alike both ways, and
//! who differs from them is off by itself.
//!
//! So each bias has a density that is normal near zero, as wide as it is known, falls as its
//! reciprocal beyond (all sizes are as likely) and ends where promises do. The truth is
//! the mean of what the product of all of these allows; of two it is the middle.

/// How many times as likely a bias is to be too small to be seen as to be of each size, by a factor
/// of *e*, beyond.
const UNSEEN: f64 = 20.0;
/// How far beyond the bank's prior sizes are as likely, as a multiple of its standard deviation.
const REACH: f64 = 3.0;
/// Where the density is looked at, in standard deviations from what each source says: its core, and
/// the gaps between sources.
const CORE: [f64; 6] = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0];
const GAPS: [f64; 9] = [4.5, 7.0, 11.0, 18.0, 30.0, 60.0, 120.0, 250.0, 500.0];
/// The core is no more than this narrower than nothing.
const VARIANCE_MIN: f64 = 1e-20;

/// What one source says of the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Opinion {
    /// Where it puts the truth, in seconds.
    pub(super) says: f64,
    /// Variance of what it says, noise alone, s².
    pub(super) noise: f64,
    /// Variance of its bias, should it be as large as it may well be, s².
    pub(super) spread: f64,
}

/// The opinions, and what was concluded from them.
#[derive(Clone, Debug)]
pub(super) struct Consensus {
    noises: Vec<Option<f64>>,
    /// What was agreed on when a source's path changed: it was heard before that.
    history: Option<Opinion>,
    /// The truth less the phase of the bank.
    shift: f64,
    variance: f64,
    heard: u64,
    due: u64,
}

impl Consensus {
    /// Nothing was said yet.
    pub(super) fn new(sources: usize) -> Self {
        Self {
            noises: vec![None; sources],
            history: None,
            shift: 0.0,
            variance: 0.0,
            heard: 0,
            due: 0,
        }
    }

    /// How much the truth is ahead of the phase that the bank tells, in seconds.
    pub(super) fn shift(&self) -> f64 {
        self.shift
    }

    /// Takes a measurement with this variance; `walked` is what the source's bias may have walked
    /// by since its last one. Returns whether so much was said since the last conclusion that
    /// another is due.
    pub(super) fn note(&mut self, source: usize, variance: f64, walked: f64) -> bool {
        let variance = variance.max(VARIANCE_MIN);
        let noise = &mut self.noises[source];
        *noise = Some(noise.map_or(variance, |known| {
            let known = known + walked;
            known * variance / (known + variance)
        }));
        if let Some(history) = &mut self.history {
            history.noise += walked / self.noises.len() as f64;
        }
        self.heard += 1;
        self.heard >= self.due
    }

    /// The variance of what a source says, noise alone; `None` while nothing counts.
    pub(super) fn noise(&self, source: usize) -> Option<f64> {
        self.noises[source]
    }

    /// What a source said counts no more, as its path is another; what was agreed on until now
    /// does.
    pub(super) fn change_path(&mut self, source: usize) {
        let others = self.noises.iter().flatten().count();
        if self.noises[source].take().is_some() && others > 1 {
            let spread = self.history.map_or(self.variance, |former| former.spread);
            let noise = self.variance.max(VARIANCE_MIN);
            self.history = Some(Opinion { says: self.shift, noise, spread: spread.max(noise) });
        }
    }

    /// Nothing counts that was said before by these sources, nor what was agreed on.
    pub(super) fn forget(&mut self, sources: impl Iterator<Item = usize>) {
        self.history = None;
        sources.for_each(|source| self.noises[source] = None);
    }

    /// Concludes anew from what those say of whom something counts.
    pub(super) fn conclude(&mut self, opinions: Vec<Opinion>) {
        let mut opinions = opinions;
        opinions.extend(self.history);
        let (mean, variance) = agreed(&opinions);
        (self.shift, self.variance) = (mean, variance);
        self.due = self.heard + self.heard / 16;
    }
}

/// Mean and variance of where the truth is by all opinions together.
fn agreed(opinions: &[Opinion]) -> (f64, f64) {
    match opinions {
        [] => return (0.0, 0.0),
        [one] => return (one.says, one.noise),
        _ => {}
    }
    let mut places: Vec<f64> = opinions
        .iter()
        .flat_map(|opinion| {
            let sd = opinion.noise.sqrt();
            let away = CORE.into_iter().chain(GAPS);
            let both = away.flat_map(move |away| [-away * sd, away * sd]);
            [0.0].into_iter().chain(both).map(|away| opinion.says + away)
        })
        .collect();
    places.sort_unstable_by(f64::total_cmp);
    let lowest = opinions.iter().map(|o| o.says - 3.0 * o.noise.sqrt()).fold(f64::MAX, f64::min);
    let highest = opinions.iter().map(|o| o.says + 3.0 * o.noise.sqrt()).fold(f64::MIN, f64::max);
    places.retain(|place| (lowest..=highest).contains(place));
    let logs: Vec<f64> = places
        .iter()
        .map(|place| opinions.iter().map(|opinion| opinion.log_density(*place)).sum())
        .collect();
    let most = logs.iter().copied().fold(f64::MIN, f64::max);
    let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
    let centre = places[places.len() / 2];
    for (place, log) in places.windows(2).zip(logs.windows(2)) {
        for i in 0..2 {
            let weight = (log[i] - most).exp() * (place[1] - place[0]);
            let away = place[i] - centre;
            mass += weight;
            first += weight * away;
            second += weight * away * away;
        }
    }
    if mass <= 0.0 {
        return (centre, opinions[0].noise);
    }
    let mean = first / mass;
    (centre + mean, (second / mass - mean * mean).max(0.0))
}

impl Opinion {
    /// Logarithm of how likely it is that the truth is there, but for a constant.
    fn log_density(&self, truth: f64) -> f64 {
        let square = (self.says - truth).powi(2);
        let (noise, all) = (self.noise, self.noise + REACH * REACH * self.spread);
        let unseen = UNSEEN * (-0.5 * square * (1.0 / noise - 1.0 / all)).exp();
        let seen = 1.0 / (1.0 + square / noise).sqrt();
        (unseen + seen).ln() - 0.5 * square / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(says: &[f64], noise_sd: f64) -> (f64, f64) {
        let opinion = |&says: &f64| Opinion { says, noise: noise_sd * noise_sd, spread: 1e-6 };
        agreed(&says.iter().map(opinion).collect::<Vec<_>>())
    }

    #[test]
    fn who_differs_from_those_that_agree_is_off_by_itself() {
        for lie in [3e-4, -1e-3, 5e-3] {
            let (truth, _) = told(&[1e-5, -1e-5, lie], 1e-5);
            assert!(truth.abs() < 2e-5, "{lie}: {truth}");
            let (truth, _) = told(&[0.0, lie, 1e-5, -1e-5], 1e-5);
            assert!(truth.abs() < 1e-5, "{lie}: {truth}");
        }
    }

    #[test]
    fn of_two_that_differ_neither_is_believed_more() {
        for apart in [1e-5, 1e-4, 1e-3, 1e-2] {
            let (truth, _) = told(&[0.0, apart], 1e-5);
            assert!((truth / apart - 0.5).abs() < 0.01, "{apart}: {truth}");
        }
    }

    #[test]
    fn what_differs_by_chance_alone_is_averaged() {
        let says = [0.3e-5, -1.1e-5, 0.7e-5, 0.5e-5, -0.4e-5];
        let (truth, variance) = told(&says, 1e-5);
        assert!(truth.abs() < 0.2e-5, "{truth}");
        assert!((variance.sqrt() / 0.45e-5 - 1.0).abs() < 0.2, "{}", variance.sqrt());
        let precise = Opinion { says: 1e-4, noise: 1e-12, spread: 1e-6 };
        let coarse = Opinion { says: -1e-4, noise: 4e-8, spread: 1e-6 };
        let (truth, _) = agreed(&[precise, coarse]);
        assert!((truth - 1e-4).abs() < 2e-5, "{truth}");
    }

    #[test]
    fn a_path_that_changes_takes_nothing_along_where_there_are_but_two() {
        let mut consensus = Consensus::new(2);
        for _ in 0..100 {
            (0..2).for_each(|source| _ = consensus.note(source, 1e-8, 0.0));
        }
        let opinion = |noise: f64, says: f64| Opinion { says, noise, spread: 1e-6 };
        let noise = consensus.noise(0).unwrap();
        consensus.conclude(vec![opinion(noise, 1e-6), opinion(noise, -1e-6)]);
        consensus.change_path(0);
        for _ in 0..100 {
            consensus.note(0, 1e-8, 0.0);
        }
        consensus.conclude(vec![opinion(noise, 2e-3), opinion(noise, -1e-6)]);
        assert!(consensus.shift().abs() < 1e-5, "{}", consensus.shift());
    }
}
