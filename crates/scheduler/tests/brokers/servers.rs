//! Real brokers: started on loopback in a directory of their own, and ended with it.

use crate::house::{House, wait_for};
use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use timeball_api::schedules::{Outcome, Schedule};
use timeball_runtime::read_clocks;

/// Where `cargo xtask brokers` has put `part`; `None`, and a line that says so, where it has not.
pub(crate) fn peer(part: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("TIMEBALL_BROKERS").map(PathBuf::from);
    let found = directory.map(|directory| directory.join(part)).filter(|path| path.exists());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        assert!(!ci, "{part} is not there, and CI must have it");
        // Written past the test harness, which hides what a passing test prints.
        writeln!(
            std::io::stderr(),
            "SKIPPED: {part} is not there; `cargo xtask brokers` fetches it"
        )
        .expect("stderr");
    }
    found
}

/// A certificate or key of the tests, made for `localhost` and 127.0.0.1.
pub(crate) fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// The field `tls` of a target whose server's authority is ours, with or without our certificate.
pub(crate) fn tls(shows_certificate: bool) -> String {
    let path = |name: &str| certificate(name).display().to_string();
    let ours = if shows_certificate {
        format!(
            ", certificateFile: '{}', keyFile: '{}'",
            path("client.pem"),
            path("client.key.pem")
        )
    } else {
        String::new()
    };
    format!("tls: {{ caFile: '{}'{ours} }}", path("authority.pem"))
}

/// What starts a broker in a directory, listening on a port.
type Commands = Box<dyn Fn(&Path, u16) -> Vec<Command>>;

/// A running broker.
pub(crate) struct Server {
    /// Where clients reach it.
    pub(crate) port: u16,
    /// What it keeps, and its output.
    pub(crate) home: TempDir,
    children: Vec<Child>,
    commands: Commands,
}

impl Server {
    /// Starts what `commands` makes of a directory and a port, and waits until it listens.
    pub(crate) fn start(commands: impl Fn(&Path, u16) -> Vec<Command> + 'static) -> Self {
        let port = free_port();
        let (home, commands) = (tempfile::tempdir().unwrap(), Box::new(commands));
        let mut server = Self { port, home, children: Vec::new(), commands };
        server.restart();
        server
    }

    /// Starts it again where it was, with what it has kept.
    pub(crate) fn restart(&mut self) {
        for mut command in (self.commands)(self.home.path(), self.port) {
            let log = self.home.path().join("output");
            let log = File::options().create(true).append(true).open(log).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            // A broker is a family of processes, which is ended as a whole.
            self.children.push(command.process_group(0).spawn().unwrap());
        }
        wait_for("the broker listens", || {
            self.assert_running();
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// Ends it as a loss of power would.
    pub(crate) fn kill(&mut self) {
        for child in &mut self.children {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
        }
        self.children.clear();
    }

    /// Ends it in the last half second before an instant of the house's schedule, whose message is
    /// prepared by then; returns that instant, nanoseconds since 1970.
    pub(crate) fn kill_before_an_instant(&mut self, house: &House) -> i64 {
        for _ in 0..10 {
            house.wait("a fire", |schedule| {
                schedule.last.as_ref().is_some_and(|last| last.result == "fired")
            });
            let now_ns = || read_clocks().system.as_unix_nanos();
            let ahead_ns =
                |schedule: &Schedule| schedule.next_ns.first().map_or(0, |next| next - now_ns());
            let near = house.wait("a fire is near", |schedule| {
                (200_000_000..400_000_000).contains(&ahead_ns(schedule))
            });
            self.kill();
            if now_ns() < near.next_ns[0] {
                return near.next_ns[0];
            }
            // This machine was too slow: once more.
            self.restart();
        }
        panic!("the server went away too late ten times");
    }

    /// What it has said.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    fn assert_running(&mut self) {
        for child in &mut self.children {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the broker ended with {status}: {}", self.output());
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// With this spec, an instant shortly before which the server went away, and what became of it: the
/// fire failed, and those after it are fired once the server is back.
pub(crate) fn lose_before_an_instant(server: &mut Server, spec: &str) -> Outcome {
    let house = House::start(&spec.replace("@every 100ms", "@every 4s"));
    let at_ns = server.kill_before_an_instant(&house);
    let failed = house.outcome_of(at_ns);
    assert_eq!((failed.result.as_str(), failed.scheduled_ns), ("failed", at_ns), "{failed:?}");
    let reasons = ["Unreachable", "TimedOut"];
    assert!(reasons.contains(&failed.reason.as_str()), "{failed:?}");
    server.restart();
    house.wait("fires again", |schedule| {
        schedule.last.as_ref().is_some_and(|last| last.result == "fired")
    });
    let counts = house.stop().counts;
    assert_eq!((counts.missed, counts.unknown), (0, 0), "{counts:?}");
    failed
}

/// With this spec, which has ten retries, an instant shortly before which the server went away, and
/// that was fired all the same once it was back; nanoseconds since 1970.
pub(crate) fn lose_and_find_before_an_instant(server: &mut Server, spec: &str) -> i64 {
    /// Ten retries take 50 seconds at least.
    const BACK_WITHIN: Duration = Duration::from_secs(25);
    for _ in 0..5 {
        let house = House::start(&spec.replace("@every 100ms", "@every 4s"));
        let at_ns = server.kill_before_an_instant(&house);
        let start = Instant::now();
        server.restart();
        let was_quick = start.elapsed() < BACK_WITHIN;
        let outcome = house.outcome_of(at_ns);
        house.stop();
        if was_quick {
            assert_eq!(outcome.result, "fired", "{outcome:?}");
            return at_ns;
        }
    }
    panic!("the server took too long to come back five times");
}

/// How many of these keys are of the fire of an instant.
pub(crate) fn count_of(keys: &[String], at_ns: i64) -> usize {
    let end = format!(".{}", at_ns / 1_000);
    keys.iter().filter(|key| key.ends_with(&end)).count()
}

/// A TCP port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
