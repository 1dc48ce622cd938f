//! `cargo xtask`: builds, checks and tests Timeball; one entry for people and CI.

mod bench;
mod brokers;
mod browser;
mod check;
mod emulator;
mod guest;
#[cfg(feature = "schema")]
mod openapi;
mod packages;
mod peers;
mod project;
mod python;
mod schema;
mod source;
mod steps;
mod test;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
Builds, checks and tests Timeball.

Usage: cargo xtask COMMAND

Commands:
  test              everything: check, all tests, real peers, a real kernel, the page in a browser
  guest             only the tests on a real kernel, in a virtual machine of their own
  check             fmt, clippy, tidy, documentation, generated files, cargo-deny
  tidy              only our own rules: arrows between crates, import circles, sizes, banned calls
  bench [NAME ...]  runs a benchmark; without NAME lists them, with NAME --help says what it takes
  peers             fetches chrony and ntpdig and unpacks them under target/peers; installs nothing
  emulator          fetches qemu's emulation of AArch64 programs into target/qemu; installs nothing
  brokers           fetches nats-server, RabbitMQ and Kafka into target/brokers; installs nothing
  schema [--check]  writes docs/schemas from the types; --check only says whether they are current
  help, --help      prints this

Environment:
  CI=true           a missing peer or browser is a failure instead of a skip

Exit status: 0 all passed, 1 something failed, 2 wrong usage.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => run(test::run),
        ["check"] => run(check::run),
        ["tidy"] => run(tidy::run),
        ["bench"] | ["bench", "help" | "--help" | "-h"] => Ok(bench::list()),
        ["bench", name, rest @ ..] => run(|project| bench::run(project, name, rest)),
        ["guest"] => run(guest::run),
        ["peers"] => run(peers::run),
        ["emulator"] => run(emulator::run),
        ["brokers"] => run(brokers::run),
        ["schema"] => run(|project| schema::run(project, schema::Mode::Write)),
        ["schema", "--check"] => run(|project| schema::run(project, schema::Mode::Check)),
        ["help" | "--help" | "-h"] => {
            steps::print(HELP.trim_end());
            Ok(true)
        }
        _ => {
            let given = if words.is_empty() { "no command".into() } else { words.join(" ") };
            steps::say(&format!("error: `cargo xtask` does not know: {given}\n\n{HELP}"));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            steps::say(&format!("error: {error:#}"));
            if error.is::<bench::WrongUsage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Runs a command in the project; `false` means that it ran and something failed.
fn run(command: impl FnOnce(&project::Project) -> Result<bool>) -> Result<bool> {
    if cfg!(not(target_os = "linux")) {
        bail!("Timeball is for Linux; run this on a Linux machine or in a container");
    }
    command(&project::Project::find()?)
}
