//! A world for the planner: clock, shell, targets and store, all from one seed, and the checkers.
#![allow(missing_docs, clippy::unwrap_used, unreachable_pub)]

mod check;
mod control;
mod store;

use crate::common::instant;
use std::collections::{BTreeMap, BTreeSet};
use store::{Crash, Store};
use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_schedule::planner::{
    Action, ArmedFire, CatchUp, CatchUpPolicy, ClaimResult, ClockPolicy, Concurrency, Follow,
    Input, Limits, Planner, PlannerOptions, Resume, ScheduleSpec, Times,
};
use timeball_schedule::{FireId, Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

/// Whose time schedules follow; both clocks show the same.
const FOLLOWED: [Follow; 2] = [Follow::Auto, Follow::Utc];

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chaos {
    pub crashes: bool,
    pub steps: bool,
    pub store: bool,
    pub hangs: bool,
    pub suspends: bool,
    /// Expressions are edited, while the process runs or while it is down.
    pub edits: bool,
    /// Schedules are paused, let go on, run now and backfilled; targets fail.
    pub control: bool,
}

impl Chaos {
    /// Nothing goes wrong; edits alone are no misfortune.
    fn is_none(self) -> bool {
        let any = self.crashes || self.steps || self.store || self.hangs;
        !any && !self.suspends && !self.control
    }
}

/// The seeds of a test: `count`, or those that `TIMEBALL_SEEDS` says (so many, or `from..to`), or
/// the one of `TIMEBALL_SEED` that is to be replayed.
#[allow(clippy::disallowed_methods)]
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let text = |name| std::env::var(name).ok();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match (text("TIMEBALL_SEED"), text("TIMEBALL_SEEDS")) {
        (Some(seed), _) => number(&seed)..number(&seed) + 1,
        (None, Some(seeds)) => match seeds.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&seeds),
        },
        (None, None) => 0..count,
    }
}

/// A small generator: all randomness comes from the seed.
pub struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    pub fn millis(&mut self, from: u64, to: u64) -> Span {
        Span::from_micros((from * 1_000 + self.below((to - from) * 1_000 + 1)) as i64)
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

pub struct World {
    pub chaos: Chaos,
    pub random: Random,
    /// True time, which only runs forward.
    pub real: Timestamp,
    /// The clocks that schedules follow, less true time.
    pub offset: Span,
    /// The system clock, which nobody follows, less those.
    system_ahead: Span,
    pub planner: Option<Planner>,
    pub store: Store,
    pub specs: BTreeMap<ScheduleUid, ScheduleSpec>,
    pub repeatable: BTreeSet<ScheduleUid>,
    pub wake_at: Option<Timestamp>,
    pub armed: BTreeMap<FireId, ArmedFire>,
    /// Released fires with the true time of their end.
    pub running: BTreeMap<FireId, Timestamp>,
    /// Every release: the fire, and how often.
    pub effects: BTreeMap<FireId, u32>,
    /// When each schedule was first seen.
    pub since: BTreeMap<ScheduleUid, Timestamp>,
    /// Every expression of a schedule, and since when it is meant.
    pub meant: BTreeMap<ScheduleUid, Vec<(Timestamp, Schedule)>>,
    /// What nobody owes: an expression that was edited while the process was down, or of whose
    /// edit nothing was kept, is owed from the restart on.
    pub forgiven: Vec<(ScheduleUid, Timestamp, Timestamp)>,
    pub latest: Timestamp,
    /// True time when the process comes back.
    pub restart_at: Option<Timestamp>,
    pub claim_commits: u64,
    pub started: Timestamp,
    /// When the schedules were removed at the end, by the system clock.
    pub removed_at: Timestamp,
    /// Nothing was to go wrong.
    pub calm: bool,
    /// The worst that has died.
    pub crashed: Option<Crash>,
    /// Schedules that rest, as the shell was told.
    pub paused: BTreeSet<ScheduleUid>,
    /// Every fire that was asked for.
    pub asked: BTreeSet<FireId>,
    /// How many backfills of a schedule may run at a time.
    pub parallel: BTreeMap<ScheduleUid, usize>,
}

const EXPRESSIONS: [&str; 9] = [
    "@every 100ms",
    "@every 10ms/3ms",
    "*/0.250 * * * * *",
    "*/7 * * * * *",
    "@every 1s",
    "@every 777ms",
    "* * * * *",
    "@every 30s",
    "0.1,0.2,30 * * * * *",
];
const LIMITS: Limits = Limits {
    in_flight_per_schedule: 500,
    active_per_schedule: 50,
    catch_up: 20,
    claims_per_commit: 300,
};

impl World {
    pub fn new(seed: u64, chaos: Chaos) -> Self {
        let mut world = Self {
            chaos,
            random: Random(seed),
            real: instant("2026-11-21T11:59:00Z"),
            offset: Span::ZERO,
            system_ahead: Span::ZERO,
            planner: None,
            store: Store::default(),
            specs: BTreeMap::new(),
            repeatable: BTreeSet::new(),
            wake_at: None,
            armed: BTreeMap::new(),
            running: BTreeMap::new(),
            effects: BTreeMap::new(),
            since: BTreeMap::new(),
            meant: BTreeMap::new(),
            forgiven: Vec::new(),
            latest: Timestamp::MIN,
            restart_at: None,
            claim_commits: 0,
            started: instant("2026-11-21T11:59:00Z"),
            calm: chaos.is_none(),
            crashed: None,
            paused: BTreeSet::new(),
            asked: BTreeSet::new(),
            parallel: BTreeMap::new(),
            removed_at: Timestamp::MAX,
        };
        for number in 0..1 + world.random.below(3) {
            let spec = world.random_spec(number as u8);
            if world.random.one_in(3) {
                world.repeatable.insert(spec.uid);
            }
            world.specs.insert(spec.uid, spec);
        }
        world.start();
        world
    }

    fn random_spec(&mut self, number: u8) -> ScheduleSpec {
        let (calm, control) = (self.calm, self.chaos.control);
        let random = &mut self.random;
        let expression = random.pick(&EXPRESSIONS);
        let schedule = Schedule::parse(expression, Dialect::Vixie, &Zone::utc(), None).unwrap();
        let policies = [CatchUpPolicy::None, CatchUpPolicy::Latest, CatchUpPolicy::All];
        let concurrencies =
            [Concurrency::Allow, Concurrency::Forbid, Concurrency::Replace, Concurrency::BufferOne];
        let deadlines = [
            None,
            Some(Span::from_millis(500)),
            Some(Span::from_secs(5)),
            Some(Span::from_secs(60)),
        ];
        ScheduleSpec {
            uid: ScheduleUid([number; 16]),
            generation: 1,
            schedule,
            suspended: false,
            deadline: random.pick(&deadlines),
            concurrency: if calm { Concurrency::Allow } else { random.pick(&concurrencies) },
            catch_up: CatchUp {
                policy: random.pick(&policies),
                window: random.pick(&[Span::from_secs(10), Span::from_secs(86_400)]),
                limit: 1 + random.below(30) as u32,
            },
            jitter: random.pick(&[
                Span::ZERO,
                Span::ZERO,
                Span::from_millis(40),
                Span::from_secs(3),
            ]),
            pause_on_failure: (control && random.one_in(2)).then(|| 1 + random.below(3) as u32),
            clock: ClockPolicy { follow: FOLLOWED[usize::from(number % 2)], ..Default::default() },
        }
    }

    pub fn now(&self) -> Timestamp {
        self.real + self.offset
    }

    fn system(&self) -> Timestamp {
        self.now() + self.system_ahead
    }

    /// Starts the process: a fresh planner, told what the store knows.
    fn start(&mut self) {
        let options = PlannerOptions { limits: LIMITS, ..PlannerOptions::default() };
        self.planner = Some(Planner::new(options));
        self.restart_at = None;
        self.paused.clone_from(&self.store.paused);
        self.parallel.clear();
        let specs: Vec<ScheduleSpec> = self.specs.values().cloned().collect();
        for spec in specs {
            let uid = spec.uid;
            let resume = self.resume(&spec);
            if resume.accounted_until.is_none() {
                self.since.insert(uid, self.now());
                self.meant.insert(uid, vec![(self.now(), spec.schedule.clone())]);
            }
            self.feed(Input::Upsert { spec: Box::new(spec), resume });
        }
    }

    /// What the store knows of a schedule, as the shell says it.
    fn resume(&mut self, spec: &ScheduleSpec) -> Resume {
        let (uid, now) = (spec.uid, self.now());
        let mut resume = self.store.resume(uid, self.repeatable.contains(&uid), now);
        resume.redefined = self.store.is_redefined(uid, &spec.schedule.to_string());
        if let Some(until) = resume.accounted_until.filter(|_| resume.redefined) {
            resume.accounted_until = Some(until.max(now));
            // The edit is taken up now, whenever it was made.
            // Expressions that were not kept were never taken up, or not wholly.
            let kept = &self.store.defined[&uid];
            let meant = self.meant.get_mut(&uid).unwrap();
            let place = meant.iter().position(|(_, schedule)| schedule.to_string() == *kept);
            let abandoned = meant.get(place.unwrap() + 1).map(|(since, _)| *since);
            meant.truncate(place.unwrap() + 1);
            self.forgiven.push((uid, abandoned.map_or(until, |since| since.min(until)), now));
            meant.push((now, spec.schedule.clone()));
        }
        resume
    }

    /// Other expressions for one schedule or, more than fits one commit, for all.
    fn edit(&mut self) {
        let uids: Vec<ScheduleUid> = self.specs.keys().copied().collect();
        let one = self.random.pick(&uids);
        let all = self.random.one_in(3);
        for uid in uids.into_iter().filter(|uid| all || *uid == one) {
            self.redefine(uid);
        }
        self.feed(Input::Wake);
        if self.planner.is_some() && self.chaos.crashes && self.random.one_in(3) {
            self.crash();
        }
    }

    fn redefine(&mut self, uid: ScheduleUid) {
        let expression = self.random.pick(&EXPRESSIONS);
        let schedule = Schedule::parse(expression, Dialect::Vixie, &Zone::utc(), None).unwrap();
        let used = self.meant.get(&uid).into_iter().flatten();
        // Each only once, so that it is clear since when it is meant.
        if used.map(|(_, known)| known).any(|known| known.to_string() == schedule.to_string()) {
            return;
        }
        let spec = self.specs.get_mut(&uid).unwrap();
        spec.schedule = schedule.clone();
        spec.generation += 1;
        let spec = spec.clone();
        if self.planner.is_none() {
            return;
        }
        let now = self.now();
        self.meant.get_mut(&uid).unwrap().push((now, schedule));
        self.feed(Input::Upsert { spec: Box::new(spec), resume: Resume::default() });
    }

    fn crash(&mut self) {
        let crash = if self.random.one_in(3) { Crash::Machine } else { Crash::Process };
        if self.crashed != Some(Crash::Machine) {
            self.crashed = Some(crash);
        }
        self.planner = None;
        self.wake_at = None;
        self.armed.clear();
        self.running.clear();
        self.store.crash(crash, &mut self.random);
        let longest = self.random.pick(&[10, 1_000, 60_000]);
        self.restart_at = Some(self.real + self.random.millis(1, longest));
    }

    /// Feeds an input and carries out the actions in order.
    pub fn feed(&mut self, input: Input) {
        self.latest = self.latest.max(self.now());
        let now = Times { system: self.system(), ..self.now().into() };
        let Some(planner) = self.planner.as_mut() else { return };
        let actions = planner.handle_input(now, input);
        let mut answers = Vec::new();
        self.store.begin_call();
        for action in actions {
            match action {
                Action::Claim(claims) => {
                    self.claim_commits += 1;
                    let slow = self.chaos.store && self.random.one_in(5);
                    let delay = self.random.millis(0, if slow { 6_000 } else { 3 });
                    self.store.claim(claims, self.real + delay);
                }
                Action::Record(record) => {
                    self.check_record(&record);
                    self.store.record(record);
                }
                Action::Account { schedule, until } => self.store.account(schedule, until),
                Action::Adopt(uid) => {
                    let expression = self.specs[&uid].schedule.to_string();
                    self.store.define(uid, &expression);
                }
                Action::Arm(fire) => assert!(self.armed.insert(fire.fire, fire).is_none()),
                Action::Revoke(fire) => {
                    if self.armed.remove(&fire).is_some() {
                        let outcome = Outcome::Skipped(Reason::Revoked);
                        answers.push(Input::Finished { fire, outcome, duration: None });
                    }
                }
                Action::Pause { schedule, failures } => self.paused_itself(schedule, failures),
                Action::Stop(fire) => {
                    if let Some(end) = self.running.get_mut(&fire) {
                        *end = (*end).min(self.real + Span::from_millis(2));
                    }
                }
                Action::WakeAt(at) => self.wake_at = Some(at),
            }
        }
        for answer in answers {
            self.feed(answer);
        }
    }

    /// True time of the next thing that happens by itself.
    fn next_event(&self) -> Option<Timestamp> {
        let releases = self.armed.values().map(|fire| fire.release_at - self.offset);
        let wake = self.wake_at.map(|at| at - self.offset - self.system_ahead);
        let mut events: Vec<Timestamp> = releases.chain(wake).collect();
        events.extend(self.running.values());
        events.extend(self.store.due_at());
        events.extend(self.restart_at);
        events.into_iter().min().map(|at| at.max(self.real))
    }

    /// Runs a few minutes with whatever may go wrong.
    pub fn run(&mut self) {
        let end = self.real + Span::from_secs(60 + self.random.below(120) as i64);
        while self.real < end {
            let horizon = self.real + Span::from_secs(3_600);
            let at = self.next_event().unwrap_or(horizon);
            self.real = at.min(self.real + Span::from_secs(1));
            let rate = if self.chaos.edits || self.chaos.control { 60 } else { 400 };
            if self.random.one_in(rate) {
                self.mishap();
            }
            self.happen();
        }
    }

    fn mishap(&mut self) {
        match self.random.below(5) {
            0 if self.chaos.crashes && self.planner.is_some() => self.crash(),
            1 if self.chaos.steps => {
                let size = self.random.pick(&[20, 500, 5_000, 600_000]);
                let step = self.random.millis(1, size);
                self.offset += if self.random.one_in(2) { step } else { -step };
                self.system_ahead = step * 3 - self.system_ahead;
                self.feed(Input::ClockStepped(vec![Follow::Auto, Follow::System, Follow::Utc]));
            }
            2 if self.chaos.suspends && self.planner.is_some() => {
                let uid = *self.specs.keys().next().unwrap();
                let spec = self.specs.get_mut(&uid).unwrap();
                spec.suspended = !spec.suspended;
                let other = usize::from(spec.clock.follow == FOLLOWED[0]);
                spec.clock.follow = FOLLOWED[other];
                spec.generation += 1;
                let spec = Box::new(spec.clone());
                let resume = self.remove_for_a_moment(uid);
                self.feed(Input::Upsert { spec, resume });
            }
            3 if self.chaos.edits && self.store.due_at().is_none() => self.edit(),
            4 if self.chaos.control && self.planner.is_some() => self.control(),
            _ => {}
        }
    }

    /// Everything that is due at this moment.
    fn happen(&mut self) {
        if self.restart_at.is_some_and(|at| at <= self.real) {
            self.start();
        }
        let failing = self.chaos.store && self.random.one_in(6);
        if let Some(answers) = self.store.commit_due(self.real, failing, &mut self.random) {
            let any = answers.iter().any(|(_, result)| *result == ClaimResult::Lost);
            assert!(!any, "an instant with an outcome is claimed again");
            self.feed(Input::Claimed(answers));
        }
        let ended: Vec<FireId> = self.ended();
        for fire in ended {
            self.running.remove(&fire);
            let fails = self.chaos.hangs || self.chaos.control;
            let failed = self.random.one_in(10) && fails;
            let outcome = if failed { Outcome::Failed(Reason::ExitStatus) } else { Outcome::Fired };
            self.feed(Input::Finished { fire, outcome, duration: Some(Span::from_millis(3)) });
        }
        if self.wake_at.is_some_and(|at| at <= self.system()) {
            self.wake_at = None;
            self.feed(Input::Wake);
        }
        self.release_due();
    }

    fn ended(&self) -> Vec<FireId> {
        self.running.iter().filter(|(_, end)| **end <= self.real).map(|(fire, _)| *fire).collect()
    }

    fn release_due(&mut self) {
        let now = self.now();
        let due: Vec<ArmedFire> =
            self.armed.values().filter(|fire| fire.release_at <= now).copied().collect();
        for fire in due {
            if self.armed.remove(&fire.fire).is_none() {
                continue;
            }
            if fire.not_after.is_some_and(|last| last < now) {
                let outcome = Outcome::Missed(Reason::DeadlineExceeded);
                self.feed(Input::Finished { fire: fire.fire, outcome, duration: None });
                continue;
            }
            self.check_release(&fire);
            *self.effects.entry(fire.fire).or_default() += 1;
            self.store.begin(fire.fire);
            let hangs = self.chaos.hangs && self.random.one_in(20);
            let duration =
                if hangs { self.random.millis(1_000, 30_000) } else { self.random.millis(0, 8) };
            self.running.insert(fire.fire, self.real + duration);
            self.feed(Input::Released {
                fire: fire.fire,
                lateness: now - fire.release_at,
                clock_bound: None,
                clock_exceeded: false,
            });
        }
    }

    /// Lets everything come to rest: no more mishaps, and time for what still runs.
    pub fn settle(&mut self) {
        self.chaos = Chaos::default();
        let end = self.real + Span::from_secs(120);
        while self.real < end {
            let at = self.next_event().unwrap_or(end);
            self.real = at.min(self.real + Span::from_secs(1));
            self.happen();
        }
        self.removed_at = self.now();
        let uids: Vec<ScheduleUid> = self.specs.keys().copied().collect();
        for uid in uids {
            self.feed(Input::Remove(uid));
        }
        // The planner forgets a removed schedule once everything of it is recorded.
        while self.planner.as_ref().is_none_or(|planner| !planner.is_empty()) {
            self.real = self.next_event().unwrap();
            self.happen();
        }
        self.store.flush();
    }
}
