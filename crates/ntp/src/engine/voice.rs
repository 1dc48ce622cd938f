//! What a source has to say in a vote, and what follows from the votes.

use timeball_timebase::{MonoTime, Now, Span};

use super::Engine;
use super::config::Due;
use super::interval::{Hull, TimedInterval};
use super::rates::Rates;
use super::report::Selection;
use super::selection::{self, Outcome, Record, Voter};
use super::source::Source;

/// A silent source still counts in the vote until others were heard for this long without it: if
/// they could be a majority sooner, whoever cuts off the honest ones would make the liar left over
/// the majority. Time in which nobody was heard does not count, or the first to return would.
const WITNESS_MEMORY: Span = Span::from_minutes(8 * 60);

impl Source {
    /// What the source has to say in a vote at `at`, by an oscillator that can have those rates.
    pub(super) fn voter(&self, at: MonoTime, rates: &Rates) -> Voter {
        if self.duplicate {
            return Voter::Out(Selection::Duplicate);
        }
        if self.is_awaited(at) {
            return if self.config.options.noselect {
                Voter::Out(Selection::NotSelectable)
            } else {
                Voter::Pending { trust: self.config.options.trust }
            };
        }
        match self.promise {
            _ if self.polling.reach() == 0 => self.silent(Selection::Unreachable),
            _ if !self.fit => self.silent(Selection::Unfit),
            None => self.silent(Selection::Unfit),
            Some(_) if self.config.options.noselect => Voter::Out(Selection::NotSelectable),
            Some(promise) => Voter::Fit {
                interval: promise.aged(at, rates.ageing(promise.at, at)),
                prefer: self.config.options.prefer,
                trust: self.config.options.trust,
                record: self.record(),
                twin: None,
            },
        }
    }

    /// Until when its first answer is waited for at most; `None` while it is not, or is yet to be
    /// asked.
    pub(super) fn awaited_until(&self, at: MonoTime) -> Due {
        let found_by = Some(self.findable_until).filter(|_| !self.has_place());
        self.polling
            .untried_until()
            .into_iter()
            .chain(found_by)
            .min()
            .filter(|_| self.is_awaited(at))
    }

    fn is_awaited(&self, at: MonoTime) -> bool {
        let may_be_found = self.resolve_error.is_none() && at < self.findable_until;
        (self.has_place() || may_be_found) && self.polling.is_untried(at)
    }

    /// What majorities found of it.
    pub(super) fn record(&self) -> Record {
        match self.probation {
            _ if self.convicted => Record::Convicted,
            0 => Record::Clean,
            _ => Record::Probation,
        }
    }

    /// The source's part while it says nothing that could be used.
    fn silent(&self, reason: Selection) -> Voter {
        match self.missed {
            Some(missed) if missed < WITNESS_MEMORY && !self.config.options.noselect => {
                Voter::Absent { reason, trust: self.config.options.trust }
            }
            _ => Voter::Out(reason),
        }
    }
}

impl Engine {
    /// Holds a vote: who is believed, and what is promised.
    pub(super) fn vote(&mut self, now: Now) {
        let voters = self.voters(now.raw);
        let (promised, former_chief) = (self.hull_at(now.raw), self.verdict.chief);
        self.verdict = selection::vote(&voters, self.config.min_sources, promised, former_chief);
        if let Some(credible) = self.credible_at(now.raw) {
            self.verdict.keep_credible(&voters, credible);
        }
        self.waiting_until =
            self.sources.iter().filter_map(|source| source.awaited_until(now.raw)).min();
        let majority = matches!(self.verdict.outcome, Outcome::Majority(_));
        let sources = self.sources.iter_mut().zip(&self.verdict.selections);
        let mut convicts = Vec::new();
        for (i, (source, selection)) in sources.enumerate() {
            if majority && *selection == Selection::Falseticker && source.is_used() {
                convicts.push(i);
            }
            source.take_part(*selection, voters[i].twin(), majority);
        }
        self.disown(&convicts);
        match self.verdict.outcome {
            Outcome::Majority(interval) => {
                self.settle_pause(now, interval);
                self.hull = Some(self.new_hull(now.raw, interval));
            }
            Outcome::Remnant(interval) => {
                let promise = TimedInterval { at: now.raw, interval };
                self.hull = self.hull.map(|hull| Hull { promise, ..hull });
            }
            Outcome::Witness | Outcome::Silence => {}
            Outcome::Contradiction => self.hull = None,
        }
    }
}
