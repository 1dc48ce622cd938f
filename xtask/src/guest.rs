//! The agent on a real kernel: a guest whose clock may be written, as this machine's may not.
//!
//! qemu is installed where it is missing, for it does nothing until it is called; the kernel and
//! busybox are unpacked, since a kernel that is installed wants to be booted, and so is what would
//! start a service. The guest's PTP clocks are a module that is built for this kernel here.

use crate::project::Project;
use crate::steps::{self, Steps, Tally};
use crate::{packages, peers};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: [(&str, &str); 2] = [("qemu-system-x86_64", "qemu-system-x86"), ("make", "make")];
/// The headers come from the same lists as the kernel, so they are those of that kernel.
const PACKAGES: [&str; 5] =
    ["linux-image-cloud-amd64", "linux-headers-cloud-amd64", "busybox-static", "linuxptp", "gpsd"];
const FILES: [&str; 3] = ["bin/busybox", "usr/sbin/phc_ctl", "usr/sbin/gpsd"];
/// The source of the PTP clocks' driver, and where in `target/guest` it is built.
const DRIVER: &str = "crates/cli/tests/guest/ptp_clock";
const DRIVER_BUILD: &str = "ptp_clock";

pub(crate) fn run(project: &Project) -> Result<bool> {
    let mut steps = Steps::new("guest");
    peers::add_step(project, &mut steps);
    add_step(project, &mut steps);
    Ok(steps.finish())
}

/// Boots the guest and runs its tests; where no guest can be had and that is no failure, says so.
pub(crate) fn add_step(project: &Project, steps: &mut Steps) {
    let root = project.target.join("guest");
    let what = "a real kernel: a guest's clock is set, kept, leaps and tells the truth; PTP clocks, \
                gpsd; systemd's units";
    steps.step(what, |tally| match prepare(project, &root, tally) {
        Err(error) if !Project::is_ci() => {
            tally.skipped.push(format!("the agent on a real kernel: {error:#}"));
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => test(project, &root, tally),
    });
}

fn prepare(project: &Project, root: &Path, tally: &mut Tally) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the guest runs the binary under test, and its kernel is one for x86_64");
    }
    packages::ensure(&PROGRAMS, tally)?;
    peers::unpack(root, &PACKAGES, &FILES, |_| Ok(()))?;
    build_driver(&project.root.join(DRIVER), root)
}

/// Builds the driver of the guest's PTP clocks with the kernel's own makefiles: seconds, and less
/// where nothing has changed.
fn build_driver(source: &Path, root: &Path) -> Result<()> {
    let build = root.join(DRIVER_BUILD);
    fs::create_dir_all(&build).with_context(|| format!("{} is missing", build.display()))?;
    for entry in fs::read_dir(source)? {
        let name = entry?.file_name();
        let (text, to) = (fs::read(source.join(&name))?, build.join(&name));
        // make goes by dates, and a copy is new.
        if fs::read(&to).ok().as_ref() != Some(&text) {
            fs::write(&to, text)?;
        }
    }
    let [common, own] = ["-common", "-cloud-amd64"].map(|end| headers(root, end));
    let mut make = Command::new("make");
    make.arg("-C").arg(own?).arg("-f").arg(common?.join("Makefile"));
    // Any compiler that links our programs does; the headers name the version that Debian used.
    make.args(["CC=cc", "modules"]).arg(format!("M={}", build.display()));
    // The headers' tools need a library (libelf) that is unpacked where it is not installed.
    make.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    steps::output(&mut make).map(drop).context("the guest's PTP clocks cannot be built")
}

/// The directory of the kernel's headers whose name ends so.
fn headers(root: &Path, end: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(root.join("usr/src"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("linux-headers-") && name.ends_with(end) {
            return Ok(path);
        }
    }
    bail!("no linux-headers-*{end} in {}; remove this directory and try again", root.display())
}

fn test(project: &Project, root: &Path, tally: &mut Tally) -> Result<()> {
    let mut cargo = project.cargo();
    cargo.args(["test", "--package", "timeball", "--test", "guest"]);
    // Two guests at a time: they wait more than they work, and a busy machine fails no test.
    cargo.args(["--", "--test-threads=2"]);
    cargo.env("TIMEBALL_GUEST", root).env("TIMEBALL_PEERS", project.peers());
    steps::stream(&mut cargo, tally)
}
