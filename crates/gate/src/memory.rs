//! The functions on memory that compiled code calls and libc would have.
//!
//! Octet by octet, which is enough for paths and messages, and volatile, so that the compiler does
//! not recognise the loop and replace it by a call to the very function that it is in.
#![allow(unsafe_code)]

/// C's `memcpy`.
///
/// # Safety
/// As in C: `count` octets at both places.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller has `count` octets at both places.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// C's `memmove`.
///
/// # Safety
/// As in C: `count` octets at both places, which may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr() <= from.addr() {
        // SAFETY: as the caller has it; going forwards, nothing is read after it was written.
        return unsafe { memcpy(to, from, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: the caller has `count` octets at both places.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// C's `memset`.
///
/// # Safety
/// As in C: `count` octets at the place.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller has `count` octets there.
        unsafe { to.add(at).write_volatile(value as u8) };
    }
    to
}

/// C's `memcmp`.
///
/// # Safety
/// As in C: `count` octets at both places.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller has `count` octets at both places.
        let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// BSD's `bcmp`: zero if equal.
///
/// # Safety
/// As in C: `count` octets at both places.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: as the caller has it.
    unsafe { memcmp(a, b, count) }
}

/// C's `strlen`.
///
/// # Safety
/// As in C: a NUL ends the string.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller has a string there, and this goes no further than its NUL.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
