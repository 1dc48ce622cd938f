//! Makes the tests' program a gate as well, so that they need no other program to be built.

use libc::{c_char, c_int};
use std::ffi::CStr;
use timeball_gate::{Exit, Vector, exit, run};

/// With this as its first argument the tests' program is a gate.
pub(crate) const GATE_OF_TESTS: &str = "gate-of-tests";

/// Called before `main` and the test harness, which would not know the arguments.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = before_main;

extern "C" fn before_main(
    count: c_int,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) {
    if count < 2 {
        return;
    }
    // SAFETY: there are two arguments at least, each a string that ends with a null octet.
    let subcommand = unsafe { CStr::from_ptr(*arguments.add(1)) };
    if subcommand.to_bytes() != GATE_OF_TESTS.as_bytes() {
        return;
    }
    // SAFETY: rows of strings that end with a null pointer, as the C library hands them to main;
    // the subcommand stands for the program's name.
    let (arguments, environment) =
        unsafe { (Vector::from_raw(arguments.add(1)), Vector::from_raw(environment)) };
    match run(arguments, environment) {
        Exit::Status(status) => exit(status),
        Exit::Signal(signal) => exit(128_u8.saturating_add(signal)),
    }
}
