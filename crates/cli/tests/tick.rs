//! `timeball tick`, as a program sees it.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Liar, Lie, Scratch, Up};
use timeball_runtime::segment::read_bounded_clock;
use timeball_timebase::segment::SegmentStatus;
use timeball_timebase::{Reading, Span};

fn tick(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
    let nowhere = ["--state", "/nonexistent/timeball"];
    command.arg("tick").args(arguments).args(nowhere).stdin(Stdio::null());
    command.output().expect("timeball runs")
}

#[test]
fn ticks_are_numbered_at_multiples_of_the_period_and_never_early() {
    let output = tick(&["--every", "20ms/3ms", "--count", "10", "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut expected = 0;
    for line in text.lines() {
        let tick: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let number = |name: &str| tick[name].as_u64().expect("a number");
        expected += number("skipped");
        assert_eq!(number("sequence"), expected, "{text}");
        expected += 1;
        let instant = |name: &str| {
            let text = tick[name].as_str().expect("an instant");
            text.parse::<jiff::Timestamp>().expect("RFC 3339").as_nanosecond()
        };
        assert_eq!(instant("scheduled") % 20_000_000, 3_000_000, "{line}");
        assert!(instant("real") >= instant("scheduled"), "{line}");
        assert!(tick["bound_ns"].is_null(), "there is no `up`");
    }
    assert_eq!(text.lines().count(), 10);
}

#[test]
fn a_table_line_has_four_words() {
    let output = tick(&["--every", "10ms", "--count", "1"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!((words.len(), words[3]), (4, "unknown"), "{text}");
}

#[test]
fn mistakes_are_named_with_the_fix() {
    for (arguments, code, expected) in [
        (["--every", "0.1ms", "--count", "1"], 2, "instants are at least 1 ms apart"),
        (["--every", "10ms", "--signal", "x"], 2, "expected PID or PID:SIGNAL"),
        (["--every", "10ms", "--signal", "999999999"], 1, "--signal 999999999:"),
        (["--every", "10ms", "--fifo", "/dev/null"], 1, "make one with mkfifo"),
        (["--every", "10ms", "--fifo", "/nonexistent"], 1, "there is none; make one with mkfifo"),
    ] {
        let output = tick(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// Waits until a segment holds what sources vouch for.
fn wait_for_synchronized(path: &Path) -> Reading {
    let begun = Instant::now();
    loop {
        match read_bounded_clock(path) {
            Ok((reading, SegmentStatus::Synchronized)) => return reading,
            other => assert!(begun.elapsed() < Duration::from_secs(60), "{path:?}: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn another_process_reads_the_bound_of_a_running_up_and_not_that_of_one_that_ended() {
    let ahead = Liar::start(Lie { offset_s: 0.077, ..Lie::default() });
    let scratch = Scratch::new("segment");
    let state = scratch.join("state");
    let up = Up::start(&state, &["--source", &ahead.address()]);
    let segment = Path::new(&state).join("clockbound/shm0");
    let reading = wait_for_synchronized(&segment);
    // It bounds the system clock, which is 77 ms behind by the only source.
    assert!(reading.half_width.expect("vouched for") >= Span::from_millis(77), "{reading:?}");
    let bound_ns = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
        command.args(["tick", "--every", "10ms", "--count", "1", "--output", "json"]);
        let output = command.args(["--state", &state]).output().expect("timeball runs");
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        line["bound_ns"].as_i64()
    };
    assert!(bound_ns().expect("`up` runs") >= 77_000_000);
    assert!(up.interrupt().success());
    // What it knew last goes on being a promise for a while, but of nobody who runs.
    std::thread::sleep(Duration::from_secs(6));
    let (_, status) = read_bounded_clock(&segment).expect("the file stays");
    assert_ne!(status, SegmentStatus::Synchronized);
}

#[test]
fn an_agent_renews_its_segment_without_threads_and_by_some_though_nobody_takes_its_log() {
    let source = Liar::start(Lie::default());
    for bare in [false, true] {
        let scratch = Scratch::new("agent-segment");
        let (config, segment) = (scratch.join("agent.toml"), scratch.join("shm0"));
        let address = source.address();
        let text = format!(
            "[[source]]\naddress = \"{address}\"\npoll = {{ min = 0, max = 10 }}\n\
             [clockbound]\nsegment = \"{segment}\"\n"
        );
        std::fs::write(&config, text).expect("a settings file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
        let (stalled, _unread) = support::stalled();
        let log = if bare { Stdio::null() } else { stalled };
        command.args(["agent", "--config", &config]).stdin(Stdio::null()).stderr(log);
        let mut agent = command.args(bare.then_some("--bare")).spawn().expect("timeball runs");
        wait_for_synchronized(Path::new(&segment));
        // A segment that is not renewed counts as free running after 5 s.
        std::thread::sleep(Duration::from_secs(6));
        let outcome = read_bounded_clock(Path::new(&segment));
        support::signal(agent.id(), "TERM");
        agent.wait().expect("it ends");
        let (_, status) = outcome.expect("a segment");
        assert_eq!(status, SegmentStatus::Synchronized, "bare: {bare}");
    }
}
