//! The brokers that the tests give messages to: nats-server, RabbitMQ, Kafka; and Celery and
//! Airflow, whose work the examples start.
//!
//! Each from where it is to be had in one exact version: Go's module proxy, Debian, Maven
//! Central, PyPI.
//! None is installed; a test starts them on loopback and ends them.

use crate::packages;
use crate::peers::{self, remove};
use crate::project::Project;
use crate::steps::{self, Steps, Tally};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

const NATS: &str = "github.com/nats-io/nats-server/v2@v2.15.2";
const KAFKA: (&str, &str) = ("kafka_2.13", "4.1.0");
const CELERY: &str = "celery==5.7.0";
const AIRFLOW: &str = "apache-airflow==3.3.2";

type Fetch = fn(&Path, &mut Tally) -> Result<()>;

/// Each with the way it is fetched into a directory that need not be there; Airflow is the last.
const BROKERS: [(&str, Fetch); 5] = [
    ("nats", fetch_nats),
    ("rabbitmq", fetch_rabbitmq),
    ("kafka", fetch_kafka),
    ("celery", fetch_celery),
    ("airflow", fetch_airflow),
];

pub(crate) fn run(project: &Project) -> Result<bool> {
    let mut steps = Steps::new("brokers");
    add_fetching(project, &mut steps, &BROKERS);
    Ok(steps.finish())
}

/// Fetches what is missing, and runs the tests against it.
pub(crate) fn add_steps(project: &Project, steps: &mut Steps) {
    // Airflow takes a minute to install and another to start: it is tested where it was fetched.
    let all = if Project::is_ci() { BROKERS.len() } else { BROKERS.len() - 1 };
    add_fetching(project, steps, &BROKERS[..all]);
    steps.step("tests of messages to real brokers", |tally| {
        let mut cargo = project.cargo();
        cargo.args(["test", "--package", "timeball-scheduler", "--features", "brokers"]);
        // One broker at a time: each takes a processor for itself while it starts.
        cargo.args(["--test", "brokers", "--", "--test-threads=1"]);
        steps::stream(cargo.env("TIMEBALL_BROKERS", project.brokers()), tally)
    });
}

fn add_fetching(project: &Project, steps: &mut Steps, brokers: &[(&str, Fetch)]) {
    let root = project.brokers();
    for (name, fetch) in brokers.iter().copied() {
        let what = format!("brokers: {name} is in {}", root.join(name).display());
        steps.step(&what, |tally| match fetch(&root.join(name), tally) {
            Err(error) if !Project::is_ci() => {
                tally.skipped.push(format!("tests with {name}: {error:#}"));
                Ok(())
            }
            outcome => outcome,
        });
    }
}

/// Has `fetch` fill a directory, unless it has `proof` in it.
fn ensure(directory: &Path, proof: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if directory.join(proof).exists() {
        steps::say("    already there");
        return Ok(());
    }
    let fresh = directory.with_extension("fetching");
    remove(&fresh)?;
    fs::create_dir_all(&fresh).with_context(|| format!("{} cannot be made", fresh.display()))?;
    fetch(&fresh)?;
    if !fresh.join(proof).exists() {
        bail!("what was fetched has no {proof}");
    }
    // Complete or not there: a fetch that is interrupted leaves nothing that looks finished.
    remove(directory)?;
    fs::rename(&fresh, directory)?;
    Ok(())
}

fn fetch_nats(directory: &Path, tally: &mut Tally) -> Result<()> {
    if !packages::is_there("go") {
        bail!("it is built by Go, which is not installed");
    }
    ensure(directory, "nats-server", |fresh| {
        let mut go = Command::new("go");
        go.args(["install", NATS]).env("GOBIN", fresh).env("CGO_ENABLED", "0");
        steps::stream(&mut go, tally)
    })
}

fn fetch_rabbitmq(directory: &Path, _: &mut Tally) -> Result<()> {
    const ERL: &str = "usr/lib/erlang/bin/erl";
    peers::unpack(directory, &["rabbitmq-server"], &[ERL], |unpacked| {
        // Debian's script believes that Erlang is where it installs it.
        let script = unpacked.join(ERL);
        let text = fs::read_to_string(&script)?;
        let fixed = "ROOTDIR=/usr/lib/erlang\n";
        if !text.contains(fixed) {
            bail!("{} is not the script that it was", script.display());
        }
        fs::write(&script, text.replace(fixed, "ROOTDIR=${ERL_ROOTDIR:-/usr/lib/erlang}\n"))?;
        Ok(())
    })
}

fn fetch_kafka(directory: &Path, tally: &mut Tally) -> Result<()> {
    if !packages::is_there("mvn") || !packages::is_there("java") {
        bail!("it is fetched by Maven and run by Java, and one of them is not installed");
    }
    let (artifact, version) = KAFKA;
    let dependency = format!(
        "<dependency><groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId>\
         <version>{version}</version></dependency>"
    );
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>dev.timeball</groupId><artifactId>brokers</artifactId><version>1</version>\
         <dependencies>{dependency}</dependencies></project>"
    );
    ensure(directory, "libs", |fresh| {
        fs::write(fresh.join("pom.xml"), pom)?;
        let mut maven = Command::new("mvn");
        maven.current_dir(fresh).args(["--quiet", "--batch-mode"]);
        maven.args(["dependency:copy-dependencies", "-DoutputDirectory=libs"]);
        steps::stream(&mut maven, tally)
    })
}

fn fetch_celery(directory: &Path, tally: &mut Tally) -> Result<()> {
    fetch_from_pypi(directory, tally, CELERY, "bin/celery")
}

fn fetch_airflow(directory: &Path, tally: &mut Tally) -> Result<()> {
    fetch_from_pypi(directory, tally, AIRFLOW, "bin/airflow")
}

/// Makes an environment of its own for a Python program. It is made where it stays: the programs in
/// it name its place.
fn fetch_from_pypi(directory: &Path, tally: &mut Tally, what: &str, proof: &str) -> Result<()> {
    if !packages::is_there("python3") {
        bail!("it is a Python program, and python3 is not installed");
    }
    if directory.join(proof).exists() {
        steps::say("    already there");
        return Ok(());
    }
    remove(directory)?;
    let mut make = Command::new("python3");
    steps::stream(make.args(["-m", "venv"]).arg(directory), tally)?;
    let mut pip = Command::new(directory.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", what]);
    // pip writes the programs last of all, so one that is interrupted leaves no proof.
    steps::stream(&mut pip, tally)
}
