//! One client with its clocks, its network and its servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use timeball_ntp::engine::{
    Action, ClockMode, Engine, EngineConfig, Input, KernelClock, PollRange, Report, ResolveError,
    SourceConfig, SourceId, SourceOptions,
};
use timeball_timebase::{ClockState, MonoTime, Now, Span, Timestamp};

use crate::checks::{Errors, Violation, check_bound};
use crate::clock::{Clocks, Oscillator};
use crate::noise::Noise;
use crate::server::Server;

const SECOND: i64 = 1_000_000_000;
/// Actions that follow from one input, answers to answers included: a world in which there are more
/// has an engine that talks to itself.
const ROUNDS_MAX: usize = 100;

/// Datagrams that somebody else sends to the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attack {
    /// Every answer is sent again a second later.
    Replay,
    /// With every request, a forged answer comes first that does not know the request's number.
    Spoof,
    /// With every request, random octets come first from the server's address.
    Garbage,
}

/// A simulated world. Build it with the `with` methods, then run it.
#[derive(Debug)]
pub struct World {
    seed: u64,
    clocks: Clocks,
    servers: Vec<Server>,
    config: EngineConfig,
    attack: Option<Attack>,
    engine: Option<Engine>,
    epoch: Timestamp,
    /// True nanoseconds since the start.
    at: i64,
    queue: BTreeMap<(i64, u64), Event>,
    serial: u64,
    wake_at: Option<MonoTime>,
    network_noise: Vec<Noise>,
    attack_noise: Noise,
    state: ClockState,
    trace: u64,
    violations: Vec<Violation>,
    clock_errors: Errors,
    estimate_errors: Errors,
    half_widths: Errors,
    frequency_errors: Errors,
}

#[derive(Clone, Debug)]
enum Event {
    AtServer { server: usize, octets: Vec<u8> },
    AtClient { source: u16, from: SocketAddr, octets: Vec<u8> },
}

impl World {
    /// A world without servers whose true time begins in November 2026, in discipline mode with
    /// polls of 64 s.
    pub fn new(seed: u64) -> Self {
        let epoch = Timestamp::from_unix(1_795_000_000, 0);
        let oscillator = Oscillator::default();
        Self {
            seed,
            clocks: Clocks::new(oscillator, Noise::new(seed, 0), epoch, Span::from_millis(10)),
            servers: Vec::new(),
            config: EngineConfig { mode: ClockMode::Discipline, ..EngineConfig::default() },
            attack: None,
            engine: None,
            epoch,
            at: 0,
            queue: BTreeMap::new(),
            serial: 0,
            wake_at: None,
            network_noise: Vec::new(),
            attack_noise: Noise::new(seed, 1),
            state: ClockState::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            violations: Vec::new(),
            clock_errors: Errors::default(),
            estimate_errors: Errors::default(),
            half_widths: Errors::default(),
            frequency_errors: Errors::default(),
        }
    }

    /// The client's oscillator, and how far its system clock is ahead at the start.
    #[must_use]
    pub fn with_clock(mut self, oscillator: Oscillator, offset: Span) -> Self {
        self.clocks = Clocks::new(oscillator, Noise::new(self.seed, 0), self.epoch, offset);
        self
    }

    /// True time at the start; the system clock's offset is kept. Comes before
    /// [`World::with_clock`].
    #[must_use]
    pub fn with_epoch(mut self, epoch: Timestamp) -> Self {
        self.epoch = epoch;
        let offset = Span::from_millis(10);
        self.clocks = Clocks::new(Oscillator::default(), Noise::new(self.seed, 0), epoch, offset);
        self
    }

    /// One more server, asked every 2^poll seconds.
    #[must_use]
    pub fn with_server(self, server: Server, poll: i8) -> Self {
        self.with_source(server, PollRange { min: poll, max: poll }, SourceOptions::default())
    }

    /// One more server.
    #[must_use]
    pub fn with_source(mut self, server: Server, poll: PollRange, options: SourceOptions) -> Self {
        let host = server_address(self.servers.len()).ip().to_string();
        self.network_noise.push(Noise::new(self.seed, 100 + self.servers.len() as u64));
        self.servers.push(server);
        self.config.sources.push(SourceConfig { host, port: 123, poll, options });
        self
    }

    /// Other settings of the engine.
    #[must_use]
    pub fn with_config(mut self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Somebody who sends datagrams of their own.
    #[must_use]
    pub fn with_attack(mut self, attack: Attack) -> Self {
        self.attack = Some(attack);
        self
    }

    /// Runs on for this long.
    pub fn run_for(&mut self, seconds: i64) {
        if self.engine.is_none() {
            self.start();
        }
        let end = self.at + seconds * SECOND;
        while self.at < end {
            let tick = (self.at / SECOND + 1) * SECOND;
            let event = self.queue.first_key_value().map(|((at, _), _)| *at);
            let wake = self.wake_at.map(|at| self.at + self.clocks.until(at));
            let next = [Some(tick), event, wake].into_iter().flatten().min().unwrap_or(tick);
            let next = next.clamp(self.at, tick);
            self.advance(next);
            if self.wake_at.is_some_and(|at| self.clocks.now().raw >= at) {
                self.wake_at = None;
                self.feed(Input::Wake);
            }
            while let Some(((at, _), _)) = self.queue.first_key_value()
                && *at <= self.at
            {
                let event = self.queue.pop_first().map(|(_, event)| event);
                self.deliver(event.expect("the queue was just seen not to be empty"));
            }
            if self.at == tick {
                self.measure();
            }
        }
    }

    /// Somebody else sets the system clock forward by this much.
    pub fn set_clock(&mut self, by: Span) {
        self.clocks.set(by);
        self.feed(Input::ClockJumped);
    }

    /// The machine sleeps.
    pub fn suspend(&mut self, seconds: i64) {
        self.at += seconds * SECOND;
        self.clocks.suspend(seconds * SECOND);
        self.feed(Input::ClockJumped);
    }

    /// From now on every write to the clock is refused, or no longer.
    pub fn refuse_writes(&mut self, refuse: bool) {
        self.clocks.refuses = refuse;
    }

    /// Changes a server.
    pub fn server_mut(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }

    /// System clock less true time, each second.
    pub fn clock_errors(&self) -> &Errors {
        &self.clock_errors
    }

    /// Published estimate less true time, each second in which there was one; else zero.
    pub fn estimate_errors(&self) -> &Errors {
        &self.estimate_errors
    }

    /// Published half width of the bound, each second; infinite while unknown.
    pub fn half_widths(&self) -> &Errors {
        &self.half_widths
    }

    /// The system clock's rate error against true time, each second.
    pub fn frequency_errors(&self) -> &Errors {
        &self.frequency_errors
    }

    /// Each second at which true time was outside of a published bound.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What the engine published last.
    pub fn state(&self) -> ClockState {
        self.state
    }

    /// The engine's report now.
    pub fn report(&self) -> Report {
        let now = self.clocks.now();
        self.engine.as_ref().map(|engine| engine.report(now)).unwrap_or_default()
    }

    /// What the kernel tells of its clock now.
    pub fn kernel(&self) -> KernelClock {
        self.clocks.kernel()
    }

    /// The oscillator's true rate error now.
    pub fn oscillator_rate(&self) -> f64 {
        self.clocks.rate()
    }

    /// A number that differs if anything that was published differs.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    fn start(&mut self) {
        let now = self.clocks.now();
        self.config.kernel = Some(KernelClock::default());
        let seed = Noise::new(self.seed, 2).octets();
        let mut engine = Engine::new(self.config.clone(), seed, now);
        let actions = engine.start(now);
        self.engine = Some(engine);
        self.carry_out(actions);
    }

    fn advance(&mut self, to: i64) {
        // The rate changes at full seconds, so no step goes over one.
        self.clocks.advance(to);
        self.at = to;
    }

    fn feed(&mut self, input: Input<'_>) {
        let now = self.clocks.now();
        let Some(engine) = &mut self.engine else { return };
        let actions = engine.handle_input(now, input);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut waiting = std::collections::VecDeque::from(actions);
        let mut rounds = 0;
        while let Some(action) = waiting.pop_front() {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "seed {}: the engine talks to itself", self.seed);
            let answer = self.act(action);
            if let Some(answer) = answer {
                let now = self.clocks.now();
                let engine = self.engine.as_mut().expect("only a running engine acts");
                waiting.extend(engine.handle_input(now, answer));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Send { source, to, octets, token } => {
                let sent_at = self.clocks.now().system;
                self.send(source, to, octets);
                Some(Input::Transmitted { token, sent_at })
            }
            Action::Resolve { source, .. } => {
                Some(Input::Resolved { source, result: Err(ResolveError::NotFound) })
            }
            Action::SetFrequency(frequency) => {
                Some(Input::AdjustOutcome(self.clocks.write_frequency(frequency)))
            }
            Action::Step(by) => Some(Input::AdjustOutcome(self.clocks.write_step(by))),
            Action::SetKernelStatus(status) => {
                Some(Input::AdjustOutcome(self.clocks.write_status(status)))
            }
            Action::WakeAt(at) => {
                self.wake_at = Some(at);
                None
            }
            Action::Publish => {
                let engine = self.engine.as_ref().expect("only a running engine acts");
                self.state = engine.clock_state();
                self.note_state();
                None
            }
            Action::Close { .. } | Action::Reply(_) => None,
        }
    }

    fn send(&mut self, source: SourceId, to: SocketAddr, octets: Vec<u8>) {
        let Some(server) = (0..self.servers.len()).find(|i| server_address(*i) == to) else {
            return;
        };
        let at_s = self.at as f64 / 1e9;
        match self.attack {
            Some(Attack::Spoof) => {
                let mut forged = vec![0_u8; 48];
                forged[0] = 4 << 3 | 4;
                forged[1] = 1;
                forged[32..48].copy_from_slice(&[0xaa; 16]);
                self.queue_at(
                    1_000,
                    Event::AtClient { source: source.0, from: to, octets: forged },
                );
            }
            Some(Attack::Garbage) => {
                let length = (self.attack_noise.unit() * 100.0) as usize;
                let octets =
                    (0..length).map(|_| (self.attack_noise.unit() * 256.0) as u8).collect();
                self.queue_at(1_000, Event::AtClient { source: source.0, from: to, octets });
            }
            Some(Attack::Replay) | None => {}
        }
        if let Some(delay) = self.servers[server].path.up(at_s, &mut self.network_noise[server]) {
            self.queue_at(delay, Event::AtServer { server, octets });
        }
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::AtServer { server, octets } => {
                let at_s = self.at as f64 / 1e9;
                let truth = self.truth();
                let from = server_address(server);
                let Some(octets) = self.servers[server].answer(&octets, truth, at_s) else {
                    return;
                };
                let noise = &mut self.network_noise[server];
                let delays = self.servers[server].path.down(at_s, noise);
                for delay in delays {
                    let source = server as u16;
                    let event = Event::AtClient { source, from, octets: octets.clone() };
                    if self.attack == Some(Attack::Replay) {
                        self.queue_at(delay + SECOND, event.clone());
                    }
                    self.queue_at(delay, event);
                }
            }
            Event::AtClient { source, from, octets } => {
                let received_at = self.clocks.now().system;
                let source = SourceId(source);
                self.feed(Input::Datagram { source, from, octets: &octets, received_at });
            }
        }
    }

    fn queue_at(&mut self, delay: i64, event: Event) {
        self.serial += 1;
        self.queue.insert((self.at + delay.max(0), self.serial), event);
    }

    fn truth(&self) -> Timestamp {
        self.epoch + Span::from_nanos(self.at)
    }

    fn measure(&mut self) {
        let now: Now = self.clocks.now();
        let truth = self.truth();
        let at_s = self.at as f64 / 1e9;
        self.violations.extend(check_bound(&self.state, now, truth, at_s));
        let reading = self.state.reading(now);
        self.clock_errors.push((now.system - truth).as_seconds_f64());
        let known = self.state.offset.is_some();
        let error = if known { (reading.estimate - truth).as_seconds_f64() } else { 0.0 };
        self.estimate_errors.push(error);
        let half_width = reading.half_width.map_or(f64::INFINITY, |w| w.as_seconds_f64());
        self.half_widths.push(half_width);
        self.frequency_errors.push(self.clocks.system_rate());
    }

    fn note_state(&mut self) {
        let state = &self.state;
        let bound = state.bound.map_or(-1, |bound| bound.half_width.as_nanos());
        let offset = state.offset.map_or(i64::MIN, |offset| offset.as_nanos());
        for number in [state.as_of.as_nanos(), offset, bound, state.drift.as_femto()] {
            for octet in number.to_le_bytes() {
                self.trace = (self.trace ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}

fn server_address(index: usize) -> SocketAddr {
    let host = u8::try_from(index + 1).expect("a world has few servers");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 123)
}
