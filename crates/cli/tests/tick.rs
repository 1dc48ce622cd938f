//! `timeball tick`, as a program sees it.

use std::process::{Command, Output, Stdio};

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
    ] {
        let output = tick(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
