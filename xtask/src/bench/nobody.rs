//! Daemons that are measured, run as nobody: whatever they do, they cannot set this machine's
//! clock.

use crate::project::Project;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NOBODY: u32 = 65_534;

/// A directory that nobody may use; deleted when dropped, unless it is to be looked at.
pub(super) struct Work {
    pub(super) path: PathBuf,
    /// Whether it is left.
    pub(super) keep: bool,
}

impl Work {
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("timeball-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        give_away(&path)?;
        Ok(Self { path, keep: false })
    }

    /// Copies a file to where nobody can read it: a build directory may be private.
    pub(super) fn copy(&self, from: &Path) -> Result<PathBuf> {
        let to = self.path.join(from.file_name().unwrap_or_default());
        fs::copy(from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
        Ok(to)
    }

    /// Copies the unpacked chronyd with the libraries that came with it.
    pub(super) fn copy_chronyd(&self, project: &Project) -> Result<PathBuf> {
        let usr = project.peers().join("usr");
        for directory in fs::read_dir(usr.join("lib"))?.flatten() {
            let Ok(entries) = fs::read_dir(directory.path()) else { continue };
            for entry in entries.flatten() {
                let is_library = entry.file_name().to_string_lossy().contains(".so");
                if is_library && entry.path().is_file() {
                    self.copy(&entry.path())?;
                }
            }
        }
        self.copy(&usr.join("sbin/chronyd"))
    }

    /// A command for a program that was copied here, without our environment and rights.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        command.env("LD_LIBRARY_PATH", &self.path);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Lets nobody write in a directory of ours.
pub(super) fn give_away(directory: &Path) -> Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    if is_root() {
        chown(directory, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}

fn is_root() -> bool {
    // The owner of what we just are: no call into libc is needed for it.
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// A child that does not outlive us.
pub(super) struct Running(Child);

impl Running {
    /// Starts a command in a directory; what it prints goes to `name.out` and `name.err` there.
    pub(super) fn start(command: &mut Command, directory: &Path, name: &str) -> Result<Self> {
        let out = File::create(directory.join(format!("{name}.out")))?;
        let err = File::create(directory.join(format!("{name}.err")))?;
        command.current_dir(directory).stdin(Stdio::null()).stdout(out).stderr(err);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
        Ok(Self(child))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it ended well in time.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<bool> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell of anything else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
