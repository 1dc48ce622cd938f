//! Debian packages that do nothing until they are called (a browser), installed when they are
//! missing.
//!
//! Only such packages: whatever starts a service is unpacked by `peers` instead.

use crate::steps::{self, Tally};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Sees to it that each program is there: `(program, package that has it)`.
pub(crate) fn ensure(wanted: &[(&str, &str)], tally: &mut Tally) -> Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_root()? {
        bail!(
            "not installed: {names}; install them (`sudo apt-get install {names}`) and try again"
        );
    }
    steps::say(&format!("    installing with apt-get, since they are missing: {names}"));
    // Lists of an image are empty or old.
    steps::stream(Command::new("apt-get").args(["-qq", "update"]), tally)?;
    let mut install = Command::new("apt-get");
    install.args(["-qq", "--yes", "--no-install-recommends", "install"]).args(&missing);
    steps::stream(install.env("DEBIAN_FRONTEND", "noninteractive"), tally)
}

/// Whether a program is in the search path.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_file(&directory.join(program)))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn is_root() -> Result<bool> {
    Ok(steps::output(Command::new("id").arg("-u"))?.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed_again() {
        ensure(&[("sh", "a-package-that-does-not-exist")], &mut Tally::default()).unwrap();
        assert!(!is_there("a-program-that-does-not-exist"));
    }
}
