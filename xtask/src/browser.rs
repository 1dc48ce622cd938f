//! The page in a real browser: a running `timeball up`, driven by tests/browser.

use crate::packages;
use crate::project::Project;
use crate::source::TimeSource;
use crate::steps::{self, Steps, Tally};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What the test runs: `(program, Debian package)`.
const PROGRAMS: [(&str, &str); 3] = [("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")];
/// How long `up` may take to print its page's address, and to end.
const UP_PATIENCE: Duration = Duration::from_secs(30);

/// Runs the browser's test; where no browser can be had and that is no failure, says so.
pub(crate) fn add_step(project: &Project, steps: &mut Steps) {
    steps.step("page: a real Chromium opens what `timeball up` serves", |tally| {
        match packages::ensure(&PROGRAMS, tally) {
            Err(error) if !Project::is_ci() => {
                tally.skipped.push(format!("the page in a browser: {error:#}"));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => drive(project, tally),
        }
    });
}

fn drive(project: &Project, tally: &mut Tally) -> Result<()> {
    let mut build = project.cargo();
    steps::stream(build.args(["build", "--quiet", "--package", "timeball"]), tally)?;
    let directory = copy_of_the_test(project)?;
    let mut install = Command::new("npm");
    install.current_dir(&directory).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    steps::stream(&mut install, tally)?;

    // Without a network nobody else would answer, and the page's figures would stand still.
    let source = TimeSource::start()?;
    let up = Up::start(project, &directory, &source)?;
    let mut node = Command::new("node");
    // One file at a time: each measures a page that nobody else changes.
    node.current_dir(&directory).args(["--test", "--test-concurrency=1", "--test-reporter=tap"]);
    node.env("TIMEBALL_URL", &up.address);
    node.env("TIMEBALL_SCHEDULES", directory.join("state/schedules"));
    steps::say(&format!("    `timeball up` serves its page at {}", up.address));
    let outcome = steps::stream(&mut node, tally);
    // How it ends is a result too, but the test's own comes first.
    outcome.and(up.end())
}

/// Copies the tracked test into the target directory, where `npm ci` may put its modules beside it.
fn copy_of_the_test(project: &Project) -> Result<PathBuf> {
    let directory = project.target.join("browser");
    for file in project.files()? {
        let Some(inside) = file.path.strip_prefix("tests/browser/") else { continue };
        let to = directory.join(inside);
        fs::create_dir_all(to.parent().context("a file has a directory")?)?;
        fs::copy(project.root.join(&file.path), to)?;
    }
    Ok(directory)
}

/// A running `timeball up`.
struct Up {
    child: Child,
    address: String,
}

impl Up {
    fn start(project: &Project, directory: &Path, source: &TimeSource) -> Result<Self> {
        let state = directory.join("state");
        // The last run's schedules and history would make this run's counts start elsewhere.
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        let mut command = Command::new(project.target.join("debug/timeball"));
        command.args(["up", "--port", "0", "--ntp-port", "0", "--state"]).arg(&state);
        command.args(["--source", &source.address.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().context("`timeball up` cannot be started")?;
        let stdout = child.stdout.take().expect("stdout was piped");
        let (sender, lines) = channel();
        // Reads to the end: a full pipe would stop `up`.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut up = Self { child, address: String::new() };
        let deadline = Instant::now() + UP_PATIENCE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(address) = first_address(&line) {
                        up.address = address.to_owned();
                        return Ok(up);
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => bail!("`timeball up` ended at once"),
            }
        }
        bail!("`timeball up` printed no address within {} s", UP_PATIENCE.as_secs())
    }

    /// Ends it as Ctrl-C does; it must end by itself, and clean.
    fn end(mut self) -> Result<()> {
        steps::output(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        let deadline = Instant::now() + UP_PATIENCE;
        while Instant::now() < deadline {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("`timeball up` ended with {status} after an interrupt"),
                None => thread::sleep(Duration::from_millis(50)),
            }
        }
        bail!("`timeball up` did not end within {} s of an interrupt", UP_PATIENCE.as_secs())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // After `end` it is gone already, and these do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first `http://` address in a line, without what is around it.
fn first_address(line: &str) -> Option<&str> {
    let from = &line[line.find("http://")?..];
    let end = from.find(|c: char| c.is_whitespace() || c == '\u{1b}' || c == '"');
    Some(&from[..end.unwrap_or(from.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_a_line_is_found() {
        assert_eq!(
            first_address("page: http://127.0.0.1:9133/ (live)"),
            Some("http://127.0.0.1:9133/")
        );
        assert_eq!(first_address("\u{1b}[1mhttp://[::1]:1/\u{1b}[m"), Some("http://[::1]:1/"));
        assert_eq!(first_address("nothing yet"), None);
    }
}
