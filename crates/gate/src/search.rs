//! Finding the command's file.

use crate::sys::Errno;
use core::ffi::CStr;
use thiserror::Error;

/// The longest path, as the kernel has it, with the NUL at its end.
const PATH_OCTETS_MAX: usize = 4_096;
/// Where commands are looked for when `PATH` is not set.
const PATH_DEFAULT: &[u8] = b"/bin:/usr/bin";

/// The path of the command's file.
pub(crate) struct ProgramPath {
    octets: [u8; PATH_OCTETS_MAX],
    length: usize,
}

/// Why there is no file to run.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum SearchError {
    #[error("not found; check its name, or give its whole path")]
    NotFound,
    #[error("found in no directory of PATH; check its name, or give its whole path")]
    NotInPath,
    #[error("cannot be run: {0}; check the file's permissions (chmod +x)")]
    NotExecutable(Errno),
    #[error("its path has more than 4095 octets")]
    TooLong,
}

/// Finds the file of the command `name`: the path itself if there is a `/` in it, else the first
/// file in the directories of `search_path` that `probe` says can be run.
pub(crate) fn find(
    name: &[u8],
    search_path: Option<&[u8]>,
    mut probe: impl FnMut(&CStr) -> Result<(), Errno>,
) -> Result<ProgramPath, SearchError> {
    if name.contains(&b'/') {
        let path = ProgramPath::join(b"", name).ok_or(SearchError::TooLong)?;
        return match probe(path.as_c_str()) {
            Ok(()) => Ok(path),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Err(SearchError::NotFound),
            Err(error) => Err(SearchError::NotExecutable(error)),
        };
    }
    let mut refused = SearchError::NotInPath;
    let directories = search_path.unwrap_or(PATH_DEFAULT).split(|octet| *octet == b':');
    for path in directories.filter_map(|directory| ProgramPath::join(directory, name)) {
        match probe(path.as_c_str()) {
            Ok(()) => return Ok(path),
            // There is such a file, so it is the better thing to complain of.
            Err(Errno::EACCES) => refused = SearchError::NotExecutable(Errno::EACCES),
            Err(_) => {}
        }
    }
    Err(refused)
}

impl ProgramPath {
    /// `directory/name`; an empty directory is the current one. `None` if that is too long.
    fn join(directory: &[u8], name: &[u8]) -> Option<Self> {
        let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        let mut path = Self { octets: [0; PATH_OCTETS_MAX], length: 0 };
        for part in [directory, separator, name] {
            let end = path.length + part.len();
            // The last octet stays NUL.
            if end >= PATH_OCTETS_MAX {
                return None;
            }
            path.octets[path.length..end].copy_from_slice(part);
            path.length = end;
        }
        Some(path)
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.octets[..=self.length])
            .expect("made of strings without NUL, with one at the end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn found(name: &CStr, search_path: Option<&[u8]>) -> Result<String, SearchError> {
        let probe = |path: &CStr| match path.to_str().unwrap() {
            "/bin/sh" | "/opt/sh" | "./here" | "local" => Ok(()),
            "/etc/passwd" | "/first/locked" => Err(Errno::EACCES),
            _ => Err(Errno::ENOENT),
        };
        find(name.to_bytes(), search_path, probe)
            .map(|path| path.as_c_str().to_str().unwrap().to_string())
    }

    #[test]
    fn a_name_is_looked_for_in_the_directories_in_their_order() {
        assert_eq!(found(c"sh", Some(b"/none:/opt:/bin")).as_deref(), Ok("/opt/sh"));
        assert_eq!(found(c"sh", None).as_deref(), Ok("/bin/sh"));
        assert_eq!(found(c"local", Some(b"/none::/bin")).as_deref(), Ok("local"));
        assert_eq!(found(c"none", Some(b"/bin")), Err(SearchError::NotInPath));
        let locked = Err(SearchError::NotExecutable(Errno::EACCES));
        assert_eq!(found(c"locked", Some(b"/first:/bin")), locked);
    }

    #[test]
    fn a_path_is_taken_as_it_stands() {
        assert_eq!(found(c"./here", Some(b"/bin")).as_deref(), Ok("./here"));
        assert_eq!(found(c"/none/sh", Some(b"/bin")), Err(SearchError::NotFound));
        let refused = Err(SearchError::NotExecutable(Errno::EACCES));
        assert_eq!(found(c"/etc/passwd", None), refused);
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_and_never_cut() {
        let long = std::ffi::CString::new("/".repeat(PATH_OCTETS_MAX)).unwrap();
        assert_eq!(found(&long, None), Err(SearchError::TooLong));
        let fits = std::ffi::CString::new("/".repeat(PATH_OCTETS_MAX - 1)).unwrap();
        assert_eq!(found(&fits, None), Err(SearchError::NotFound));
    }
}
