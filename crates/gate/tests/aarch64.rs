//! The gate for AArch64 on another machine, run by qemu's emulation of a single program. That makes
//! its system calls by those of this machine's kernel, and cannot trace: so what is tested is all
//! but the holding at an entry point.
#![cfg(not(target_arch = "aarch64"))]
#![allow(dead_code, unreachable_pub, reason = "not every test uses all that they share")]

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use support::sys::kill;
use support::{at, eventually, now, parse_seconds, said, skip, status_field};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const SECOND_NS: i128 = 1_000_000_000;

/// The emulator and the gate for it; `None` where one of both is not to be had.
fn emulated() -> Option<&'static (PathBuf, PathBuf)> {
    static BOTH: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    let both = BOTH.get_or_init(|| Some((emulator()?, build()?)));
    if both.is_none() {
        skip(
            "there is no emulator (`cargo xtask emulator` unpacks one), no linker, or no target \
             (`rustup target add aarch64-unknown-linux-gnu`)",
        );
    }
    both.as_ref()
}

fn emulator() -> Option<PathBuf> {
    let given = std::env::var_os("TIMEBALL_QEMU_AARCH64").map(PathBuf::from);
    // Where `cargo xtask emulator` unpacks it.
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("qemu");
    let unpacked = unpacked.join("usr/bin/qemu-aarch64-static");
    let installed = ["qemu-aarch64-static", "qemu-aarch64"].map(PathBuf::from);
    given.into_iter().chain([unpacked]).chain(installed).find(|program| {
        let run = Command::new(program).arg("--version").output();
        run.is_ok_and(|output| output.status.success())
    })
}

/// Builds the gate as it is shipped, with the linker of this machine.
fn build() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aarch64");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "gate", "--package", "timeball-gate"])
        .args(["--bin", "timeball-gate", "--offline", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "cc")
        // `cc` asks rustc's own lld for this machine's kind of program; the last word counts. And
        // lld wants to know what nothing that is kept asks for: there is no unwinding.
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-Clink-arg=-Wl,-m,aarch64linux -Clink-arg=-Wl,--defsym=rust_eh_personality=0",
        )
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo, which runs this test, can be run");
    built.status.success().then(|| target.join(TARGET).join("gate/timeball-gate"))
}

/// Starts the gate in the emulator for an instant, with the rest of its arguments.
fn start(instant: i128, rest: &[&str]) -> Option<Child> {
    let (emulator, gate) = emulated()?;
    let mut command = Command::new(emulator);
    command.arg(gate).arg("--at").arg(at(instant)).args(rest).stdin(Stdio::null());
    support::sys::with_signals(&mut command, &[], &[]);
    Some(support::start(command))
}

fn run(instant: i128, rest: &[&str]) -> Option<Output> {
    Some(start(instant, rest)?.wait_with_output().expect("it can be waited for"))
}

/// The instant that is so many milliseconds from now, once the gate is built.
fn in_millis(millis: i128) -> i128 {
    emulated();
    now() + millis * 1_000_000
}

#[test]
fn its_clock_is_that_of_the_machine() {
    let Some((emulator, gate)) = emulated() else { return };
    let output = Command::new(emulator).arg(gate).arg("--now").output().unwrap();
    let apart = now() - parse_seconds(&output.stdout);
    assert!((0..20 * SECOND_NS).contains(&apart), "{apart} ns: {output:?}");
}

#[test]
fn a_command_is_executed_at_the_instant_and_never_before() {
    let instant = in_millis(500);
    let command = ["--", "sh", "-c", "date +%s.%N; exit 3"];
    let Some(output) = run(instant, &[&["--mode", "exec"][..], &command].concat()) else { return };
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(parse_seconds(&output.stdout) >= instant, "{output:?}");
    // It asks to hold the command, is refused, and says so.
    let instant = in_millis(500);
    let output = run(instant, &command).expect("it ran before");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(parse_seconds(&output.stdout) >= instant, "{output:?}");
    assert!(said(&output).contains("it is executed at the instant instead"), "{output:?}");
}

#[test]
fn a_command_is_revoked_by_a_signal_and_missed_where_it_is_too_late() {
    let Some(waiting) = start(in_millis(3_600_000), &["--mode", "exec", "--", "true"]) else {
        return;
    };
    let pid = waiting.id();
    // The emulator blocks signals, too, while it starts.
    eventually("it waits for signals", || {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let mut links = descriptors.flat_map(|descriptor| std::fs::read_link(descriptor.path()));
        links.any(|link| link.as_os_str() == "anon_inode:[signalfd]").then_some(())
    });
    kill(pid, libc::SIGTERM);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(122), "{output:?}");
    let late = ["--not-after", "+1s", "--mode", "exec", "--", "true"];
    let output = run(in_millis(-60_000), &late).expect("it ran before");
    assert_eq!(output.status.code(), Some(123), "{output:?}");
}

#[test]
fn a_stopped_process_goes_on_at_the_instant() {
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = sleeper.id();
    kill(pid, libc::SIGSTOP);
    let is = |state: char| status_field(pid, "State").is_some_and(|now| now.starts_with(state));
    eventually("it is stopped", || is('T').then_some(()));
    let output = run(in_millis(500), &["--mode", "signal", &pid.to_string()]);
    if let Some(output) = output {
        assert!(output.status.success(), "{output:?}");
        eventually("it goes on", || is('S').then_some(()));
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn a_fifo_gets_one_octet_at_the_instant() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let instant = in_millis(500);
    let Some(waiting) = start(instant, &["--mode", "fifo", path.to_str().unwrap()]) else { return };
    let mut octets = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut octets).unwrap();
    assert!(now() >= instant && octets == b"\n", "{octets:?}");
    assert!(waiting.wait_with_output().unwrap().status.success());
}
