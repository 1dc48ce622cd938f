//! What the tests need of the system and the standard library does not have.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Sends a signal.
pub fn kill(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("a process number fits");
    // SAFETY: no pointer is passed.
    let result = unsafe { libc::kill(pid, signal) };
    assert_eq!(result, 0, "kill {pid}: {}", io::Error::last_os_error());
}

/// Whether we are root.
pub fn is_root() -> bool {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Has a program started with these signals blocked and these ignored, and no others: who runs the
/// tests in the background may have ignored some, which a program inherits.
pub fn with_signals(command: &mut Command, blocked: &'static [i32], ignored: &'static [i32]) {
    let prepare = move || {
        // SAFETY: between fork and exec only calls that are allowed there, on a set of our own.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in blocked {
                libc::sigaddset(&raw mut set, *signal);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
            for signal in (1..=31).filter(|n| ![libc::SIGKILL, libc::SIGSTOP].contains(n)) {
                libc::signal(signal, libc::SIG_DFL);
            }
            for signal in ignored {
                libc::signal(*signal, libc::SIG_IGN);
            }
        }
        Ok(())
    };
    // SAFETY: `prepare` neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

/// Has a program started where `ptrace` is refused with EPERM, as a container's profile may do.
pub fn without_ptrace(command: &mut Command) {
    let prepare = || {
        const PTRACE: u32 = libc::SYS_ptrace as u32;
        let load_number = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        let jump_if_equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        let give = (libc::BPF_RET | libc::BPF_K) as u16;
        let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let mut steps = [
            step(load_number, 0, 0, 0),
            step(jump_if_equal, 0, 1, PTRACE),
            step(give, 0, 0, refuse),
            step(give, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let filter = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
        // SAFETY: the kernel reads the filter, which lives until the call is over.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let mode = libc::SECCOMP_MODE_FILTER;
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter, 0, 0)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: `prepare` neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

/// Has a program started with this descriptor open, under its number here.
pub fn passing(command: &mut Command, descriptor: i32) {
    let prepare = move || {
        // SAFETY: no pointer is passed.
        let result = unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: `prepare` neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

/// What segments are dated by.
pub fn coarse_monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to a place that holds one.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    assert_eq!(result, 0);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
