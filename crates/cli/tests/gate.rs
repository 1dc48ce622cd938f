//! `timeball gate`: the gate as a part of the program, as `up` uses it.

use std::process::{Command, Stdio};

fn gate(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
    command.arg("gate").args(arguments).stdin(Stdio::null());
    command.output().expect("timeball runs")
}

#[test]
fn it_holds_a_command_and_ends_as_the_command_does() {
    let now = gate(&["--now"]).stdout;
    let now: u64 = String::from_utf8_lossy(&now)[1..11].parse().expect("seconds");
    let at = format!("@{}", now + 2);
    let script = "grep SigIgn /proc/self/status; date +%s; exit 7";
    let output = gate(&["--at", &at, "--", "sh", "-c", script]);
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(7), &b""[..]));
    let text = String::from_utf8_lossy(&output.stdout);
    // Rust's start has SIGPIPE ignored; the command must not find it so.
    let ignored = text.split_whitespace().nth(1).expect("a mask");
    assert_eq!(u64::from_str_radix(ignored, 16).expect("hexadecimal") >> 12 & 1, 0, "{text}");
    let began: u64 = text.lines().nth(1).expect("a line").parse().expect("seconds");
    assert!(began >= now + 2, "{text}");
}

#[test]
fn it_says_what_is_wrong_with_its_arguments_and_has_its_own_statuses() {
    let output = gate(&["--when"]);
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`--when` is no option"), "{said}");
    assert_eq!(gate(&["--at", "@1", "--", "/nowhere/x"]).status.code(), Some(127));
}
