//! How late a program's `main` begins after T, beside a thread that only sleeps, in one run.
//!
//! The program reads the system clock first thing in `main` and prints it. In each round every way
//! has its turn, in random order. The bare sleep, with the timer slack that every thread has,
//! appears twice (A/A): what differs between its two rows is noise. Ratios are those to the bare
//! sleeps of the same round; how sure their median is stands with them. After the table: the gate's
//! size, and its time from spawn to exit. It fails where something that is asked is not held.
//! `cargo xtask bench targets --help` names the arguments; needs a C compiler (`cc`).
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use timeball_gate::{Exit, parse_instant};
use timeball_runtime::read_clocks;
use timeball_scheduler::GateProgram;
use timeball_scheduler::bench_support::{
    Bars, FiringThread, Programs, Rounds, percentile, shuffled,
};
use timeball_timebase::{Span, Timestamp};

/// The 99th percentile of a round is its second latest.
const FIRES_PER_ROUND: i64 = 20;
const APART: Span = Span::from_millis(40);
/// Loading is over by then.
const FIRST: Span = Span::from_millis(300);
const GATE_STARTS: usize = 300;
/// What is asked of [`JUDGED`]: percentiles, as so many times the bare sleep's.
const RATIOS_MAX: [(f64, f64); 2] = [(0.5, 2.0), (0.99, 3.0)];
const JUDGED: usize = 2;
/// The bare sleep as the firing thread sleeps, beside which it is judged by the bench `fire`. What
/// is asked of programs is a multiple of what anybody's thread does, whose timers have 50 us of
/// slack.
const TIGHT: usize = 11;
/// What is asked of the gate: its size, and the median of its time from spawn to exit.
const GATE_KIB_MAX: f64 = 64.0;
const GATE_MS_MAX: f64 = 0.3;

const WAYS: [&str; 12] = [
    "clock_nanosleep (A)",
    "clock_nanosleep (A again)",
    "exec, dynamic program, held by the gate",
    "exec, static program (glibc), held by the gate",
    "exec, program without libc, held by the gate",
    "exec, dynamic program, started at T",
    "timeball-gate --at, dynamic program",
    "timeball-gate --at, static program (glibc)",
    "timeball-gate --at, static program (glibc) that is held at its entry point",
    "timeball-gate --at --mode exec, dynamic program",
    "timeball-gate --at --mode exec, program without libc",
    "clock_nanosleep with a slack of 1 ns",
];

const PROBE: &str = r#"
#include <stdio.h>
#include <time.h>
#ifdef BEFORE_ALL
/* Called before the section `.init`, behind which a static program is held. */
static void nothing(void) {}
__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = nothing;
#endif
int main(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("@%lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    return 0;
}
"#;

/// The argument with which this program is the gate.
const GATE: &str = "gate";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == GATE) {
        let exit = timeball_gate::hosted::run_here(std::env::args_os().skip(1));
        return match exit {
            Ok(Exit::Status(status)) => ExitCode::from(status),
            Ok(Exit::Signal(_)) | Err(_) => ExitCode::FAILURE,
        };
    }
    let position = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = position.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(12);
    let bench = Bench::new();
    let mut late: [Rounds; WAYS.len()] = Default::default();
    let mut seed = read_clocks().system.as_unix_nanos().unsigned_abs();
    for _ in 0..rounds {
        for way in shuffled(WAYS.len(), &mut seed) {
            late[way].push(bench.round(way));
        }
    }
    let mut bars = Bars::default();
    report(&late, &mut bars);
    bench.report_gate(&mut bars);
    bars.exit()
}

struct Bench {
    held: Programs,
    plain: Programs,
    dynamic: String,
    without_loader: String,
    /// The same, but held before its library instead of behind it.
    at_entry: String,
    gate: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("targets");
        std::fs::create_dir_all(&directory).expect("the target directory can be written");
        let this = GateProgram::of_this_process(GATE);
        Self {
            held: Programs::start(this).expect("threads can be started"),
            plain: Programs::start(None).expect("threads can be started"),
            dynamic: compile(&directory, "dynamic", &[]),
            without_loader: compile(&directory, "static", &["-static"]),
            at_entry: compile(&directory, "static-at-entry", &["-static", "-DBEFORE_ALL"]),
            gate: build_gate(&directory),
        }
    }

    /// How late each fire of a round was, in nanoseconds.
    fn round(&self, way: usize) -> Vec<i64> {
        let first = read_clocks().system + FIRST;
        let instants: Vec<Timestamp> = (0..FIRES_PER_ROUND).map(|n| first + APART * n).collect();
        let gate = self.gate.to_str().expect("a path of ASCII");
        let ran = match way {
            0 | 1 => return bare(&instants, || ()),
            TIGHT => return bare(&instants, FiringThread::sleep_bare_prepare),
            2 => self.held.run(&self.dynamic, &[], &instants),
            3 => self.held.run(&self.without_loader, &[], &instants),
            4 => self.held.run(gate, &["--now"], &instants),
            5 => self.plain.run(&self.dynamic, &[], &instants),
            6 => Ok(self.gates(&["--", &self.dynamic], &instants)),
            7 => Ok(self.gates(&["--", &self.without_loader], &instants)),
            8 => Ok(self.gates(&["--", &self.at_entry], &instants)),
            9 => Ok(self.gates(&["--mode", "exec", "--", &self.dynamic], &instants)),
            _ => Ok(self.gates(&["--mode", "exec", "--", gate, "--now"], &instants)),
        };
        let mut began: Vec<Timestamp> =
            ran.expect("the programs run").iter().map(|text| parse(text)).collect();
        began.sort_unstable();
        // They are tens of milliseconds apart, so the order tells which is whose.
        began.iter().zip(&instants).map(|(began, at)| (*began - *at).as_nanos()).collect()
    }

    fn gates(&self, rest: &[&str], instants: &[Timestamp]) -> Vec<String> {
        let start = |at: &Timestamp| {
            let mut gate = Command::new(&self.gate);
            gate.args(["--at", &at.to_string()]).args(rest).stdin(Stdio::null());
            gate.stdout(Stdio::piped()).spawn().expect("the gate can be started")
        };
        let started: Vec<_> = instants.iter().map(start).collect();
        let end = |child: std::process::Child| {
            let output = child.wait_with_output().expect("the gate is our child");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        started.into_iter().map(end).collect()
    }

    fn report_gate(&self, bars: &mut Bars) {
        let octets = std::fs::metadata(&self.gate).expect("it was built").len();
        println!("\ntimeball-gate: {octets} octets");
        let mut medians = Vec::new();
        for (what, program) in [("timeball-gate --now", self.gate.clone()), ("true", "true".into())]
        {
            let mut times: Vec<Duration> = (0..GATE_STARTS)
                .map(|_| {
                    let started = Instant::now();
                    let mut command = Command::new(&program);
                    command.arg("--now").stdin(Stdio::null()).stdout(Stdio::null());
                    command.status().expect("it can be started");
                    started.elapsed()
                })
                .collect();
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            println!("{what}, spawn to exit: p50 {:?}, p99 {:?}", at(0.5), at(0.99));
            medians.push(at(0.5));
        }
        let kib = octets as f64 / 1_024.0;
        println!("{}", bars.at_most("the gate's size", kib, GATE_KIB_MAX, " KiB"));
        let ms = medians[0].as_secs_f64() * 1e3;
        println!("{}", bars.at_most("the gate from spawn to exit, p50", ms, GATE_MS_MAX, " ms"));
    }
}

fn compile(directory: &Path, name: &str, flags: &[&str]) -> String {
    let (source, program) = (directory.join(format!("{name}.c")), directory.join(name));
    std::fs::write(&source, PROBE).expect("the target directory can be written");
    let mut compiler = Command::new("cc");
    compiler.arg("-O2").args(flags).arg("-o").arg(&program).arg(&source);
    assert!(compiler.status().expect("a C compiler `cc` is needed").success(), "cc failed");
    program.to_str().expect("a path of ASCII").to_owned()
}

/// Builds the gate as it is shipped.
fn build_gate(directory: &Path) -> PathBuf {
    let target = directory.join("gate");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--profile", "gate", "--package", "timeball-gate"]);
    cargo.args(["--bin", "timeball-gate", "--offline", "--target-dir"]).arg(&target);
    assert!(cargo.status().expect("cargo can be run").success(), "the gate does not build");
    target.join("gate/timeball-gate")
}

fn parse(text: &str) -> Timestamp {
    parse_instant(text.trim().as_bytes()).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

/// A thread of its own that gets ready by `prepare` and then only sleeps.
fn bare(instants: &[Timestamp], prepare: fn()) -> Vec<i64> {
    let instants = instants.to_vec();
    let thread = std::thread::spawn(move || {
        prepare();
        let late = |at: &Timestamp| {
            FiringThread::sleep_bare(*at);
            (read_clocks().system - *at).as_nanos()
        };
        instants.iter().map(late).collect()
    });
    thread.join().expect("a sleeping thread does not panic")
}

fn report(late: &[Rounds; WAYS.len()], bars: &mut Bars) {
    println!("| way | starts | p50 us | p99 us | max us | p50 ratio | p99 ratio |");
    println!("|---|---|---|---|---|---|---|");
    let mut verdicts = Vec::new();
    for (number, (way, rounds)) in WAYS.iter().zip(late).enumerate() {
        let sorted = rounds.sorted();
        let [p50, p99, max] =
            [0.5, 0.99, 1.0].map(|share| percentile(&sorted, share).unwrap_or(f64::NAN) / 1_000.0);
        let others: Vec<&Rounds> =
            (0..2).filter(|bare| *bare != number).map(|bare| &late[bare]).collect();
        let ratios = RATIOS_MAX.map(|(share, limit)| (rounds.ratio(share, &others), share, limit));
        let [p50_ratio, p99_ratio] =
            ratios.map(|(ratio, ..)| ratio.map_or("".to_owned(), |ratio| ratio.to_string()));
        let n = sorted.len();
        println!("| {way} | {n} | {p50:.1} | {p99:.1} | {max:.1} | {p50_ratio} | {p99_ratio} |");
        for (ratio, share, limit) in ratios.into_iter().filter(|_| number == JUDGED) {
            let Some(ratio) = ratio else { continue };
            let percent = share * 100.0;
            let bar = format!("{way}, p{percent}, {ratio} of bare; at most {limit} is asked");
            verdicts.push(bars.note(ratio.verdict(limit), bar));
        }
    }
    println!("\nratios: medians of the rounds', with intervals of 95 % confidence");
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
}
