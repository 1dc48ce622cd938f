//! `test`: everything, on a clean checkout with nothing but the toolchains.

use crate::project::Project;
use crate::steps::{self, Steps};
use crate::{brokers, browser, check, emulator, guest, peers, python};
use anyhow::Result;

pub(crate) fn run(project: &Project) -> Result<bool> {
    let mut steps = Steps::new("test");
    check::add_steps(project, &mut steps);
    peers::add_step(project, &mut steps);
    python::add_step(project, &mut steps);
    emulator::add_step(project, &mut steps);
    add_tests(project, &mut steps);
    guest::add_step(project, &mut steps);
    brokers::add_steps(project, &mut steps);
    browser::add_step(project, &mut steps);
    Ok(steps.finish())
}

fn add_tests(project: &Project, steps: &mut Steps) {
    steps.step("tests: units, properties, simulations, the corpora of the fuzzers", |tally| {
        let mut cargo = project.cargo();
        cargo.args(["test", "--workspace", "--no-fail-fast", "--exclude", "timeball"]);
        cargo.env("TIMEBALL_PYTHON", project.python());
        cargo.env("TIMEBALL_QEMU_AARCH64", project.emulator());
        steps::stream(&mut cargo, tally)
    });
    let what = "tests of the binary: real peers, lying servers, kill -9 in mid-fire, bad input";
    steps.step(what, |tally| {
        let mut cargo = project.cargo();
        cargo.args(["test", "--package", "timeball", "--no-fail-fast"]);
        // They measure time: two at once on two cores measure each other.
        cargo.args(["--", "--test-threads=1"]).env("TIMEBALL_PEERS", project.peers());
        steps::stream(&mut cargo, tally)
    });
}
