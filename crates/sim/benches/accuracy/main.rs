//! The clock's error beside that of an estimator that knows the physics, on the same noise; and
//! beside chrony's in the worlds of the comparison; and the least that a promise can be there.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for people")]

mod floors;
mod plot;

use std::path::Path;
use std::process::ExitCode;

use timeball_sim::worlds::{compared, fixed_poll};
use timeball_sim::{Scenario, World, clairvoyant_rms, median};

/// The clock is judged from here on.
const SETTLED_S: i64 = 10_000;
const JITTERS: [f64; 4] = [1e-5, 1e-4, 1e-3, 1e-2];
const WANDERS: [f64; 2] = [1e-9, 1e-8];
/// What the clock's error may be of the clairvoyant's, with an outage or without.
const RATIO_MAX: f64 = 1.15;

fn main() -> ExitCode {
    // cargo hands `--bench` to every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let seeds = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(10),
        ["--seeds", seeds] => seeds.parse().ok().filter(|seeds| *seeds > 0),
        _ => None,
    };
    let Some(seeds) = seeds else {
        eprintln!("error: `cargo xtask bench accuracy --help` says what can be asked for");
        return ExitCode::from(2);
    };
    let rows = beside_the_clairvoyant(seeds);
    let holds_in_an_outage = in_an_outage(seeds);
    asked_when_it_is_worth_it(seeds);
    beside_chrony(seeds);
    floors::print();
    match plot::write(Path::new(env!("CARGO_TARGET_TMPDIR")), &rows) {
        Ok(path) => println!("plot: {}", path.display()),
        Err(error) => {
            eprintln!("error: the plot cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    let held = rows.iter().all(|row| row.clock_s <= row.limit() * row.best_s);
    if held && holds_in_an_outage { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Root mean squares under one noise, in seconds: medians over the seeds.
struct Row {
    wander: f64,
    jitter: f64,
    clock_s: f64,
    estimate_s: f64,
    best_s: f64,
}

impl Row {
    /// What the clock's error may be of the clairvoyant's: at 10 ms the least delay is learned
    /// slowly.
    fn limit(&self) -> f64 {
        if self.jitter > 5e-3 { 1.4 } else { RATIO_MAX }
    }
}

fn beside_the_clairvoyant(seeds: u64) -> Vec<Row> {
    println!("One server asked every 64 s, 50 us each way, exponential jitter; RMS in us from");
    println!(
        "{SETTLED_S} s to 40000 s, median of {seeds} seeds; `best` knows wander and least delay."
    );
    println!("| wander | jitter us | clock | estimate | best | clock / best | limit |");
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for wander in WANDERS {
        for jitter in JITTERS {
            let worlds: Vec<[f64; 3]> = (0..seeds)
                .map(|seed| errors(&fixed_poll("fixed", jitter, wander).run(seed), SETTLED_S))
                .collect();
            let of = |i: usize| median(worlds.iter().map(|errors| errors[i]).collect());
            let row = Row { wander, jitter, clock_s: of(0), estimate_s: of(1), best_s: of(2) };
            println!(
                "| {wander:e} | {:.0} | {:.2} | {:.2} | {:.2} | {:.3} | {:.2} |",
                jitter * 1e6,
                row.clock_s * 1e6,
                row.estimate_s * 1e6,
                row.best_s * 1e6,
                row.clock_s / row.best_s,
                row.limit(),
            );
            rows.push(row);
        }
    }
    rows
}

/// What a clock drifts in two hours without network, nobody can foresee. Returns whether the clock
/// drifts hardly more than that of who knows everything else.
fn in_an_outage(seeds: u64) -> bool {
    let (wander, jitter) = (WANDERS[0], JITTERS[1]);
    let outage = fixed_poll("outage", jitter, wander).with_partition(20_000.0, 27_200.0);
    let ratio = |seed| {
        let [clock, _, best] = errors(&outage.run(seed), SETTLED_S);
        clock / best
    };
    let ratio = median((0..seeds).map(ratio).collect());
    println!(
        "wander {wander:e}, jitter {:.0} us, no network for two hours: clock / best {ratio:.3}, \
         limit {RATIO_MAX}\n",
        jitter * 1e6
    );
    ratio <= RATIO_MAX
}

/// Of the clock, the estimate and the clairvoyant.
fn errors(world: &World, from_s: i64) -> [f64; 3] {
    let records = world.records();
    let wander = world.scenario().oscillator.wander;
    let best = clairvoyant_rms(world.exchanges(), &records.raw_errors, wander, from_s);
    [records.clock_errors.rms_from(from_s), records.estimate_errors.rms_from(from_s), best]
}

/// What is lost by not knowing the physics where the interval adapts: `best` has the same answers.
fn asked_when_it_is_worth_it(seeds: u64) {
    println!("Default polling; RMS in us, `best` as above with the answers that the engine got.");
    println!(
        "| world | judged from s | clock | estimate | best | seconds a request from then on |"
    );
    println!("|---|---|---|---|---|---|");
    for world in compared().into_iter().filter(|world| adapts(&world.scenario)) {
        let (scenario, from_s) = (&world.scenario, world.judged_from_s);
        let runs: Vec<[f64; 4]> = (0..seeds)
            .map(|seed| {
                let run = scenario.run(seed);
                let late = run.exchanges().iter().filter(|e| e.at_s >= from_s as f64).count();
                let interval = (scenario.length_s - from_s) as f64 / late.max(1) as f64;
                let [clock, estimate, best] = errors(&run, from_s).map(|error| error * 1e6);
                [clock, estimate, best, interval]
            })
            .collect();
        let of = |i: usize| median(runs.iter().map(|run| run[i]).collect());
        println!(
            "| {} | {from_s} | {:.2} | {:.2} | {:.2} | {:.0} |",
            scenario.name,
            of(0),
            of(1),
            of(2),
            of(3)
        );
    }
    println!();
}

fn adapts(scenario: &Scenario) -> bool {
    scenario.config.sources.iter().any(|source| source.poll.min < source.poll.max)
}

fn beside_chrony(seeds: u64) {
    println!(
        "\nThe comparison's worlds, simulated here; chrony 4.8's errors are of its own simulator."
    );
    println!("| world | clock us | chrony us | ratio | seconds a request |");
    println!("|---|---|---|---|---|");
    let mut logarithms = Vec::new();
    for world in compared() {
        let runs: Vec<(f64, f64)> = (0..seeds)
            .map(|seed| world.scenario.run(seed))
            .map(|run| {
                let sent = run.report().counters.sent.max(1) as f64;
                let interval = run.scenario().length_s as f64 / sent;
                (run.records().clock_errors.rms_from(world.judged_from_s), interval)
            })
            .collect();
        let rms = median(runs.iter().map(|(rms, _)| *rms).collect());
        let interval = median(runs.iter().map(|(_, interval)| *interval).collect());
        let ratio = rms / world.chrony_rms_s;
        logarithms.push(ratio.ln());
        println!(
            "| {} | {:.2} | {:.2} | {ratio:.2} | {interval:.1} |",
            world.scenario.name,
            rms * 1e6,
            world.chrony_rms_s * 1e6,
        );
    }
    let mean = (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp();
    println!("geometric mean {mean:.3}");
}
