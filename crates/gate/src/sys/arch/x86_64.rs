//! What is particular to x86-64.

use core::arch::asm;

/// Numbers of the system calls (arch/x86/entry/syscalls/syscall_64.tbl).
pub(in crate::sys) mod number {
    pub(in crate::sys) const READ: usize = 0;
    pub(in crate::sys) const WRITE: usize = 1;
    pub(in crate::sys) const CLOSE: usize = 3;
    pub(in crate::sys) const MMAP: usize = 9;
    pub(in crate::sys) const RT_SIGACTION: usize = 13;
    pub(in crate::sys) const RT_SIGPROCMASK: usize = 14;
    pub(in crate::sys) const PREAD64: usize = 17;
    pub(in crate::sys) const GETPID: usize = 39;
    pub(in crate::sys) const SENDTO: usize = 44;
    pub(in crate::sys) const CLONE: usize = 56;
    pub(in crate::sys) const EXECVE: usize = 59;
    pub(in crate::sys) const WAIT4: usize = 61;
    pub(in crate::sys) const KILL: usize = 62;
    pub(in crate::sys) const FCNTL: usize = 72;
    pub(in crate::sys) const PTRACE: usize = 101;
    pub(in crate::sys) const GETPPID: usize = 110;
    pub(in crate::sys) const PRCTL: usize = 157;
    pub(in crate::sys) const GETXATTR: usize = 191;
    pub(in crate::sys) const CLOCK_GETTIME: usize = 228;
    pub(in crate::sys) const EXIT_GROUP: usize = 231;
    pub(in crate::sys) const OPENAT: usize = 257;
    pub(in crate::sys) const FACCESSAT: usize = 269;
    pub(in crate::sys) const PPOLL: usize = 271;
    pub(in crate::sys) const TIMERFD_CREATE: usize = 283;
    pub(in crate::sys) const TIMERFD_SETTIME: usize = 286;
    pub(in crate::sys) const SIGNALFD4: usize = 289;
    pub(in crate::sys) const PIPE2: usize = 293;
    pub(in crate::sys) const PRLIMIT64: usize = 302;
    pub(in crate::sys) const STATX: usize = 332;
    /// Calls whose effects stay in the process: mprotect, munmap, brk, uname, readlink, arch_prctl,
    /// set_tid_address, readlinkat, set_robust_list, getrandom, rseq.
    pub(in crate::sys) const UNSEEN: [usize; 11] =
        [10, 11, 12, 63, 89, 158, 218, 267, 273, 318, 334];
}

/// `AUDIT_ARCH_X86_64`: its own system calls, and not those of 32 bits.
pub(in crate::sys) const AUDIT_ARCH: u32 = 0xc000_003e;

/// Words in `struct user_regs_struct`.
pub(in crate::sys) const REGISTERS: usize = 27;
/// Where the instruction pointer stands in it.
pub(in crate::sys) const PROGRAM_COUNTER: usize = 16;
/// `int3`.
pub(in crate::sys) const BREAKPOINT: u64 = 0xcc;
/// The octets of a word that the breakpoint takes.
pub(in crate::sys) const BREAKPOINT_MASK: u64 = 0xff;
/// How far past the breakpoint's address the trap is reported.
pub(in crate::sys) const TRAP_ADVANCE: u64 = 1;

/// Makes a system call.
///
/// # Safety
/// The arguments must be what the call of this number expects; pointers among them must be valid
/// for what it does with them.
pub(in crate::sys) unsafe fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the call; the kernel keeps all registers but those named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a[0],
            in("rsi") a[1],
            in("rdx") a[2],
            in("r10") a[3],
            in("r8") a[4],
            in("r9") a[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
