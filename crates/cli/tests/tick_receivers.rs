//! `timeball tick` into a pipe, a FIFO, a socket and a process, as these see it: also after a
//! stall, and when they go away.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Liar, Lie, Scratch, Up, signal, timeball};

const PERIOD_NS: i64 = 10_000_000;
const STALL: Duration = Duration::from_millis(300);
/// How many instants a stall passes over at least.
const STALL_TICKS: i64 = 25;
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `timeball tick`; killed when dropped.
struct Ticking(Child);

impl Ticking {
    /// Ticks every 10 ms beside no `up`.
    fn start(arguments: &[&str]) -> Self {
        Self::beside("/nonexistent/timeball", arguments)
    }

    fn beside(state: &str, arguments: &[&str]) -> Self {
        let mut command = timeball();
        command.args(["tick", "--every", "10ms", "--output", "json", "--state", state]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("timeball runs"))
    }

    /// Has it stand still for a while.
    fn stall(&self) {
        signal(self.0.id(), "STOP");
        std::thread::sleep(STALL);
        signal(self.0.id(), "CONT");
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("it can be asked").is_none()
    }

    /// How it ended by itself, and what it said.
    fn end(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        self.0.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        (self.0.wait().expect("it has ended"), said)
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of a tick, instants in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Tick {
    sequence: i64,
    scheduled_ns: i64,
    real_ns: i64,
    skipped: i64,
    bound_ns: Option<i64>,
}

impl Tick {
    fn parse(line: &str) -> Self {
        let tick: Value = serde_json::from_str(line).expect("a line of JSON");
        let number = |name: &str| tick[name].as_i64().expect("a number");
        let instant = |name: &str| {
            let text = tick[name].as_str().expect("an instant");
            let instant: jiff::Timestamp = text.parse().expect("RFC 3339");
            i64::try_from(instant.as_nanosecond()).expect("a time of today")
        };
        assert!(tick.as_object().expect("an object").contains_key("bound_ns"), "{line}");
        Self {
            sequence: number("sequence"),
            scheduled_ns: instant("scheduled"),
            real_ns: instant("real"),
            skipped: number("skipped"),
            bound_ns: tick["bound_ns"].as_i64(),
        }
    }

    fn lateness_ns(&self) -> i64 {
        self.real_ns - self.scheduled_ns
    }

    /// Checks that nothing is between the tick before and this one but what it says it skipped.
    fn assert_follows(&self, before: &Self) {
        let steps = self.sequence - before.sequence;
        assert_eq!(steps, 1 + self.skipped, "{before:?}, then {self:?}");
        let apart_ns = self.scheduled_ns - before.scheduled_ns;
        assert_eq!(apart_ns, steps * PERIOD_NS, "{before:?}, then {self:?}");
        assert!(self.scheduled_ns % PERIOD_NS == 0 && self.lateness_ns() >= 0, "{self:?}");
    }
}

/// Takes ticks as they come, has the giver stall, and takes those after it: `next` waits for a
/// line. Returns the last tick.
fn assert_no_burst(ticking: &Ticking, next: &mut dyn FnMut() -> String) -> Tick {
    let mut last = Tick::parse(&next());
    let mut take = || {
        let tick = Tick::parse(&next());
        tick.assert_follows(&last);
        // What a stall has passed over is not given late, but left out.
        assert!(tick.lateness_ns() < PERIOD_NS, "{tick:?}");
        last = tick;
        tick
    };
    for _ in 0..20 {
        take();
    }
    ticking.stall();
    let after = (0..1_000).map(|_| take()).find(|tick| tick.skipped >= STALL_TICKS);
    assert!(after.is_some(), "no tick says that instants were left out");
    for _ in 0..20 {
        take();
    }
    last
}

fn line_of(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("it can be read");
    line
}

fn make_fifo(scratch: &Scratch) -> String {
    let path = scratch.join("beat");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo starts").success());
    path
}

fn bind(path: &str) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a path of its own");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    socket
}

fn datagram(socket: &UnixDatagram) -> String {
    let mut octets = [0; 512];
    let length = socket.recv(&mut octets).expect("a datagram comes");
    String::from_utf8_lossy(&octets[..length]).into_owned()
}

#[test]
fn a_pipe_gets_one_tick_after_a_stall_and_its_end_is_that_of_the_ticks() {
    let mut ticking = Ticking::start(&[]);
    let mut reader = BufReader::new(ticking.0.stdout.take().expect("piped"));
    assert_no_burst(&ticking, &mut || line_of(&mut reader));
    drop(reader);
    let (status, said) = ticking.end();
    assert!(status.success() && said.is_empty(), "{status}: {said}");
}

#[test]
fn a_fifo_gets_one_tick_after_a_stall_and_later_readers_get_later_ticks() {
    let scratch = Scratch::new("tick-fifo");
    let path = make_fifo(&scratch);
    let mut ticking = Ticking::start(&["--fifo", &path]);
    let mut reader = BufReader::new(File::open(&path).expect("it opens once it is written to"));
    let last = assert_no_burst(&ticking, &mut || line_of(&mut reader));
    drop(reader);
    std::thread::sleep(STALL);
    assert!(ticking.is_running(), "nobody reads");
    let mut reader = BufReader::new(File::open(&path).expect("the next reader"));
    let [first, second] = [(); 2].map(|()| Tick::parse(&line_of(&mut reader)));
    assert!(first.sequence >= last.sequence + STALL_TICKS, "{last:?}, then {first:?}");
    second.assert_follows(&first);
}

#[test]
fn a_socket_gets_one_tick_after_a_stall_and_later_receivers_get_later_ticks() {
    let scratch = Scratch::new("tick-socket");
    let path = scratch.join("beat");
    let socket = bind(&path);
    let mut ticking = Ticking::start(&["--socket", &path]);
    let last = assert_no_burst(&ticking, &mut || datagram(&socket));
    drop(socket);
    std::fs::remove_file(&path).expect("it is there");
    std::thread::sleep(STALL);
    assert!(ticking.is_running(), "nobody receives");
    let socket = bind(&path);
    let [first, second] = [(); 2].map(|()| Tick::parse(&datagram(&socket)));
    assert!(first.sequence >= last.sequence + STALL_TICKS, "{last:?}, then {first:?}");
    second.assert_follows(&first);
}

#[test]
fn a_reader_that_stood_still_finds_one_old_tick_and_then_the_latest() {
    let mut ticking = Ticking::start(&[]);
    let mut reader = BufReader::new(ticking.0.stdout.take().expect("piped"));
    let before = Tick::parse(&line_of(&mut reader));
    std::thread::sleep(STALL);
    let [old, latest] = [(); 2].map(|()| Tick::parse(&line_of(&mut reader)));
    old.assert_follows(&before);
    latest.assert_follows(&old);
    assert!(latest.skipped >= STALL_TICKS && latest.lateness_ns() < PERIOD_NS, "{latest:?}");
}

#[test]
fn what_a_stall_has_passed_over_is_given_where_that_was_asked_for() {
    let scratch = Scratch::new("tick-catch-up");
    let path = make_fifo(&scratch);
    let ticking = Ticking::start(&["--fifo", &path, "--catch-up"]);
    let mut reader = BufReader::new(File::open(&path).expect("it opens once it is written to"));
    let mut last = Tick::parse(&line_of(&mut reader));
    ticking.stall();
    let mut late = 0;
    while late < STALL_TICKS {
        let tick = Tick::parse(&line_of(&mut reader));
        tick.assert_follows(&last);
        assert_eq!(tick.skipped, 0, "{tick:?}");
        late += i64::from(tick.lateness_ns() >= PERIOD_NS);
        last = tick;
    }
}

#[test]
fn a_process_gets_signals_and_its_end_is_a_failure_that_says_so() {
    let script = "sleep 60 & trap 'echo tick' USR1; trap \"kill $!; exit 0\" TERM; echo ready; \
                  while :; do wait $!; done";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut shell = shell.spawn().expect("sh starts");
    let mut heard = BufReader::new(shell.stdout.take().expect("piped"));
    assert_eq!(line_of(&mut heard), "ready\n");
    let (pid, ticks) = (shell.id().to_string(), 20);
    let given = Ticking::start(&["--signal", &pid, "--count", &ticks.to_string()]);
    let (status, said) = given.end();
    assert!(status.success(), "{said}");
    let given = Ticking::start(&["--signal", &pid]);
    // Signals that come together are one, so more than the first gave are of the second.
    for _ in 0..=ticks {
        assert_eq!(line_of(&mut heard), "tick\n");
    }
    given.stall();
    signal(shell.id(), "TERM");
    let mut rest = String::new();
    heard.read_to_string(&mut rest).expect("UTF-8");
    assert!(rest.lines().all(|line| line == "tick"), "{rest}");
    shell.wait().expect("it ends");
    let (status, said) = given.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("no tick can be given any more"), "{said}");
}

#[test]
fn every_receiver_is_told_how_wrong_the_time_can_be() {
    let ahead = Liar::start(Lie { offset_s: 0.077, ..Lie::default() });
    let scratch = Scratch::new("tick-bound");
    let (state, beat) = (scratch.join("state"), scratch.join("socket"));
    let up = Up::start(&state, &["--source", &ahead.address()]);
    let fifo = make_fifo(&scratch);
    let socket = bind(&beat);
    let into_fifo = Ticking::beside(&state, &["--fifo", &fifo]);
    let into_socket = Ticking::beside(&state, &["--socket", &beat]);
    let mut reader = BufReader::new(File::open(&fifo).expect("it opens once it is written to"));
    let start = Instant::now();
    let told = |next: &mut dyn FnMut() -> String| loop {
        match Tick::parse(&next()).bound_ns {
            Some(bound_ns) => break bound_ns,
            None => assert!(start.elapsed() < PATIENCE, "there is no bound"),
        }
    };
    let bounds = [told(&mut || line_of(&mut reader)), told(&mut || datagram(&socket))];
    // The system clock is 77 ms behind by the only source.
    assert!(bounds.iter().all(|bound_ns| *bound_ns >= 77_000_000), "{bounds:?}");
    drop((into_fifo, into_socket));
    assert!(up.interrupt().success());
}
