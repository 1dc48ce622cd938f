//! The agent on a real kernel: a guest whose clock may be written, as this machine's may not.
//!
//! qemu is installed where it is missing, for it does nothing until it is called; the kernel and
//! busybox are unpacked, since a kernel that is installed wants to be booted.

use crate::project::Project;
use crate::steps::{self, Steps, Tally};
use crate::{packages, peers};
use anyhow::{Result, bail};
use std::path::Path;

const PROGRAMS: [(&str, &str); 1] = [("qemu-system-x86_64", "qemu-system-x86")];
const PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "busybox-static"];

pub(crate) fn run(project: &Project) -> Result<bool> {
    let mut steps = Steps::new("guest");
    peers::add_step(project, &mut steps);
    add_step(project, &mut steps);
    Ok(steps.finish())
}

/// Boots the guest and runs its tests; where no guest can be had and that is no failure, says so.
pub(crate) fn add_step(project: &Project, steps: &mut Steps) {
    let root = project.target.join("guest");
    let what =
        "a real kernel: a guest's clock is set, kept, leaps and tells the truth; systemd's units";
    steps.step(what, |tally| match prepare(&root, tally) {
        Err(error) if !Project::is_ci() => {
            tally.skipped.push(format!("the agent on a real kernel: {error:#}"));
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => test(project, &root, tally),
    });
}

fn prepare(root: &Path, tally: &mut Tally) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the guest runs the binary under test, and its kernel is one for x86_64");
    }
    packages::ensure(&PROGRAMS, tally)?;
    peers::unpack(root, &PACKAGES, &["bin/busybox"], |_| Ok(()))
}

fn test(project: &Project, root: &Path, tally: &mut Tally) -> Result<()> {
    let mut cargo = project.cargo();
    cargo.args(["test", "--package", "timeball", "--test", "guest"]);
    // Two guests at a time: they wait more than they work, and a busy machine fails no test.
    cargo.args(["--", "--test-threads=2"]);
    cargo.env("TIMEBALL_GUEST", root).env("TIMEBALL_PEERS", project.peers());
    steps::stream(&mut cargo, tally)
}
