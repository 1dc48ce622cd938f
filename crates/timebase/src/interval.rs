//! Where intervals agree: Marzullo's question, asked in two ways.

use crate::Span;

/// A closed interval of offsets, `earliest <= latest`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub earliest: Span,
    /// The upper end.
    pub latest: Span,
}

impl Interval {
    /// Makes the interval `centre ± half_width`; a negative half width is taken as zero.
    pub fn around(centre: Span, half_width: Span) -> Self {
        let half_width = half_width.max(Span::ZERO);
        Self { earliest: centre - half_width, latest: centre + half_width }
    }

    /// Whether `offset` lies within, ends included.
    pub fn contains(&self, offset: Span) -> bool {
        self.earliest <= offset && offset <= self.latest
    }

    /// Whether the two have a point in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.earliest <= other.latest && other.earliest <= self.latest
    }

    /// What the two have in common.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        self.overlaps(other).then(|| Self {
            earliest: self.earliest.max(other.earliest),
            latest: self.latest.min(other.latest),
        })
    }

    /// The smallest interval that holds both.
    pub fn hull(&self, other: &Self) -> Self {
        Self { earliest: self.earliest.min(other.earliest), latest: self.latest.max(other.latest) }
    }

    /// Half the length, rounded up.
    pub fn half_width(&self) -> Span {
        let length = self.latest - self.earliest;
        length - length / 2
    }

    /// The middle, cut towards the lower end.
    pub fn centre(&self) -> Span {
        self.earliest + (self.latest - self.earliest) / 2
    }
}

/// The smallest interval that holds every point covered by at least `quorum` of the intervals;
/// `None` where no point is.
///
/// If at least `quorum` of the intervals hold the truth, then so does this one, whatever the others
/// claim: the truth is then one of the points so covered (RFC 5905 section 11.2.1, with the hull in
/// place of a guess at which clique is right). A `quorum` of zero is taken as one. Steps are
/// quadratic in the number of intervals, which is a few dozen.
pub fn coverage_hull(intervals: &[Interval], quorum: usize) -> Option<Interval> {
    let quorum = quorum.max(1);
    // A maximal covered stretch begins at some lower end and finishes at some upper end.
    let earliest =
        intervals.iter().map(|i| i.earliest).filter(|&p| depth(intervals, p) >= quorum).min()?;
    let latest =
        intervals.iter().map(|i| i.latest).filter(|&p| depth(intervals, p) >= quorum).max()?;
    Some(Interval { earliest, latest })
}

/// The largest number of intervals that share a point, with the hull of all points so shared;
/// `None` for no intervals.
pub fn deepest_overlap(intervals: &[Interval]) -> Option<(usize, Interval)> {
    let deepest = intervals.iter().map(|i| depth(intervals, i.earliest)).max()?;
    coverage_hull(intervals, deepest).map(|hull| (deepest, hull))
}

fn depth(intervals: &[Interval], point: Span) -> usize {
    intervals.iter().filter(|i| i.contains(point)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn interval(earliest: i64, latest: i64) -> Interval {
        Interval { earliest: Span::from_nanos(earliest), latest: Span::from_nanos(latest) }
    }

    #[test]
    fn a_minority_cannot_move_the_hull() {
        let liar = interval(1_000, 1_001);
        let honest = [interval(-5, 5), interval(-3, 9), interval(-8, 4), liar];
        assert_eq!(coverage_hull(&honest, 3), Some(interval(-3, 4)));
        assert_eq!(deepest_overlap(&honest), Some((3, interval(-3, 4))));
    }

    #[test]
    fn two_cliques_give_the_hull_of_both() {
        let split = [interval(0, 1), interval(0, 2), interval(10, 11), interval(10, 12)];
        assert_eq!(coverage_hull(&split, 2), Some(interval(0, 11)));
        assert_eq!(coverage_hull(&split, 3), None);
        assert_eq!(coverage_hull(&[], 1), None);
        assert_eq!(deepest_overlap(&[]), None);
    }

    proptest! {
        #[test]
        fn the_truth_lies_in_the_hull_while_a_quorum_is_honest(
            honest in prop::collection::vec((0_i64..1_000, 0_i64..1_000), 1..8),
            liars in prop::collection::vec((-5_000_i64..5_000, 0_i64..100), 0..8),
        ) {
            // The truth is zero: every honest interval holds it, liars say what they like.
            let all: Vec<_> = honest.iter().map(|&(a, b)| interval(-a, b))
                .chain(liars.iter().map(|&(centre, width)| interval(centre, centre + width)))
                .collect();
            let hull = coverage_hull(&all, honest.len()).unwrap();
            prop_assert!(hull.contains(Span::ZERO));
        }

        #[test]
        fn the_hull_shrinks_as_the_quorum_grows(
            raw in prop::collection::vec((-1_000_i64..1_000, 0_i64..1_000), 1..10),
        ) {
            let all: Vec<_> = raw.iter().map(|&(a, w)| interval(a, a + w)).collect();
            let mut wider = coverage_hull(&all, 1).unwrap();
            for quorum in 2..=all.len() {
                let Some(hull) = coverage_hull(&all, quorum) else { break };
                prop_assert!(wider.earliest <= hull.earliest && hull.latest <= wider.latest);
                wider = hull;
            }
        }
    }
}
