//! Who are one witness: servers that are one machine under several addresses.
//!
//! A server tells when its clock was set last (the reference timestamp), to a fraction of a second
//! that another server does not tell by chance. What follows from two that tell the same, and why a
//! liar gains nothing by telling what another does, is in
//! `docs/decisions/0044-one-server-under-two-addresses.md`.

use std::collections::BTreeSet;

use timeball_timebase::{Interval, MonoTime, NtpShort, NtpTime, Span};

use super::Engine;
use super::interval::TimedInterval;
use super::selection::Voter;
use crate::packet::Header;

/// What the intervals of one server's addresses are as long as at most, in those of the narrowest.
/// Paths differ and jitter; ageing does not count.
const WIDER_MAX: i64 = 4;
/// A server's reference timestamps may go back by as much: some blur them by up to a second.
const BLUR_BITS: i64 = 2 << 32;

/// What an answer tells of which server it is from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    stratum: u8,
    reference_id: [u8; 4],
    reference: NtpTime,
    root_delay: NtpShort,
    /// When the request arrived, by the server's own clock.
    told_at: NtpTime,
}

/// The sources that are one server by their latest word: pairs of places, the lower one first.
#[derive(Clone, Debug, Default)]
pub(super) struct Twins(BTreeSet<(usize, usize)>);

impl Identity {
    /// What an answer tells.
    pub(super) fn of(header: &Header) -> Self {
        Self {
            stratum: header.stratum,
            reference_id: header.reference_id,
            reference: header.reference,
            root_delay: header.root_delay,
            told_at: header.receive,
        }
    }

    /// Whether the two are of one server. Some servers tell whole seconds, or minutes, as others do
    /// by chance.
    fn is(&self, other: &Self) -> bool {
        self.reference.to_bits() & 0xffff_ffff != 0
            && (self.stratum, self.reference_id) == (other.stratum, other.reference_id)
            && (self.reference, self.root_delay) == (other.reference, other.root_delay)
    }

    /// Whether the two cannot be of one server: the later answer tells of an earlier setting.
    fn contradicts(&self, other: &Self) -> bool {
        let later = difference(self.told_at, other.told_at).signum();
        difference(self.reference, other.reference).saturating_mul(later) < -BLUR_BITS
    }
}

/// How much later the first is, in 2^-32 s, wherever in an era.
fn difference(a: NtpTime, b: NtpTime) -> i64 {
    a.to_bits().wrapping_sub(b.to_bits()).cast_signed()
}

impl Twins {
    /// Tells voters who are one witness with an earlier one: whose server is the same, for as long
    /// as what they promise does not contradict each other. `measured` is how long each one's
    /// interval was when it was measured.
    pub(super) fn tell(&self, voters: &mut [Voter], measured: &[Span]) {
        let mut servers: Vec<Promises> = Vec::new();
        for (place, (voter, measured)) in voters.iter_mut().zip(measured).enumerate() {
            let Voter::Fit { interval, twin, .. } = voter else { continue };
            let known = servers.iter_mut().find_map(|server| {
                let is_one = self.0.contains(&(server.first, place));
                (is_one && server.join(*interval, *measured)).then_some(server.first)
            });
            *twin = known;
            if known.is_none() {
                let (narrowest, widest) = (*measured, *measured);
                servers.push(Promises { first: place, common: *interval, narrowest, widest });
            }
        }
    }

    /// Learns from the latest answer at `place` with which other sources that is one server, by the
    /// latest answer at each place.
    fn note(&mut self, place: usize, latest: &[Option<Identity>]) {
        let Some(mine) = latest[place] else { return };
        for (other, identity) in latest.iter().enumerate().filter(|(other, _)| *other != place) {
            let pair = (place.min(other), place.max(other));
            match identity {
                Some(identity) if mine.contradicts(identity) => {
                    self.0.remove(&pair);
                }
                Some(identity) if mine.is(identity) => {
                    self.0.insert(pair);
                }
                _ => {}
            }
        }
    }

    fn forget(&mut self, place: usize) {
        self.0.retain(|(a, b)| *a != place && *b != place);
    }
}

/// What the addresses of one server promise.
struct Promises {
    /// The place of the first.
    first: usize,
    /// What they have in common.
    common: Interval,
    /// The lengths as they were measured.
    narrowest: Span,
    widest: Span,
}

impl Promises {
    /// Takes another's, unless it contradicts one of them, or is so much wider or narrower that who
    /// only pretends to be this server could blur what it promises.
    fn join(&mut self, interval: Interval, measured: Span) -> bool {
        let (narrowest, widest) = (self.narrowest.min(measured), self.widest.max(measured));
        let common = self.common.intersection(&interval);
        let Some(common) = common.filter(|_| widest <= narrowest * WIDER_MAX) else { return false };
        *self = Self { first: self.first, common, narrowest, widest };
        true
    }
}

impl Engine {
    /// What all sources have to say in a vote at `at`.
    pub(super) fn voters(&self, at: MonoTime) -> Vec<Voter> {
        let voters = self.sources.iter().map(|source| self.voter(source, at));
        let mut voters: Vec<Voter> = voters.collect();
        if self.twins.0.is_empty() {
            return voters;
        }
        let length = |promise: &TimedInterval| promise.interval.latest - promise.interval.earliest;
        let measured = self.sources.iter().map(|source| source.promise.as_ref().map(length));
        let measured: Vec<Span> = measured.map(Option::unwrap_or_default).collect();
        self.twins.tell(&mut voters, &measured);
        voters
    }

    /// Learns from a source's latest answer which server that is from.
    pub(super) fn note_identity(&mut self, place: usize) {
        let latest: Vec<_> = self.sources.iter().map(|source| source.identity).collect();
        self.twins.note(place, &latest);
    }

    /// Another server is asked there.
    pub(super) fn forget_identity(&mut self, place: usize) {
        self.twins.forget(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::selection::Record;

    /// An answer at this second, by a server whose clock was set at that one.
    fn answer(second: u64, set: u64, fraction: u64) -> Header {
        Header {
            stratum: 2,
            reference_id: [192, 0, 2, 1],
            reference: NtpTime::from_bits(set << 32 | fraction),
            receive: NtpTime::from_bits(second << 32),
            ..Header::request(4, NtpTime::ZERO)
        }
    }

    /// Whether two addresses are one server after these answers, each from the first or the second.
    fn are_one(answers: &[(usize, Header)]) -> bool {
        let (mut latest, mut twins) = ([None, None], Twins::default());
        for (place, header) in answers {
            latest[*place] = Some(Identity::of(header));
            twins.note(*place, &latest);
        }
        twins.0.contains(&(0, 1))
    }

    #[test]
    fn two_that_tell_the_same_reference_to_the_last_bit_are_one_server() {
        assert!(are_one(&[(0, answer(100, 90, 7)), (1, answer(101, 90, 7))]));
        assert!(!are_one(&[(0, answer(100, 90, 7)), (1, answer(101, 90, 8))]));
        let other = |change: fn(&mut Header)| {
            let mut header = answer(101, 90, 7);
            change(&mut header);
            are_one(&[(0, answer(100, 90, 7)), (1, header)])
        };
        assert!(!other(|header| header.stratum = 3));
        assert!(!other(|header| header.reference_id = [192, 0, 2, 2]));
        assert!(!other(|header| header.root_delay = NtpShort::from_bits(1)));
        assert!(other(|header| header.root_dispersion = NtpShort::from_bits(1)), "it grows");
    }

    #[test]
    fn whole_seconds_and_no_reference_at_all_tell_nothing() {
        assert!(!are_one(&[(0, answer(100, 90, 0)), (1, answer(101, 90, 0))]));
        assert!(!are_one(&[(0, answer(100, 0, 0)), (1, answer(101, 0, 0))]));
        assert!(!are_one(&[(0, answer(100, 90, 7))]));
    }

    #[test]
    fn a_server_that_sets_its_clock_between_two_questions_is_known_when_it_is_asked_again() {
        let answers = [(0, answer(100, 90, 7)), (0, answer(164, 154, 8)), (1, answer(165, 90, 7))];
        assert!(!are_one(&answers), "it cannot tell of 90 after it told of 154");
        let answers = [(1, answer(99, 90, 7)), (0, answer(164, 154, 8)), (1, answer(165, 154, 8))];
        assert!(are_one(&answers));
        // Set more often than it is asked, it stays what it was found to be.
        let mut answers = vec![(0, answer(100, 90, 7)), (1, answer(100, 90, 7))];
        answers.extend((1..20).map(|n| ((n % 2) as usize, answer(100 + 32 * n, 95 + 32 * n, n))));
        assert!(are_one(&answers));
    }

    #[test]
    fn two_are_apart_as_soon_as_the_later_answer_tells_of_an_earlier_setting() {
        let same = [(0, answer(100, 90, 7)), (1, answer(101, 90, 7))];
        let then = |more: &[(usize, Header)]| are_one(&[&same[..], more].concat());
        assert!(then(&[(0, answer(164, 150, 8)), (1, answer(165, 160, 9))]), "it was set again");
        assert!(!then(&[(0, answer(164, 150, 8)), (1, answer(165, 140, 9))]));
        assert!(then(&[(0, answer(164, 150, 8)), (1, answer(165, 149, 9))]), "some blur it");
        // However answers overtake each other, the server's own clock tells which was later.
        assert!(then(&[(0, answer(165, 160, 9)), (1, answer(164, 150, 8))]));
        let era = u64::from(u32::MAX);
        let over =
            [(0, answer(era, era - 9, 7)), (1, answer(era, era - 9, 7)), (0, answer(2, 1, 8))];
        assert!(are_one(&over), "2036");
    }

    fn fit(earliest_ms: i64, latest_ms: i64) -> Voter {
        let (earliest, latest) = (Span::from_millis(earliest_ms), Span::from_millis(latest_ms));
        let interval = Interval { earliest, latest };
        Voter::Fit { interval, prefer: false, trust: false, record: Record::Clean, twin: None }
    }

    #[test]
    fn one_server_is_one_witness_while_its_addresses_do_not_contradict_each_other() {
        let twins = Twins(BTreeSet::from([(0, 1), (0, 3), (1, 3)]));
        let told_by = |intervals: [(i64, i64); 4], measured_ms: [i64; 4]| {
            let mut voters = intervals.map(|(from, to)| fit(from, to));
            twins.tell(&mut voters, &measured_ms.map(Span::from_millis));
            voters.map(|voter| voter.twin())
        };
        let told = |intervals| told_by(intervals, [10; 4]);
        assert_eq!(told([(-5, 5); 4]), [None, Some(0), None, Some(0)]);
        assert_eq!(told([(-5, 5), (4, 14), (-5, 5), (-5, 5)]), [None, Some(0), None, Some(0)]);
        assert_eq!(told([(-5, 5), (6, 16), (-5, 5), (-5, 5)]), [None, None, None, Some(0)]);
        let apart = told([(-5, 5), (4, 14), (0, 1), (-9, 0)]);
        assert_eq!(apart, [None, Some(0), None, None], "it contradicts one of the two");
        // One that was measured long ago is wide, and the same server still.
        assert_eq!(told([(-500, 500), (-5, 5), (0, 1), (-4, 6)]), [None, Some(0), None, Some(0)]);
        // Who claims a wide interval to blur another's stands for itself.
        let blurred = told_by([(-500, 500), (-5, 5), (0, 1), (-4, 6)], [1_000, 10, 1, 10]);
        assert_eq!(blurred, [None, None, None, Some(1)]);
        let mut voters = [Voter::Out(crate::engine::Selection::Unreachable), fit(-5, 5)];
        twins.tell(&mut voters, &[Span::ZERO; 2]);
        assert_eq!(voters[1].twin(), None, "who is silent speaks for nobody");
    }

    #[test]
    fn another_server_at_an_address_is_nobody_elses_twin() {
        let mut twins = Twins(BTreeSet::from([(0, 1), (0, 2), (1, 2)]));
        twins.forget(1);
        assert_eq!(twins.0, BTreeSet::from([(0, 2)]));
    }
}
