//! `bench footprint`: what the agent costs beside chronyd, in one run.
//!
//! Both ask a server of ours on loopback sixteen times a second, at the same time; neither may
//! write the clock. What each used of the processors is what the kernel's scheduler says
//! (`schedstat`), over the exchanges that the server counted.

mod client;
mod server;

use super::nobody::Work;
use crate::peers;
use crate::project::Project;
use crate::steps::{self, Steps, Tally};
use anyhow::{Context, Result, bail};
use client::{Client, Usage};
use server::Server;
use std::time::Duration;

/// Until both have started and ended their first bursts.
const WARM_UP: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(30);
/// What the agent may need more than chronyd.
const MEMORY_MORE_MAX: u64 = 2 << 20;

/// Runs it; there are no arguments.
pub(crate) fn run(project: &Project, _: &[&str]) -> Result<bool> {
    let mut steps = Steps::new("bench footprint");
    peers::add_step(project, &mut steps);
    if !project.peers().join("usr/sbin/chronyd").is_file() {
        return Ok(steps.finish());
    }
    steps.step("Timeball is built with optimisation", |tally| {
        let mut cargo = project.cargo();
        steps::stream(cargo.args(["build", "--release", "--package", "timeball"]), tally)
    });
    steps.step("30 s of 16 exchanges a second each", |_: &mut Tally| measure(project));
    Ok(steps.finish())
}

fn measure(project: &Project) -> Result<()> {
    let (our_server, their_server) = (Server::start()?, Server::start()?);
    let work = Work::new("footprint")?;
    let ours = Client::timeball(project, &work, our_server.port())?;
    let theirs = Client::chronyd(project, &work, their_server.port())?;
    std::thread::sleep(WARM_UP);
    let begin = (ours.usage()?, theirs.usage()?, our_server.answered(), their_server.answered());
    std::thread::sleep(WINDOW);
    let end = (ours.usage()?, theirs.usage()?, our_server.answered(), their_server.answered());
    let ours = Cost::new(&begin.0, &end.0, end.2 - begin.2).context("the agent asked nothing")?;
    let theirs = Cost::new(&begin.1, &end.1, end.3 - begin.3).context("chronyd asked nothing")?;
    steps::print("| | exchanges | CPU us an exchange | resident MiB |\n|---|---|---|---|");
    steps::print(&ours.row("timeball agent"));
    steps::print(&theirs.row("chronyd"));
    if ours.cpu_us > theirs.cpu_us {
        bail!("the agent uses more CPU an exchange than chronyd");
    }
    if ours.memory > theirs.memory + MEMORY_MORE_MAX {
        bail!("the agent uses more than 2 MiB more memory than chronyd");
    }
    Ok(())
}

/// What one daemon needed.
struct Cost {
    exchanges: u64,
    cpu_us: f64,
    /// Octets resident at the end.
    memory: u64,
}

impl Cost {
    fn new(begin: &Usage, end: &Usage, exchanges: u64) -> Option<Self> {
        let cpu = end.cpu.checked_sub(begin.cpu)?;
        let cpu_us = cpu.as_secs_f64() * 1e6 / exchanges as f64;
        (exchanges > 0).then_some(Self { exchanges, cpu_us, memory: end.memory })
    }

    fn row(&self, name: &str) -> String {
        let memory = self.memory as f64 / f64::from(1 << 20);
        format!("| {name} | {} | {:.1} | {memory:.2} |", self.exchanges, self.cpu_us)
    }
}
