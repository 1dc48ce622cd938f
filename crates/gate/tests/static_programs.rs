//! Programs that are linked statically with a C library: what of them runs before the instant.
#![allow(dead_code, unreachable_pub, reason = "not every test uses all that they share")]

mod support;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use support::sys::kill;
use support::{
    both, child_of, eventually, freestanding, gate, in_millis, install_copy, parse_seconds, run,
    start, status_field,
};
use timeball_gate::places;

const HOUR_MS: i128 = 3_600_000;

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

/// Has a section `.init`, and a start of its own that never calls it; says when it began.
const NEVER_CALLED: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifndef WITHOUT_INIT
__asm__(".section .init, \"ax\", @progbits\n never_called: ret\n .text\n");
#endif
static long call(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}
void _start(void) {
    struct timespec now;
    char text[] = "0000000000.000000000\n";
    call(SYS_clock_gettime, CLOCK_REALTIME, (long)&now, 0);
    long rest = now.tv_sec;
    for (int digit = 9; digit >= 0; digit--, rest /= 10) text[digit] = '0' + rest % 10;
    rest = now.tv_nsec;
    for (int digit = 19; digit >= 11; digit--, rest /= 10) text[digit] = '0' + rest % 10;
    call(SYS_write, 1, (long)text, sizeof text - 1);
    call(SYS_exit, 0, 0, 0);
}
"#;

/// The program's path; `None` where there is no compiler or no static C library for it.
fn compile(directory: &Path, flags: &[&str]) -> Option<String> {
    compile_text(directory, PROGRAM, flags)
}

fn compile_text(directory: &Path, text: &str, flags: &[&str]) -> Option<String> {
    let (source, program) = (directory.join("program.c"), directory.join("program"));
    std::fs::write(&source, text).expect("the directory can be written");
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

/// The gate has nothing to say of it, and the program's own code does not run before.
fn begins_at_the_instant(gate_program: &Path, command: &[&str]) {
    let instant = in_millis(300);
    let output = run(gate(gate_program, instant, &[&["--"], command].concat()));
    assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    let began = parse_seconds(&output.stdout);
    assert!(began >= instant, "{command:?}: began {} ns early", instant - began);
}

/// Makes a copy of a program whose file says that its section `.init` is where it has no memory.
fn install_with_init_out_of_memory(path: &Path, program: &str) {
    let mut octets = std::fs::read(program).expect("the compiler wrote it");
    let read = |at: u64, buffer: &mut [u8]| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let part = octets.get(at..).and_then(|rest| rest.get(..buffer.len()));
        part.map(|part| buffer.copy_from_slice(part)).is_some()
    };
    let init = places(read).expect("the C library has the section").init;
    let word = |at: usize| u64::from_le_bytes(octets[at..at + 8].try_into().expect("8 octets"));
    let table = usize::try_from(word(40)).expect("it is in the file");
    // Every 64 octets one section, with its address behind the first 16.
    let of_init = (table..octets.len() - 63).step_by(64).find(|at| word(at + 16) == init);
    let address = of_init.expect("the table of sections names it") + 16;
    octets[address..address + 8].copy_from_slice(&16_u64.to_le_bytes());
    let edited = path.with_extension("edited");
    std::fs::write(&edited, octets).expect("the directory can be written");
    install_copy(path, "755", &edited);
}

#[test]
fn the_library_of_a_static_program_starts_before_the_instant_and_its_own_code_after() {
    for flags in [&["-static"][..], &["-static-pie"], &["-static", "-s"]] {
        let directory = tempfile::tempdir().unwrap();
        let Some(program) = compile(directory.path(), flags) else { continue };
        for gate_program in both() {
            // An instant that does not come while somebody looks.
            let waiting = start(gate(gate_program, in_millis(HOUR_MS), &["--", &program]));
            held_behind_its_library(waiting.id(), &program);
            kill(waiting.id(), libc::SIGTERM);
            let output = waiting.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(122), "{flags:?}: {output:?}");
            assert!(output.stdout.is_empty(), "{flags:?}: {output:?}");
            begins_at_the_instant(gate_program, &[&program]);
        }
    }
}

#[test]
fn a_static_program_whose_file_names_a_place_out_of_memory_is_held_at_its_entry_point() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = compile(directory.path(), &["-static"]) else { return };
    let moved = directory.path().join("moved");
    install_with_init_out_of_memory(&moved, &program);
    begins_at_the_instant(freestanding(), &[moved.to_str().unwrap()]);
}

#[test]
fn a_static_program_that_comes_before_its_library_is_held_at_its_entry_point() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = compile(directory.path(), &["-static", "-DBEFORE_ALL"]) else { return };
    begins_at_the_instant(freestanding(), &[&program]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_static_program_whose_start_never_calls_its_init_begins_at_the_instant_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["-static", "-nostdlib", "-fno-stack-protector"];
    let Some(program) = compile_text(directory.path(), NEVER_CALLED, &flags) else { return };
    let file = std::fs::File::open(&program).unwrap();
    let read = |at, buffer: &mut [u8]| file.read_exact_at(buffer, at).is_ok();
    assert!(places(read).is_some(), "it looks like one that does");
    for gate_program in both() {
        begins_at_the_instant(gate_program, &[&program]);
    }
}

#[test]
fn a_program_without_a_c_library_begins_at_the_instant() {
    let gate_itself = freestanding().to_str().expect("a path of ASCII");
    begins_at_the_instant(freestanding(), &[gate_itself, "--now"]);
    if cfg!(target_arch = "x86_64") {
        let directory = tempfile::tempdir().unwrap();
        let flags = ["-static", "-nostdlib", "-fno-stack-protector", "-DWITHOUT_INIT"];
        let Some(program) = compile_text(directory.path(), NEVER_CALLED, &flags) else { return };
        begins_at_the_instant(freestanding(), &[&program]);
    }
}
