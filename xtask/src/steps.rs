//! Steps with their times, and the one line at the end that says how it went.

use anyhow::{Result, bail};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A run of several steps; a failed one does not stop the others.
pub(crate) struct Steps {
    name: &'static str,
    started: Instant,
    tally: Tally,
    failed_steps: Vec<String>,
}

/// How many tests passed, failed and so on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// What could not be tested here, each with its reason.
    pub(crate) skipped: Vec<String>,
}

impl Steps {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, started: Instant::now(), tally: Tally::default(), failed_steps: Vec::new() }
    }

    /// Says what the step does, does it, and says how long it took.
    pub(crate) fn step(&mut self, what: &str, work: impl FnOnce(&mut Tally) -> Result<()>) {
        say(&format!("\n==> {what}  [{}]", elapsed(self.started)));
        let started = Instant::now();
        let mut tally = Tally::default();
        let outcome = work(&mut tally);
        match &outcome {
            Ok(()) => say(&format!("    ok in {}", elapsed(started))),
            Err(error) => say(&format!("    FAILED in {}: {error:#}", elapsed(started))),
        }
        if outcome.is_err() {
            self.failed_steps.push(what.to_owned());
        }
        self.tally.add(tally.settled(outcome.is_ok()));
    }

    /// Prints the summary; `true` if nothing failed.
    pub(crate) fn finish(self) -> bool {
        for reason in &self.tally.skipped {
            say(&format!("skipped: {reason}"));
        }
        for what in &self.failed_steps {
            say(&format!("failed: {what}"));
        }
        let passed = self.failed_steps.is_empty() && self.tally.failed == 0;
        let word = if passed { "ok" } else { "FAILED" };
        print(&format!(
            "\n{} result: {word}. {} passed; {} failed; {} ignored; {} skipped; finished in {}",
            self.name,
            self.tally.passed,
            self.tally.failed,
            self.tally.ignored,
            self.tally.skipped.len(),
            elapsed(self.started),
        ));
        passed
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skipped.extend(other.skipped);
    }

    /// A step that ran no tests of its own counts as one; so does a failure that no test reported.
    fn settled(mut self, passed: bool) -> Self {
        if !passed && self.failed == 0 {
            self.failed = 1;
        } else if passed && self.passed == 0 && self.skipped.is_empty() {
            self.passed = 1;
        }
        self
    }

    /// Reads one line of a test program's output.
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_colour(line);
        if let Some(reason) = line.trim().strip_prefix("SKIPPED: ") {
            self.skipped.push(reason.to_owned());
        }
        // node's runner sums up as `# pass 12`.
        if let Some((kind, number)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '))
        {
            let number = number.parse().unwrap_or(0);
            match kind {
                "pass" => self.passed += number,
                "fail" | "cancelled" => self.failed += number,
                "skipped" | "todo" => self.ignored += number,
                _ => {}
            }
        }
        let Some((_, counts)) = line.split_once("test result:") else { return };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(kind)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Runs a command with its output passed on line by line, and counts the tests that it reports.
pub(crate) fn stream(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let shown = shown(command);
    say(&format!("    $ {shown}"));
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => bail!("`{shown}` cannot be started: {error}"),
    };
    let stdout = child.stdout.take().expect("stdout was piped");
    let stderr = child.stderr.take().expect("stderr was piped");
    let (from_stdout, from_stderr) = std::thread::scope(|scope| {
        let errors = scope.spawn(|| forward(stderr));
        let lines = forward(stdout);
        (lines, errors.join().expect("forwarding lines does not panic"))
    });
    tally.add(from_stdout);
    tally.add(from_stderr);
    let status = child.wait()?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command quietly and returns its standard output; its errors are in the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => bail!("`{shown}` cannot be started: {error}"),
    };
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, reason.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Talk: for people, on standard error.
pub(crate) fn say(text: &str) {
    // In our own tests it would read like failures; and a closed terminal is no reason to stop a
    // run.
    if !cfg!(test) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Data: what was asked for, on standard output.
pub(crate) fn print(text: &str) {
    if !cfg!(test) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

fn forward(from: impl Read) -> Tally {
    let mut tally = Tally::default();
    // Test programs may print anything, so lines are octets here.
    for line in BufReader::new(from).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        say(&line);
        tally.read(&line);
    }
    tally
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

fn elapsed(since: Instant) -> String {
    let seconds = since.elapsed().as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", seconds as u64 / 60, seconds as u64 % 60)
    }
}

fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // An escape sequence ends with its first letter.
            for inside in characters.by_ref() {
                if inside.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_skips_are_counted_also_in_colour() {
        let mut tally = Tally::default();
        tally
            .read("test result: \u{1b}[32mok\u{1b}[m. 12 passed; 0 failed; 1 ignored; 0 measured;");
        tally.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; finished in 0.52s");
        tally.read("SKIPPED: chronyd is not there");
        tally.read("12 passed by on the road");
        tally.read("# pass 9");
        tally.read("# fail 1");
        tally.read("# a comment with 3 words");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (24, 3, 1));
        assert_eq!(tally.skipped, ["chronyd is not there"]);
    }

    #[test]
    fn a_step_that_fails_before_any_test_ran_counts_as_one_failure() {
        assert_eq!(Tally::default().settled(false).failed, 1);
        assert_eq!(Tally { failed: 4, ..Tally::default() }.settled(false).failed, 4);
        assert_eq!(Tally::default().settled(true).passed, 1);
    }

    #[test]
    fn a_failed_step_fails_the_run_and_does_not_stop_it() {
        let mut steps = Steps::new("test of steps");
        steps.step("one that fails", |_| bail!("on purpose"));
        let mut ran = false;
        steps.step("one that passes", |_| {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert!(!steps.finish());
    }

    #[test]
    fn a_command_that_fails_is_an_error_with_its_status() {
        let mut tally = Tally::default();
        let error = stream(Command::new("sh").args(["-c", "exit 3"]), &mut tally).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }
}
