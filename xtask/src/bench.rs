//! `bench`: benchmarks by the name of what they measure.

mod chrony;
mod fire;
mod footprint;
mod nobody;

use crate::project::Project;
use crate::steps::{self, Steps};
use anyhow::{Result, bail};

struct Bench {
    name: &'static str,
    what: &'static str,
    how: How,
}

/// How a benchmark is run.
enum How {
    /// A bench target of a package.
    Cargo { package: &'static str, target: &'static str },
    /// Tests in their long forms.
    Tests(&'static [LongTest]),
    /// Here; programs from outside take part.
    Here(fn(&Project, &[&str]) -> Result<bool>),
}

/// A test that a variable makes long.
struct LongTest {
    package: &'static str,
    target: &'static str,
    variable: &'static str,
    /// It is run with each of these, one after the other, so that somebody sees how far it is.
    values: &'static [&'static str],
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "fire",
        what: "lateness of the firing thread beside bare clock_nanosleep and other schedulers",
        how: How::Here(fire::run),
    },
    Bench {
        name: "occurrence",
        what: "time to find the next occurrence beside croner",
        how: How::Cargo { package: "timeball-schedule", target: "occurrence" },
    },
    Bench {
        name: "planner",
        what: "memory and costs of a million schedules; 10,000 fires a second through the books",
        how: How::Cargo { package: "timeball-scheduler", target: "planner" },
    },
    Bench {
        name: "restart",
        what: "10,008 simulated worlds of the planner, and a real scheduler killed 200 times",
        how: How::Tests(&[
            LongTest {
                package: "timeball-schedule",
                target: "planner_sim",
                variable: "TIMEBALL_SEEDS",
                values: &[
                    "0..139",
                    "139..278",
                    "278..417",
                    "417..556",
                    "556..695",
                    "695..834",
                    "834..973",
                    "973..1112",
                ],
            },
            LongTest {
                package: "timeball-scheduler",
                target: "kill",
                variable: "TIMEBALL_KILLS",
                values: &["200"],
            },
        ]),
    },
    Bench {
        name: "targets",
        what: "how late a program's main begins, held by the gate or not; the gate itself",
        how: How::Cargo { package: "timeball-scheduler", target: "targets" },
    },
    Bench {
        name: "messages",
        what: "first octet of HTTP and NATS at its receiver beside a bare thread that writes at T",
        how: How::Cargo { package: "timeball-scheduler", target: "messages" },
    },
    Bench {
        name: "bound",
        what: "violations and width of the published bound in simulated worlds with a liar",
        how: How::Cargo { package: "timeball-sim", target: "bound" },
    },
    Bench {
        name: "accuracy",
        what: "the simulated clock's error beside a filter that knows the physics, and chrony's",
        how: How::Cargo { package: "timeball-sim", target: "accuracy" },
    },
    Bench {
        name: "chrony",
        what: "error, bound and settling beside chronyd in chrony's simulator (needs CLKNETSIM)",
        how: How::Here(chrony::run),
    },
    Bench {
        name: "refclock",
        what: "the same with a hardware clock or shared memory instead of servers",
        how: How::Here(chrony::run_references),
    },
    Bench {
        name: "footprint",
        what: "processor time an exchange and memory beside chronyd",
        how: How::Here(footprint::run),
    },
];

/// Prints what there is.
pub(crate) fn list() -> bool {
    for Bench { name, what, .. } in BENCHES {
        steps::print(&format!("{name:10} {what}"));
    }
    true
}

/// Runs one; `rest` goes to it as it stands.
pub(crate) fn run(project: &Project, name: &str, rest: &[&str]) -> Result<bool> {
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        bail!("there is no benchmark `{name}`; there are: {}", names.join(", "));
    };
    let mut steps = Steps::new("bench");
    let title = format!("{}: {}", bench.name, bench.what);
    match bench.how {
        How::Here(run) => return run(project, rest),
        How::Cargo { package, target } => {
            steps.step(&title, |tally| {
                let mut cargo = project.cargo();
                cargo.args(["bench", "--package", package, "--bench", target, "--"]).args(rest);
                steps::stream(&mut cargo, tally)
            });
        }
        How::Tests(tests) => {
            for test in tests {
                let LongTest { package, target, variable, values } = test;
                for value in *values {
                    steps.step(&format!("{title} ({target}, {variable}={value})"), |tally| {
                        let mut cargo = project.cargo();
                        cargo.args(["test", "--package", package, "--test", target, "--"]);
                        cargo.args(rest).env(variable, value);
                        steps::stream(&mut cargo, tally)
                    });
                }
            }
        }
    }
    Ok(steps.finish())
}
