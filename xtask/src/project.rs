//! Where things are: the workspace, its target directory, its files.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program of the package `qemu-user-static` that runs AArch64 programs.
pub(crate) const EMULATOR: &str = "usr/bin/qemu-aarch64-static";

/// The workspace that this program was built from.
pub(crate) struct Project {
    /// The directory of the workspace's Cargo.toml, absolute.
    pub(crate) root: PathBuf,
    /// Where cargo builds, absolute.
    pub(crate) target: PathBuf,
}

/// One file of the project, as the rules see it.
#[derive(Clone, Debug)]
pub(crate) struct ProjectFile {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// Its text; empty for one that is binary, vendored or a fuzz input: not ours to judge.
    pub(crate) text: String,
}

impl Project {
    pub(crate) fn find() -> Result<Self> {
        // cargo sets this when it runs us; the value compiled in serves a binary that is started by
        // hand.
        let here = std::env::var("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let root = Path::new(&here).parent().context("xtask's directory has no parent")?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(directory) => std::path::absolute(directory)?,
            None => root.join("target"),
        };
        Ok(Self { root: root.to_owned(), target })
    }

    /// Where the unpacked peers are.
    pub(crate) fn peers(&self) -> PathBuf {
        self.target.join("peers")
    }

    /// The Python interpreter of the virtual environment that the tests use.
    pub(crate) fn python(&self) -> PathBuf {
        self.target.join("python/bin/python3")
    }

    /// What runs AArch64 programs on another machine.
    pub(crate) fn emulator(&self) -> PathBuf {
        self.target.join("qemu").join(EMULATOR)
    }

    /// Where the brokers are.
    pub(crate) fn brokers(&self) -> PathBuf {
        self.target.join("brokers")
    }

    /// The cargo that runs us, in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// Every file that is tracked, or would be after `git add`.
    pub(crate) fn files(&self) -> Result<Vec<ProjectFile>> {
        let mut files = Vec::new();
        for path in self.tracked()? {
            // A file that was deleted but not yet committed is still listed.
            let Ok(octets) = std::fs::read(self.root.join(&path)) else { continue };
            let foreign = path.contains("/vendor/") || path.starts_with("fuzz/corpus/");
            let text = String::from_utf8(octets).ok().filter(|_| !foreign).unwrap_or_default();
            files.push(ProjectFile { path, text });
        }
        Ok(files)
    }

    /// Whether what cannot be tested here is a failure.
    pub(crate) fn is_ci() -> bool {
        std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
    }

    fn tracked(&self) -> Result<Vec<String>> {
        let output = Command::new("git")
            // In a container the checkout often belongs to another user than the one who runs the
            // tests.
            .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard")
            .current_dir(&self.root)
            .output()
            .context("git cannot be run; `tidy` asks it for the list of files")?;
        if !output.status.success() {
            bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let mut paths: Vec<String> =
            listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        paths.sort();
        paths.dedup();
        Ok(paths)
    }
}
