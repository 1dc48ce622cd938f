//! `bench`: benchmarks by the name of what they measure.

mod arguments;
mod chrony;
mod fire;
mod footprint;
mod nobody;

use crate::project::Project;
use crate::steps::{self, Steps};
use anyhow::Result;
pub(crate) use arguments::WrongUsage;
use arguments::{ANY, Argument, COUNT, Value};

struct Bench {
    name: &'static str,
    what: &'static str,
    arguments: &'static [Argument],
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

const ROUNDS_12: Argument =
    Argument { name: "--rounds", value: Value::Number(COUNT), what: "how many (default: 12)" };

/// Of all comparisons with chronyd.
const CHRONY: &[Argument] = &[
    Argument {
        name: "--scenarios",
        value: Value::Text("A,B"),
        what: "only these (default: all; a wrong name lists them)",
    },
    Argument { name: "--seeds", value: Value::Text("FIRST-LAST"), what: "default: 1-3" },
    Argument {
        name: "--jobs",
        value: Value::Number(COUNT),
        what: "simulations at a time (default: 2)",
    },
];

const BENCHES: &[Bench] = &[
    Bench {
        name: "fire",
        what: "lateness of the firing thread beside bare clock_nanosleep and other schedulers",
        arguments: &[
            ROUNDS_12,
            Argument {
                name: "--judged",
                value: Value::OneOf(&["spaced", "at-once"]),
                what: "only the bare sleep and the firing thread, with fires of that kind",
            },
            Argument {
                name: "--load",
                value: Value::Nothing,
                what: "all processors are kept busy besides, and SCHED_FIFO is judged",
            },
            Argument {
                name: "--json",
                value: Value::Nothing,
                what: "the percentiles as JSON instead of a table",
            },
        ],
        how: How::Here(fire::run),
    },
    Bench {
        name: "occurrence",
        what: "time to find the next occurrence beside croner",
        arguments: &[Argument {
            name: "--rounds",
            value: Value::Number(COUNT),
            what: "how many (default: 30)",
        }],
        how: How::Cargo { package: "timeball-schedule", target: "occurrence" },
    },
    Bench {
        name: "planner",
        what: "memory and costs of a million schedules; 10,000 fires a second through the books",
        arguments: &[
            Argument { name: "memory", value: Value::Nothing, what: "only this part (or more)" },
            Argument { name: "costs", value: Value::Nothing, what: "only this part (or more)" },
            Argument { name: "fires", value: Value::Nothing, what: "only this part (or more)" },
            Argument {
                name: "--schedules",
                value: Value::Number(COUNT),
                what: "of memory and costs (default: 1000000)",
            },
            Argument {
                name: "--fires-per-second",
                value: Value::Number(COUNT),
                what: "default: 10000",
            },
            Argument {
                name: "--seconds",
                value: Value::Number(COUNT),
                what: "of firing (default: 30)",
            },
            Argument {
                name: "--real-time",
                value: Value::Number(1..=99),
                what: "priority of the firing thread in SCHED_FIFO (default: usual class)",
            },
        ],
        how: How::Cargo { package: "timeball-scheduler", target: "planner" },
    },
    Bench {
        name: "restart",
        what: "10,008 simulated worlds of the planner, and a real scheduler killed 200 times",
        arguments: &[],
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
        arguments: &[ROUNDS_12],
        how: How::Cargo { package: "timeball-scheduler", target: "targets" },
    },
    Bench {
        name: "messages",
        what: "first octet of HTTP and NATS at its receiver beside a bare thread that writes at T",
        arguments: &[
            ROUNDS_12,
            Argument {
                name: "--only",
                value: Value::OneOf(&["http", "nats", "FIFO: http", "FIFO: nats"]),
                what: "only this receiver (default: all; FIFO where this process may)",
            },
        ],
        how: How::Cargo { package: "timeball-scheduler", target: "messages" },
    },
    Bench {
        name: "bound",
        what: "violations and width of the published bound in simulated worlds with a liar",
        arguments: &[
            Argument {
                name: "--hours",
                value: Value::Number(COUNT),
                what: "simulated node-hours in all (default: 20000)",
            },
            Argument {
                name: "--length",
                value: Value::Number(COUNT),
                what: "seconds of each world, instead of its share of those hours",
            },
            Argument {
                name: "--seeds",
                value: Value::Number(COUNT),
                what: "worlds that the hours are shared among (default: 400)",
            },
            Argument {
                name: "--first",
                value: Value::Number(ANY),
                what: "the first world's seed (default: 0); with --seeds 1 and the same --length \
                       one of them is run again",
            },
            Argument {
                name: "--restarts",
                value: Value::Number(ANY),
                what: "restarts of the process in each world, evenly spread (default: 0)",
            },
            Argument {
                name: "--threads",
                value: Value::Number(COUNT),
                what: "worlds at a time (default: as many as there are processors)",
            },
        ],
        how: How::Cargo { package: "timeball-sim", target: "bound" },
    },
    Bench {
        name: "accuracy",
        what: "the simulated clock's error beside a filter that knows the physics, and chrony's",
        arguments: &[Argument {
            name: "--seeds",
            value: Value::Number(COUNT),
            what: "how many (default: 10)",
        }],
        how: How::Cargo { package: "timeball-sim", target: "accuracy" },
    },
    Bench {
        name: "chrony",
        what: "error, bound and settling beside chronyd in chrony's simulator (needs CLKNETSIM)",
        arguments: CHRONY,
        how: How::Here(chrony::run),
    },
    Bench {
        name: "others",
        what: "the same in many more scenarios, by what is another in each",
        arguments: CHRONY,
        how: How::Here(chrony::run_others),
    },
    Bench {
        name: "refclock",
        what: "the same with a hardware clock or shared memory instead of servers",
        arguments: CHRONY,
        how: How::Here(chrony::run_references),
    },
    Bench {
        name: "footprint",
        what: "processor time an exchange and memory beside chronyd",
        arguments: &[],
        how: How::Here(footprint::run),
    },
];

/// Prints what there is.
pub(crate) fn list() -> bool {
    for Bench { name, what, .. } in BENCHES {
        steps::print(&format!("{name:10} {what}"));
    }
    steps::say("\n`cargo xtask bench NAME --help` says what a benchmark can be told");
    true
}

/// Runs one; `rest` goes to it as it stands.
///
/// # Errors
/// [`WrongUsage`], before anything is done, where there is none of that name or it does not take
/// `rest`.
pub(crate) fn run(project: &Project, name: &str, rest: &[&str]) -> Result<bool> {
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        let names = names.join(", ");
        return Err(
            WrongUsage(format!("there is no benchmark `{name}`; there are: {names}")).into()
        );
    };
    if arguments::asks_for_help(rest) {
        steps::print(&arguments::help(bench.name, bench.what, bench.arguments));
        return Ok(true);
    }
    arguments::check(bench.name, bench.arguments, rest)?;
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
