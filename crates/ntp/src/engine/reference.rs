//! What is learned of a reference clock beside its time: how much its readings scatter.

use std::collections::VecDeque;

use timeball_timebase::{MonoTime, Span};

use super::io::ReferenceError;

/// Differences that the scatter is told from.
const SCATTER_WINDOW: usize = 256;
/// So many are needed before it is told at all.
const SCATTER_MIN: usize = 6;
/// Of normally distributed readings the median of absolute second differences is this many standard
/// deviations: 0.6745 √6.
const SECOND_DIFFERENCE: f64 = 1.652;
/// What is told too small makes ordinary readings look like surprises, of which a clock that is
/// read every second would have many; a little too large costs next to nothing.
const CAUTION: f64 = 1.25;

/// What is learned of a reference clock.
#[derive(Debug, Default)]
pub(super) struct Reference {
    pub(super) scatter: Scatter,
    /// What the leap seconds since the start have added to UTC, and not to this clock.
    pub(super) leapt: Span,
    /// When a reading of it came last, taken or not.
    pub(super) read_at: Option<MonoTime>,
    /// Whether its last reading told only the moment of a second.
    pub(super) is_pulse: bool,
    /// Why its last reading was not taken, until one is.
    pub(super) error: Option<ReferenceError>,
}

/// How much readings scatter around a line: by the median of their second differences, which
/// neither the clock's rate nor a single wild reading moves.
#[derive(Debug, Default)]
pub(super) struct Scatter {
    /// The last two readings, newest last.
    last: VecDeque<(MonoTime, Span)>,
    differences: VecDeque<f64>,
}

impl Scatter {
    /// Takes a reading; returns the standard deviation of one, in seconds, when it can be told.
    pub(super) fn measure(&mut self, at: MonoTime, offset: Span) -> Option<f64> {
        if let (Some((first_at, first)), Some((second_at, second))) =
            (self.last.front().copied(), self.last.back().copied())
            && first_at < second_at
            && second_at < at
        {
            let slope = (second - first).as_seconds_f64() / (second_at - first_at).as_seconds_f64();
            let ahead = (at - second_at).as_seconds_f64() / (second_at - first_at).as_seconds_f64();
            let expected = slope * (at - second_at).as_seconds_f64();
            let difference = ((offset - second).as_seconds_f64() - expected).abs();
            // As it would be of readings that are evenly spaced, whose weights are 1, 2 and 1.
            let weight = (1.0 + (1.0 + ahead).powi(2) + ahead * ahead).sqrt() / 6_f64.sqrt();
            push_bounded(&mut self.differences, difference / weight, SCATTER_WINDOW);
        }
        push_bounded(&mut self.last, (at, offset), 2);
        (self.differences.len() >= SCATTER_MIN).then(|| {
            let mut differences: Vec<f64> = self.differences.iter().copied().collect();
            let middle = differences.len() / 2;
            let (_, median, _) = differences.select_nth_unstable_by(middle, f64::total_cmp);
            CAUTION * *median / SECOND_DIFFERENCE
        })
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, value: T, max: usize) {
    if queue.len() == max {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn noise(random: &mut Random, sd: f64) -> f64 {
        // The sum of twelve uniform numbers has variance 1.
        sd * ((0..12).map(|_| random.unit()).sum::<f64>() - 6.0)
    }

    #[test]
    fn the_scatter_of_readings_is_learned_whatever_the_rate_and_a_wild_one_is() {
        let mut random = Random::new([7; 32]);
        for sd in [1e-7, 1e-4] {
            let mut scatter = Scatter::default();
            let mut told = None;
            for step in 0..200_i64 {
                let at = MonoTime::ZERO + Span::from_secs(step + step % 3);
                let drift = 5e-4 * (at - MonoTime::ZERO).as_seconds_f64();
                let wild = if step % 10 == 9 { 0.5 } else { 0.0 };
                let offset = drift + noise(&mut random, sd) + wild;
                told = scatter.measure(at, Span::from_seconds_f64(offset).unwrap());
            }
            let told = told.unwrap();
            assert!(told > 0.4 * sd && told < 3.0 * sd, "{told} instead of {sd}");
        }
    }
}
