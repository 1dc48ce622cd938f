//! A command that another program lets go (`--on FD`).
#![allow(dead_code, unreachable_pub, reason = "not every test uses all that they share")]

mod support;

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::sys::{kill, passing, without_ptrace};
use support::{both, eventually, freestanding, held_command, is_gone, said, start, status_field};

/// Starts a gate on one end of a socket; nobody here keeps that end.
fn started(program: &Path, rest: &[&str]) -> (Child, UnixStream) {
    started_with(program, rest, b"", |_| ())
}

/// The same, with what is written before the gate is there.
fn started_with(
    program: &Path,
    rest: &[&str],
    early: &[u8],
    prepare: impl FnOnce(&mut Command),
) -> (Child, UnixStream) {
    let (mut ours, theirs) = UnixStream::pair().expect("descriptors are left");
    ours.write_all(early).expect("the other end is open");
    ours.set_read_timeout(Some(support::SOON)).expect("the timeout is not zero");
    let mut command = Command::new(program);
    command.args(["--on", &theirs.as_raw_fd().to_string()]).args(rest).stdin(Stdio::null());
    command.process_group(0);
    passing(&mut command, theirs.as_raw_fd());
    prepare(&mut command);
    (start(command), ours)
}

fn told(socket: &mut UnixStream) -> u8 {
    let mut octet = [0];
    socket.read_exact(&mut octet).expect("the gate tells");
    octet[0]
}

/// Waits until the gate has told that the command is held, and which process it is.
fn told_held(socket: &mut UnixStream) -> u32 {
    assert_eq!(told(socket), b'H');
    let mut pid = [0; 4];
    socket.read_exact(&mut pid).expect("the gate tells whom it holds");
    u32::from_be_bytes(pid)
}

#[test]
fn a_command_is_held_until_an_octet_comes_and_the_other_side_is_told() {
    for program in both() {
        for mode in ["entry", "exec"] {
            let rest = ["--mode", mode, "--", "sh", "-c", "echo began; exit 7"];
            let (child, mut socket) = started(program, &rest);
            match mode {
                "entry" => assert_eq!(told_held(&mut socket), held_command(child.id(), "/bin/sh")),
                _ => assert_eq!(told(&mut socket), b'X'),
            }
            socket.write_all(b"\n").unwrap();
            assert_eq!(told(&mut socket), b'B');
            let output = child.wait_with_output().unwrap();
            assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"began\n"[..]));
            assert_eq!(said(&output), "", "{mode}");
            // The command has not got the descriptor, so the socket ends with the gate.
            assert_eq!(socket.read(&mut [0; 8]).unwrap(), 0);
        }
    }
}

#[test]
fn an_octet_that_comes_before_the_command_is_loaded_lets_it_go_when_it_is() {
    for program in both() {
        let (child, mut socket) = started_with(program, &["--", "echo", "began"], b"\n", |_| ());
        // Whoever says so may leave.
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"began\n"[..]));
        let mut progress = Vec::new();
        socket.read_to_end(&mut progress).unwrap();
        assert_eq!(progress, b"B");
    }
}

#[test]
fn a_closed_descriptor_revokes_and_the_command_never_begins() {
    for mode in ["entry", "exec"] {
        let (child, mut socket) =
            started(freestanding(), &["--mode", mode, "--", "sh", "-c", "echo began"]);
        told(&mut socket);
        let held = (mode == "entry").then(|| held_command(child.id(), "/bin/sh"));
        drop(socket);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(122), &b""[..]), "{mode}");
        held.into_iter().for_each(is_gone);
    }
}

#[test]
fn where_it_may_not_trace_an_early_octet_is_not_lost() {
    let (child, mut socket) =
        started_with(freestanding(), &["--", "echo", "began"], b"\n", without_ptrace);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"began\n"[..]));
    assert!(said(&output).contains("executed at the instant instead"), "{}", said(&output));
    let mut progress = [0; 2];
    socket.read_exact(&mut progress).unwrap();
    assert_eq!(&progress, b"XB");
}

#[test]
fn a_file_that_cannot_be_run_is_told_and_the_file_may_differ_from_the_name() {
    let (child, mut socket) = started(freestanding(), &["--file", "/nowhere/x", "--", "x"]);
    assert_eq!(told(&mut socket), b'E');
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(127));
    let rest = ["--file", "/bin/sh", "--", "other", "-c", "echo $0"];
    let (child, mut socket) = started(freestanding(), &rest);
    socket.write_all(b"\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"other\n");
}

#[test]
fn signals_to_the_gate_alone_do_not_reach_the_command_and_those_to_its_group_come_once() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("terms");
    let script = format!(
        "trap 'echo term >> {0}' TERM; echo ready > {0}; \
         while ! grep -q term {0}; do sleep 0.02; done; sleep 0.2; cat {0}",
        mark.display()
    );
    let (child, mut socket) = started(freestanding(), &["--", "sh", "-c", &script]);
    socket.write_all(b"\n").unwrap();
    eventually("the command has begun", || mark.exists().then_some(()));
    kill(child.id(), libc::SIGUSR1);
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), None);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ready\nterm\n");
}

#[test]
fn a_held_command_is_let_go_by_sigcont_and_the_gate_finds_out() {
    for program in both() {
        let (child, mut socket) = started(program, &["--", "sh", "-c", "echo began; exit 7"]);
        kill(told_held(&mut socket), libc::SIGCONT);
        // Whoever has let it go may be gone before it could say so.
        drop(socket);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"began\n"[..]));
        assert_eq!(said(&output), "");
    }
}

#[test]
fn a_command_that_was_let_go_by_sigcont_gets_the_signals_of_its_group_like_any_other() {
    for says_so in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("ready");
        let script = format!(
            "trap 'exit 5' TERM; kill -STOP $$; echo > {}; while :; do sleep 0.02; done",
            mark.display()
        );
        let (mut child, mut socket) = started(freestanding(), &["--", "sh", "-c", &script]);
        let pid = told_held(&mut socket);
        kill(pid, libc::SIGCONT);
        if says_so {
            socket.write_all(b"C").unwrap();
        }
        // It stops itself; the gate, which was told that it has begun, has nothing to do with that.
        eventually("the command has stopped itself", || {
            status_field(pid, "State")?.starts_with('T').then_some(())
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none() && !mark.exists());
        kill(pid, libc::SIGCONT);
        eventually("the command goes on", || mark.exists().then_some(()));
        let group = format!("-{}", child.id());
        assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(5), "{status:?}");
    }
}

#[test]
fn a_gate_that_is_killed_takes_the_command_that_it_holds_by_a_stop_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("began");
    let script = format!("echo > {}", mark.display());
    let (mut child, mut socket) = started(freestanding(), &["--", "sh", "-c", &script]);
    let pid = told_held(&mut socket);
    child.kill().unwrap();
    child.wait().unwrap();
    is_gone(pid);
    assert!(!mark.exists());
}
