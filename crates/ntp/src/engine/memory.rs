//! What is remembered of sources from one run to the next.
//!
//! Nothing of it is a promise: what a restart made wrong (another path, another server behind the
//! address) costs the estimate some answers, and the bound nothing, which comes from answers of
//! this run alone. See `docs/decisions/0042-what-is-remembered-of-sources.md`.

use timeball_timebase::{MonoTime, Now, Span};

use super::Engine;
use super::config::{EngineConfig, SourceConfig};
use super::remembered::{REMEMBERED_MAX, RememberedSource};
use super::selection::Record;
use super::source::Source;

/// For how long: paths change, and who lied may have been put right.
const KEPT_FOR: Span = Span::from_minutes(24 * 60);

/// What an earlier run remembered, while it is fresh enough.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Each with the time it was learned, by the raw clock.
    entries: Vec<(RememberedSource, MonoTime)>,
}

impl Memory {
    /// Takes what the settings hold of it.
    pub(super) fn new(config: &mut EngineConfig, now: Now) -> Self {
        let mut remembered = core::mem::take(&mut config.remembered);
        remembered.truncate(REMEMBERED_MAX);
        let is_configured =
            |known: &RememberedSource| config.sources.iter().any(|source| known.names(source));
        let entries = remembered.into_iter().filter(is_configured).filter_map(|known| {
            let age = now.system - known.learned_at;
            // A system clock that is to be put right may be behind what it was.
            (age.abs() <= KEPT_FOR).then(|| (known, now.raw - age))
        });
        Self { entries: entries.collect() }
    }

    fn of(&self, source: &Source, at: MonoTime) -> Option<&(RememberedSource, MonoTime)> {
        self.fresh(at).find(|(known, _)| known.is_of(source))
    }

    fn fresh(&self, at: MonoTime) -> impl Iterator<Item = &(RememberedSource, MonoTime)> {
        self.entries.iter().filter(move |(_, learned_at)| at - *learned_at <= KEPT_FOR)
    }
}

impl Engine {
    /// What is worth remembering of the sources for the next run, [`REMEMBERED_MAX`] at most: what
    /// this run has learned, and what it still remembers of those that it has not heard.
    pub fn remembered(&self, now: Now) -> Vec<RememberedSource> {
        let learned = (0..self.sources.len()).filter_map(|index| self.learned(now, index));
        let mut all: Vec<RememberedSource> = learned.collect();
        let heard = |known: &RememberedSource| {
            self.sources.iter().any(|source| source.last_heard().is_some() && known.is_of(source))
        };
        let unheard = self.memory.fresh(now.raw).filter(|(known, _)| !heard(known));
        all.extend(unheard.map(|(known, _)| {
            let source = self.sources.iter().find(|source| known.is_of(source));
            let missed = source.and_then(|source| source.missed).unwrap_or(known.missed);
            RememberedSource { missed, ..known.clone() }
        }));
        all.truncate(REMEMBERED_MAX);
        all
    }

    /// Begins with what an earlier run knew of the server that a source is to ask.
    pub(super) fn recall(&mut self, at: MonoTime, index: usize) {
        let source = &mut self.sources[index];
        let Some((known, learned_at)) = self.memory.of(source, at) else { return };
        source.recall(known.record, known.missed);
        if let Some(path) = &known.path {
            self.estimator.recall(index, path, at - *learned_at);
        }
    }

    fn learned(&self, now: Now, index: usize) -> Option<RememberedSource> {
        let source = &self.sources[index];
        let learned_at = now.system - (now.raw - source.last_heard()?);
        let record = source.record();
        let is_true = record == Record::Clean && source.is_used();
        let learned = self.estimator.remembered_path(index).filter(|_| is_true);
        // A short run knows less than the one before it.
        let former = || self.memory.of(source, now.raw)?.0.path;
        let path = learned.or_else(former).filter(|_| record == Record::Clean);
        let SourceConfig { host, port, .. } = &source.config;
        let (host, port, address) = (host.clone(), *port, source.address);
        let missed = source.missed.unwrap_or(Span::ZERO);
        Some(RememberedSource { host, port, address, learned_at, missed, record, path })
    }
}

impl RememberedSource {
    fn names(&self, config: &SourceConfig) -> bool {
        self.host == config.host && self.port == config.port
    }

    fn is_of(&self, source: &Source) -> bool {
        self.names(&source.config) && self.address == source.address && source.has_place()
    }
}

impl Source {
    /// When the server at its address of now was heard last.
    fn last_heard(&self) -> Option<MonoTime> {
        self.told.and(self.last_sample).map(|sample| sample.at)
    }
}
