//! The walk of the oscillator's rate that promises allow for.

use std::collections::VecDeque;

use timeball_timebase::{MonoTime, Span};

/// For how long it is remembered what the oscillator did: as long as its past rates are asked.
const MEMORY: Span = Span::from_minutes(8 * 60);
/// Ever smaller values that are kept; the estimator tells no more different ones.
const FASTEST_MAX: usize = 20;

/// The fastest walk that was learned in the last hours; power spectral densities, 1/s.
///
/// What the estimator tells is a guess from some fifty measurements, and where those tell little it
/// is what oscillators are like: now and then a tenth of the truth for an hour or two. A promise is
/// looked at all the time, so it needs what the guesses seldom fall short of together.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    /// When it was told last, and what: the fastest and oldest first, then what is the fastest of
    /// those that are younger.
    told: VecDeque<(MonoTime, f64)>,
}

impl Walk {
    /// Takes what the estimator tells.
    pub(super) fn note(&mut self, at: MonoTime, told: f64) {
        while self.told.pop_back_if(|(_, slower)| *slower <= told).is_some() {}
        if self.told.len() == FASTEST_MAX {
            // The last but this one stands for both, which is more than either.
            if let Some((since, _)) = self.told.back_mut() {
                *since = at;
            }
        } else {
            self.told.push_back((at, told));
        }
        while self.told.pop_front_if(|(since, _)| at - *since > MEMORY).is_some() {}
    }

    /// The fastest; zero before anything was told.
    pub(super) fn fastest(&self) -> f64 {
        self.told.front().map_or(0.0, |(_, wander)| *wander)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> MonoTime {
        MonoTime::ZERO + Span::from_minutes(minute)
    }

    #[test]
    fn the_fastest_walk_is_remembered_for_eight_hours_and_then_the_next_fastest() {
        let mut walk = Walk::default();
        assert_eq!(walk.fastest(), 0.0);
        let told = |minute: i64| match minute {
            0..10 => 1e-18,
            10..20 => 1e-16,
            20..70 => 3e-17,
            _ => 1e-17,
        };
        for minute in 0..1_000 {
            walk.note(at(minute), told(minute));
            let expected = match minute {
                0..10 => 1e-18,
                10..500 => 1e-16,
                500..550 => 3e-17,
                _ => 1e-17,
            };
            assert_eq!(walk.fastest(), expected, "after {minute} minutes");
        }
        assert_eq!(walk.told.len(), 1);
    }

    #[test]
    fn ever_slower_walks_fill_no_memory() {
        let mut walk = Walk::default();
        (0..100).for_each(|minute| walk.note(at(minute), 1e-16 / (minute + 1) as f64));
        assert_eq!((walk.told.len(), walk.fastest()), (FASTEST_MAX, 1e-16));
    }
}
