//! Judges what an engine does against the truth.
//!
//! The checkers see what a consumer of the clock sees (published states, the kernel's clock, the
//! engine's actions) and what nobody in the world sees (true time, true delays). Of how the engine
//! came to what it says they know nothing.

mod bound;
mod falsetickers;
mod kernel;
mod steps;

use core::fmt;

use timeball_ntp::engine::{ClockMode, KernelClock};
use timeball_timebase::{ClockState, Now, Span, Timestamp};

use crate::clock::SLEW_RATE;
use crate::floor::Exchange;
use crate::scenario::{Happening, Scenario};
use falsetickers::Falsetickers;
use kernel::Kernel;
use steps::Steps;

/// Violations that are kept; more are only counted.
const KEPT_MAX: usize = 16;
/// After a pause that nobody was told of, promises may be wrong until every server was asked again:
/// this many of the longest polling intervals.
const BLIND_POLLS: f64 = 3.0;
/// That somebody else makes the clock run faster or slower is seen within so many seconds.
const NOTICED_S: f64 = 10.0;

/// What must always hold (the design's invariants 1, 2 and 3; 6 is [`crate::World::trace`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// True time lies within every published bound.
    Bound,
    /// A minority of falsetickers never moves the clock.
    Falsetickers,
    /// No step once the clock was ready, and none below the threshold.
    Step,
    /// The kernel's `maxerror` and flag tell the truth within 10 s.
    Kernel,
}

/// A rule that did not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Seconds after the start.
    pub at_s: f64,
    /// What is: the estimate's or the clock's error, or the step.
    pub error: Span,
    /// What would have been right at most.
    pub limit: Span,
}

/// The world at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) at_s: f64,
    pub(crate) now: Now,
    pub(crate) truth: Timestamp,
    pub(crate) state: &'a ClockState,
    pub(crate) kernel: KernelClock,
}

/// All checkers of one world.
#[derive(Clone, Debug)]
pub(crate) struct Checkers {
    /// Whether more than half of the servers are honest: else nothing is promised.
    applies: bool,
    disciplines: bool,
    blind_s: f64,
    blind_until_s: f64,
    /// There is no process: nobody tells the kernel anything.
    is_absent: bool,
    falsetickers: Falsetickers,
    kernel: Kernel,
    steps: Steps,
    kept: Vec<Violation>,
    count: u64,
}

impl Checkers {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let poll = scenario.config.sources.iter().map(|source| source.poll.max).max().unwrap_or(0);
        Self {
            applies: scenario.has_honest_majority(),
            disciplines: scenario.config.mode == ClockMode::Discipline,
            blind_s: BLIND_POLLS * f64::from(poll).exp2(),
            blind_until_s: 0.0,
            is_absent: false,
            falsetickers: Falsetickers::new(scenario),
            kernel: Kernel::default(),
            steps: Steps::new(scenario.config.step, scenario.hardware_clock.is_some()),
            kept: Vec::new(),
            count: 0,
        }
    }

    /// Looks at everything that can be judged at any moment.
    pub(crate) fn look(&mut self, scene: &Scene<'_>) {
        if !self.applies || scene.at_s < self.blind_until_s {
            return;
        }
        let mut found = [bound::check(scene), None, None];
        if self.disciplines {
            found[1] = self.falsetickers.check(scene);
            self.steps.look(scene);
            if !self.is_absent {
                found[2] = self.kernel.check(scene);
            }
        }
        found.into_iter().flatten().for_each(|violation| self.keep(violation));
    }

    /// Takes notice of an answer of a server that tells the truth.
    pub(crate) fn answered_honestly(&mut self, exchange: &Exchange) {
        self.falsetickers.answered_honestly(exchange);
    }

    /// Takes notice that the clock may be anywhere and has to come near the truth anew.
    pub(crate) fn clock_was_set(&mut self) {
        self.falsetickers.clock_was_set();
    }

    /// Judges a step that the engine made.
    pub(crate) fn stepped(&mut self, at_s: f64, by: Span) {
        self.falsetickers.clock_was_set();
        if let Some(violation) = self.steps.stepped(at_s, by).filter(|_| self.applies) {
            self.keep(violation);
        }
    }

    /// Takes notice of what happens to the machine.
    pub(crate) fn happened(&mut self, at_s: f64, happening: Happening) {
        match happening {
            Happening::Pause(length_s) => {
                self.blind(at_s + length_s as f64 + self.blind_s);
                self.steps.paused();
            }
            Happening::Sleep { .. } => {
                self.falsetickers.clock_was_set();
                self.kernel.was_alone();
            }
            Happening::SetClock(_) => self.falsetickers.clock_was_set(),
            Happening::WriteFrequency(_) => self.blind(at_s + NOTICED_S),
            Happening::Slew(by) => {
                self.blind(at_s + by.as_seconds_f64().abs() / SLEW_RATE + NOTICED_S);
            }
            Happening::Restart { .. } | Happening::Kill(_) | Happening::Reboot(_) => {
                self.is_absent = true;
                self.steps.restarted();
            }
            Happening::RefuseWrites(refuse) => {
                self.kernel.refuses = refuse;
                self.kernel.was_alone();
            }
            Happening::Stall(length_s) => {
                let until_s = at_s + length_s as f64;
                self.kernel.alone_until_s = until_s;
                self.falsetickers.unattended_until(until_s);
            }
        }
    }

    /// Until then nobody can know what is true.
    fn blind(&mut self, until_s: f64) {
        self.blind_until_s = self.blind_until_s.max(until_s);
        self.falsetickers.clock_was_set();
    }

    /// Takes notice that the process runs again.
    pub(crate) fn begun_anew(&mut self) {
        self.is_absent = false;
        self.kernel.was_alone();
    }

    /// The first ones, oldest first.
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.kept
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn keep(&mut self, violation: Violation) {
        self.count += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(violation);
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, at_s, error, limit } = self;
        write!(f, "{rule:?} at {at_s:.3} s: {error} where {limit} is the limit")
    }
}
