//! Arguments and environment as the kernel hands them over.

use core::ffi::{CStr, c_char};
use core::marker::PhantomData;

/// A row of NUL-terminated strings: pointers to them, ended by a null pointer.
///
/// That is the form in which a program gets its arguments and its environment, and in which
/// `execve` takes them, so nothing has to be copied in between.
#[derive(Clone, Debug)]
pub struct Vector<'a> {
    next: *const *const c_char,
    lives: PhantomData<&'a CStr>,
}

impl<'a> Vector<'a> {
    /// Takes the row that begins at `first`.
    ///
    /// # Safety
    /// `first` must point to pointers of which the last is null and each other one points to a
    /// NUL-terminated string; all of them must live, unchanged, as long as `'a`.
    pub unsafe fn from_raw(first: *const *const c_char) -> Self {
        Self { next: first, lives: PhantomData }
    }

    /// The place of the first pointer.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.next
    }

    /// The value of `NAME` in a row of `NAME=value`.
    pub(crate) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.clone()
            .find_map(|entry| entry.to_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

impl<'a> Iterator for Vector<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        // SAFETY: we stand at a pointer of the row or at the null that ends it (`from_raw`), and
        // never go past that.
        let pointer = unsafe { *self.next };
        if pointer.is_null() {
            return None;
        }
        // SAFETY: the pointer was not the last one, so there is another behind it.
        self.next = unsafe { self.next.add(1) };
        // SAFETY: `from_raw` was promised a NUL-terminated string that lives for 'a.
        Some(unsafe { CStr::from_ptr(pointer) })
    }
}

/// A row that owns its strings.
#[cfg(any(test, feature = "hosted"))]
pub(crate) struct OwnedVector {
    pointers: std::vec::Vec<*const c_char>,
    _strings: std::vec::Vec<std::ffi::CString>,
}

#[cfg(any(test, feature = "hosted"))]
impl OwnedVector {
    pub(crate) fn new(strings: std::vec::Vec<std::ffi::CString>) -> Self {
        let mut pointers: std::vec::Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(core::ptr::null());
        Self { pointers, _strings: strings }
    }

    pub(crate) fn as_vector(&self) -> Vector<'_> {
        // SAFETY: the pointers are those of strings that we own and do not change; a null ends
        // them.
        unsafe { Vector::from_raw(self.pointers.as_ptr()) }
    }
}
