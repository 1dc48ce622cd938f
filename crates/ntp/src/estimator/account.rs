//! Who is to blame for a measurement that nobody expected: its path, our clock, or chance.

use timeball_timebase::MonoTime;

use super::{Estimator, Held, SETTLED_SAMPLES_MIN, SURPRISE, seconds};

/// Beyond this many standard deviations they are too strange for promises to rely on the clock
/// being what it was.
const STRANGE: f64 = 3.0;
/// Beyond this the first measurements of a source tell of its bias.
const NEWCOMER_SURPRISE: f64 = 3.0;
/// Three in a row of one sign beyond this are a surprise, too.
const SURPRISE_IN_A_ROW: f64 = 2.2;
/// The largest change of frequency that one surprise suggests; a second in a row suggests more.
const FREQUENCY_CHANGE: f64 = 2e-5;
const FREQUENCY_CHANGE_MAX: f64 = 5e-4;

/// Who was found to be the cause of an innovation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Account {
    /// Nobody in particular.
    Noise,
    /// Nobody else is there to be asked, and noise it hardly is: by so much our clock's rate may
    /// have changed.
    Strange(f64),
    /// The path to the source, or the source.
    Path,
    /// Our own clock, whose rate may have changed by so much.
    Clock(f64),
    /// Another source is to be heard first.
    HoldBack,
}

/// An innovation that is not forgotten yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    source: usize,
    /// In standard deviations.
    normalized: f64,
    /// When the source's measurement before was made.
    since: MonoTime,
}

impl Estimator {
    /// Finds who is to blame for an innovation that is too large, and makes that more uncertain.
    pub(super) fn account_for(
        &mut self,
        source: usize,
        innovation: f64,
        normalized: f64,
        elapsed: f64,
        at: MonoTime,
    ) -> Account {
        let since = at - seconds(elapsed);
        self.latest.push(Recent { source, normalized, since });
        if self.latest.len() > 3 {
            self.latest.remove(0);
        }
        let alone = !self.others_are_fresh(source, at);
        let settled = self.sources[source].delays.count() > SETTLED_SAMPLES_MIN;
        let surprised = normalized.abs() > SURPRISE && settled;
        if let Some(held) = self.held.take() {
            let agrees = innovation * held.innovation > 0.0 && normalized.abs() > SURPRISE_IN_A_ROW;
            if held.source == source || agrees {
                if held.source == source {
                    self.blame_the_path(source, innovation);
                }
                return self.blame_the_clock(innovation, elapsed);
            }
            self.blame_the_path(held.source, held.innovation);
        }
        if !settled && !alone && normalized.abs() > NEWCOMER_SURPRISE {
            // Whoever comes to a settled company is measured by it, and does not move it.
            self.blame_the_path(source, innovation);
            return Account::Path;
        }
        if surprised && !alone {
            self.held = Some(Held { source, innovation });
            return Account::HoldBack;
        }
        if surprised {
            return self.blame_the_clock(innovation, elapsed);
        }
        if settled && let Some(began) = self.three_in_a_row() {
            let of_one_source = self.latest.iter().all(|recent| recent.source == source);
            if of_one_source && !alone {
                self.blame_the_path(source, innovation);
                self.latest.clear();
                return Account::Path;
            }
            return self.blame_the_clock(innovation, (at - began).as_seconds_f64());
        }
        self.surprised_before = false;
        if settled && alone && normalized.abs() > STRANGE {
            Account::Strange(innovation.abs() / elapsed)
        } else {
            Account::Noise
        }
    }

    /// `elapsed`: the time in which whatever it was may have gone unnoticed, in seconds.
    fn blame_the_clock(&mut self, innovation: f64, elapsed: f64) -> Account {
        let limit = if self.surprised_before { FREQUENCY_CHANGE_MAX } else { FREQUENCY_CHANGE };
        let change = innovation.abs() / elapsed;
        self.bank.widen(innovation * innovation, change.min(limit).powi(2));
        self.latest.clear();
        self.surprised_before = true;
        Account::Clock(change)
    }

    fn blame_the_path(&mut self, source: usize, innovation: f64) {
        let limit = self.sources[source].bias_variance_max;
        self.bank.widen_bias(source, innovation * innovation, limit);
        self.consensus.change_path(source);
    }

    /// Whether the last three were all too large or all too small, and since when what made them so
    /// may have been there.
    fn three_in_a_row(&self) -> Option<MonoTime> {
        let [first, ..] = self.latest[..] else { return None };
        let strange = |of: f64| self.latest.iter().all(|r| r.normalized * of > SURPRISE_IN_A_ROW);
        (self.latest.len() == 3 && (strange(1.0) || strange(-1.0))).then_some(first.since)
    }

    fn others_are_fresh(&self, source: usize, at: MonoTime) -> bool {
        const GRACE_S: f64 = 10.0;
        self.sources.iter().enumerate().any(|(other, memory)| {
            other != source
                && memory.delays.count() > SETTLED_SAMPLES_MIN
                && memory.last.is_some_and(|(last, interval)| {
                    (at - last).as_seconds_f64() < 2.0 * interval + GRACE_S
                })
        })
    }
}
