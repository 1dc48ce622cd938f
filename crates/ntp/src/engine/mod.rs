//! The engine: one state machine that turns inputs into actions and publishes what it knows.
//!
//! A datagram becomes a sample (`source`), a sample a promise about that source (`interval`); the
//! promises are voted on (`selection`), samples of true sources feed the estimate
//! (`crate::estimator`), estimate and vote together are published (`publish`) and, in discipline
//! mode, followed (`discipline`). All of it is kept on the raw clock (`system_clock` converts), so
//! whatever is done to the system clock is something read, not something that happened to the
//! estimate.

mod addresses;
mod asking;
mod config;
mod conflict;
mod constraint;
mod discipline;
mod exchange;
mod feed;
mod interval;
mod io;
mod jumps;
mod kernel_truth;
mod leap;
mod leap_table;
mod memory;
mod ourselves;
mod pause;
mod policy;
mod polling;
mod publish;
mod rates;
mod readings;
mod reference;
mod remembered;
mod report;
mod selection;
mod source;
mod system_clock;
mod twins;
mod voice;
mod witnesses;

pub use crate::estimator::{RememberedBias, RememberedPath};
pub use config::{
    ClockMode, ConstraintPolicy, EngineConfig, LeapPolicy, PollRange, ReferenceClock,
    ReferenceDevice, RtcPolicy, SEED_OCTETS, SourceConfig, SourceOptions, StepPolicy,
};
pub use io::{
    Action, AdjustError, Command, Constraint, Input, KernelClock, KernelStatus, ReferenceError,
    ReferenceReading, Reply, ResolveError, SendError, SourceId, TransmitToken,
};
pub use leap_table::LeapTable;
pub use remembered::{REMEMBERED_MAX, RememberedSource};
pub use report::{Counters, Report, SampleReport, Selection, SourceReport};
pub use selection::Record;

use core::net::SocketAddr;
use timeball_timebase::{ClockState, Frequency, Interval, MonoTime, Now, Span, Timestamp};

use crate::estimator::Estimator;
use crate::random::Random;
use config::Due;
use conflict::Conflict;
use constraint::Constraints;
use discipline::{Aim, Discipline, Write};
use exchange::Stamp;
use interval::Hull;
use jumps::Jump;
use leap::LeapWatch;
use memory::Memory;
use ourselves::Ourselves;
use pause::PauseWatch;
use rates::Rates;
use selection::{Outcome, Verdict};
use source::Source;
use system_clock::SystemClock;
use twins::Twins;

/// In observe mode somebody else steers the system clock: it is looked at this often.
const OBSERVE_INTERVAL: Span = Span::from_secs(1);
/// A foreign change of the system clock that is worth publishing anew.
const OBSERVE_CHANGE: Span = Span::from_micros(1);
/// Without measurements the bound is published anew this often, as it grows ever faster.
const REFRESH_INTERVAL: Span = Span::from_secs(64);
/// Keeps the first requests of several sources apart.
const START_SPACING: Span = Span::from_millis(50);
/// Sources beyond this many are not looked at: what it costs to ask them all once grows with the
/// cube.
const SOURCES_MAX: usize = 64;

/// The client's state machine. Feed it inputs; carry out its actions in order.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    random: Random,
    ourselves: Ourselves,
    sources: Vec<Source>,
    twins: Twins,
    estimator: Estimator,
    rates: Rates,
    system_clock: SystemClock,
    /// Only in discipline mode: without it nothing can be written.
    discipline: Option<Discipline>,
    conflict: Conflict,
    leap: LeapWatch,
    constraints: Constraints,
    memory: Memory,
    pauses: PauseWatch,
    /// What a majority promised last.
    hull: Option<Hull>,
    verdict: Verdict,
    /// When any source gave its last sample.
    heard_at: Option<MonoTime>,
    /// When the first of those that may still answer for the first time is no longer waited for.
    waiting_until: Due,
    /// How many measurements of one source the estimate rests on: of the one with most.
    rounds: u64,
    /// When the estimate learned something last, and how long after the time before.
    updated: Option<(MonoTime, Span)>,
    /// The system clock jumped forward: it was set, or the raw clock stood still in suspend.
    unexplained: Option<Jump>,
    /// When all sources were asked in rows last because of a jump.
    rows_at: Option<MonoTime>,
    published: ClockState,
    /// How far apart the readings were that it was published by.
    published_apart: Span,
    counters: Counters,
    wake_at: Option<MonoTime>,
}

impl Engine {
    /// Makes an engine that knows nothing yet. `seed` must be fresh and secret (in a simulation:
    /// fixed).
    pub fn new(mut config: EngineConfig, seed: [u8; SEED_OCTETS], now: Now) -> Self {
        config.sources.truncate(SOURCES_MAX);
        let kernel = config.kernel.unwrap_or_default();
        let discipline = (config.mode == ClockMode::Discipline)
            .then(|| Discipline::new(now, config.step, config.rtc, kernel));
        let own_rate = discipline.as_ref().map(|_| kernel.frequency);
        // The oscillator gains, so true time is slower than the raw clock.
        let error = config.drift_error.as_ratio_f64();
        let frequency = config.drift.map(|drift| (-drift.as_ratio_f64(), error));
        let sure = frequency.filter(|_| config.drift_is_of_this_boot);
        let ids = (0..=u16::MAX).map(SourceId);
        let sources: Vec<Source> = ids
            .zip(&config.sources)
            .map(|(id, source)| Source::new(id, source.clone(), &config.keys))
            .collect();
        Self {
            random: Random::new(seed),
            ourselves: Ourselves::default(),
            estimator: Estimator::new(sources.len(), frequency),
            rates: Rates::new(now.raw, sources.len(), config.drift_allowance, sure),
            system_clock: SystemClock::new(now, own_rate),
            discipline,
            twins: Twins::default(),
            conflict: Conflict::default(),
            leap: LeapWatch::default(),
            constraints: Constraints::new(config.constraints),
            memory: Memory::new(&mut config, now),
            pauses: PauseWatch::default(),
            hull: None,
            verdict: selection::vote(&[], config.min_sources, None, None),
            heard_at: None,
            waiting_until: None,
            rounds: 0,
            updated: None,
            unexplained: None,
            rows_at: None,
            published: ClockState::default(),
            published_apart: Span::ZERO,
            counters: Counters::default(),
            wake_at: None,
            sources,
            config,
        }
    }

    /// Begins: asks for addresses, sends first requests. To be called once.
    pub fn start(&mut self, now: Now) -> Vec<Action> {
        // There may be no network for hours.
        let natural = self.config.drift.map_or(Frequency::ZERO, |drift| -drift);
        let servo = self.discipline.as_mut();
        let mut actions = servo.map_or_else(Vec::new, |servo| servo.calm(natural));
        for i in 0..self.sources.len() {
            let taken = self.addresses_except(i);
            actions.extend(self.sources[i].start(now, START_SPACING * i as i64, &taken));
            self.recall(now.raw, i);
        }
        actions.extend(self.poll_sources(now));
        self.publish(now, &mut actions);
        self.set_wake(now, &mut actions);
        actions
    }

    /// Feeds one input at `now` (both clocks, read together just before); the caller carries out
    /// the actions in order.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if !matches!(input, Input::AdjustOutcome(_)) {
            self.take_readings(now, matches!(input, Input::ClockJumped));
        }
        let unchanged = self.system_clock.set_at() < now.raw;
        match input {
            // The timer is spent, even if it went off early: it is set anew.
            Input::Wake => self.wake_at = None,
            // By however little it was set, what was told of it is no longer so.
            Input::ClockJumped => self.publish(now, &mut actions),
            Input::Datagram { source, from, octets, received_at } => {
                self.handle_datagram(now, source, from, octets, received_at, &mut actions);
            }
            Input::Transmitted { token, sent_at } => {
                let sent_at = self.system_clock.raw_of(now, sent_at);
                let sent_at = sent_at.map(|at| Stamp { at, error: now.apart });
                if let Some(source) = self.source_mut(token.source) {
                    source.transmitted(&token, sent_at);
                }
                // It was just sent: nothing else can be due.
                if unchanged {
                    return actions;
                }
            }
            Input::SendFailed { token, error } => {
                if let Some(source) = self.source_mut(token.source) {
                    source.send_failed(&token, error);
                }
            }
            Input::Measured { source, result } => {
                self.handle_reading(now, source, result, &mut actions);
            }
            Input::Constrained(constraint) => {
                self.handle_constraint(now, constraint, &mut actions);
            }
            Input::HardwareClock(time) => self.handle_hardware_clock(now, time, &mut actions),
            Input::OwnAddress { address, port } => self.ourselves.learn(address, port),
            Input::LeapTable(table) => self.config.leap_table = Some(table),
            Input::Resolved { source, result } => {
                self.handle_resolved(now, source, result, &mut actions);
            }
            Input::AdjustOutcome(result) => self.handle_outcome(now, result, &mut actions),
            Input::Command(Command::Burst) => {
                self.sources.iter_mut().for_each(|source| source.polling.burst(now.raw));
                actions.push(Action::Reply(Reply::Accepted));
            }
        }
        actions.extend(self.poll_sources(now));
        self.watch_the_other(now, &mut actions);
        self.watch_leap(now, &mut actions);
        self.finish_slew(now, &mut actions);
        self.refresh(now, &mut actions);
        self.set_wake(now, &mut actions);
        actions
    }

    /// What is known of the clock, as last published.
    pub fn clock_state(&self) -> ClockState {
        self.published
    }

    fn handle_datagram(
        &mut self,
        now: Now,
        id: SourceId,
        from: SocketAddr,
        octets: &[u8],
        received_at: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        // A stamp that cannot be placed is replaced by now, which is later: longer but not wrong.
        let received_at = self.system_clock.raw_of(now, received_at).unwrap_or(now.raw);
        let precision = self.config.precision.max(Span::NANOSECOND);
        let index = usize::from(id.0);
        let Some(source) = self.sources.get_mut(index) else { return };
        let (former_address, was_waiting) = (source.address, source.is_waiting());
        let accepted = source.accept(now, octets, from, received_at, precision, &self.ourselves);
        let answered = was_waiting && !source.is_waiting();
        // Too near to a leap second it cannot be told which side a measurement is on.
        let accepted = accepted.map(|sample| sample.filter(|s| !self.leap.is_beside(s)));
        match accepted {
            Ok(sample) => self.take_sample(now, index, sample),
            // Anyone can forge a datagram, so a bad one is counted and changes nothing; only what a
            // server that was really asked says of itself changes its own part in the vote.
            Err(error) => {
                source.reject(error);
                self.counters.rejected += 1;
            }
        }
        if answered {
            if self.sources[index].address != former_address {
                self.forget_source(now.raw, index);
            }
            actions.push(Action::Close { source: id });
            self.decide_or_ask(now, actions);
        }
    }

    fn handle_outcome(
        &mut self,
        now: Now,
        result: Result<KernelClock, AdjustError>,
        actions: &mut Vec<Action>,
    ) {
        self.counters.adjust_failures += u64::from(result.is_err());
        let Some(discipline) = &mut self.discipline else {
            return self.look_at_the_other(now, result);
        };
        let written = discipline.kernel.frequency;
        let write = discipline.outcome(now, result);
        let is_foreign = result.is_ok_and(|k| self.compare_frequency(now, written, write, k));
        if self.conflict.is_yielded() {
            self.look_at_system_clock(now);
            return self.publish(now, actions);
        }
        match (write, result) {
            (Some(Write::Step(_)), Ok(_)) => {
                self.counters.steps += 1;
                self.system_clock.stepped(now);
            }
            _ => self.look_at_system_clock(now),
        }
        match (write, result) {
            (Some(Write::Frequency), Ok(kernel)) => {
                self.system_clock.rate_written(now, kernel.frequency);
            }
            (_, Ok(kernel)) if is_foreign => {
                self.system_clock.rate_written(now, kernel.frequency);
                self.steer_anew(now);
            }
            (Some(Write::Step(_)), Ok(_)) => {}
            _ => return,
        }
        self.publish(now, actions);
    }

    /// Votes, feeds the estimator, follows it, publishes.
    fn decide(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.vote(now);
        self.explain_jump(now);
        self.learn_rate(now.raw);
        let rounds = self.feed_estimator(now.raw);
        if rounds > 0 {
            // More is known of the rate by which promises age, or less.
            self.vote(now);
            if let Outcome::Majority(interval) = self.verdict.outcome {
                let rates = self.possible_rates(now.raw);
                self.estimator.restrain(now.raw, interval, rates);
            }
            self.counters.updates += 1;
            self.rounds += u64::from(rounds);
            let gap = self.updated.map_or(Span::ZERO, |(former, _)| now.raw - former);
            self.updated = Some((now.raw, gap));
            self.steer(now, actions);
            // Only now: with this update the clock may count as ready, and is stepped no more.
            if let Some(discipline) = &mut self.discipline {
                discipline.policy.count_updates(rounds);
            }
        }
        self.publish(now, actions);
    }

    fn steer(&mut self, now: Now, actions: &mut Vec<Action>) {
        let aim = self.discipline.as_ref().and_then(|_| self.aim(now));
        if let (Some(aim), Some(discipline)) = (aim, &mut self.discipline) {
            actions.extend(discipline.steer(now, aim));
        }
    }

    fn finish_slew(&mut self, now: Now, actions: &mut Vec<Action>) {
        let due = self.discipline.as_ref().is_some_and(|servo| servo.is_slew_due(now));
        if !due {
            return;
        }
        let aim = self.aim(now);
        let frequency = self.estimate_at(now.raw).map_or(0.0, |e| e.frequency);
        let Some(discipline) = &mut self.discipline else { return };
        actions.extend(match aim {
            Some(aim) => discipline.steer(now, aim),
            None => discipline.coast(frequency),
        });
    }

    /// Somebody else has written the clock's frequency: it is not left at that until more is known.
    fn steer_anew(&mut self, now: Now) {
        let is_known = self.estimator.estimate_at(now.raw).is_some();
        if let Some(discipline) = self.discipline.as_mut().filter(|_| is_known) {
            discipline.slew_due = Some(now.raw);
        }
    }

    /// What the clock is to be steered to; `None` where no majority tells, or it jumped and nobody
    /// has told yet whether true time went along.
    fn aim(&self, now: Now) -> Option<Aim> {
        if self.unexplained.is_some() {
            return None;
        }
        let hull = self.hull_at(now.raw)?;
        let estimate = self.estimate_at(now.raw)?;
        let tracking_sd = self.estimator.tracking_sd()?;
        let truth = clamp_into(estimate.offset, hull);
        let interval = self.sources.iter().map(|source| source.polling.interval()).min()?;
        let gap = self.updated.map_or(Span::ZERO, |(_, gap)| gap);
        Some(Aim {
            offset: truth - system_less_raw(now),
            tracking_sd: Span::from_seconds_f64(tracking_sd).unwrap_or(Span::MAX),
            frequency: estimate.frequency,
            interval: interval.max(gap),
        })
    }

    fn source_mut(&mut self, id: SourceId) -> Option<&mut Source> {
        self.sources.get_mut(usize::from(id.0))
    }

    fn set_wake(&mut self, now: Now, actions: &mut Vec<Action>) {
        let sources = self.sources.iter().filter_map(Source::due);
        let servo = self.discipline.as_ref().and_then(Discipline::due);
        let known = self.published.bound.is_some();
        let refresh = known.then(|| self.published.as_of + REFRESH_INTERVAL);
        let observe = (known && self.discipline.is_none()).then(|| now.raw + OBSERVE_INTERVAL);
        let look = self.conflict.due().into_iter().chain(self.leap_due(now));
        let look = look.chain(self.waiting_until);
        let next = sources.chain(servo).chain(look).chain(refresh).chain(observe).min();
        if let Some(at) = next
            && (self.wake_at != Some(at) || at <= now.raw)
        {
            self.wake_at = Some(at);
            actions.push(Action::WakeAt(at));
        }
    }
}

/// The system clock's reading less the raw clock's, both as nanoseconds.
fn system_less_raw(now: Now) -> Span {
    Span::from_nanos(now.system.as_unix_nanos().saturating_sub(now.raw.as_nanos()))
}

fn clamp_into(offset: Span, interval: Interval) -> Span {
    offset.max(interval.earliest).min(interval.latest)
}
