//! What the tests of the real binary share: starting and ending it, and time servers that lie.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod peers;
pub mod schema;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A file with one schedule that does not come up in a test by itself.
pub const YEARLY: &str = "apiVersion: timeball.dev/v1alpha1
kind: PreciseCronJob
metadata: { name: yearly }
spec:
  schedule: '0 0 1 1 *'
  catchUp: { policy: None }
  target: { exec: { command: ['true'] } }
";

/// Whether what is missing is to fail a test instead of skipping it, as `.ci/run` says.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// The binary under test.
pub fn timeball() -> Command {
    Command::new(env!("CARGO_BIN_EXE_timeball"))
}

/// Runs a command of the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    timeball().args(arguments).output().expect("the binary starts")
}

/// Stdout of a command that must succeed.
pub fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A directory of the test's own, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty directory whose name holds `name`.
    pub fn new(name: &str) -> Self {
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let path = std::env::temp_dir().join(format!("timeball-{name}-{unique}"));
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it, as text.
    pub fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running `timeball up --output json`; killed when dropped.
pub struct Up {
    child: Child,
    lines: Receiver<String>,
    /// The first line: addresses and directories.
    pub started: Value,
    state: String,
}

impl Up {
    /// Starts `up` on a state directory with further options, and waits for its first line.
    pub fn start(state: &str, options: &[&str]) -> Self {
        Self::start_from(timeball(), state, options)
    }

    /// The same, from a prepared command (another user, another namespace).
    pub fn start_from(mut command: Command, state: &str, options: &[&str]) -> Self {
        command.args([
            "up",
            "--output",
            "json",
            "--state",
            state,
            "--port",
            "0",
            "--ntp-port",
            "0",
        ]);
        let mut child = command
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut up = Self { child, lines, started: Value::Null, state: state.to_owned() };
        up.started = up.next_event("started");
        up
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The page's address, with a slash at the end.
    pub fn page(&self) -> &str {
        self.started["page"].as_str().expect("a page")
    }

    /// The NTP server's address.
    pub fn ntp(&self) -> &str {
        self.started["ntp"].as_str().expect("an NTP server")
    }

    /// The next line of this kind (`started`, `sources`, `second`), at most 20 s away.
    pub fn next_event(&self, event: &str) -> Value {
        self.wait_for(|value| value["event"] == event)
    }

    /// The next line of which `good` holds, at most 20 s away.
    pub fn wait_for(&self, good: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut last = None;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            let value: Value = serde_json::from_str(&line).expect("one JSON object a line");
            if good(&value) {
                return value;
            }
            last = Some(value);
        }
        panic!("no such line from `up` in time; the last was {last:?}");
    }

    /// JSON of another command that finds this `up` through its state directory.
    pub fn ask(&self, command: &[&str]) -> Value {
        let mut arguments = command.to_vec();
        arguments.extend(["--state", &self.state, "--output", "json"]);
        serde_json::from_str(&stdout(&arguments)).expect("JSON")
    }

    /// Ends it as Ctrl-C does; returns its exit status.
    pub fn interrupt(mut self) -> ExitStatus {
        signal(self.pid(), "INT");
        self.child.wait().expect("waited for")
    }

    /// Ends it as the kernel's out-of-memory killer does.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream that takes nothing more, and its end that nobody reads.
pub fn stalled() -> (Stdio, UnixStream) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("it can be set");
    while ours.write(&[b'.'; 4_096]).is_ok() {}
    ours.set_nonblocking(false).expect("it can be set");
    (Stdio::from(OwnedFd::from(ours)), theirs)
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.expect("kill starts").success(), "kill -{name} {pid}");
}

/// An NTP server of 48 octets, independent of the code under test, that is wrong by a known amount
/// and holds requests and answers back by known times.
pub struct Liar {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How a [`Liar`] lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lie {
    /// Its clock less this machine's, in seconds.
    pub offset_s: f64,
    /// Time before a request counts as received: the delay of the way there.
    pub up: Duration,
    /// Time between the transmit stamp and the departure: the delay of the way back.
    pub down: Duration,
}

/// What a [`Liar`] tells at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The time, in nanoseconds since 1970.
    pub unix_ns: i64,
    /// The leap indicator (RFC 5905 figure 9): 1 announces a second that is inserted.
    pub leap: u8,
}

impl Liar {
    /// Starts it on loopback, on a port of the kernel's choice.
    pub fn start(lie: Lie) -> Self {
        let offset_ns = (lie.offset_s * 1e9) as i64;
        Self::start_telling(lie, move || Told { unix_ns: unix_ns() + offset_ns, leap: 0 })
    }

    /// Starts one that tells what `clock` says, instead of a time that is off by a known amount.
    pub fn start_telling(lie: Lie, clock: impl Fn() -> Told + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || serve(&socket, lie, clock, &stopped));
        Self { address, stop, thread: Some(thread) }
    }

    /// Where it answers, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, lie: Lie, clock: impl Fn() -> Told, stop: &AtomicBool) {
    let mut request = [0_u8; 512];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut request) else { continue };
        if length < 48 {
            continue;
        }
        thread::sleep(lie.up);
        let Told { unix_ns, leap } = clock();
        let received = ntp_time(unix_ns);
        let mut answer = [0_u8; 48];
        answer[0] = leap << 6 | 0x24; // version 4, mode 4
        answer[1] = 1;
        answer[2] = request[2];
        answer[3] = 0xec; // precision 2^-20 s
        answer[12..16].copy_from_slice(b"TEST");
        answer[16..24].copy_from_slice(&received);
        answer[24..32].copy_from_slice(&request[40..48]);
        answer[32..40].copy_from_slice(&received);
        answer[40..48].copy_from_slice(&ntp_time(clock().unix_ns));
        thread::sleep(lie.down);
        let _ = socket.send_to(&answer, from);
    }
}

/// This machine's clock, in nanoseconds since 1970.
pub fn unix_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since_1970.as_nanos()).expect("before 2262")
}

/// A time as seconds since 1900 with a 32-bit fraction.
fn ntp_time(unix_ns: i64) -> [u8; 8] {
    let since_1900 = i128::from(unix_ns) + 2_208_988_800 * 1_000_000_000;
    let fixed = (since_1900 << 32) / 1_000_000_000;
    (fixed as u64).to_be_bytes()
}
