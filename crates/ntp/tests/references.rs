//! Reference clocks as the engine treats them: what it makes of readings, true, false and absurd.
#![allow(clippy::unwrap_used)]

use timeball_ntp::engine::{
    Action, Constraint, ConstraintPolicy, Engine, EngineConfig, Input, LeapTable, PollRange,
    ReferenceClock, ReferenceDevice, ReferenceError, ReferenceReading, Report, Selection,
    SourceConfig, SourceId, SourceOptions,
};
use timeball_timebase::{Leap, MonoTime, Now, Span, SyncState, Timestamp};

const START_S: i64 = 1_795_000_000;
const ERROR: Span = Span::from_micros(100);

type Told = Option<Result<ReferenceReading, ReferenceError>>;

/// An engine whose system clock is right and whose raw clock runs with it, and its clocks.
struct World {
    engine: Engine,
    elapsed: Span,
    wake_at: Option<MonoTime>,
    clocks: Vec<Box<dyn FnMut(Timestamp) -> Told>>,
}

fn now_at(elapsed: Span) -> Now {
    let raw = MonoTime::ZERO + Span::from_secs(1_000) + elapsed;
    Now::exact(raw, Timestamp::from_unix(START_S, 0) + elapsed)
}

fn clock(unit: u8) -> SourceConfig {
    let reference = ReferenceClock {
        device: ReferenceDevice::SharedMemory { unit, mode: 0o600 },
        error: ERROR,
        offset: Span::ZERO,
        delay: Span::ZERO,
        reference_id: *b"GPS\0",
    };
    SourceConfig {
        poll: PollRange { min: 0, max: 0 },
        options: SourceOptions { iburst: false, ..SourceOptions::default() },
        reference: Some(reference),
        ..SourceConfig::new(format!("shm:{unit}"), 0)
    }
}

fn reading(system: Timestamp, ahead: Span) -> ReferenceReading {
    let (delay, leap) = (Span::ZERO, Leap::None);
    ReferenceReading { system, time: system + ahead, delay, leap, is_pulse: false }
}

/// A clock that is ahead by this, give or take `scatter` in turn.
fn ahead(by: Span, scatter: Span) -> Box<dyn FnMut(Timestamp) -> Told> {
    let mut turn = 0_i64;
    Box::new(move |system| {
        turn += 1;
        Some(Ok(reading(system, by + scatter * [-1, 1, 1, -1, 0][turn as usize % 5])))
    })
}

impl World {
    fn new(clocks: Vec<Box<dyn FnMut(Timestamp) -> Told>>) -> Self {
        let sources = (0..).zip(&clocks).map(|(unit, _)| clock(unit)).collect();
        Self::with(sources, clocks)
    }

    fn with(sources: Vec<SourceConfig>, clocks: Vec<Box<dyn FnMut(Timestamp) -> Told>>) -> Self {
        Self::start(EngineConfig { sources, ..EngineConfig::default() }, clocks)
    }

    fn constrained(constraints: ConstraintPolicy, by: Span) -> Self {
        let config =
            EngineConfig { sources: vec![clock(0)], constraints, ..EngineConfig::default() };
        Self::start(config, vec![ahead(by, Span::ZERO)])
    }

    fn start(config: EngineConfig, clocks: Vec<Box<dyn FnMut(Timestamp) -> Told>>) -> Self {
        Self::start_after(Span::ZERO, config, clocks)
    }

    fn start_after(
        elapsed: Span,
        config: EngineConfig,
        clocks: Vec<Box<dyn FnMut(Timestamp) -> Told>>,
    ) -> Self {
        let engine = Engine::new(config, [5; 32], now_at(elapsed));
        let mut world = Self { engine, elapsed, wake_at: None, clocks };
        let actions = world.engine.start(now_at(elapsed));
        world.carry_out(actions);
        world
    }

    fn run(&mut self, span: Span) -> Report {
        let until = self.elapsed + span;
        while let Some(at) = self.wake_at.filter(|at| *at - now_at(until).raw <= Span::ZERO) {
            self.elapsed = (at - now_at(Span::ZERO).raw).max(self.elapsed);
            self.wake_at = None;
            let actions = self.engine.handle_input(now_at(self.elapsed), Input::Wake);
            self.carry_out(actions);
        }
        self.elapsed = until;
        self.engine.report(now_at(until))
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::WakeAt(at) => self.wake_at = Some(at),
                Action::ReadReference { source } => {
                    let system = now_at(self.elapsed).system;
                    if let Some(result) = self.clocks[usize::from(source.0)](system) {
                        self.measured(source, result);
                    }
                }
                Action::ReadHardwareClock => {
                    let now = now_at(self.elapsed);
                    let actions = self.engine.handle_input(now, Input::HardwareClock(None));
                    self.carry_out(actions);
                }
                Action::Publish => {}
                other => panic!("an engine of clocks at hand does not {other:?}"),
            }
        }
    }

    /// Feeds what is known from elsewhere: true time is within a minute of the system clock's.
    fn constrain(&mut self, known: bool) {
        let Now { raw: at, system, .. } = now_at(self.elapsed);
        let minute = Span::from_secs(60);
        let (earliest, latest) = (system - minute, system + minute);
        let constraint = known.then_some(Constraint { at, earliest, latest });
        let input = Input::Constrained(constraint);
        let actions = self.engine.handle_input(now_at(self.elapsed), input);
        self.carry_out(actions);
    }

    fn measured(&mut self, source: SourceId, result: Result<ReferenceReading, ReferenceError>) {
        let input = Input::Measured { source, result };
        let actions = self.engine.handle_input(now_at(self.elapsed), input);
        self.carry_out(actions);
    }
}

#[test]
fn a_reference_clock_makes_a_stratum_1_clock_with_the_error_that_it_was_given() {
    let by = Span::from_millis(30);
    let mut world = World::new(vec![ahead(by, Span::from_micros(20))]);
    let report = world.run(Span::from_minutes(3));
    let clock = report.clock;
    assert_eq!((clock.state, clock.stratum), (SyncState::Synchronized, 1));
    assert_eq!(clock.reference_id, *b"GPS\0");
    let half_width = clock.bound.unwrap().half_width;
    let error = (clock.offset.unwrap() - by).abs();
    assert!(error < Span::from_micros(10), "{error} off");
    assert!(error <= half_width && half_width <= ERROR + Span::from_micros(10), "{half_width}");
    let source = &report.sources[0];
    assert_eq!((source.selection, source.reach), (Selection::Chief, 0xff));
    // One a second.
    assert!((170..=190).contains(&source.received), "{}", source.received);
}

#[test]
fn what_is_known_of_its_error_and_delay_is_allowed_for() {
    let mut late = clock(0);
    let reference = late.reference.as_mut().unwrap();
    (reference.offset, reference.delay) = (Span::from_millis(2), Span::from_millis(1));
    let mut world = World::with(vec![late], vec![ahead(Span::from_millis(-2), Span::ZERO)]);
    let clock = world.run(Span::from_minutes(1)).clock;
    assert!(clock.offset.unwrap().abs() < Span::from_micros(1), "{clock:?}");
    let half_width = clock.bound.unwrap().half_width;
    assert!(half_width >= ERROR + Span::from_micros(500), "{half_width}");
}

#[test]
fn a_reference_clock_that_lies_is_outvoted_by_two_others() {
    let honest = || ahead(Span::ZERO, Span::from_micros(5));
    let mut world = World::new(vec![ahead(Span::from_secs(1), Span::ZERO), honest(), honest()]);
    let report = world.run(Span::from_minutes(1));
    assert_eq!(report.sources[0].selection, Selection::Falseticker);
    assert!(report.clock.offset.unwrap().abs() < ERROR, "{:?}", report.clock);
}

#[test]
fn a_pulse_waits_for_who_knows_the_second_and_is_then_as_good_as_any() {
    // Ahead by an eighth of a second, and told without the whole ones.
    let eighth = Span::from_millis(125);
    let pulse = || -> Box<dyn FnMut(Timestamp) -> Told> {
        Box::new(move |system| {
            let whole = reading(system, eighth + Span::from_secs(-7));
            Some(Ok(ReferenceReading { is_pulse: true, ..whole }))
        })
    };
    let alone = World::new(vec![pulse()]).run(Span::from_minutes(1));
    assert_eq!(alone.clock.state, SyncState::Unsynchronized);
    assert_eq!(alone.sources[0].reference_error, Some(ReferenceError::NoSecond));
    let mut rough = clock(1);
    rough.reference.as_mut().unwrap().error = Span::from_millis(200);
    let sources = vec![clock(0), rough];
    let clocks = vec![pulse(), ahead(Span::from_millis(60), Span::from_millis(20))];
    let report = World::with(sources, clocks).run(Span::from_minutes(3));
    assert_eq!(report.sources[0].selection, Selection::Chief);
    let error = (report.clock.offset.unwrap() - eighth).abs();
    assert!(error < ERROR, "{error} off: {report:#?}");
}

#[test]
fn readings_that_cannot_be_are_counted_and_change_nothing() {
    let mut world = World::new(vec![ahead(Span::ZERO, Span::ZERO)]);
    let before = world.run(Span::from_minutes(1)).clock;
    let system = now_at(world.elapsed).system;
    let old = reading(system - Span::from_secs(60), Span::ZERO);
    let future = reading(system + Span::from_secs(60), Span::ZERO);
    let era = reading(system, Timestamp::from_unix(0, 0) - system);
    let source = SourceId(0);
    world.measured(source, Ok(old));
    world.measured(source, Ok(future));
    world.measured(source, Ok(era));
    world.measured(source, Err(ReferenceError::Unsynchronized));
    world.measured(SourceId(7), Ok(reading(system, Span::ZERO)));
    let report = world.engine.report(now_at(world.elapsed));
    assert_eq!(report.clock.offset, before.offset);
    let counts = &report.sources[0].rejections;
    assert_eq!((counts.get("old"), counts.get("date")), (Some(&2), Some(&1)));
    assert_eq!((report.sources[0].rejected, report.counters.rejected), (4, 4));
    // Years off and the only one: its word is believed, as a server's would be.
    let years = reading(system, Span::from_secs(86_400 * 800));
    world.measured(source, Ok(years));
    assert!(world.engine.report(now_at(world.elapsed)).clock.bound.is_some());
}

#[test]
fn what_was_written_before_the_clock_was_set_back_is_not_taken_for_later() {
    let back = Span::from_millis(500);
    let path = "/dev/ptp0".to_owned();
    let phc = ReferenceDevice::Phc { path, ahead: Span::ZERO };
    for (device, taken) in [(clock(0).reference.unwrap().device, 1), (phc, 2)] {
        let mut source = clock(0);
        source.reference.as_mut().unwrap().device = device;
        let mut world = World::with(vec![source], vec![ahead(Span::ZERO, Span::ZERO)]);
        let before = world.run(Span::from_secs(10)).sources[0].received;
        let set = |at: Span| Now { system: now_at(at).system - back, ..now_at(at) };
        let set_at = world.elapsed;
        world.engine.handle_input(set(set_at), Input::ClockJumped);
        // Written 50 ms before, and read when the clock has passed that date once more.
        let written = reading(now_at(set_at).system - Span::from_millis(50), Span::ZERO);
        let later = Span::from_millis(1_700);
        let read =
            [(Span::from_millis(700), written), (later, reading(set(set_at + later).system, back))];
        for (after, reading) in read {
            let input = Input::Measured { source: SourceId(0), result: Ok(reading) };
            world.engine.handle_input(set(set_at + after), input);
        }
        let report = world.engine.report(set(set_at + later));
        assert_eq!(report.sources[0].received - before, taken, "{report:#?}");
    }
}

#[test]
fn a_clock_that_falls_silent_is_unreachable_after_eight_polls_and_the_bound_grows() {
    let mut left = 60;
    let mut steady = ahead(Span::ZERO, Span::ZERO);
    let failing = move |system| {
        left -= 1;
        if left > 0 { steady(system) } else { None }
    };
    let mut world = World::new(vec![Box::new(failing)]);
    let good = world.run(Span::from_secs(50)).clock;
    let report = world.run(Span::from_secs(40));
    assert_eq!(report.sources[0].selection, Selection::Unreachable);
    assert_eq!((report.sources[0].reach, report.clock.state), (0, SyncState::Holdover));
    let later = now_at(world.elapsed);
    assert!(report.clock.reading(later).half_width > good.bound.map(|bound| bound.half_width));
}

#[test]
fn absurd_readings_never_panic() {
    let extremes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let mut world = World::new(vec![ahead(Span::ZERO, Span::ZERO)]);
    world.run(Span::from_secs(10));
    for nanos in extremes {
        for delay in extremes {
            for is_pulse in [false, true] {
                let system = now_at(world.elapsed).system;
                let time = Timestamp::from_unix_nanos(nanos);
                let delay = Span::from_nanos(delay);
                let leap = Leap::None;
                let absurd = ReferenceReading { system, time, delay, leap, is_pulse };
                world.measured(SourceId(0), Ok(absurd));
                let system = time;
                world.measured(SourceId(0), Ok(ReferenceReading { system, ..absurd }));
            }
        }
    }
    world.run(Span::from_minutes(1));
}

#[test]
fn no_source_is_believed_that_contradicts_what_is_known_from_elsewhere() {
    let mut world = World::constrained(ConstraintPolicy::Wait, Span::from_secs(62));
    let before = world.run(Span::from_secs(30));
    assert_eq!((before.clock.bound, before.constrained), (None, Some(false)), "it is waited for");
    world.constrain(true);
    let report = world.run(Span::from_secs(30));
    assert_eq!(report.sources[0].selection, Selection::Constrained);
    assert_eq!((report.clock.bound, report.constrained), (None, Some(true)));
    let mut honest = World::constrained(ConstraintPolicy::Wait, Span::from_secs(30));
    honest.constrain(true);
    assert_eq!(honest.run(Span::from_secs(30)).sources[0].selection, Selection::Chief);
    // It is not forgotten when it cannot be had again.
    world.constrain(false);
    assert_eq!(world.run(Span::from_secs(30)).sources[0].selection, Selection::Constrained);
    // What is known gets wider with the oscillator's doubt: by 1.8 s in an hour.
    let later = world.run(Span::from_minutes(120));
    assert_eq!(later.sources[0].selection, Selection::Chief);
}

#[test]
fn where_nothing_is_known_from_elsewhere_sources_are_believed_unless_it_is_required() {
    for (policy, selection) in [
        (ConstraintPolicy::Wait, Selection::Chief),
        (ConstraintPolicy::Require, Selection::Unconstrained),
    ] {
        let mut world = World::constrained(policy, Span::ZERO);
        world.constrain(false);
        let report = world.run(Span::from_secs(30));
        assert_eq!((report.sources[0].selection, report.constrained), (selection, Some(false)));
        world.constrain(true);
        let report = world.run(Span::from_secs(30));
        assert_eq!(report.sources[0].selection, Selection::Chief);
    }
    let mut unasked = World::constrained(ConstraintPolicy::None, Span::ZERO);
    let report = unasked.run(Span::from_secs(30));
    assert_eq!((report.sources[0].selection, report.constrained), (Selection::Chief, None));
}

#[test]
fn a_hardware_clock_that_keeps_tai_is_followed_through_a_leap_second() {
    let (before, leap) = (1_483_228_800, 1_798_761_600);
    let entries = [(before, 37), (leap, 38)].map(|(s, tai)| (Timestamp::from_unix(s, 0), tai));
    let expires = Timestamp::from_unix(leap + 10_000_000, 0);
    let leap_table = Some(LeapTable::new(entries.to_vec(), expires));
    let keeping = |ahead_s| {
        let mut source = clock(0);
        source.reference.as_mut().unwrap().device =
            ReferenceDevice::Phc { path: "/dev/ptp0".to_owned(), ahead: Span::from_secs(ahead_s) };
        let config = EngineConfig {
            sources: vec![source],
            leap_table: leap_table.clone(),
            ..EngineConfig::default()
        };
        // The reading as it comes of the shell, and a system clock, that both know of no leap
        // second.
        let clocks = vec![ahead(Span::ZERO, Span::from_micros(20))];
        let mut world = World::start_after(Span::from_secs(leap - 120 - START_S), config, clocks);
        let report = world.run(Span::from_secs(119));
        assert_eq!(report.clock.leap, Leap::Insert);
        assert_eq!(report.sources[0].ahead_leapt, Span::ZERO);
        let report = world.run(Span::from_secs(181));
        assert_eq!(report.clock.state, SyncState::Synchronized);
        let error = report.clock.offset.unwrap() - Span::from_secs(-1);
        (error.abs(), report.clock.bound.unwrap().half_width, report.sources[0].clone())
    };
    let (error, half_width, source) = keeping(37);
    assert!(error <= half_width && half_width < ERROR * 2, "{error} {half_width}");
    assert_eq!(source.ahead, Some(Span::from_secs(38)));
    assert_eq!(source.ahead_leapt, Span::from_secs(1));
    // One that keeps UTC is taken by its word: whoever keeps it makes the leap.
    let (error, _, source) = keeping(0);
    assert!(error > Span::from_millis(900), "{error}");
    assert_eq!((source.ahead, source.ahead_leapt), (None, Span::ZERO));
}
