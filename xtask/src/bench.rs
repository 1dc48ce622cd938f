//! `bench`: benchmarks by the name of what they measure.

use crate::project::Project;
use crate::steps::{self, Steps};
use anyhow::{Result, bail};

struct Bench {
    name: &'static str,
    package: &'static str,
    /// Name of the cargo bench target.
    target: &'static str,
    what: &'static str,
}

const BENCHES: [Bench; 3] = [
    Bench {
        name: "fire",
        package: "timeball-scheduler",
        target: "fire",
        what: "lateness of the firing thread beside bare clock_nanosleep and tokio's timer",
    },
    Bench {
        name: "bound",
        package: "timeball-sim",
        target: "bound",
        what: "violations and width of the published bound in simulated worlds with a liar",
    },
    Bench {
        name: "accuracy",
        package: "timeball-sim",
        target: "accuracy",
        what: "the simulated clock's error beside a filter that knows the physics, and chrony's",
    },
];

/// Prints what there is.
pub(crate) fn list() -> bool {
    for Bench { name, what, .. } in &BENCHES {
        steps::print(&format!("{name:8} {what}"));
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
    steps.step(&format!("{}: {}", bench.name, bench.what), |tally| {
        let mut cargo = project.cargo();
        cargo.args(["bench", "--package", bench.package, "--bench", bench.target, "--"]).args(rest);
        steps::stream(&mut cargo, tally)
    });
    Ok(steps.finish())
}
