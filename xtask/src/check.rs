//! `check`: all that can be said of the code without running it.

use crate::project::Project;
use crate::schema;
use crate::steps::{self, Steps, Tally};
use crate::tidy;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cargo-deny that deny.toml is written for.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn run(project: &Project) -> Result<bool> {
    let mut steps = Steps::new("check");
    add_steps(project, &mut steps);
    Ok(steps.finish())
}

/// The steps of `check`, for those who run more after them.
pub(crate) fn add_steps(project: &Project, steps: &mut Steps) {
    steps.step("format: rustfmt would change nothing", |tally| {
        steps::stream(project.cargo().args(["fmt", "--all", "--", "--check"]), tally)
    });
    steps.step("tidy: our own rules hold", |_| match tidy::run(project)? {
        true => Ok(()),
        false => bail!("rules are broken, see above"),
    });
    steps.step("lints: clippy has no complaint, with every feature on", |tally| {
        // The guest's tests run in a step of their own and are no target of "all".
        for targets in
            [&["--workspace", "--all-targets"][..], &["-p", "timeball", "--test", "guest"]]
        {
            let mut cargo = project.cargo();
            cargo.arg("clippy").args(targets).args(["--all-features", "--", "-D", "warnings"]);
            steps::stream(&mut cargo, tally)?;
        }
        Ok(())
    });
    for feature in ["agent", "scheduler"] {
        steps.step(&format!("features: the binary with `{feature}` alone is whole"), |tally| {
            let mut cargo = project.cargo();
            cargo.args(["clippy", "--package", "timeball", "--no-default-features"]);
            cargo.args(["--features", feature, "--", "-D", "warnings"]);
            steps::stream(&mut cargo, tally)
        });
    }
    steps.step("gate: it is whole for AArch64 too", |tally| gate_for_aarch64(project, tally));
    steps.step("features: a node agent carries nothing of the scheduler", |_| lean_agent(project));
    steps.step("documentation: rustdoc has no complaint", |tally| {
        let mut cargo = project.cargo();
        cargo.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        steps::stream(&mut cargo, tally)
    });
    steps.step("generated files are those that the types give", |tally| {
        if !schema::run(project, schema::Mode::Check)? {
            bail!("run `cargo xtask schema` and commit what it writes");
        }
        let mut cargo = project.cargo();
        // Only with this feature are the generator's own tests there.
        cargo.args(["test", "--package", "xtask", "--features", "schema", "openapi::"]);
        steps::stream(&mut cargo, tally)
    });
    steps.step("fuzzers: each compiles", |tally| {
        let mut cargo = project.cargo();
        cargo.current_dir(project.root.join("fuzz")).args(["check", "--locked", "--target-dir"]);
        steps::stream(cargo.arg(&project.target), tally)
    });
    steps.step("dependencies: bans, licences and sources are those of deny.toml", |tally| {
        let program = cargo_deny(project, tally)?;
        let mut deny = Command::new(program);
        deny.current_dir(&project.root).args(["--workspace", "--all-features", "--locked"]);
        steps::stream(deny.args(["check", "bans", "licenses", "sources"]), tally)
    });
}

/// The gate's system calls are written for each architecture by hand.
fn gate_for_aarch64(project: &Project, tally: &mut Tally) -> Result<()> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let mut installed = Command::new("rustc");
    installed.current_dir(&project.root).args(["--print", "target-libdir", "--target", TARGET]);
    let library = steps::output(&mut installed)?;
    if !Path::new(library.trim()).is_dir() {
        if !Project::is_ci() {
            tally.skipped.push(format!("the gate for AArch64: `rustup target add {TARGET}` first"));
            return Ok(());
        }
        let mut install = Command::new("rustup");
        install.current_dir(&project.root).args(["target", "add", TARGET]);
        steps::stream(&mut install, tally)?;
    }
    let mut cargo = project.cargo();
    cargo.args(["check", "--package", "timeball-gate", "--target", TARGET]);
    steps::stream(&mut cargo, tally)
}

/// Looks through what the binary is built of where only the agent is wanted.
fn lean_agent(project: &Project) -> Result<()> {
    const NOT_FOR_AGENTS: [&str; 4] = ["timeball-scheduler", "timeball-schedule", "redb", "kube"];
    let mut cargo = project.cargo();
    cargo.args(["tree", "--package", "timeball", "--no-default-features", "--features", "agent"]);
    let tree = steps::output(cargo.args(["--edges", "normal", "--prefix", "none"]))?;
    let has = |name: &&str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    match NOT_FOR_AGENTS.into_iter().find(has) {
        Some(name) => bail!("`{name}` is in the tree of `--features agent`"),
        None => Ok(()),
    }
}

/// The cargo-deny under target/tools, built there when it is missing: a minute or two, once.
fn cargo_deny(project: &Project, tally: &mut Tally) -> Result<PathBuf> {
    let tools = project.target.join("tools");
    let program = tools.join("bin/cargo-deny");
    let is_current = |program: &PathBuf| {
        steps::output(Command::new(program).arg("--version"))
            .is_ok_and(|version| version.split_whitespace().any(|word| word == CARGO_DENY))
    };
    if is_current(&program) {
        return Ok(program);
    }
    steps::say(&format!("    building cargo-deny {CARGO_DENY} under {}", tools.display()));
    let build = tools.join("build");
    let mut install = project.cargo();
    // Unoptimised: it runs for a second and would compile for minutes.
    install.args(["install", "cargo-deny", "--locked", "--debug", "--quiet", "--force"]);
    install
        .args(["--version", CARGO_DENY])
        .arg("--root")
        .arg(&tools)
        .arg("--target-dir")
        .arg(&build);
    // What it builds for itself needs no line numbers, and disks are small.
    install.env("CARGO_PROFILE_DEV_DEBUG", "0");
    steps::stream(&mut install, tally).context("cargo-deny cannot be built")?;
    std::fs::remove_dir_all(&build).context("cargo-deny's build directory cannot be removed")?;
    Ok(program)
}
