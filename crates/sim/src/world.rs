//! One client with its clocks, its network and its servers.

mod restart;
mod traffic;

use std::collections::{BTreeMap, VecDeque};

use timeball_ntp::engine::{
    Action, Engine, Input, KernelClock, Report, ResolveError, SendError, SourceId,
};
use timeball_timebase::{ClockState, MonoTime, Now, Span, Timestamp};

use crate::checks::{Checkers, Scene, Violation};
use crate::clock::Clocks;
use crate::floor::{Exchange, Floor};
use crate::noise::Noise;
use crate::records::Records;
use crate::scenario::{Happening, Scenario};
use crate::server::{Absence, LeapNow};
use restart::Kept;
use traffic::{Delivery, Event};

const SECOND: i64 = 1_000_000_000;
/// Actions that follow from one input, answers to answers included: a world in which there are more
/// has an engine that talks to itself.
const ROUNDS_MAX: usize = 100;
/// The client's address.
pub const CLIENT: [u8; 4] = [192, 0, 2, 250];
/// `EHOSTUNREACH` of Linux.
const NO_ROUTE: i32 = 113;
/// Streams of random numbers: the clock, attackers, the engine, readings of the clocks, and from
/// the last one on servers.
const CLOCK: u64 = 0;
const ATTACK: u64 = 1;
const ENGINE: u64 = 2;
const READINGS: u64 = 3;
const SERVERS: u64 = 100;
/// FNV-1a's, for the trace.
const TRACE_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const TRACE_PRIME: u64 = 0x0100_0000_01b3;

/// A simulated world that runs.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    seed: u64,
    clocks: Clocks,
    engine: Engine,
    /// True nanoseconds since the start.
    at: i64,
    queue: BTreeMap<(i64, u64), Event>,
    serial: u64,
    wake_at: Option<MonoTime>,
    /// Until when the process does not run, and what the kernel keeps for it.
    stalled_until: Option<i64>,
    /// What a process that has ended left to the next one, until that begins.
    kept: Option<Kept>,
    kept_by_kernel: VecDeque<Delivery>,
    happenings: VecDeque<(i64, Happening)>,
    engine_noise: Noise,
    network_noise: Vec<Noise>,
    attack_noise: Noise,
    reading_noise: Noise,
    state: ClockState,
    trace: u64,
    checkers: Checkers,
    floor: Floor,
    allowing_floor: Floor,
    records: Records,
    exchanges: Vec<Exchange>,
}

impl Scenario {
    /// The world of this seed at its start.
    pub fn world(&self, seed: u64) -> World {
        World::new(self.clone(), seed)
    }

    /// The world of this seed at its end.
    pub fn run(&self, seed: u64) -> World {
        let mut world = self.world(seed);
        world.run_for(self.length_s);
        world
    }
}

impl World {
    fn new(scenario: Scenario, seed: u64) -> Self {
        let noise = |stream| Noise::new(seed, stream);
        let (oscillator, offset) = (scenario.oscillator.clone(), scenario.clock_offset);
        let clocks = Clocks::new(oscillator, noise(CLOCK), scenario.epoch, offset);
        let clocks = clocks.refusing(scenario.refused_write);
        let mut config = scenario.config.clone();
        config.kernel = Some(KernelClock::default());
        let mut engine_noise = noise(ENGINE);
        let engine = Engine::new(config, engine_noise.octets(), clocks.now());
        let servers = scenario.servers.len();
        let mut happenings: Vec<(i64, Happening)> =
            scenario.happenings.iter().map(|(at_s, what)| (at_s * SECOND, *what)).collect();
        happenings.sort_by_key(|(at, _)| *at);
        let allowance = scenario.config.drift_allowance.as_ratio_f64();
        let mut world = Self {
            seed,
            clocks,
            engine,
            at: 0,
            queue: BTreeMap::new(),
            serial: 0,
            wake_at: None,
            stalled_until: None,
            kept: None,
            kept_by_kernel: VecDeque::new(),
            happenings: happenings.into(),
            engine_noise,
            network_noise: (0..servers).map(|i| noise(SERVERS + i as u64)).collect(),
            attack_noise: noise(ATTACK),
            reading_noise: noise(READINGS),
            state: ClockState::default(),
            trace: TRACE_BASIS,
            checkers: Checkers::new(&scenario),
            floor: Floor::new(servers, 0.0),
            allowing_floor: Floor::new(servers, allowance),
            records: Records::new(scenario.tick_s),
            exchanges: Vec::new(),
            scenario,
        };
        let now = world.clocks.now();
        let actions = world.engine.start(now);
        world.carry_out(actions);
        if world.scenario.servers.iter().any(|server| server.follows.is_some()) {
            world.feed(Input::OwnAddress { address: CLIENT.into(), port: None });
        }
        world
    }

    /// Runs on for this long.
    pub fn run_for(&mut self, seconds: i64) {
        let end = self.at + seconds * SECOND;
        let tick_length = self.scenario.tick_s * SECOND;
        while self.at < end {
            let tick = (self.at / tick_length + 1) * tick_length;
            let next = self.next_moment(tick);
            self.clocks.advance(next);
            self.at = next;
            self.look();
            if self.stalled_until.is_some_and(|until| self.at >= until) {
                self.resume();
            }
            if self.is_awake() && self.wake_at.is_some_and(|at| self.clocks.now().raw >= at) {
                self.wake_at = None;
                self.feed(Input::Wake);
            }
            while let Some(entry) = self.queue.first_entry()
                && entry.key().0 <= self.at
            {
                let event = entry.remove();
                self.deliver(event);
            }
            if self.at == tick {
                self.clocks.tick();
                self.record();
            }
            while let Some((_, happening)) = self.happenings.pop_front_if(|(at, _)| *at <= self.at)
            {
                self.happen(happening);
            }
        }
    }

    /// The scenario it was made from.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What was written down so far.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Each request that was answered, in the order of the answers' arrival.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// The first violations of what must always hold.
    pub fn violations(&self) -> &[Violation] {
        self.checkers.violations()
    }

    /// How many times a checker found something that must not be.
    pub fn violation_count(&self) -> u64 {
        self.checkers.count()
    }

    /// What the engine published last.
    pub fn state(&self) -> ClockState {
        self.state
    }

    /// The engine's report now.
    pub fn report(&self) -> Report {
        self.engine.report(self.clocks.now())
    }

    /// What the kernel tells of its clock now.
    pub fn kernel(&self) -> KernelClock {
        self.clocks.kernel()
    }

    /// How long ago the kernel was told last what is true of its clock.
    pub fn kernel_age(&self) -> Span {
        self.clocks.kernel_age()
    }

    /// The oscillator's true rate error now.
    pub fn oscillator_rate(&self) -> f64 {
        self.clocks.rate()
    }

    /// A number that differs if anything that was published differs.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// Panics with the command that runs this world again, if anything was violated.
    ///
    /// # Panics
    /// If a rule did not hold.
    #[track_caller]
    pub fn assert_rules_held(&self) {
        let Some(first) = self.violations().first() else { return };
        let (name, seed, count) = (&self.scenario.name, self.seed, self.checkers.count());
        panic!(
            "{name}, seed {seed}: {count} violations, the first: {first}
  again: \
             TIMEBALL_SIM_SEED={seed} cargo test -p timeball-sim"
        );
    }

    fn next_moment(&self, tick: i64) -> i64 {
        let event = self.queue.first_key_value().map(|((at, _), _)| *at);
        let wake = self.wake_at.filter(|_| self.is_awake());
        let wake = wake.map(|at| self.at + self.clocks.until(at));
        let happening = self.happenings.front().map(|(at, _)| *at);
        let next = [Some(tick), event, wake, happening, self.stalled_until];
        next.into_iter().flatten().min().unwrap_or(tick).clamp(self.at, tick)
    }

    fn is_awake(&self) -> bool {
        self.stalled_until.is_none()
    }

    /// Both clocks as the process reads them, somewhat apart.
    fn read_clocks(&mut self) -> Now {
        let now = self.clocks.now();
        let apart = self.scenario.readings_apart;
        if apart == Span::ZERO {
            return now;
        }
        let apart = Span::from_nanos(self.reading_noise.below(apart.as_nanos() as usize) as i64);
        let off = Span::from_nanos((apart.as_nanos() as f64 * self.reading_noise.sign()) as i64);
        Now { system: now.system + off, apart, ..now }
    }

    fn feed(&mut self, input: Input<'_>) {
        let now = self.read_clocks();
        let actions = self.engine.handle_input(now, input);
        self.carry_out(actions);
        self.look();
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut waiting = VecDeque::from(actions);
        let mut rounds = 0;
        while let Some(action) = waiting.pop_front() {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "seed {}: the engine talks to itself", self.seed);
            if action.is_write() && !self.engine.keeps_clock() {
                continue;
            }
            if let Some(answer) = self.act(action) {
                let now = self.read_clocks();
                waiting.extend(self.engine.handle_input(now, answer));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Send { source, to, octets, token } => {
                if self.absence(source) == Some(Absence::NoRoute) {
                    let error = SendError::NotSent { errno: NO_ROUTE };
                    return Some(Input::SendFailed { token, error });
                }
                let sent_at = self.clocks.now().system;
                self.send(source, to, octets);
                Some(Input::Transmitted { token, sent_at })
            }
            Action::Resolve { source, .. } => {
                let is_answered = self.absence(source) != Some(Absence::NameUnanswered);
                let result = Err(ResolveError::NotFound);
                is_answered.then_some(Input::Resolved { source, result })
            }
            Action::SetFrequency(frequency) => {
                Some(Input::AdjustOutcome(self.clocks.write_frequency(frequency)))
            }
            Action::Step(by) => {
                let outcome = self.clocks.write_step(by);
                if outcome.is_ok() {
                    self.checkers.stepped(self.at_s(), by);
                }
                Some(Input::AdjustOutcome(outcome))
            }
            Action::SetKernelStatus(status) => {
                Some(Input::AdjustOutcome(self.clocks.write_status(status)))
            }
            Action::ReadHardwareClock => Some(self.scenario.hardware_clock(self.truth())),
            Action::ReadKernel => Some(Input::AdjustOutcome(Ok(self.clocks.kernel()))),
            Action::WakeAt(at) => {
                self.wake_at = Some(at);
                None
            }
            Action::Publish => {
                self.state = self.engine.clock_state();
                self.note_state();
                None
            }
            Action::ReadReference { source } => self.read_clock(source),
            Action::Close { .. } | Action::Reply(_) => None,
        }
    }

    fn absence(&self, source: SourceId) -> Option<Absence> {
        self.scenario.servers.get(usize::from(source.0))?.absence
    }

    fn resume(&mut self) {
        self.stalled_until = None;
        if let Some(kept) = self.kept.take() {
            self.begin_anew(kept);
        }
        while let Some(delivery) = self.kept_by_kernel.pop_front() {
            self.hand_over(&delivery);
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.checkers.happened(self.at_s(), happening);
        match happening {
            Happening::SetClock(by) => {
                self.clocks.set(by);
                self.tell_of_jump();
            }
            Happening::Sleep { length_s, missed } => {
                self.stand_still(length_s * SECOND, length_s * SECOND - missed.as_nanos());
                self.tell_of_jump();
            }
            Happening::Pause(seconds) => self.stand_still(seconds * SECOND, 0),
            Happening::Stall(seconds) => {
                self.stalled_until = self.stalled_until.max(Some(self.at + seconds * SECOND));
            }
            Happening::WriteFrequency(frequency) => self.clocks.set_frequency(frequency),
            Happening::Slew(by) => self.clocks.slew(by),
            Happening::Restart { after_s, remembers } => {
                self.calm_clock();
                self.end(after_s, remembers, true);
            }
            Happening::Kill(after_s) => self.end(after_s, true, true),
            Happening::Reboot(after_s) => self.end(after_s, true, false),
            Happening::RefuseWrites(refuse) => self.clocks.refuses = refuse,
        }
    }

    /// The kernel tells the process that the clock was set, if there is one.
    fn tell_of_jump(&mut self) {
        if self.kept.is_none() {
            self.feed(Input::ClockJumped);
        }
    }

    fn stand_still(&mut self, nanos: i64, seen: i64) {
        self.at += nanos;
        self.clocks.stand_still(nanos, seen);
        // Whatever was on its way met a machine that was not there.
        let later = self.queue.split_off(&(self.at, u64::MAX));
        self.queue = later;
    }

    fn at_s(&self) -> f64 {
        self.at as f64 / 1e9
    }

    fn truth(&self) -> Timestamp {
        self.counted() + self.leap_now().came
    }

    /// What would be true time if there were no leap second.
    fn counted(&self) -> Timestamp {
        self.scenario.epoch + Span::from_nanos(self.at)
    }

    fn leap_now(&self) -> LeapNow {
        self.scenario.leap_now(self.counted())
    }

    fn look(&mut self) {
        if self.scenario.is_amid_leap(self.counted()) {
            self.checkers.clock_was_set();
            return;
        }
        let scene = Scene {
            at_s: self.at as f64 / 1e9,
            now: self.clocks.now(),
            truth: self.truth(),
            state: &self.state,
            kernel: self.clocks.kernel(),
        };
        self.checkers.look(&scene);
    }

    fn record(&mut self) {
        let (now, truth, at_s) = (self.clocks.now(), self.truth(), self.at_s());
        let reading = self.state.reading(now);
        let known = self.state.offset.is_some();
        let error = if known { (reading.estimate - truth).as_seconds_f64() } else { 0.0 };
        let half_width = reading.half_width.map_or(f64::INFINITY, |w| w.as_seconds_f64());
        let ends = reading.earliest().zip(reading.latest());
        let length = ends.map_or(f64::INFINITY, |(from, to)| (to - from).as_seconds_f64());
        let half_length = length / 2.0;
        let records = &mut self.records;
        records.clock_errors.push((now.system - truth).as_seconds_f64());
        records.estimate_errors.push(error);
        records.half_widths.push(half_width);
        records.half_lengths.push(half_length);
        records.floors.push(self.floor.half_width_s(at_s));
        records.allowing_floors.push(self.allowing_floor.half_width_s(at_s));
        records.rate_errors.push(self.clocks.system_rate());
        records.raw_errors.push(self.clocks.raw_error());
    }

    fn note_state(&mut self) {
        let state = &self.state;
        let bound = state.bound.map_or(-1, |bound| bound.half_width.as_nanos());
        let offset = state.offset.map_or(i64::MIN, |offset| offset.as_nanos());
        for number in [state.as_of.as_nanos(), offset, bound, state.drift.as_femto()] {
            for octet in number.to_le_bytes() {
                self.trace = (self.trace ^ u64::from(octet)).wrapping_mul(TRACE_PRIME);
            }
        }
    }
}
