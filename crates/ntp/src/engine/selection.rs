//! Who tells the truth: majority by intersection of intervals.

use timeball_timebase::{Interval, Span, deepest_overlap};

use super::report::Selection;
use super::witnesses::{Said, Witness};

/// A source as a voter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Voter {
    /// Has an interval and may be chosen.
    Fit {
        /// Offsets that true time can have by its word.
        interval: Interval,
        /// Whether the configuration prefers it.
        prefer: bool,
        /// Whether the configuration trusts it: then it is judged by the trusted ones alone.
        trust: bool,
        /// What majorities found of it.
        record: Record,
        /// The place of the voter whose server it is under another address: the two are one
        /// witness.
        twin: Option<usize>,
    },
    /// Was asked and may still answer for the first time: counts against a hasty majority.
    Pending {
        /// Whether the configuration trusts it.
        trust: bool,
    },
    /// Had a voice not long ago and has none now: its silence makes nobody else a majority.
    Absent {
        /// Why it has none.
        reason: Selection,
        /// Whether the configuration trusts it.
        trust: bool,
    },
    /// Takes no part, and why.
    Out(Selection),
}

/// What majorities found of a source so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Record {
    /// Nothing against it for a while.
    Clean,
    /// It was found false not long ago: it is used where there is no other.
    Probation,
    /// A majority, or what the last one promised, found it false: only a majority can acquit it.
    Convicted,
}

/// What the voters say of the truth together.
///
/// Of n that have a voice, at most f = ⌊(n − 1) / 2⌋ are taken to be false, whether they speak now
/// or not. Of m that speak at least m − f are then true, so the truth is a point that so many
/// intervals share; and where more than f agree, one of them at least is true.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// So many agree that they cannot all be false: the smallest interval that certainly holds the
    /// truth.
    Majority(Interval),
    /// Too few agree to tell by themselves who is true, but by what the last majority promised
    /// they can be told: what is left of that promise.
    Remnant(Interval),
    /// No more speak than may be false, and some agree with the promise, which only ages.
    Witness,
    /// Nobody speaks, or nobody whom the promise confirms, or too few of those.
    Silence,
    /// Those who speak contradict each other or the promise: nobody can tell who is false.
    Contradiction,
}

/// The result of a vote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    /// What is agreed on.
    pub(super) outcome: Outcome,
    /// Each source's part, in order.
    pub(super) selections: Vec<Selection>,
    /// The source with the narrowest interval of those combined.
    pub(super) chief: Option<usize>,
}

/// Holds the vote; `min_sources` must agree in any case.
///
/// While a trusted source speaks, or may still answer for the first time, only trusted ones have a
/// voice; the others are judged by what those agree on.
///
/// `promised` is what the last majority promised, as of now. The former chief stays unless another
/// is clearly better.
pub(super) fn vote(
    voters: &[Voter],
    min_sources: usize,
    promised: Option<Interval>,
    former_chief: Option<usize>,
) -> Verdict {
    let (outcome, ground) = judge(voters, &witnesses(voters), min_sources, promised);
    let acquits = matches!(outcome, Outcome::Majority(_));
    let truechimers = || voters.iter().filter(|voter| voter.is_within(ground, acquits));
    // A slow answer's interval touches almost any ground, so that a source which is found false by
    // its prompt answers would be used now and then, and move the estimate each time.
    let any_clean = truechimers().any(Voter::is_clean);
    let usable = |voter: &Voter| voter.is_clean() || !any_clean;
    let any_preferred = truechimers().any(|voter| voter.is_preferred() && usable(voter));
    let is_passed_over = |voter: &Voter| !usable(voter) || (any_preferred && !voter.is_preferred());
    let selections: Vec<Selection> = voters
        .iter()
        .map(|voter| voter.selection(ground, acquits, is_passed_over(voter)))
        .collect();
    let chief = chief_of(voters, &selections, former_chief);
    let mut verdict = Verdict { outcome, selections, chief };
    if let Some(chief) = chief {
        verdict.selections[chief] = Selection::Chief;
    }
    verdict
}

/// Those who have a voice, server by server: only the trusted ones while any of them speaks.
pub(super) fn witnesses(voters: &[Voter]) -> Vec<Witness> {
    let speaks = |voter: &Voter| {
        matches!(voter, Voter::Fit { trust: true, .. } | Voter::Pending { trust: true })
    };
    let any_trusted = voters.iter().any(speaks);
    let has_a_voice = |voter: &Voter| match any_trusted {
        true => speaks(voter) || matches!(voter, Voter::Absent { trust: true, .. }),
        false => !matches!(voter, Voter::Out(_)),
    };
    let entitled = voters.iter().enumerate().filter(|(_, voter)| has_a_voice(voter));
    let mut witnesses: Vec<Witness> = entitled
        .map(|(place, voter)| Witness { server: voter.twin().unwrap_or(place), place })
        .collect();
    witnesses.sort_by_key(|witness| witness.server);
    witnesses
}

/// The outcome, and the ground that an interval must touch to be true. Each server has one voice,
/// under however many addresses.
fn judge(
    voters: &[Voter],
    witnesses: &[Witness],
    min_sources: usize,
    promised: Option<Interval>,
) -> (Outcome, Option<Interval>) {
    let said = Said::by(witnesses, |place| voters[place].interval());
    let entitled = said.servers();
    let false_max = entitled.saturating_sub(1) / 2;
    // Those who may answer in a moment are waited for, lest the first to answer be believed.
    let is_pending = |witness: &Witness| matches!(voters[witness.place], Voter::Pending { .. });
    let hasty = witnesses.iter().any(is_pending);
    let decisive = if hasty { entitled / 2 + 1 } else { false_max + 1 }.max(min_sources);
    let intervals = said.by_servers();
    let hull = said.allowed();
    let deepest = deepest_overlap(intervals);
    if let (Some(hull), Some((depth, ground))) = (hull, deepest)
        && depth >= decisive
    {
        return (Outcome::Majority(hull), Some(ground));
    }
    let Some(promised) = promised else {
        let enough = intervals.len() >= decisive;
        return (if enough { Outcome::Contradiction } else { Outcome::Silence }, None);
    };
    let agrees = |witness: &Witness| voters[witness.place].is_within(Some(promised), false);
    let servers = witnesses.chunk_by(|a, b| a.server == b.server);
    let agreeing = servers.filter(|server| server.iter().any(agrees)).count();
    let confirmed = agreeing >= min_sources.max(1);
    if intervals.len() <= false_max {
        let outcome = if confirmed { Outcome::Witness } else { Outcome::Silence };
        return (outcome, Some(promised));
    }
    match hull.and_then(|hull| hull.intersection(&promised)) {
        Some(left) if confirmed => (Outcome::Remnant(left), Some(left)),
        Some(_) => (Outcome::Silence, Some(promised)),
        None => (Outcome::Contradiction, None),
    }
}

impl Verdict {
    /// Where no majority speaks, leaves out who is believed only because the promise has become
    /// wide: whoever contradicts the estimate must wait for a majority.
    pub(super) fn keep_credible(&mut self, voters: &[Voter], credible: Interval) {
        if !matches!(self.outcome, Outcome::Witness | Outcome::Remnant(_)) {
            return;
        }
        for (selection, voter) in self.selections.iter_mut().zip(voters) {
            let is_used = matches!(selection, Selection::Chief | Selection::Combined);
            if is_used && voter.interval().is_some_and(|interval| !interval.overlaps(&credible)) {
                *selection = Selection::NoMajority;
            }
        }
        self.chief = chief_of(voters, &self.selections, self.chief);
        if let Some(chief) = self.chief {
            self.selections[chief] = Selection::Chief;
        } else if self.outcome == Outcome::Witness {
            self.outcome = Outcome::Silence;
        }
    }
}

impl Voter {
    fn interval(&self) -> Option<Interval> {
        match self {
            Self::Fit { interval, .. } => Some(*interval),
            Self::Pending { .. } | Self::Absent { .. } | Self::Out(_) => None,
        }
    }

    /// The voter whose server it is under another address.
    pub(super) fn twin(&self) -> Option<usize> {
        match self {
            Self::Fit { twin, .. } => *twin,
            Self::Pending { .. } | Self::Absent { .. } | Self::Out(_) => None,
        }
    }

    fn is_clean(&self) -> bool {
        matches!(self, Self::Fit { record: Record::Clean, .. })
    }

    fn is_preferred(&self) -> bool {
        matches!(self, Self::Fit { prefer: true, .. })
    }

    /// Whether it touches the ground; `acquits`: even if it was found false before.
    fn is_within(&self, ground: Option<Interval>, acquits: bool) -> bool {
        match (self, ground) {
            (Self::Fit { interval, record, .. }, Some(ground)) => {
                interval.overlaps(&ground) && (acquits || *record != Record::Convicted)
            }
            _ => false,
        }
    }

    fn selection(
        &self,
        ground: Option<Interval>,
        acquits: bool,
        is_passed_over: bool,
    ) -> Selection {
        match (self, ground) {
            (Self::Absent { reason, .. } | Self::Out(reason), _) => *reason,
            (Self::Pending { .. }, _) => Selection::Unreachable,
            (Self::Fit { .. }, None) => Selection::NoMajority,
            (Self::Fit { .. }, _) if !self.is_within(ground, acquits) => Selection::Falseticker,
            (Self::Fit { .. }, _) if is_passed_over => Selection::Candidate,
            (Self::Fit { .. }, _) => Selection::Combined,
        }
    }
}

fn chief_of(voters: &[Voter], selections: &[Selection], former: Option<usize>) -> Option<usize> {
    let width = |i: usize| -> Option<Span> {
        matches!(selections.get(i)?, Selection::Chief | Selection::Combined)
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

    const PENDING: Voter = Voter::Pending { trust: false };

    fn fit(earliest_ms: i64, latest_ms: i64) -> Voter {
        let interval = Interval {
            earliest: Span::from_millis(earliest_ms),
            latest: Span::from_millis(latest_ms),
        };
        Voter::Fit { interval, prefer: false, trust: false, record: Record::Clean, twin: None }
    }

    fn promise(earliest_ms: i64, latest_ms: i64) -> Option<Interval> {
        fit(earliest_ms, latest_ms).interval()
    }

    fn majority(verdict: &Verdict) -> Option<Interval> {
        match verdict.outcome {
            Outcome::Majority(hull) => Some(hull),
            _ => None,
        }
    }

    #[test]
    fn a_minority_is_named_false_and_moves_nothing() {
        let honest = [fit(-5, 5), fit(-3, 9), fit(-8, 4)];
        let alone = vote(&honest, 1, None, None);
        let verdict = vote(&[honest[0], fit(100, 101), honest[1], honest[2]], 1, None, None);
        assert_eq!(verdict.selections[1], Selection::Falseticker);
        assert_eq!(verdict.chief, Some(0));
        let hull = majority(&verdict).unwrap();
        assert!(hull.contains(Span::ZERO) && hull.latest <= majority(&alone).unwrap().latest);
    }

    #[test]
    fn no_majority_is_no_promise() {
        let split = [fit(0, 1), fit(10, 11)];
        let verdict = vote(&split, 1, None, None);
        assert_eq!((verdict.outcome, verdict.chief), (Outcome::Contradiction, None));
        assert_eq!(verdict.selections, [Selection::NoMajority; 2]);
        assert_eq!(vote(&split, 1, promise(0, 1), None).outcome, Outcome::Contradiction);
        let halves = [fit(0, 1), fit(10, 11), fit(0, 2), fit(10, 12)];
        assert_eq!(vote(&halves, 1, promise(0, 1), None).outcome, Outcome::Contradiction);
        assert_eq!(vote(&[fit(0, 1)], 2, None, None).outcome, Outcome::Silence);
        assert_eq!(vote(&[], 1, None, None).outcome, Outcome::Silence);
    }

    #[test]
    fn those_who_may_still_answer_count_against_a_hasty_majority() {
        for hasty in [
            [fit(0, 1), PENDING].as_slice(),
            &[fit(0, 1), PENDING, PENDING],
            &[fit(0, 1), fit(0, 1), PENDING, PENDING],
        ] {
            assert_eq!(vote(hasty, 1, None, None).outcome, Outcome::Silence);
        }
        assert!(majority(&vote(&[fit(0, 1), fit(0, 2), PENDING], 1, None, None)).is_some());
        let out = Voter::Out(Selection::Unreachable);
        assert!(majority(&vote(&[fit(0, 1), out, out], 1, None, None)).is_some());
    }

    #[test]
    fn the_silence_of_others_makes_nobody_a_majority() {
        let gone = Voter::Absent { reason: Selection::Unreachable, trust: false };
        let liar = vote(&[gone, gone, fit(100, 101), gone], 1, promise(-5, 5), None);
        assert_eq!(liar.outcome, Outcome::Silence);
        assert_eq!(liar.selections[2], Selection::Falseticker);
        assert_eq!(liar.selections[0], Selection::Unreachable);
        let honest = vote(&[gone, gone, fit(-1, 1), gone], 1, promise(-5, 5), None);
        assert_eq!((honest.outcome, honest.chief), (Outcome::Witness, Some(2)));
        let few = vote(&[gone, fit(-1, 1), gone], 2, promise(-5, 5), None);
        assert_eq!(few.outcome, Outcome::Silence);
        let unknown = vote(&[gone, fit(-1, 1), gone], 1, None, None);
        assert_eq!(unknown.selections[1], Selection::NoMajority);
    }

    #[test]
    fn only_a_majority_acquits_who_was_found_false() {
        let gone = Voter::Absent { reason: Selection::Unreachable, trust: false };
        let interval = fit(-1, 1).interval().unwrap();
        let convict = Voter::Fit {
            interval,
            prefer: false,
            trust: false,
            record: Record::Convicted,
            twin: None,
        };
        let verdict = vote(&[gone, gone, convict], 1, promise(-5, 5), None);
        assert_eq!(verdict.outcome, Outcome::Silence);
        assert_eq!(verdict.selections[2], Selection::Falseticker);
        let verdict = vote(&[gone, fit(0, 1), convict], 1, promise(-5, 5), None);
        assert!(majority(&verdict).is_some());
        assert_eq!(verdict.selections[2], Selection::Candidate);
    }

    #[test]
    fn who_was_found_false_is_used_again_only_after_a_while_or_for_want_of_others() {
        use Selection::{Candidate, Chief, Combined};
        let interval = fit(-1, 1).interval().unwrap();
        let late = |prefer| Voter::Fit {
            interval,
            prefer,
            trust: false,
            record: Record::Probation,
            twin: None,
        };
        let verdict = vote(&[fit(-5, 5), late(false), fit(-4, 4)], 1, None, Some(1));
        assert_eq!(verdict.selections, [Combined, Candidate, Chief]);
        assert_eq!(majority(&verdict), promise(-4, 4), "it has its voice all the same");
        let verdict = vote(&[fit(-5, 5), late(true), fit(-4, 4)], 1, None, None);
        assert_eq!(verdict.selections, [Combined, Candidate, Chief]);
        let verdict = vote(&[late(false), late(false)], 1, None, None);
        assert_eq!(verdict.selections, [Chief, Combined]);
    }

    #[test]
    fn two_of_four_are_told_from_a_liar_when_one_is_silent() {
        let gone = Voter::Absent { reason: Selection::Unfit, trust: false };
        let verdict = vote(&[gone, fit(-1, 2), fit(100, 101), fit(-2, 1)], 1, None, None);
        assert_eq!(majority(&verdict), promise(-1, 1));
        assert_eq!(verdict.selections[2], Selection::Falseticker);
        // Only one true one speaks: which it is, is told by the promise, and it may be either.
        let verdict = vote(&[gone, gone, fit(-1, 2), fit(100, 101)], 1, promise(-5, 5), None);
        let left = fit(-1, 5).interval().unwrap();
        assert_eq!((verdict.outcome, verdict.chief), (Outcome::Remnant(left), Some(2)));
        assert_eq!(verdict.selections[3], Selection::Falseticker);
    }

    #[test]
    fn without_a_majority_nobody_is_believed_against_the_estimate() {
        let gone = Voter::Absent { reason: Selection::Unreachable, trust: false };
        let credible = fit(-2, 2).interval().unwrap();
        let voters = [gone, fit(40, 41), gone, fit(-1, 1)];
        let mut verdict = vote(&voters, 1, promise(-50, 50), Some(1));
        verdict.keep_credible(&voters, credible);
        assert!(matches!(verdict.outcome, Outcome::Remnant(_)), "{verdict:?}");
        assert_eq!(verdict.selections[1], Selection::NoMajority);
        assert_eq!((verdict.chief, verdict.selections[3]), (Some(3), Selection::Chief));
        let voters = [gone, fit(40, 41), gone, gone];
        let mut verdict = vote(&voters, 1, promise(-50, 50), Some(1));
        verdict.keep_credible(&voters, credible);
        assert_eq!((verdict.outcome, verdict.chief), (Outcome::Silence, None));
        let voters = [fit(39, 42), fit(40, 41), gone, gone];
        let mut verdict = vote(&voters, 1, promise(-50, 50), None);
        verdict.keep_credible(&voters, credible);
        assert_eq!(verdict.chief, Some(1), "two of four are a majority");
    }

    #[test]
    fn preferred_sources_are_used_alone_while_they_are_true() {
        let Voter::Fit { interval, .. } = fit(-50, 50) else { unreachable!() };
        let preferred =
            Voter::Fit { interval, prefer: true, trust: false, record: Record::Clean, twin: None };
        let verdict = vote(&[fit(-1, 1), preferred], 1, None, None);
        assert_eq!(verdict.selections, [Selection::Candidate, Selection::Chief]);
        let interval = fit(90, 91).interval().unwrap();
        let lying =
            Voter::Fit { interval, prefer: true, trust: false, record: Record::Clean, twin: None };
        let verdict = vote(&[fit(-1, 1), fit(-2, 2), lying], 1, None, Some(1));
        use Selection::{Chief, Combined, Falseticker};
        assert_eq!(verdict.selections, [Combined, Chief, Falseticker]);
    }

    fn trusted(earliest_ms: i64, latest_ms: i64) -> Voter {
        let interval = fit(earliest_ms, latest_ms).interval().unwrap();
        Voter::Fit { interval, prefer: false, trust: true, record: Record::Clean, twin: None }
    }

    #[test]
    fn trusted_sources_are_judged_by_each_other_alone() {
        use Selection::{Chief, Combined, Falseticker, NoMajority, Unreachable};
        let others = [fit(100, 101), fit(100, 101), fit(99, 102)];
        let verdict = vote(&[&others[..], &[trusted(-1, 1)]].concat(), 1, None, None);
        assert_eq!(majority(&verdict), promise(-1, 1));
        assert_eq!(verdict.selections, [Falseticker, Falseticker, Falseticker, Chief]);
        // Who agrees with the trusted one is used beside it.
        let verdict = vote(&[trusted(-5, 5), fit(-1, 1)], 1, None, None);
        assert_eq!(verdict.selections, [Combined, Chief]);
        // Two that contradict each other leave nobody to be believed.
        let split = [trusted(-1, 1), trusted(50, 51), fit(-1, 1)];
        let verdict = vote(&split, 1, None, None);
        assert_eq!((verdict.outcome, verdict.selections[2]), (Outcome::Contradiction, NoMajority));
        // One that may still answer is waited for; one that is gone is not.
        let waiting = [&others[..], &[Voter::Pending { trust: true }]].concat();
        assert_eq!(vote(&waiting, 1, None, None).outcome, Outcome::Silence);
        let gone = [&others[..], &[Voter::Absent { reason: Unreachable, trust: false }]].concat();
        assert_eq!(majority(&vote(&gone, 1, None, None)), promise(100, 101));
        // Of three trusted ones the last to speak is no majority.
        let cut_off = Voter::Absent { reason: Unreachable, trust: true };
        let last = [trusted(-1, 1), cut_off, cut_off, fit(-1, 1)];
        assert_eq!(vote(&last, 1, None, None).outcome, Outcome::Silence);
    }
}
