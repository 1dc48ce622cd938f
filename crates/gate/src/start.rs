//! Where the program begins: at `_start` without libc, at `main` with it.
//!
//! `main` is C's and not Rust's, because Rust's start sets SIGPIPE to be ignored, which the command
//! would inherit.
#![allow(unsafe_code)]

use core::ffi::c_char;
use timeball_gate::{Exit, Vector, exit, run};

/// Runs the gate on what the kernel or the C library hands over.
///
/// # Safety
/// Both must be rows of NUL-terminated strings that end with null and live as long as the program.
unsafe fn begin(arguments: *const *const c_char, environment: *const *const c_char) -> ! {
    // SAFETY: as the caller has it.
    let (arguments, environment) =
        unsafe { (Vector::from_raw(arguments), Vector::from_raw(environment)) };
    match run(arguments, environment) {
        Exit::Status(status) => exit(status),
        // `run` has died of it already, unless it cannot (process 1 of a container).
        Exit::Signal(signal) => exit(128_u8.saturating_add(signal)),
    }
}

#[cfg(not(freestanding))]
mod hosted {
    use core::ffi::{c_char, c_int};

    #[unsafe(no_mangle)]
    extern "C" fn main(
        _count: c_int,
        arguments: *const *const c_char,
        environment: *const *const c_char,
    ) -> c_int {
        // SAFETY: that is what C's main is given.
        unsafe { super::begin(arguments, environment) }
    }
}

#[cfg(freestanding)]
mod freestanding {
    use core::ffi::c_char;

    /// The first instruction. The kernel leaves no return address, and on the stack the number of
    /// arguments, the arguments, null, the environment, null.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn _start() -> ! {
        #[cfg(target_arch = "x86_64")]
        core::arch::naked_asm!(
            "xor ebp, ebp",
            "mov rdi, rsp",
            "and rsp, -16",
            "call {enter}",
            "ud2",
            enter = sym enter,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::naked_asm!(
            "mov x29, #0",
            "mov x30, #0",
            "mov x0, sp",
            "bl {enter}",
            "brk #1",
            enter = sym enter,
        );
    }

    extern "C" fn enter(stack: *const usize) -> ! {
        // SAFETY: the kernel has laid out the stack as `_start` says.
        unsafe {
            let count = *stack;
            let arguments = stack.add(1).cast::<*const c_char>();
            super::begin(arguments, arguments.add(count + 1))
        }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        timeball_gate::fail(info.location().map_or(0, core::panic::Location::line))
    }
}
