//! A machine with a kernel clock of its own: qemu without KVM, driven through its serial port.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::image::Image;
use crate::support::Scratch;
use crate::timeline::Timeline;

/// Where the guest sees this machine's loopback.
pub(crate) const HOST: &str = "10.0.2.2";
/// A busy machine boots slowly and answers late.
const PATIENCE: Duration = Duration::from_secs(180);

/// `STA_NANO`: the fraction of a second is in nanoseconds.
const STA_NANO: i64 = 0x2000;
/// `STA_INS`: a second is to be inserted at the next midnight.
const STA_INS: i64 = 0x10;
/// `STA_UNSYNC`: nobody keeps the clock.
const STA_UNSYNC: i64 = 0x40;

/// A running guest; ended when dropped.
pub(crate) struct Machine {
    qemu: Child,
    keyboard: ChildStdin,
    lines: Receiver<String>,
    console: PathBuf,
    monitor: PathBuf,
    /// The other end of its third serial port, `/dev/ttyS2`.
    pub(crate) serial: PathBuf,
    /// What its clock is compared with.
    truth: Timeline,
}

/// The guest's kernel clock as an independent program (busybox) reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelClock {
    /// The guest's clock less true time, in seconds.
    pub(crate) ahead_s: f64,
    /// What `ahead_s` may be wrong by, since a reading takes that long there and back.
    pub(crate) within_s: f64,
    /// Whether `STA_UNSYNC` is clear.
    pub(crate) synchronized: bool,
    /// Whether a second is to be inserted at the next midnight.
    pub(crate) inserting: bool,
    /// `maxerror`, in seconds.
    pub(crate) max_error_s: f64,
    /// `esterror`, in seconds.
    pub(crate) estimated_error_s: f64,
    /// Frequency in units of 2^-16 ppm.
    pub(crate) frequency: i64,
    /// Length of a tick, in microseconds.
    pub(crate) tick_us: i64,
}

impl Machine {
    /// Boots an image with a clock that is `ahead_s` seconds ahead of `truth`.
    pub(crate) fn boot(image: &Image, scratch: &Scratch, truth: &Timeline, ahead_s: i64) -> Self {
        let console = scratch.path().join("console");
        let monitor = scratch.path().join("monitor");
        let mut qemu = Command::new("qemu-system-x86_64");
        // Not KVM: where there is one it may be another kernel's, under which guests die.
        qemu.args(["-accel", "tcg", "-smp", "1", "-m", "512", "-nodefaults", "-no-user-config"]);
        qemu.args(["-display", "none", "-no-reboot"]);
        qemu.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initramfs);
        // While this machine is busy no tick may come in time, which the kernel would take for
        // broken wiring; and it would measure the TSC's rate wrong by hundreds of ppm, or find that
        // out later, take another counter, and forget who keeps its clock. The HPET's is known.
        let arguments = "console=ttyS0 quiet panic=-1 no_timer_check clocksource=hpet";
        qemu.args(["-append", arguments, "-rtc"]);
        qemu.arg(format!("base={}", calendar(truth.now_s() as i64 + ahead_s)));
        qemu.args(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]);
        let socket = format!("unix:{},server=on,wait=off", monitor.display());
        qemu.args(["-monitor", &socket]);
        qemu.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let serial = scratch.path().join("serial");
        qemu.args(["-serial", &format!("unix:{},server=on,wait=off", serial.display())]);
        let mut qemu = qemu.spawn().expect("qemu-system-x86_64 starts");
        let keyboard = qemu.stdin.take().expect("piped");
        let lines = lines_of(BufReader::new(qemu.stdout.take().expect("piped")));
        let truth = truth.clone();
        let mut machine = Self { qemu, keyboard, lines, console, monitor, serial, truth };
        machine.answer();
        machine
    }

    /// Runs a line of shell; returns what it printed. It must succeed.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let (text, status) = self.try_run(line);
        assert!(status == "0", "`{line}` ended with {status}: {text}");
        text
    }

    /// The same for what may fail, with its exit status.
    pub(crate) fn try_run(&mut self, line: &str) -> (String, String) {
        writeln!(self.keyboard, "{line}").expect("qemu listens");
        self.answer()
    }

    /// Sets its clock to true time, to the second.
    pub(crate) fn set_to_truth(&mut self) {
        let now_s = self.truth.now_s() as i64;
        self.run(&format!("date -s @{now_s} >/dev/null"));
    }

    /// Stops the machine for that long, as a host does that moves or saves it: none of its clocks
    /// goes on, and nobody tells it.
    pub(crate) fn pause(&self, length: Duration) {
        let mut monitor = UnixStream::connect(&self.monitor).expect("qemu's monitor");
        monitor.write_all(b"stop\n").expect("qemu listens");
        thread::sleep(length);
        monitor.write_all(b"cont\n").expect("qemu listens");
        // It has to read that before the connection ends.
        thread::sleep(Duration::from_millis(100));
    }

    /// Starts the agent in the background; returns its process id.
    pub(crate) fn start_agent(&mut self) -> String {
        let line = "rm -f /tmp/trace; timeball agent --config /etc/timeball.toml \
                    --trace /tmp/trace >/dev/ttyS0 2>&1 & echo $!";
        self.run(line).trim().to_owned()
    }

    /// Ends the agent as a service manager does; it must end by itself and clean.
    pub(crate) fn stop_agent(&mut self, pid: &str) {
        self.run(&format!("kill {pid}; wait {pid}"));
    }

    /// Reads the kernel's clock, without the binary under test.
    pub(crate) fn clock(&mut self) -> KernelClock {
        let before_s = self.truth.now_s();
        let text = self.run("adjtimex");
        let after_s = self.truth.now_s();
        let field = |name: &str| -> i64 {
            let of = |line: &str| line.trim().strip_prefix(name)?.trim().parse_integer();
            text.lines().find_map(of).unwrap_or_else(|| panic!("no `{name}` in {text}"))
        };
        let status = field("status:");
        let fraction = if status & STA_NANO == 0 { 1e-6 } else { 1e-9 };
        let seconds = field("time.tv_sec:") as f64 + field("time.tv_usec:") as f64 * fraction;
        KernelClock {
            ahead_s: seconds - (before_s + after_s) / 2.0,
            within_s: (after_s - before_s) / 2.0,
            synchronized: status & STA_UNSYNC == 0,
            inserting: status & STA_INS != 0,
            max_error_s: field("maxerror:") as f64 * 1e-6,
            estimated_error_s: field("esterror:") as f64 * 1e-6,
            frequency: field("-f  freq.adjust:"),
            tick_us: field("-t  tick:"),
        }
    }

    /// The agent's `/v1/status`; `Null` where it does not answer yet.
    pub(crate) fn status(&mut self) -> Value {
        let (text, _) = self.try_run("wget -q -O - http://127.0.0.1:9133/v1/status");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Looks again and again until `good` finds something; panics after `limit` with `what`.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut good: impl FnMut(&mut Self) -> Option<T>,
    ) -> (T, Duration) {
        let started = Instant::now();
        loop {
            if let Some(found) = good(self) {
                return (found, started.elapsed());
            }
            if started.elapsed() >= limit {
                let (clock, status) = (self.clock(), self.status());
                let console = fs::read_to_string(&self.console).unwrap_or_default();
                panic!("not {what} within {limit:?}: {clock}\n{status:#}\nconsole:\n{console}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn answer(&mut self) -> (String, String) {
        let mut text = String::new();
        let deadline = Instant::now() + PATIENCE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            if let Some(status) = line.strip_prefix("### ") {
                return (text, status.to_owned());
            }
            text.push_str(&line);
            text.push('\n');
        }
        let console = fs::read_to_string(&self.console).unwrap_or_default();
        panic!("the guest does not answer; it said {text:?}; its console:\n{console}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl KernelClock {
    /// Whether the truth is within what the kernel claims, as far as this reading can tell.
    pub(crate) fn is_true(&self) -> bool {
        self.ahead_s.abs() <= self.max_error_s + self.within_s
    }
}

impl fmt::Display for KernelClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:+.4} s (± {:.4} s) of true time, {}{}, maxerror {:.6} s, esterror {:.6} s, \
             frequency {:+.3} ppm, tick {} µs",
            self.ahead_s,
            self.within_s,
            if self.synchronized { "synchronized" } else { "STA_UNSYNC" },
            if self.inserting { ", STA_INS" } else { "" },
            self.max_error_s,
            self.estimated_error_s,
            self.frequency as f64 / 65_536.0,
            self.tick_us
        )
    }
}

trait ParseInteger {
    fn parse_integer(&self) -> Option<i64>;
}

impl ParseInteger for str {
    /// The number at the front; a unit may follow.
    fn parse_integer(&self) -> Option<i64> {
        self.split_whitespace().next()?.parse().ok()
    }
}

fn lines_of(reader: impl BufRead + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            if sender.send(line.trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    lines
}

/// A Unix time as qemu takes it; `date` knows the calendar.
fn calendar(unix_s: i64) -> String {
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("@{unix_s}"), "+%Y-%m-%dT%H:%M:%S"]);
    let output = date.output().expect("date starts");
    assert!(output.status.success(), "date: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}
