//! Programs that are linked statically with a C library: what of them runs before the instant.
#![allow(dead_code, unreachable_pub, reason = "not every test uses all that they share")]

mod support;

use std::path::Path;
use std::process::Command;
use support::{
    both, child_of, eventually, freestanding, gate, in_millis, parse_seconds, start, status_field,
};

/// Says when the first of it that is its own was called: a constructor, or what comes before those.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <time.h>
static struct timespec began;
static void begin(void) { clock_gettime(CLOCK_REALTIME, &began); }
#ifdef BEFORE_ALL
__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = begin;
#else
__attribute__((constructor)) static void construct(void) { begin(); }
#endif
int main(void) {
    printf("%lld.%09ld\n", (long long)began.tv_sec, began.tv_nsec);
    return 0;
}
"#;

/// The program's path; `None` where there is no compiler or no static C library for it.
fn compile(directory: &Path, flags: &[&str]) -> Option<String> {
    let (source, program) = (directory.join("program.c"), directory.join("program"));
    std::fs::write(&source, PROGRAM).expect("the directory can be written");
    let mut compiler = Command::new("cc");
    compiler.arg("-O1").args(flags).arg("-o").arg(&program).arg(&source);
    if !compiler.output().is_ok_and(|output| output.status.success()) {
        support::skip(&format!("cc cannot link with {flags:?}"));
        return None;
    }
    Some(program.to_str().expect("a path of ASCII").to_owned())
}

/// Waits until a program is stopped whose C library has asked for its first memory.
fn held_behind_its_library(gate: u32, program: &str) {
    let pid = child_of(gate);
    eventually("the program is held behind the start of its library", || {
        let is_stopped = status_field(pid, "State")?.starts_with('t');
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        (is_stopped && exe == Path::new(program) && maps.contains("[heap]")).then_some(())
    });
}

#[test]
fn the_library_of_a_static_program_starts_before_the_instant_and_its_own_code_after() {
    let linked = [&["-static"][..], &["-static-pie"], &["-static", "-s"]].map(|flags| {
        let directory = tempfile::tempdir().unwrap();
        compile(directory.path(), flags).map(|program| (program, directory))
    });
    let instant = in_millis(2_500);
    let mut waiting = Vec::new();
    for (program, _directory) in linked.iter().flatten() {
        for gate_program in both() {
            waiting.push((start(gate(gate_program, instant, &["--", program])), program));
        }
    }
    for (gate, program) in &waiting {
        held_behind_its_library(gate.id(), program);
    }
    for (gate, program) in waiting {
        let output = gate.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{program}: {output:?}");
        let began = parse_seconds(&output.stdout);
        assert!(began >= instant, "{program}: began {} ns early", instant - began);
    }
}

#[test]
fn a_static_program_that_comes_before_its_library_is_held_at_its_entry_point() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = compile(directory.path(), &["-static", "-DBEFORE_ALL"]) else { return };
    let instant = in_millis(300);
    let waiting = start(gate(freestanding(), instant, &["--", &program]));
    let output = waiting.wait_with_output().unwrap();
    let began = parse_seconds(&output.stdout);
    assert!(began >= instant, "began {} ns early", instant - began);
}
