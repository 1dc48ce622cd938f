//! What is particular to AArch64.

use core::arch::asm;

/// Numbers of the system calls (include/uapi/asm-generic/unistd.h).
pub(in crate::sys) mod number {
    pub(in crate::sys) const GETXATTR: usize = 8;
    pub(in crate::sys) const FCNTL: usize = 25;
    pub(in crate::sys) const FACCESSAT: usize = 48;
    pub(in crate::sys) const OPENAT: usize = 56;
    pub(in crate::sys) const CLOSE: usize = 57;
    pub(in crate::sys) const PIPE2: usize = 59;
    pub(in crate::sys) const READ: usize = 63;
    pub(in crate::sys) const WRITE: usize = 64;
    pub(in crate::sys) const PREAD64: usize = 67;
    pub(in crate::sys) const PPOLL: usize = 73;
    pub(in crate::sys) const SIGNALFD4: usize = 74;
    pub(in crate::sys) const TIMERFD_CREATE: usize = 85;
    pub(in crate::sys) const TIMERFD_SETTIME: usize = 86;
    pub(in crate::sys) const EXIT_GROUP: usize = 94;
    pub(in crate::sys) const CLOCK_GETTIME: usize = 113;
    pub(in crate::sys) const PTRACE: usize = 117;
    pub(in crate::sys) const KILL: usize = 129;
    pub(in crate::sys) const RT_SIGACTION: usize = 134;
    pub(in crate::sys) const RT_SIGPROCMASK: usize = 135;
    pub(in crate::sys) const PRCTL: usize = 167;
    pub(in crate::sys) const GETPID: usize = 172;
    pub(in crate::sys) const GETPPID: usize = 173;
    pub(in crate::sys) const SENDTO: usize = 206;
    pub(in crate::sys) const CLONE: usize = 220;
    pub(in crate::sys) const EXECVE: usize = 221;
    pub(in crate::sys) const MMAP: usize = 222;
    pub(in crate::sys) const WAIT4: usize = 260;
    pub(in crate::sys) const PRLIMIT64: usize = 261;
    pub(in crate::sys) const STATX: usize = 291;
    /// Calls whose effects stay in the process: readlinkat, set_tid_address, set_robust_list,
    /// uname, brk, munmap, mprotect, getrandom, rseq.
    pub(in crate::sys) const UNSEEN: [usize; 9] = [78, 96, 99, 160, 214, 215, 226, 278, 293];
}

/// `AUDIT_ARCH_AARCH64`: its own system calls, and not those of 32 bits.
pub(in crate::sys) const AUDIT_ARCH: u32 = 0xc000_00b7;

/// Words in `struct user_pt_regs`: x0 to x30, sp, pc, pstate.
pub(in crate::sys) const REGISTERS: usize = 34;
/// Where the program counter stands in it.
pub(in crate::sys) const PROGRAM_COUNTER: usize = 32;
/// `brk #0`.
pub(in crate::sys) const BREAKPOINT: u64 = 0xd420_0000;
/// The octets of a word that the breakpoint takes.
pub(in crate::sys) const BREAKPOINT_MASK: u64 = 0xffff_ffff;
/// How far past the breakpoint's address the trap is reported.
pub(in crate::sys) const TRAP_ADVANCE: u64 = 0;

/// Makes a system call.
///
/// # Safety
/// The arguments must be what the call of this number expects; pointers among them must be valid
/// for what it does with them.
pub(in crate::sys) unsafe fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the call; the kernel keeps all registers but x0.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a[0] as isize => result,
            in("x1") a[1],
            in("x2") a[2],
            in("x3") a[3],
            in("x4") a[4],
            in("x5") a[5],
            options(nostack),
        );
    }
    result
}
