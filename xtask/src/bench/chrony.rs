//! `bench chrony`: Timeball and chronyd side by side in the simulator that chrony is tested with.
//!
//! Both run as unmodified programs on a simulated clock and network and meet the same random
//! numbers, so the ratio of their errors is the same on any machine. The simulator, clknetsim, is
//! built by whoever wants this and never part of the project.

mod judge;
mod noise;
mod scenario;
mod simulator;

use super::WrongUsage;
use super::nobody::Work;
use crate::peers;
use crate::project::Project;
use crate::steps::{self, Steps, Tally};
use anyhow::{Result, bail};
pub(super) use judge::median;
use scenario::Scenario;
use simulator::{Daemon, Outcome, Programs};
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const NEEDS: &str = "CLKNETSIM does not name the directory where clknetsim was built (github.com/mlichvar/clknetsim)";

/// What must hold: the geometric mean of the ratios of RMS errors, and each of them.
const MEAN_MAX: f64 = 0.60;
const RATIO_MAX: f64 = 0.95;
/// What is known not to be held: nobody can foresee what a clock drifts in two hours without
/// network, and no promise that takes no path for symmetric is as small as chrony's.
const OUTAGE: Known = Known { decision: "0031", ceiling: 1.05 };
const TOLD_ERROR: Known = Known { decision: "0031", ceiling: 1.45 };

/// A bar that is not held, as a decision explains, and what the ratio to chrony may be at most all
/// the same: more is a change for the worse, and fails.
#[derive(Clone, Copy)]
struct Known {
    decision: &'static str,
    ceiling: f64,
}

/// A bar that is not held.
struct Miss {
    what: String,
    /// Where it is known and not worse than it was.
    excuse: Option<Known>,
}

/// Runs the comparison over a network; `rest` are its arguments.
pub(crate) fn run(project: &Project, rest: &[&str]) -> Result<bool> {
    run_all(project, rest, "bench chrony", scenario::all())
}

/// Runs the comparison in many other scenarios; `rest` are its arguments.
pub(crate) fn run_others(project: &Project, rest: &[&str]) -> Result<bool> {
    run_all(project, rest, "bench others", scenario::others())
}

/// Runs the comparison with reference clocks; `rest` are its arguments.
pub(crate) fn run_references(project: &Project, rest: &[&str]) -> Result<bool> {
    run_all(project, rest, "bench refclock", scenario::references())
}

fn run_all(
    project: &Project,
    rest: &[&str],
    name: &'static str,
    scenarios: Vec<Scenario>,
) -> Result<bool> {
    let options =
        Options::parse(rest, scenarios).map_err(|error| WrongUsage(format!("{error:#}")))?;
    let mut steps = Steps::new(name);
    let Some(clknetsim) = env::var_os("CLKNETSIM").map(PathBuf::from) else {
        steps.step("Timeball beside chronyd in clknetsim", |tally| {
            tally.skipped.push(NEEDS.to_owned());
            Ok(())
        });
        return Ok(steps.finish());
    };
    peers::add_step(project, &mut steps);
    steps.step("Timeball is built with optimisation", |tally| {
        let mut cargo = project.cargo();
        steps::stream(cargo.args(["build", "--release", "--package", "timeball"]), tally)
    });
    steps.step("Timeball beside chronyd in clknetsim", |_: &mut Tally| {
        let mut programs = programs(project, &clknetsim, Work::new("bench-chrony")?)?;
        // Runs that fail are left to be looked at.
        programs.work.keep = true;
        let compared = compare(&programs, &options)?;
        programs.work.keep = false;
        print_table(&compared);
        let missed = missed(&compared);
        missed.iter().for_each(|miss| steps::print(&miss.to_string()));
        match missed.iter().filter(|miss| miss.excuse.is_none()).count() {
            0 => Ok(()),
            failures => bail!("{failures} bars are not held"),
        }
    });
    Ok(steps.finish())
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.excuse {
            None => write!(f, "NOT held: {}", self.what),
            Some(Known { decision, ceiling }) => write!(
                f,
                "NOT held (known, decision {decision}), within its ceiling of {ceiling}: {}",
                self.what
            ),
        }
    }
}

struct Options {
    scenarios: Vec<Scenario>,
    seeds: Vec<u64>,
    jobs: usize,
}

impl Options {
    fn parse(rest: &[&str], scenarios: Vec<Scenario>) -> Result<Self> {
        let all = scenarios.clone();
        let all: Vec<&str> = all.iter().map(|scenario| &*scenario.name).collect();
        let mut options = Self { scenarios, seeds: vec![1, 2, 3], jobs: 2 };
        for pair in rest.chunks(2) {
            let [name, value] = pair else { bail!("{} needs a value", pair[0]) };
            match *name {
                "--scenarios" => {
                    let names: Vec<&str> = value.split(',').collect();
                    options.scenarios.retain(|scenario| names.contains(&&*scenario.name));
                    if options.scenarios.len() != names.len() {
                        bail!("not all of `{value}` are scenarios: {}", all.join(", "));
                    }
                }
                "--seeds" => {
                    let (first, last) = value.split_once('-').unwrap_or((value, value));
                    let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else {
                        bail!("--seeds `{value}`: FIRST-LAST is asked for, for example 1-3");
                    };
                    options.seeds = (first..=last).collect();
                }
                "--jobs" => options.jobs = value.parse::<usize>()?.max(1),
                _ => bail!("there is no option `{name}`"),
            }
        }
        if options.seeds.is_empty() {
            bail!("there is no seed in that range");
        }
        Ok(options)
    }
}

/// Copies of everything where nobody can read it.
fn programs(project: &Project, clknetsim: &Path, work: Work) -> Result<Programs> {
    Ok(Programs {
        clknetsim: work.copy(&clknetsim.join("clknetsim"))?,
        library: work.copy(&clknetsim.join("clknetsim.so"))?,
        chronyd: work.copy_chronyd(project)?,
        timeball: work.copy(&project.target.join("release/timeball"))?,
        work,
    })
}

/// One scenario's runs, by seed.
struct Compared<'a> {
    scenario: &'a Scenario,
    timeball: Vec<Outcome>,
    chrony: Vec<Outcome>,
}

impl Compared<'_> {
    /// Medians over the seeds: ours and theirs.
    fn medians(&self, of: impl Fn(&Outcome) -> f64) -> (f64, f64) {
        let median = |outcomes: &[Outcome]| median(outcomes.iter().map(&of).collect());
        (median(&self.timeball), median(&self.chrony))
    }

    fn ratio(&self) -> f64 {
        let (ours, theirs) = self.medians(|outcome| outcome.rms);
        ours / theirs
    }

    /// A clock may never settle: then infinite.
    fn settled(&self) -> (f64, f64) {
        self.medians(|outcome| outcome.settled.map_or(f64::INFINITY, |second| second as f64))
    }

    /// Median over the seeds of half the length of what true time can be by our word.
    fn half_length(&self) -> f64 {
        let promises = self.timeball.iter().filter_map(|outcome| outcome.promise.as_ref());
        median(promises.map(|promise| promise.median_half_length).collect())
    }

    fn violations(&self) -> usize {
        self.timeball.iter().filter_map(|o| o.promise.as_ref()).map(|p| p.violations).sum()
    }

    /// What must hold in this scenario and does not.
    fn missed(&self) -> Vec<Miss> {
        let name = &*self.scenario.name;
        let mut missed = Vec::new();
        let mut judge = |held: bool, excuse: Option<Known>, what: String| {
            if !held {
                missed.push(Miss { what: format!("{name}: {what}"), excuse });
            }
        };
        let ratio = self.ratio();
        let outage = Some(OUTAGE).filter(|known| name == "outage" && ratio <= known.ceiling);
        let told = format!("{ratio:.3} of chrony's error, not {RATIO_MAX}");
        judge(ratio <= RATIO_MAX, outage, told);
        let (ours, theirs) = self.medians(|outcome| outcome.told_error * 1e6);
        judge(
            ours <= theirs || !self.scenario.is_told_error_judged,
            Some(TOLD_ERROR).filter(|known| ours <= known.ceiling * theirs),
            format!("a bound of {ours:.1} us, chrony's maximum error {theirs:.1} us"),
        );
        let mut bar = |held, what| judge(held, None, what);
        let (ours, theirs) = self.settled();
        bar(ours <= theirs, format!("settled after {ours} s, chrony after {theirs} s"));
        let (ours, theirs) = self.medians(|outcome| outcome.interval);
        let asks_more = self.scenario.poll.is_none() && ours < theirs;
        bar(!asks_more, format!("a request every {ours:.0} s, chrony's every {theirs:.0} s"));
        // Nobody can promise anything across a change that the settings say does not happen.
        let violations = self.violations();
        let excused = self.scenario.exceeds_drift_allowance();
        bar(violations == 0 || excused, format!("the bound was broken at {violations} seconds"));
        missed
    }
}

fn compare<'a>(programs: &Programs, options: &'a Options) -> Result<Vec<Compared<'a>>> {
    let mut jobs = Vec::new();
    for (index, scenario) in options.scenarios.iter().enumerate() {
        for seed in &options.seeds {
            jobs.extend([Daemon::Timeball, Daemon::Chrony].map(|d| (index, scenario, *seed, d)));
        }
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (index, scenario, seed, daemon) = *job;
                    let outcome = simulator::run(programs, scenario, daemon, seed);
                    say_outcome(&scenario.name, seed, daemon, &outcome);
                    let mut done = done.lock().expect("no thread panics with the lock");
                    done.push((index, daemon, outcome));
                }
            });
        }
    });
    let mut compared: Vec<Compared<'_>> = options
        .scenarios
        .iter()
        .map(|scenario| Compared { scenario, timeball: Vec::new(), chrony: Vec::new() })
        .collect();
    for (index, daemon, outcome) in done.into_inner().expect("no thread panicked") {
        match daemon {
            Daemon::Timeball => compared[index].timeball.push(outcome?),
            Daemon::Chrony => compared[index].chrony.push(outcome?),
        }
    }
    Ok(compared)
}

fn say_outcome(name: &str, seed: u64, daemon: Daemon, outcome: &Result<Outcome>) {
    let Ok(outcome) = outcome else { return };
    let promise = outcome.promise.and_then(|promise| Some((promise.violations, promise.first?)));
    let broken = promise.map_or(String::new(), |(count, (second, by))| {
        format!(", BOUND BROKEN at {count} seconds, first at {second} by {:.2} us", by * 1e6)
    });
    let (rms, max) = (outcome.rms * 1e6, outcome.max * 1e6);
    steps::say(&format!("    {name} {seed} {daemon:?}: RMS {rms:.2} us, max {max:.1} us{broken}"));
}

fn print_table(compared: &[Compared<'_>]) {
    steps::print(
        "| scenario | RMS us | chrony | ratio | max us | chrony | settled s | chrony | s a request \
         | chrony | bound broken | told error us | chrony | half the told length us |",
    );
    steps::print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for scenario in compared {
        let pair =
            |(ours, theirs): (f64, f64), digits| format!("{ours:.digits$} | {theirs:.digits$}");
        steps::print(&format!(
            "| {} | {} | {:.3} | {} | {} | {} | {} | {} | {:.1} |",
            scenario.scenario.name,
            pair(scenario.medians(|o| o.rms * 1e6), 2),
            scenario.ratio(),
            pair(scenario.medians(|o| o.max * 1e6), 1),
            pair(scenario.settled(), 0),
            pair(scenario.medians(|o| o.interval), 1),
            scenario.violations(),
            pair(scenario.medians(|o| o.told_error * 1e6), 1),
            scenario.half_length() * 1e6,
        ));
    }
    let worst = compared.iter().map(Compared::ratio).fold(0.0, f64::max);
    let mean = mean_ratio(compared);
    steps::print(&format!("geometric mean of the ratios {mean:.3}, worst {worst:.3}"));
    let judged = compared.iter().filter(|one| one.scenario.reference.is_none());
    let (as_short, longer): (Vec<_>, Vec<_>) =
        judged.partition(|one| one.half_length() <= one.medians(|outcome| outcome.told_error).1);
    let longer: Vec<&str> = longer.iter().map(|one| &*one.scenario.name).collect();
    steps::print(&format!(
        "half the told length is no more than chrony's maximum error in {}, and more in {longer:?}",
        as_short.len()
    ));
}

fn mean_ratio(compared: &[Compared<'_>]) -> f64 {
    let logarithms: f64 = compared.iter().map(|scenario| scenario.ratio().ln()).sum();
    (logarithms / compared.len().max(1) as f64).exp()
}

fn missed(compared: &[Compared<'_>]) -> Vec<Miss> {
    let mut missed: Vec<Miss> = compared.iter().flat_map(Compared::missed).collect();
    let mean = mean_ratio(compared);
    if mean > MEAN_MAX {
        let what =
            format!("all: {mean:.3} of chrony's error in the geometric mean, not {MEAN_MAX}");
        missed.push(Miss { what, excuse: None });
    }
    missed
}
