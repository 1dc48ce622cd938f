//! The two daemons as clients, and what the kernel says that they use.

use crate::bench::nobody::{Running, Work};
use crate::project::Project;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A daemon that ends with us.
pub(super) struct Client(Running);

/// Since the daemon's start, all threads together.
pub(super) struct Usage {
    pub(super) cpu: Duration,
    /// Octets resident.
    pub(super) memory: u64,
}

impl Client {
    /// The agent, observing.
    pub(super) fn timeball(project: &Project, work: &Work, port: u16) -> Result<Self> {
        let text = format!(
            "[clock]\nmode = \"observe\"\n[[source]]\naddress = \"127.0.0.1:{port}\"\n\
             poll = {{ min = -4, max = -4 }}\n"
        );
        fs::write(work.path.join("agent.toml"), text)?;
        let mut command = work.command(&work.copy(&project.target.join("release/timeball"))?);
        command.args(["agent", "--config", "agent.toml"]);
        Ok(Self(Running::start(&mut command, &work.path, "agent")?))
    }

    /// chronyd: `-x` keeps it from writing the clock, `-U -u root` lets it stay who it is.
    pub(super) fn chronyd(project: &Project, work: &Work, port: u16) -> Result<Self> {
        let text = format!(
            "server 127.0.0.1 port {port} minpoll -4 maxpoll -4\ncmdport 0\n\
             bindcmdaddress /\npidfile {}/chronyd.pid\n",
            work.path.display()
        );
        fs::write(work.path.join("chrony.conf"), text)?;
        let mut command = work.command(&work.copy_chronyd(project)?);
        command.args(["-x", "-d", "-U", "-u", "root", "-f", "chrony.conf"]);
        Ok(Self(Running::start(&mut command, &work.path, "chronyd")?))
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        let process = Path::new("/proc").join(self.0.id().to_string());
        let mut nanos = 0;
        for task in fs::read_dir(process.join("task")).context("a daemon has ended")? {
            // The first number is the time on a processor; a thread may end while we look.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0_u64);
        }
        let status = fs::read_to_string(process.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|rest| rest.split_whitespace().next());
        let kibibytes: u64 = kibibytes.context("a daemon has ended")?.parse()?;
        Ok(Usage { cpu: Duration::from_nanos(nanos), memory: kibibytes << 10 })
    }
}
