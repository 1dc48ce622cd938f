//! The programs that the tests talk to: chronyd, chronyc, ntpdig.
//!
//! They are unpacked from Debian's packages and never installed: installing chrony removes
//! timesyncd and starts steering this machine's clock. apt runs with lists and caches of its own,
//! so the machine's are not touched.

use crate::project::Project;
use crate::steps::{self, Steps};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages, and what of them the tests run.
const PACKAGES: [&str; 2] = ["chrony", "ntpsec-ntpdig"];
const PROGRAMS: [&str; 3] = ["usr/sbin/chronyd", "usr/bin/chronyc", "usr/bin/ntpdig"];

pub(crate) fn run(project: &Project) -> Result<bool> {
    let mut steps = Steps::new("peers");
    add_step(project, &mut steps);
    Ok(steps.finish())
}

/// Fetches what is missing; where that is no failure, says what will be skipped.
pub(crate) fn add_step(project: &Project, steps: &mut Steps) {
    let root = project.peers();
    let what = format!("peers: chrony and ntpdig are unpacked in {}", root.display());
    let outcome = |root: &Path| unpack(root, &PACKAGES, &PROGRAMS, link_python_library);
    steps.step(&what, |tally| match outcome(&root) {
        Err(error) if !Project::is_ci() => {
            tally.skipped.push(format!("tests with real peers: {error:#}"));
            Ok(())
        }
        outcome => outcome,
    });
}

/// Sees to it that `root` holds the packages, unpacked and not installed, with these files in it;
/// `finish` puts right what an installation would have.
pub(crate) fn unpack(
    root: &Path,
    packages: &[&str],
    files: &[&str],
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    if files.iter().all(|file| root.join(file).is_file()) {
        steps::say("    already there");
        return Ok(());
    }
    let beside = |what: &str| {
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        root.with_file_name(format!("{name}-{what}"))
    };
    let apt = Apt::new(beside("apt"))?;
    steps::say("    reading Debian's package lists into a directory of our own");
    apt.update()?;
    let unpacked = beside("unpacking");
    remove(&unpacked)?;
    for package in packages {
        for archive in apt.download(package)? {
            let name = archive.file_name().unwrap_or_default().to_string_lossy();
            steps::say(&format!("    unpacking {name}"));
            steps::output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;
        }
    }
    if let Some(missing) = files.iter().find(|file| !unpacked.join(file).is_file()) {
        bail!("the packages {} have no {missing} here", packages.join(", "));
    }
    finish(&unpacked)?;
    // Complete or not there: a fetch that is interrupted leaves nothing that looks finished.
    remove(root)?;
    fs::rename(&unpacked, root)?;
    remove(&apt.directory)
}

/// ntpdig's module looks for its library beside itself before it looks where an installation puts
/// it.
fn link_python_library(unpacked: &Path) -> Result<()> {
    for entry in fs::read_dir(unpacked.join("usr/lib"))? {
        let name = entry?.file_name();
        if unpacked.join("usr/lib").join(&name).join("ntp/libntpc.so").exists() {
            let target = Path::new("../../..").join(&name).join("ntp/libntpc.so");
            let link = unpacked.join("usr/lib/python3/dist-packages/ntp/libntpc.so");
            std::os::unix::fs::symlink(target, link)?;
        }
    }
    Ok(())
}

/// apt-get with a state of its own: it reads the machine's sources and its list of what is
/// installed.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: PathBuf) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial", "archives"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).with_context(|| format!("{} is missing", path.display()))?;
        }
        Ok(Self { directory })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        let state = format!("Dir::State={}", self.directory.join("state").display());
        let cache = format!("Dir::Cache={}", self.directory.join("cache").display());
        for option in [
            state.as_str(),
            "Dir::State::status=/var/lib/dpkg/status",
            cache.as_str(),
            // Root's apt would fetch as `_apt`, who may not write here.
            "APT::Sandbox::User=root",
            "Debug::NoLocking=1",
        ] {
            command.args(["-o", option]);
        }
        command.arg("-qq").current_dir(self.directory.join("archives")).env("LC_ALL", "C");
        command
    }

    fn update(&self) -> Result<()> {
        steps::output(self.command().arg("update")).map(drop).context(
            "Debian's package lists cannot be read; on another distribution unpack chrony and \
             ntpdig yourself and name the directory that has their `usr` in TIMEBALL_PEERS",
        )
    }

    /// Downloads a package and whatever it needs that is not installed.
    fn download(&self, package: &str) -> Result<Vec<PathBuf>> {
        // `--print-uris` says what an installation would fetch, and installs nothing.
        let mut wanted = self.command();
        wanted.args(["install", "--print-uris", "--yes", "--reinstall", "--no-install-recommends"]);
        let listing = steps::output(wanted.arg(package))?;
        let mut archives = Vec::new();
        for name in listing.lines().filter_map(package_and_version) {
            steps::output(self.command().arg("download").arg(&name))
                .with_context(|| format!("{name} cannot be downloaded"))?;
            archives.push(self.archive(&name)?);
        }
        Ok(archives)
    }

    fn archive(&self, name: &str) -> Result<PathBuf> {
        let (package, _) = name.split_once('=').context("a name without version")?;
        let prefix = format!("{package}_");
        for entry in fs::read_dir(self.directory.join("archives"))? {
            let path = entry?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if file.starts_with(&prefix) && file.ends_with(".deb") {
                return Ok(path);
            }
        }
        bail!("apt-get downloaded {name}, but left no archive")
    }
}

/// `name=version` of a line of `--print-uris`: `'ADDRESS' NAME_VERSION_ARCHITECTURE.deb SIZE HASH`.
fn package_and_version(line: &str) -> Option<String> {
    let file = line.split_whitespace().nth(1)?;
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (package, version) = (parts.next()?, parts.next()?);
    // An epoch's colon is escaped in the name of the file.
    Some(format!("{package}={}", version.replace("%3a", ":")))
}

/// Removes a directory, if it is there.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_what_apt_prints() {
        let line = "'http://mirror/pool/c/chrony_4.3-2%2bdeb12u3_amd64.deb' \
                    chrony_4.3-2+deb12u3_amd64.deb 288684 MD5Sum:d291";
        assert_eq!(package_and_version(line).as_deref(), Some("chrony=4.3-2+deb12u3"));
        let epoch = "'http://mirror/x' libcap2_1%3a2.66-4_amd64.deb 1 MD5Sum:0";
        assert_eq!(package_and_version(epoch).as_deref(), Some("libcap2=1:2.66-4"));
        assert_eq!(package_and_version(""), None);
    }
}
