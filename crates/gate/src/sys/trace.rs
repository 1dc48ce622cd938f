//! Tracing: a child that is led to its program's entry point and held there.

use super::arch::{
    self, AUDIT_ARCH, BREAKPOINT, BREAKPOINT_MASK, PROGRAM_COUNTER, REGISTERS, TRAP_ADVANCE, number,
};
use super::process::Pid;
use super::signal::SignalSet;
use super::{Errno, call};
use core::mem::size_of;

const TRACEME: usize = 0;
const PEEKTEXT: usize = 1;
const POKETEXT: usize = 4;
const CONT: usize = 7;
const DETACH: usize = 17;
const SYSCALL: usize = 24;
const SETOPTIONS: usize = 0x4200;
const GETREGSET: usize = 0x4204;
const SETREGSET: usize = 0x4205;
const SETSIGMASK: usize = 0x420b;
/// Linux 5.3.
const GET_SYSCALL_INFO: usize = 0x420e;
const SYSCALL_INFO_ENTRY: u8 = 1;
const SYSCALL_INFO_EXIT: u8 = 2;
const O_TRACESYSGOOD: usize = 1;
const O_TRACEEXEC: usize = 1 << 4;
const O_EXITKILL: usize = 1 << 20;
const NT_PRSTATUS: usize = 1;

/// Lets the parent trace this process.
pub(crate) fn trace_me() -> Result<(), Errno> {
    // SAFETY: no pointer is passed.
    unsafe { call(number::PTRACE, [TRACEME, 0, 0, 0, 0, 0]) }.map(|_| ())
}

/// A stopped child that we trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracee(pub(crate) Pid);

/// A place in the program's text that was overwritten by a breakpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Breakpoint {
    address: u64,
    original: u64,
}

/// A system call that has begun or ended: the first part of `struct ptrace_syscall_info`.
#[repr(C)]
#[derive(Default)]
struct Call {
    kind: u8,
    reserved: [u8; 3],
    arch: u32,
    program_counter: u64,
    stack_pointer: u64,
    number: u64,
    arguments: [u64; 6],
}

impl Tracee {
    /// Has the child killed if we die, and stopped when it begins its program.
    pub(crate) fn set_options(self) -> Result<(), Errno> {
        self.request(SETOPTIONS, 0, O_EXITKILL | O_TRACEEXEC | O_TRACESYSGOOD)
    }

    /// Lets it go on, with a signal delivered to it or none (0).
    pub(crate) fn resume(self, signal: u8) -> Result<(), Errno> {
        self.request(CONT, 0, signal.into())
    }

    /// Lets it go on to where its next system call begins or ends.
    pub(crate) fn resume_to_call(self, signal: u8) -> Result<(), Errno> {
        self.request(SYSCALL, 0, signal.into())
    }

    /// Whether it has stopped at the end of a system call, or at the beginning of one that nobody
    /// outside of the process can see: one by which a C library's start finds out where it is and
    /// arranges its memory. `false` also where the kernel does not tell.
    pub(crate) fn is_at_unseen_call(self) -> bool {
        let mut call = Call::default();
        let told =
            self.request(GET_SYSCALL_INFO, size_of::<Call>(), &raw mut call as usize).is_ok();
        told && match call.kind {
            SYSCALL_INFO_ENTRY => call.arch == AUDIT_ARCH && is_unseen(call.number, call.arguments),
            SYSCALL_INFO_EXIT => true,
            _ => false,
        }
    }

    /// Lets it go for good.
    pub(crate) fn detach(self) -> Result<(), Errno> {
        self.request(DETACH, 0, 0)
    }

    /// Sets its signal mask.
    pub(crate) fn set_mask(self, mask: SignalSet) -> Result<(), Errno> {
        self.request(SETSIGMASK, size_of::<SignalSet>(), &raw const mask as usize)
    }

    /// Has it stop at `address`.
    pub(crate) fn set_breakpoint(self, address: u64) -> Result<Breakpoint, Errno> {
        let mut original = 0_u64;
        // The bare call writes the word to where the fourth argument points.
        self.request(PEEKTEXT, address as usize, &raw mut original as usize)?;
        let word = original & !BREAKPOINT_MASK | BREAKPOINT;
        self.request(POKETEXT, address as usize, word as usize)?;
        Ok(Breakpoint { address, original })
    }

    /// Whether it has stopped at the breakpoint.
    pub(crate) fn is_at(self, breakpoint: &Breakpoint) -> Result<bool, Errno> {
        Ok(self.program_counter()? == breakpoint.address + TRAP_ADVANCE)
    }

    /// Puts the text back as it was and the child before it.
    pub(crate) fn clear_breakpoint(self, breakpoint: &Breakpoint) -> Result<(), Errno> {
        self.request(POKETEXT, breakpoint.address as usize, breakpoint.original as usize)?;
        let mut registers = self.registers()?;
        registers[PROGRAM_COUNTER] = breakpoint.address;
        self.transfer(SETREGSET, &mut registers)
    }

    /// Where it stands.
    pub(crate) fn program_counter(self) -> Result<u64, Errno> {
        Ok(self.registers()?[PROGRAM_COUNTER])
    }

    fn registers(self) -> Result<[u64; REGISTERS], Errno> {
        let mut registers = [0; REGISTERS];
        self.transfer(GETREGSET, &mut registers)?;
        Ok(registers)
    }

    /// Reads or writes all registers. A 32-bit program on a 64-bit kernel has fewer, and is
    /// refused.
    fn transfer(self, request: usize, registers: &mut [u64; arch::REGISTERS]) -> Result<(), Errno> {
        let size = size_of::<[u64; REGISTERS]>();
        let mut iovec = [registers.as_mut_ptr() as usize, size];
        self.request(request, NT_PRSTATUS, iovec.as_mut_ptr() as usize)?;
        // ENOEXEC: the program is not of our own kind.
        if iovec[1] == size { Ok(()) } else { Err(Errno::from_raw(8)) }
    }

    fn request(self, request: usize, address: usize, data: usize) -> Result<(), Errno> {
        let arguments = [request, self.0.as_argument(), address, data, 0, 0];
        // SAFETY: `data` is a plain number, or points to a local of the caller that is as large as
        // the request's answer; `address` means a place in the child, never in us.
        unsafe { call(number::PTRACE, arguments) }.map(|_| ())
    }
}

/// Whether a system call is one that the starts of glibc and musl make, and has no effect outside
/// of the process.
fn is_unseen(number: u64, arguments: [u64; 6]) -> bool {
    const MAP_ANONYMOUS: u64 = 0x20;
    let Ok(number) = usize::try_from(number) else { return false };
    match number {
        number::MMAP => arguments[3] & MAP_ANONYMOUS != 0,
        // A limit that is asked for, and not set.
        number::PRLIMIT64 => arguments[0] == 0 && arguments[2] == 0,
        _ => number::UNSEEN.contains(&number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_maps_a_file_or_sets_a_limit_is_no_start_of_a_library() {
        let is_unseen = |number: usize, arguments| is_unseen(number as u64, arguments);
        assert!(is_unseen(number::UNSEEN[0], [0; 6]));
        assert!(!is_unseen(number::WRITE, [0; 6]) && !is_unseen(number::CLONE, [0; 6]));
        assert!(is_unseen(number::MMAP, [0, 4096, 3, 0x22, u64::MAX, 0]));
        assert!(!is_unseen(number::MMAP, [0, 4096, 3, 1, 3, 0]), "shared with a file");
        assert!(is_unseen(number::PRLIMIT64, [0, 3, 0, 7, 0, 0]));
        assert!(!is_unseen(number::PRLIMIT64, [0, 3, 7, 0, 0, 0]));
        assert!(!is_unseen(number::PRLIMIT64, [1, 3, 0, 7, 0, 0]));
    }
}
