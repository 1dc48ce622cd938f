//! Signals: before the instant they revoke, after it they are the command's.
#![allow(dead_code, unreachable_pub, clippy::print_stderr, reason = "a test says what it skips")]

mod support;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command};
use support::sys::{kill, with_signals};
use support::{
    both, child_of, eventually, freestanding, gate, held_command, in_millis, is_gone, now, run,
    said, start, status_field,
};

const HOUR_MS: i128 = 3_600_000;

/// Waits until the gate waits: all signals are blocked and it sleeps.
fn is_waiting(pid: u32) {
    eventually("the gate waits", || {
        let blocked = status_field(pid, "SigBlk")?;
        let sleeps = status_field(pid, "State")?.starts_with('S');
        (sleeps && blocked == "fffffffffffbfeff").then_some(())
    });
}

/// A gate whose command says through a file that it has begun, and then does `script`.
fn marking(program: &Path, mode: &str, mark: &Path, millis: i128, script: &str) -> Child {
    let script = format!("touch {}; {script}", mark.display());
    start(gate(program, in_millis(millis), &["--mode", mode, "--", "sh", "-c", &script]))
}

fn begun(mark: &Path) {
    eventually("the command has begun", || mark.exists().then_some(()));
}

#[test]
fn a_signal_before_the_instant_revokes_and_the_command_never_begins() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("begun");
    for program in both() {
        for mode in ["entry", "exec"] {
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
                let waiting = marking(program, mode, &mark, HOUR_MS, "true");
                is_waiting(waiting.id());
                let held = (mode == "entry").then(|| held_command(waiting.id(), "/bin/sh"));
                kill(waiting.id(), signal);
                let output = waiting.wait_with_output().unwrap();
                assert_eq!(output.status.code(), Some(122), "{mode}, {signal}");
                let expected = format!("revoked by signal {signal} before the instant");
                assert!(said(&output).contains(&expected), "{}", said(&output));
                if let Some(held) = held {
                    is_gone(held);
                }
                assert!(!mark.exists(), "{mode}, {signal}");
            }
        }
    }
}

#[test]
fn signal_and_fifo_are_revoked_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let own = std::process::id().to_string();
    for rest in [["--mode", "signal", own.as_str()], ["--mode", "fifo", path.to_str().unwrap()]] {
        let waiting = start(gate(freestanding(), in_millis(HOUR_MS), &rest));
        is_waiting(waiting.id());
        kill(waiting.id(), libc::SIGTERM);
        assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(122));
    }
}

#[test]
fn other_signals_before_the_instant_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("begun");
    let waiting = marking(freestanding(), "entry", &mark, 1_000, "exit 5");
    is_waiting(waiting.id());
    held_command(waiting.id(), "/bin/sh");
    kill(waiting.id(), libc::SIGUSR1);
    kill(waiting.id(), libc::SIGWINCH);
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(5));
    assert!(mark.exists());
}

#[test]
fn a_hang_up_that_is_to_be_ignored_does_not_revoke() {
    let mut command = gate(freestanding(), in_millis(700), &["--", "sh", "-c", "exit 5"]);
    with_signals(&mut command, &[], &[libc::SIGHUP, libc::SIGINT]);
    let waiting = start(command);
    is_waiting(waiting.id());
    kill(waiting.id(), libc::SIGHUP);
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(5));
}

#[test]
fn signals_after_the_instant_reach_the_command() {
    let directory = tempfile::tempdir().unwrap();
    for (number, program) in both().into_iter().enumerate() {
        for mode in ["entry", "exec"] {
            let mark = directory.path().join(format!("begun-{number}-{mode}"));
            let script = format!(
                "trap 'exit 9' TERM; echo ready > {}; while :; do sleep 0.02; done",
                mark.display()
            );
            let command =
                gate(program, in_millis(50), &["--mode", mode, "--", "sh", "-c", &script]);
            let running = start(command);
            begun(&mark);
            kill(running.id(), libc::SIGTERM);
            let output = running.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(9), "{mode}: {}", said(&output));
        }
    }
}

#[test]
fn a_command_that_a_signal_ends_ends_the_gate_by_it() {
    let directory = tempfile::tempdir().unwrap();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGRTMIN()] {
        let mark = directory.path().join(signal.to_string());
        let running = marking(freestanding(), "entry", &mark, 50, "exec sleep 60");
        begun(&mark);
        kill(running.id(), signal);
        assert_eq!(running.wait_with_output().unwrap().status.signal(), Some(signal));
    }
}

#[test]
fn a_gate_that_is_killed_takes_the_command_with_it_before_and_after_the_instant() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("begun");
    let waiting = marking(freestanding(), "entry", &mark, 1_500, "exec sleep 60");
    let held = held_command(waiting.id(), "/bin/sh");
    kill(waiting.id(), libc::SIGKILL);
    is_gone(held);
    assert_eq!(waiting.wait_with_output().unwrap().status.signal(), Some(libc::SIGKILL));

    let running = marking(freestanding(), "entry", &mark, 50, "exec sleep 60");
    begun(&mark);
    let command = child_of(running.id());
    kill(running.id(), libc::SIGKILL);
    is_gone(command);
    drop(running.wait_with_output());
}

#[test]
fn a_held_command_that_is_killed_is_said_and_its_signal_passed_on() {
    let waiting = start(gate(freestanding(), in_millis(HOUR_MS), &["--", "sleep", "1"]));
    kill(held_command(waiting.id(), "/bin/sleep"), libc::SIGKILL);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));
    assert!(said(&output).contains("before the instant"), "{}", said(&output));
}

#[test]
fn a_command_that_stops_stops_the_gate_and_both_go_on() {
    let running =
        start(gate(freestanding(), in_millis(50), &["--", "sh", "-c", "kill -STOP $$; exit 3"]));
    let stopped = |pid| {
        eventually("stopped", || status_field(pid, "State").filter(|state| state.starts_with('T')))
    };
    let command = child_of(running.id());
    stopped(command);
    stopped(running.id());
    kill(running.id(), libc::SIGCONT);
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(3));
}

#[test]
fn a_terminate_for_the_whole_group_before_the_instant_revokes() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("begun");
    let script = format!("touch {}", mark.display());
    let mut command = gate(freestanding(), in_millis(HOUR_MS), &["--", "sh", "-c", &script]);
    command.process_group(0);
    let waiting = start(command);
    held_command(waiting.id(), "/bin/sh");
    let group = format!("-{}", waiting.id());
    assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(122));
    assert!(!mark.exists());
}

#[test]
fn a_held_command_is_loaded_and_has_not_begun() {
    let instant = in_millis(1_500);
    let waiting = start(gate(freestanding(), instant, &["--", "date", "+%s.%N"]));
    // `held_command` sees the C library mapped: the loader has done its work.
    held_command(waiting.id(), "/bin/date");
    assert!(now() < instant, "this machine took a second to load date");
    let output = waiting.wait_with_output().unwrap();
    assert!(support::parse_seconds(&output.stdout) >= instant);
}

#[test]
fn as_first_process_of_a_container_it_passes_on_and_reaps() {
    let mut command = Command::new("unshare");
    command.args(["--fork", "--pid", "--mount-proc", "--kill-child"]).arg(freestanding());
    // The orphan becomes the gate's child, and is reaped: only the gate and sh are left.
    let script = "(sleep 0.1 &); n=0; while set -- /proc/[0-9]*; test $# -gt 2 -a $n -lt 400; \
                  do n=$((n + 1)); sleep 0.05; done; echo $#; kill -TERM $$";
    command.arg("--at").arg(support::at(in_millis(100))).args(["--", "sh", "-c", script]);
    let output = run(command);
    if said(&output).contains("unshare") {
        support::skip(&format!("no namespaces here: {}", said(&output).trim()));
        return;
    }
    // Process 1 does not die of a signal, so it ends with 128 and the signal.
    assert_eq!(output.status.code(), Some(128 + libc::SIGTERM), "{}", said(&output));
    let processes: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert_eq!(processes, 2, "the gate and sh");
}
