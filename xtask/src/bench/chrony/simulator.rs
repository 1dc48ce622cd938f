//! One run of the simulator with its servers and one client.
//!
//! Everything runs as nobody where we are root: a call that the simulator does not replace could
//! otherwise reach this machine's clock.

use super::judge::{Errors, Promise, judge_trace, median_max_error};
use super::scenario::{ReferenceKind, Scenario};
use crate::bench::nobody::{Running, Work, give_away};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When simulated time begins: November 2026.
const START: i64 = 1_795_000_000;
/// A run that takes longer than this stands still.
const PATIENCE: Duration = Duration::from_secs(300);
const FAREWELL: Duration = Duration::from_secs(2);

/// The programs, where nobody can read them.
pub(super) struct Programs {
    pub(super) work: Work,
    pub(super) clknetsim: PathBuf,
    pub(super) library: PathBuf,
    pub(super) chronyd: PathBuf,
    pub(super) timeball: PathBuf,
}

/// Who is the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Daemon {
    Timeball,
    Chrony,
}

/// What came of a run. In seconds.
pub(super) struct Outcome {
    pub(super) rms: f64,
    pub(super) max: f64,
    pub(super) settled: Option<usize>,
    /// Mean time between two requests.
    pub(super) interval: f64,
    /// What the daemon says, in the median, that its clock may be wrong by.
    pub(super) told_error: f64,
    /// Only of Timeball.
    pub(super) promise: Option<Promise>,
}

/// Runs one client through one scenario, in a directory of its own that is deleted afterwards.
pub(super) fn run(
    programs: &Programs,
    scenario: &Scenario,
    daemon: Daemon,
    seed: u64,
) -> Result<Outcome> {
    let directory = programs.work.path.join(format!("run-{}-{seed}-{daemon:?}", scenario.name));
    fs::create_dir_all(&directory)?;
    let outcome = simulate(programs, scenario, daemon, seed, &directory).with_context(|| {
        let name = &scenario.name;
        format!("{daemon:?} in {name}, seed {seed} (left as it is: {})", directory.display())
    })?;
    fs::remove_dir_all(&directory)?;
    Ok(outcome)
}

fn simulate(
    programs: &Programs,
    scenario: &Scenario,
    daemon: Daemon,
    seed: u64,
    directory: &Path,
) -> Result<Outcome> {
    let (configuration, files) = scenario.configuration(seed, directory);
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    fs::write(directory.join("conf"), configuration)?;
    give_away(directory)?;
    let client = scenario.client();
    let mut simulator = programs.work.command(&programs.clknetsim);
    simulator.args(["-s", "socket", "-o", "offsets", "-l", &scenario.length.to_string(), "conf"]);
    simulator.arg(client.to_string());
    let mut simulator = Running::start(&mut simulator, directory, "simulator")?;
    let mut nodes = Vec::new();
    for server in 1..client {
        let (program, arguments) = server_of(programs, server, directory)?;
        nodes.push(start_node(programs, program, &arguments, server, seed, directory)?);
    }
    let (program, arguments) = client_of(programs, scenario, daemon, directory)?;
    nodes.push(start_node(programs, program, &arguments, client, seed, directory)?);
    if !simulator.wait(PATIENCE)? {
        bail!("the simulator did not come to its end");
    }
    // A daemon that writes a file at its end is let do so.
    let exits = nodes.iter_mut().all(|node| node.wait(FAREWELL).is_ok());
    drop(nodes);
    if !exits {
        bail!("a daemon could not be waited for");
    }
    read_outcome(scenario, daemon, directory)
}

fn read_outcome(scenario: &Scenario, daemon: Daemon, directory: &Path) -> Result<Outcome> {
    let read = |name: &str| {
        fs::read_to_string(directory.join(name)).with_context(|| format!("{name} is missing"))
    };
    let offsets = read("offsets")?;
    let errors = Errors::read(&offsets, scenario.client()).context("offsets are no numbers")?;
    let from = scenario.judged_from;
    let (told_error, promise) = match daemon {
        Daemon::Timeball => {
            let promise = judge_trace(&read("trace")?, &errors, START, from)
                .context("the trace has a line that is not as it should be")?;
            (promise.median_width, Some(promise))
        }
        Daemon::Chrony => {
            let told = median_max_error(&read("tracking.log")?, START, from);
            (told.unwrap_or(f64::NAN), None)
        }
    };
    Ok(Outcome {
        rms: errors.rms_from(from),
        max: errors.max_from(from),
        settled: errors.settled(scenario.settled_within),
        interval: request_interval(&read("simulator.out")?, scenario.client()).unwrap_or(f64::NAN),
        told_error,
        promise,
    })
}

/// From the simulator's statistics, which have a block a node.
fn request_interval(statistics: &str, node: usize) -> Option<f64> {
    let mut lines = statistics.lines().filter(|line| line.starts_with("Mean outgoing packet int"));
    lines.nth(node - 1)?.split_once(':')?.1.trim().parse().ok()
}

fn server_of<'a>(
    programs: &'a Programs,
    node: usize,
    directory: &Path,
) -> Result<(&'a Path, Vec<String>)> {
    let text = format!(
        "pidfile {}/pid{node}\ncmdport 0\nbindcmdaddress /\nallow\nlocal stratum 1\n",
        directory.display()
    );
    let name = format!("server{node}.conf");
    fs::write(directory.join(&name), text)?;
    Ok((&programs.chronyd, vec!["-d".into(), "-f".into(), name]))
}

fn client_of<'a>(
    programs: &'a Programs,
    scenario: &Scenario,
    daemon: Daemon,
    directory: &Path,
) -> Result<(&'a Path, Vec<String>)> {
    let servers = (1..scenario.client()).map(|node| format!("192.168.123.{node}"));
    let here = directory.display();
    match daemon {
        Daemon::Chrony => {
            let habit =
                scenario.poll.map_or("iburst".into(), |p| format!("minpoll {p} maxpoll {p}"));
            let mut text = format!(
                "pidfile {here}/pid\ncmdport 0\nbindcmdaddress /\nmakestep 1 3\n\
                 logdir {here}\nlog tracking\n"
            );
            servers.for_each(|server| text.push_str(&format!("server {server} {habit}\n")));
            text.push_str(match scenario.reference.map(|reference| reference.kind) {
                None => "",
                Some(ReferenceKind::Phc) => "refclock PHC /dev/ptp0\n",
                Some(ReferenceKind::Shm) => "refclock SHM 0\n",
            });
            fs::write(directory.join("client.conf"), text)?;
            Ok((&programs.chronyd, vec!["-d".into(), "-f".into(), "client.conf".into()]))
        }
        Daemon::Timeball => {
            let mut text = String::from(
                "[clock]\nmode = \"discipline\"\nstep = { threshold_s = 1.0, updates = 3 }\n",
            );
            for server in servers {
                text.push_str(&format!("[[source]]\naddress = \"{server}\"\n"));
                if let Some(poll) = scenario.poll {
                    text.push_str(&format!("poll = {{ min = {poll}, max = {poll} }}\n"));
                }
            }
            if let Some(reference) = scenario.reference {
                let clock = match reference.kind {
                    ReferenceKind::Phc => "phc = \"/dev/ptp0\"",
                    ReferenceKind::Shm => "shm = 0",
                };
                // Of some 10^4 readings none is further off than this.
                let error = 5.0 * reference.scatter;
                text.push_str(&format!("[[source]]\n{clock}\nerror_s = {error:e}\n"));
            }
            fs::write(directory.join("client.toml"), text)?;
            let arguments = ["agent", "--bare", "--config", "client.toml", "--trace", "trace"];
            Ok((&programs.timeball, arguments.map(String::from).into()))
        }
    }
}

fn start_node(
    programs: &Programs,
    program: &Path,
    arguments: &[String],
    node: usize,
    seed: u64,
    directory: &Path,
) -> Result<Running> {
    give_away(directory)?;
    let mut command = programs.work.command(program);
    command
        .args(arguments)
        .env("LD_PRELOAD", &programs.library)
        .env("CLKNETSIM_NODE", node.to_string())
        .env("CLKNETSIM_SOCKET", directory.join("socket"))
        .env("CLKNETSIM_START_DATE", START.to_string())
        .env("CLKNETSIM_CONNECT_TIMEOUT", "30")
        .env("CLKNETSIM_RANDOM_SEED", seed.to_string());
    Running::start(&mut command, directory, &format!("node{node}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_between_requests_is_that_of_the_client() {
        let statistics = "\
            Mean outgoing packet interval:\t6.0e+01\n\
            RMS offset:\t1\n\
            Mean outgoing packet interval:\t6.4e+01\n";
        assert_eq!(request_interval(statistics, 2), Some(64.0));
        assert_eq!(request_interval(statistics, 3), None);
    }
}
