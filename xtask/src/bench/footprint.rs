//! `bench footprint`: what the agent costs beside chronyd, in one run.
//!
//! Both ask a server of ours on loopback sixteen times a second, at the same time; neither may
//! write the clock. What each used of the processors is what the kernel's scheduler says
//! (`schedstat`), over the exchanges that the server counted. Whatever else the machine does
//! changes the time of both from one window to the next, by more than they differ: so what is
//! judged is the median of the windows' ratios.

mod client;
mod server;

use super::chrony::median;
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
/// An odd number, so that there is one in the middle.
const WINDOWS: usize = 7;
/// What the agent may need more than chronyd.
const MEMORY_MORE_MAX: i64 = 2 << 20;

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
    let what = format!("{WINDOWS} windows of 30 s of 16 exchanges a second each");
    steps.step(&what, |_: &mut Tally| measure(project));
    Ok(steps.finish())
}

fn measure(project: &Project) -> Result<()> {
    let (our_server, their_server) = (Server::start()?, Server::start()?);
    let work = Work::new("footprint")?;
    let ours = Client::timeball(project, &work, our_server.port())?;
    let theirs = Client::chronyd(project, &work, their_server.port())?;
    std::thread::sleep(WARM_UP);
    steps::print("| | exchanges | CPU us an exchange | resident MiB |\n|---|---|---|---|");
    let look = || -> Result<_> {
        Ok([(ours.usage()?, our_server.answered()), (theirs.usage()?, their_server.answered())])
    };
    let mut begin = look()?;
    let (mut ratios, mut memory_more_max) = (Vec::new(), i64::MIN);
    for _ in 0..WINDOWS {
        std::thread::sleep(WINDOW);
        let end = look()?;
        let agent = Cost::new(&begin[0], &end[0]).context("the agent asked nothing")?;
        let chronyd = Cost::new(&begin[1], &end[1]).context("chronyd asked nothing")?;
        begin = end;
        steps::print(&agent.row("timeball agent"));
        steps::print(&chronyd.row("chronyd"));
        ratios.push(agent.cpu_us / chronyd.cpu_us);
        let more = agent.memory.cast_signed() - chronyd.memory.cast_signed();
        memory_more_max = memory_more_max.max(more);
    }
    let (least, most) = ratios
        .iter()
        .fold((f64::MAX, f64::MIN), |(least, most), ratio| (least.min(*ratio), most.max(*ratio)));
    let ratio = median(ratios);
    let more = memory_more_max as f64 / f64::from(1 << 20);
    steps::print(&format!(
        "\nCPU an exchange: {ratio:.2} of chronyd's ({least:.2} to {most:.2}); \
         memory: at most {more:.2} MiB more"
    ));
    if ratio > 1.0 {
        bail!("the agent uses more CPU an exchange than chronyd");
    }
    if memory_more_max > MEMORY_MORE_MAX {
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
    /// Between two looks, each with how many requests the server had answered.
    fn new(begin: &(Usage, u64), end: &(Usage, u64)) -> Option<Self> {
        let ((begin, asked), (end, answered)) = (begin, end);
        let cpu = end.cpu.checked_sub(begin.cpu)?;
        let exchanges = answered - asked;
        let cpu_us = cpu.as_secs_f64() * 1e6 / exchanges as f64;
        (exchanges > 0).then_some(Self { exchanges, cpu_us, memory: end.memory })
    }

    fn row(&self, name: &str) -> String {
        let memory = self.memory as f64 / f64::from(1 << 20);
        format!("| {name} | {} | {:.1} | {memory:.2} |", self.exchanges, self.cpu_us)
    }
}
