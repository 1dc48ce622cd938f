//! A million schedules: their memory, what it costs to change one among many, and 10,000 fires a
//! second through planner, durable claims and firing thread.
//!
//! `cargo xtask bench planner --help` names the arguments; it fails where something that is asked
//! is not held.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use timeball_runtime::read_clocks;
use timeball_schedule::ScheduleUid;
use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_schedule::planner::{
    CatchUp, CatchUpPolicy, ClockPolicy, Concurrency, Input, Planner, PlannerOptions, Resume,
    ScheduleSpec,
};
use timeball_scheduler::Zones;
use timeball_scheduler::bench_support::{Bars, House, Seen, Verdict};
use timeball_timebase::{Span, Timestamp};

const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Asia/Tehran", "Etc/UTC"];
/// Schedules that have nothing to do while others fire.
const IDLE: u64 = 90_000;
/// Changes measured at each size, at most.
const CHANGES_MAX: u64 = 5_000;
/// Changes whose way through the trees stays in the processor's cache.
const SAME: u64 = 32;
const MILLION: u64 = 1_000_000;
/// What is asked: the memory of a million schedules, and the 99th percentile of the lateness at
/// dispatch.
const MIB_A_MILLION_MAX: f64 = 1_024.0;
const LATE_US_MAX: f64 = 1_000.0;
/// What each process of the memory's part measures.
const FILLED: [&str; 2] = ["planner-alone", "planner-and-books"];

fn main() -> ExitCode {
    let count = argument("--schedules").unwrap_or(MILLION);
    let rate = argument("--fires-per-second").unwrap_or(10_000).max(1);
    let seconds = argument("--seconds").unwrap_or(30);
    let mut zones = Zones::new();
    let zones = ZONES.map(|name| zones.zone(name).expect("the zone is known"));
    let wanted: Vec<String> = std::env::args().collect();
    let all = !["fires", "memory", "costs"].iter().any(|part| wanted.iter().any(|w| w == part));
    let wants = |part: &str| all || wanted.iter().any(|wanted| wanted == part);
    for what in FILLED {
        if wanted.iter().any(|wanted| wanted == what) {
            println!("{}", memory_of(what, &zones, count));
            return ExitCode::SUCCESS;
        }
    }
    let mut bars = Bars::default();
    if wants("memory") {
        memory(count, &mut bars);
    }
    if wants("costs") {
        costs(&zones, count, &mut bars);
    }
    if wants("fires") {
        for firing in [100, rate] {
            fires(&zones, firing, rate, seconds, &mut bars);
        }
    }
    bars.exit()
}

/// On a machine that is busy with other things only a firing thread of its class can be judged.
fn real_time() -> Option<u8> {
    argument("--real-time").and_then(|priority| u8::try_from(priority).ok())
}

fn argument(name: &str) -> Option<u64> {
    let arguments: Vec<String> = std::env::args().collect();
    let position = arguments.iter().position(|argument| argument == name)?;
    arguments.get(position + 1)?.parse().ok()
}

/// Each row is a process of its own: an allocator does not give back what it once had.
fn memory(count: u64, bars: &mut Bars) {
    println!("\n| {count} schedules of some minute of each day | resident MiB | octets each |");
    println!("|---|---|---|");
    let measured = FILLED.map(|what| {
        let program = std::env::current_exe().expect("the system knows this program");
        let mut process = Command::new(program);
        process.args([what, "--schedules", &count.to_string()]);
        let output = process.output().expect("this program can be started");
        let octets = String::from_utf8_lossy(&output.stdout).trim().parse::<u64>();
        let octets = octets.unwrap_or_else(|_| panic!("{what} failed: {output:?}"));
        println!("| {what} | {} | {} |", octets >> 20, octets / count);
        (what, octets)
    });
    println!();
    for (what, octets) in measured {
        // Of another count as much as it would be of a million.
        let mib = octets as f64 / count as f64 * MILLION as f64 / f64::from(1 << 20);
        let line = bars.at_most(&format!("a million, {what}"), mib, MIB_A_MILLION_MAX, " MiB");
        println!("{line}");
    }
}

/// Octets that so many schedules take in this process.
fn memory_of(what: &str, zones: &[Zone], count: u64) -> u64 {
    let before = resident_octets();
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut house = House::open(directory.path(), real_time()).expect("a store can be made");
    let mut planner = Planner::new(PlannerOptions::default());
    if what == FILLED[0] {
        planner = filled(zones, count, read_clocks().system);
    } else {
        for n in 0..count {
            house.put(daily(zones, n, 1));
        }
        // As at the first start with so many files.
        house.commit();
    }
    let octets = resident_octets().saturating_sub(before);
    drop((planner, house));
    octets
}

fn filled(zones: &[Zone], count: u64, now: Timestamp) -> Planner {
    let mut planner = Planner::new(PlannerOptions::default());
    for n in 0..count {
        let spec = Box::new(daily(zones, n, 1));
        let _ = planner.handle_input(now, Input::Upsert { spec, resume: Resume::default() });
    }
    planner
}

/// What one change costs among many schedules: with those that changed spread over all of them, so
/// that memory is waited for, and with the same few changed again and again, so that it is not.
/// Beside it a bare tree of as many keys, which is known to take a logarithmic number of steps: up
/// to a million, what a change costs is to grow no faster.
fn costs(zones: &[Zone], count: u64, bars: &mut Bars) {
    println!("\n| schedules | changes | insert ns | edit ns | delete ns | bare tree ns |");
    println!("|---|---|---|---|---|---|");
    let mut rows: [Vec<[f64; 4]>; 2] = Default::default();
    for size in [1_000, 10_000, 100_000, MILLION].into_iter().filter(|size| *size <= count) {
        let mut many = Many::new(zones, size);
        let kinds = [("spread", 5, CHANGES_MAX.min(size)), ("the same", 100, SAME)];
        for ((what, rounds, changes), rows) in kinds.into_iter().zip(&mut rows) {
            // The best of some rounds, for others work on this machine, too.
            let mut best = [f64::MAX; 4];
            for _ in 0..rounds {
                for (best, nanos) in best.iter_mut().zip(many.change(changes)) {
                    *best = best.min(nanos);
                }
            }
            let [insert, edit, delete, bare] = best;
            println!("| {size} | {what} | {insert:.0} | {edit:.0} | {delete:.0} | {bare:.0} |");
            rows.push(best);
        }
    }
    let mut verdicts = Vec::new();
    for (what, rows) in ["spread", "the same"].into_iter().zip(rows) {
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            let [insert, edit, delete, bare] = [0, 1, 2, 3].map(|n| last[n] / first[n]);
            println!(
                "| last / first | {what} | {insert:.1} | {edit:.1} | {delete:.1} | {bare:.1} |"
            );
            let growths = [("insert", insert), ("edit", edit), ("delete", delete)];
            // Between fewer sizes a cache that is full decides.
            for (kind, growth) in growths.into_iter().filter(|_| count >= MILLION) {
                let bar = format!("{kind}, {what}, growth over the bare tree's");
                verdicts.push(bars.at_most(&bar, growth / bare, 1.0, ""));
            }
        }
    }
    println!();
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
}

/// Many schedules, some of which are changed, and a tree with nothing but their keys.
struct Many<'z> {
    zones: &'z [Zone],
    size: u64,
    now: Timestamp,
    generation: u64,
    planner: Planner,
    bare: BTreeMap<ScheduleUid, u64>,
}

impl<'z> Many<'z> {
    fn new(zones: &'z [Zone], size: u64) -> Self {
        let now = read_clocks().system;
        let planner = filled(zones, size, now);
        let bare = (0..size).map(|n| (House::uid(n), n)).collect();
        Self { zones, size, now, generation: 1, planner, bare }
    }

    /// Inserts so many schedules, edits as many others and deletes the new ones; returns the
    /// nanoseconds of each, and of inserting and removing a key of the bare tree.
    fn change(&mut self, changes: u64) -> [f64; 4] {
        self.generation += 1;
        let (zones, size, generation) = (self.zones, self.size, self.generation);
        let spread = |n: u64| n.wrapping_mul(7_919) % size;
        let new = (0..changes).map(|n| daily(zones, size + n, 1)).map(upsert);
        let insert = self.timed(new.collect());
        let edited = (0..changes).map(|n| daily(zones, spread(n), generation)).map(upsert);
        let edit = self.timed(edited.collect());
        let gone = (0..changes).map(|n| Input::Remove(House::uid(size + n)));
        let delete = self.timed(gone.collect());
        let keys: Vec<ScheduleUid> = (0..changes).map(|n| House::uid(size + n)).collect();
        let start = Instant::now();
        for key in &keys {
            black_box(self.bare.insert(*key, 0));
        }
        for key in &keys {
            black_box(self.bare.remove(key));
        }
        let bare = start.elapsed().as_nanos() as f64 / (2 * changes) as f64;
        [insert, edit, delete, bare]
    }

    /// Nanoseconds for each of these inputs.
    fn timed(&mut self, inputs: Vec<Input>) -> f64 {
        let count = inputs.len() as f64;
        let start = Instant::now();
        for input in inputs {
            drop(black_box(self.planner.handle_input(self.now, input)));
        }
        start.elapsed().as_nanos() as f64 / count
    }
}

fn upsert(spec: ScheduleSpec) -> Input {
    Input::Upsert { spec: Box::new(spec), resume: Resume::default() }
}

/// Fires of so many schedules at an even rate, through everything but a target.
fn fires(zones: &[Zone], firing: u64, rate: u64, seconds: u64, bars: &mut Bars) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut house = House::open(directory.path(), real_time()).expect("a store can be made");
    for n in 0..IDLE {
        house.put(daily(zones, n, 1));
    }
    let period_us = firing * 1_000_000 / rate;
    for n in 0..firing {
        let text = format!("@every {period_us}us/{}us", n * period_us / firing);
        house.put(spec(IDLE + n, &text, &zones[3], 1));
    }
    house.commit();
    // The first claims of all are not what goes on afterwards.
    let _ = house.work(Duration::from_secs(3));
    let before = processor_time();
    let mut seen = house.work(Duration::from_secs(seconds));
    let busy = (processor_time() - before).as_secs_f64() / seconds.max(1) as f64;
    let disk = disk_commits(directory.path());
    println!("\n{firing} schedules beside {IDLE} idle ones, {rate} fires a second wanted:");
    report(&mut seen, seconds, busy, disk);
    let late = micros_at(&seen.lateness, 0.99);
    println!("\n{}", bars.at_most("lateness at dispatch, p99", late, LATE_US_MAX, " us"));
    if seen.not_fired > 0 {
        println!("{}", bars.note(Verdict::NotHeld, "every instant is fired"));
    }
}

/// Prints what was seen, and sorts it.
fn report(seen: &mut Seen, seconds: u64, busy: f64, mut disk: Vec<Span>) {
    let fired = seen.lateness.len() as f64 / seconds.max(1) as f64;
    println!(
        "{fired:.0} a second fired in {seconds} s, {} not fired, {:.1} commits a second, \
         {busy:.2} processors busy",
        seen.not_fired,
        seen.commits_of_any_kind as f64 / seconds.max(1) as f64,
    );
    println!("\n| what | n | p50 us | p99 us | max us |\n|---|---|---|---|---|");
    row("lateness at dispatch", &mut seen.lateness);
    let claims: usize = seen.commits.iter().map(|(claims, _)| claims).sum();
    let mean = claims / seen.commits.len().max(1);
    let mut commits: Vec<Span> = seen.commits.iter().map(|(_, span)| *span).collect();
    row(&format!("commit of claims ({mean} each)"), &mut commits);
    row("the disk's own: write 4 KiB and fdatasync", &mut disk);
}

fn row(what: &str, spans: &mut [Span]) {
    spans.sort_unstable();
    let at = |share| micros_at(spans, share);
    println!("| {what} | {} | {:.1} | {:.1} | {:.1} |", spans.len(), at(0.5), at(0.99), at(1.0));
}

/// A percentile of what is in order; NaN of nothing.
fn micros_at(sorted: &[Span], share: f64) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n => sorted[((n - 1) as f64 * share) as usize].as_nanos() as f64 / 1e3,
    }
}

fn disk_commits(directory: &Path) -> Vec<Span> {
    let mut file = File::create(directory.join("bare")).expect("a file can be made");
    let octets = [7; 4_096];
    let one = |_| {
        let start = Instant::now();
        file.write_all(&octets).and_then(|()| file.sync_data()).expect("it can be written");
        Span::from_nanos(i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX))
    };
    (0..200).map(one).collect()
}

fn daily(zones: &[Zone], n: u64, generation: u64) -> ScheduleSpec {
    let zone = &zones[(n % zones.len() as u64) as usize];
    let (minute, hour) = ((n * 7 + generation) % 60, n * 13 / 60 % 24);
    spec(n, &format!("{minute} {hour} * * *"), zone, generation)
}

fn spec(n: u64, expression: &str, zone: &Zone, generation: u64) -> ScheduleSpec {
    let schedule = Schedule::parse(expression, Dialect::Vixie, zone, None);
    ScheduleSpec {
        uid: House::uid(n),
        generation,
        schedule: schedule.expect("the expression is right"),
        suspended: false,
        deadline: None,
        concurrency: Concurrency::Allow,
        catch_up: CatchUp {
            policy: CatchUpPolicy::Latest,
            window: Span::from_secs(86_400),
            limit: 1,
        },
        jitter: Span::ZERO,
        pause_on_failure: None,
        clock: ClockPolicy::default(),
    }
}

/// What this process holds in memory, octets (`statm`, proc(5)).
fn resident_octets() -> u64 {
    let pages = |text: String| text.split(' ').nth(1)?.parse::<u64>().ok();
    let resident = fs::read_to_string("/proc/self/statm").ok().and_then(pages);
    resident.expect("the system says it") * 4_096
}

/// Processor time of this process so far (`stat`, proc(5): ticks of 10 ms).
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("the system says it");
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}
