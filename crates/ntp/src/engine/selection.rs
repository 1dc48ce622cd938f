//! Who tells the truth: majority by intersection of intervals.

use timeball_timebase::{Interval, Span, coverage_hull, deepest_overlap};

use super::report::Selection;

/// A source as a voter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Voter {
    /// Has an interval and may be chosen.
    Fit {
        /// Offsets that true time can have by its word.
        interval: Interval,
        /// Whether the configuration prefers it.
        prefer: bool,
    },
    /// Was asked and may still answer for the first time: counts against a hasty majority.
    Pending,
    /// Takes no part, and why.
    Out(Selection),
}

/// The outcome of a vote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    /// The smallest interval that certainly holds the truth if a majority is honest; `None`: no
    /// majority.
    pub(super) hull: Option<Interval>,
    /// How many could be chosen.
    pub(super) fit: usize,
    /// Each source's part, in order.
    pub(super) selections: Vec<Selection>,
    /// The source with the narrowest interval of those combined.
    pub(super) chief: Option<usize>,
}

/// Holds the vote; `min_sources` must agree, and in any case more than half of those who may speak.
/// The former chief stays unless another is clearly better.
pub(super) fn vote(voters: &[Voter], min_sources: usize, former_chief: Option<usize>) -> Verdict {
    let intervals: Vec<Interval> = voters.iter().filter_map(Voter::interval).collect();
    let pending = voters.iter().filter(|voter| **voter == Voter::Pending).count();
    let quorum = ((intervals.len() + pending) / 2 + 1).max(min_sources);
    let hull = coverage_hull(&intervals, quorum);
    // A majority's common ground; whoever does not touch it contradicts somebody of the majority.
    let ground = hull.and_then(|_| deepest_overlap(&intervals)).map(|(_, ground)| ground);
    let any_preferred = voters.iter().any(|voter| voter.preferred_within(ground));
    let selections: Vec<Selection> =
        voters.iter().map(|voter| voter.selection(ground, any_preferred)).collect();
    let chief = chief_of(voters, &selections, former_chief);
    let mut verdict = Verdict { hull, fit: intervals.len(), selections, chief };
    if let Some(chief) = chief {
        verdict.selections[chief] = Selection::Chief;
    }
    verdict
}

impl Voter {
    fn interval(&self) -> Option<Interval> {
        match self {
            Self::Fit { interval, .. } => Some(*interval),
            Self::Pending | Self::Out(_) => None,
        }
    }

    fn preferred_within(&self, ground: Option<Interval>) -> bool {
        matches!((self, ground),
            (Self::Fit { interval, prefer: true }, Some(ground)) if interval.overlaps(&ground))
    }

    fn selection(&self, ground: Option<Interval>, any_preferred: bool) -> Selection {
        match (self, ground) {
            (Self::Out(reason), _) => *reason,
            (Self::Pending, _) => Selection::Unreachable,
            (Self::Fit { .. }, None) => Selection::NoMajority,
            (Self::Fit { interval, .. }, Some(ground)) if !interval.overlaps(&ground) => {
                Selection::Falseticker
            }
            (Self::Fit { prefer: false, .. }, _) if any_preferred => Selection::Candidate,
            (Self::Fit { .. }, _) => Selection::Combined,
        }
    }
}

fn chief_of(voters: &[Voter], selections: &[Selection], former: Option<usize>) -> Option<usize> {
    let width = |i: usize| -> Option<Span> {
        (*selections.get(i)? == Selection::Combined)
            .then(|| voters[i].interval().map(|interval| interval.half_width()))
            .flatten()
    };
    let best = (0..voters.len()).filter(|&i| width(i).is_some()).min_by_key(|&i| width(i))?;
    let former = former.filter(|&i| width(i).is_some_and(|w| Some(w / 2) <= width(best)));
    former.or(Some(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(earliest_ms: i64, latest_ms: i64) -> Voter {
        let interval = Interval {
            earliest: Span::from_millis(earliest_ms),
            latest: Span::from_millis(latest_ms),
        };
        Voter::Fit { interval, prefer: false }
    }

    #[test]
    fn a_minority_is_named_false_and_moves_nothing() {
        let honest = [fit(-5, 5), fit(-3, 9), fit(-8, 4)];
        let alone = vote(&honest, 1, None);
        let verdict = vote(&[honest[0], fit(100, 101), honest[1], honest[2]], 1, None);
        assert_eq!(verdict.selections[1], Selection::Falseticker);
        assert_eq!(verdict.chief, Some(0));
        let hull = verdict.hull.unwrap();
        assert!(hull.contains(Span::ZERO) && hull.latest <= alone.hull.unwrap().latest);
    }

    #[test]
    fn no_majority_is_no_promise() {
        let split = [fit(0, 1), fit(10, 11)];
        let verdict = vote(&split, 1, None);
        assert_eq!((verdict.hull, verdict.fit, verdict.chief), (None, 2, None));
        assert_eq!(verdict.selections, [Selection::NoMajority; 2]);
        assert_eq!(vote(&[fit(0, 1)], 2, None).hull, None);
        assert_eq!(vote(&[], 1, None).hull, None);
    }

    #[test]
    fn those_who_may_still_answer_count_against_a_hasty_majority() {
        assert_eq!(vote(&[fit(0, 1), Voter::Pending, Voter::Pending], 1, None).hull, None);
        assert!(vote(&[fit(0, 1), fit(0, 2), Voter::Pending], 1, None).hull.is_some());
        let out = Voter::Out(Selection::Unreachable);
        assert!(vote(&[fit(0, 1), out, out], 1, None).hull.is_some());
    }

    #[test]
    fn preferred_sources_are_used_alone_while_they_are_true() {
        let Voter::Fit { interval, .. } = fit(-50, 50) else { unreachable!() };
        let preferred = Voter::Fit { interval, prefer: true };
        let verdict = vote(&[fit(-1, 1), preferred], 1, None);
        assert_eq!(verdict.selections, [Selection::Candidate, Selection::Chief]);
        let lying = Voter::Fit { interval: fit(90, 91).interval().unwrap(), prefer: true };
        let verdict = vote(&[fit(-1, 1), fit(-2, 2), lying], 1, Some(1));
        use Selection::{Chief, Combined, Falseticker};
        assert_eq!(verdict.selections, [Combined, Chief, Falseticker]);
    }
}
