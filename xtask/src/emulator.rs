//! qemu's emulation of single AArch64 programs: the gate is run by it where the machine is another.

use crate::peers::{remove, unpack};
use crate::project::{EMULATOR, Project};
use crate::steps::Steps;
use anyhow::Result;
use std::fs;
use std::path::Path;

const PACKAGE: &str = "qemu-user-static";

pub(crate) fn run(project: &Project) -> Result<bool> {
    let mut steps = Steps::new("emulator");
    add_step(project, &mut steps);
    Ok(steps.finish())
}

/// Unpacks the emulator where it is missing; where that is no failure, says what will be skipped.
pub(crate) fn add_step(project: &Project, steps: &mut Steps) {
    if std::env::consts::ARCH == "aarch64" {
        return;
    }
    let emulator = project.emulator();
    let root = project.target.join("qemu");
    let what =
        format!("emulator: AArch64 programs are run by {PACKAGE}, unpacked and not installed");
    steps.step(&what, |tally| match unpack(&root, &[PACKAGE], &[EMULATOR], keep_one) {
        Err(error) if !Project::is_ci() && !emulator.is_file() => {
            tally.skipped.push(format!("the gate on AArch64: {error:#}"));
            Ok(())
        }
        outcome => outcome,
    });
}

/// The package emulates thirty kinds of machines with 10 MB each.
fn keep_one(unpacked: &Path) -> Result<()> {
    let kept = unpacked.join(EMULATOR);
    for entry in fs::read_dir(unpacked.join("usr/bin"))? {
        let path = entry?.path();
        if path != kept {
            fs::remove_file(path)?;
        }
    }
    remove(&unpacked.join("usr/share"))
}
