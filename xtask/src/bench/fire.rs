//! `bench fire`: the firing thread beside bare sleeps, and beside other schedulers, which are
//! fetched into the target directory and never installed.

use crate::packages;
use crate::peers::remove;
use crate::project::Project;
use crate::steps::{self, Steps, Tally};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

const APSCHEDULER: &str = "APScheduler==3.11.3";
const NODE_CRON: &str = "node-cron@4.6.0";
const TOKIO_CRON: &str = "0.15.1";

type Make = fn(&Project, &Path, &mut Tally) -> Result<()>;

/// Each by the name in the table, with the way it is made in a directory of its own as `run`.
const PEERS: [(&str, Make); 3] = [
    ("APScheduler 3.11.3", make_apscheduler),
    ("node-cron 4.6.0", make_node_cron),
    ("tokio-cron-scheduler 0.15.1", make_tokio_cron),
];

/// Runs it; `rest` goes to the benchmark as it stands.
pub(crate) fn run(project: &Project, rest: &[&str]) -> Result<bool> {
    let root = project.target.join("bench-fire");
    let programs = root.join("programs");
    remove(&programs)?;
    fs::create_dir_all(&programs)?;
    let mut steps = Steps::new("bench");
    for (name, make) in PEERS {
        let directory = root.join(name);
        steps.step(&format!("peer: {name}"), |tally| {
            let made = if directory.join("run").exists() {
                steps::say("    already there");
                Ok(())
            } else {
                fs::create_dir_all(&directory)?;
                make(project, &directory, tally)
            };
            match made {
                Ok(()) => Ok(symlink(directory.join("run"), programs.join(name))?),
                Err(error) => {
                    tally.skipped.push(format!("{name}: {error:#}"));
                    Ok(())
                }
            }
        });
    }
    steps.step("fire: the firing thread, bare clock_nanosleep, and other schedulers", |tally| {
        let mut cargo = project.cargo();
        cargo
            .args(["bench", "--package", "timeball-scheduler", "--bench", "fire", "--"])
            .args(rest);
        steps::stream(cargo.env("TIMEBALL_BENCH_PEERS", &programs), tally)
    });
    Ok(steps.finish())
}

fn make_apscheduler(_: &Project, directory: &Path, tally: &mut Tally) -> Result<()> {
    let environment = directory.join("venv");
    steps::stream(Command::new("python3").args(["-m", "venv"]).arg(&environment), tally)?;
    let python = environment.join("bin/python");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", APSCHEDULER]);
    steps::stream(&mut pip, tally)?;
    let script = directory.join("peer.py");
    fs::write(&script, include_str!("fire/apscheduler.py"))?;
    write_run(directory, &python, &script)
}

fn make_node_cron(_: &Project, directory: &Path, tally: &mut Tally) -> Result<()> {
    for program in ["node", "npm"] {
        if !packages::is_there(program) {
            bail!("{program} is not installed");
        }
    }
    let script = directory.join("peer.js");
    fs::write(&script, include_str!("fire/node_cron.js"))?;
    let mut npm = Command::new("npm");
    npm.current_dir(directory).args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
    steps::stream(npm.arg(NODE_CRON), tally)?;
    write_run(directory, Path::new("node"), &script)
}

fn make_tokio_cron(project: &Project, directory: &Path, tally: &mut Tally) -> Result<()> {
    fs::create_dir_all(directory.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"peer\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ntokio-cron-scheduler = \"={TOKIO_CRON}\"\n\
         tokio = {{ version = \"1\", features = [\"full\"] }}\n"
    );
    fs::write(directory.join("Cargo.toml"), manifest)?;
    fs::write(directory.join("src/main.rs"), include_str!("fire/tokio_cron.rs"))?;
    let mut cargo = project.cargo();
    cargo.current_dir(directory).args(["build", "--quiet", "--release", "--target-dir", "target"]);
    steps::stream(&mut cargo, tally)?;
    symlink(directory.join("target/release/peer"), directory.join("run"))?;
    Ok(())
}

/// Writes the program `run`, last of all: where it is, everything is.
fn write_run(directory: &Path, interpreter: &Path, script: &Path) -> Result<()> {
    let run = directory.join("run");
    let (interpreter, script) = (interpreter.display(), script.display());
    fs::write(&run, format!("#!/bin/sh\nexec \"{interpreter}\" \"{script}\"\n"))?;
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).context("it cannot be made to run")
}
