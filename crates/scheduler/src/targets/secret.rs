//! Secrets in files, read anew for each fire, so that a token that is replaced is taken up.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longer than any token.
const SECRET_OCTETS_MAX: u64 = 64 * 1024;

/// A file with a secret.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct SecretFile(PathBuf);

impl fmt::Display for SecretFile {
    /// Writes the file's path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Why a secret cannot be had. Says nothing of what is in the file.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("{} has more than {SECRET_OCTETS_MAX} octets", path.display())]
    TooLong { path: PathBuf },
    #[error("{} is not one line of text", path.display())]
    NoText { path: PathBuf },
    #[error("`{path}` is no absolute path")]
    Relative { path: String },
}

impl SecretFile {
    /// Takes a path at which a secret can be read now.
    ///
    /// # Errors
    /// Where it is relative, or has no secret.
    pub(crate) fn new(path: &str) -> Result<Self, SecretError> {
        if !Path::new(path).is_absolute() {
            return Err(SecretError::Relative { path: path.escape_debug().to_string() });
        }
        let file = Self(PathBuf::from(path));
        file.read_now()?;
        Ok(file)
    }

    /// Reads it: one line of text, without its end.
    pub(crate) async fn read(&self) -> Result<String, SecretError> {
        let (file, path) = (self.clone(), self.0.clone());
        // A file may be on a disk that has gone to sleep, or behind a network.
        let read = tokio::task::spawn_blocking(move || file.read_now()).await;
        let panicked = |error| SecretError::Unreadable { path, source: io::Error::other(error) };
        read.map_err(panicked)?
    }

    /// As [`read`](Self::read), on this thread.
    pub(super) fn read_now(&self) -> Result<String, SecretError> {
        let path = || self.0.clone();
        let mut octets = Vec::new();
        File::open(&self.0)
            .and_then(|file| file.take(SECRET_OCTETS_MAX + 1).read_to_end(&mut octets))
            .map_err(|source| SecretError::Unreadable { path: path(), source })?;
        if octets.len() as u64 > SECRET_OCTETS_MAX {
            return Err(SecretError::TooLong { path: path() });
        }
        let text = String::from_utf8(octets).map_err(|_| SecretError::NoText { path: path() })?;
        let line = text.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err(SecretError::Empty { path: path() });
        }
        if line.chars().any(char::is_control) {
            return Err(SecretError::NoText { path: path() });
        }
        Ok(line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_nothing_else_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let file = |octets: &[u8]| {
            std::fs::write(&path, octets).unwrap();
            SecretFile::new(path.to_str().unwrap()).map(|file| file.read_now().unwrap())
        };
        assert_eq!(file(b"s3cret\n").unwrap(), "s3cret");
        assert_eq!(file("pass wörd".as_bytes()).unwrap(), "pass wörd");
        assert!(matches!(file(b"\n"), Err(SecretError::Empty { .. })));
        assert!(matches!(file(b"two\nlines"), Err(SecretError::NoText { .. })));
        assert!(matches!(file(&[0xff, 0xfe]), Err(SecretError::NoText { .. })));
        assert!(matches!(file(&[b'x'; 65_537]), Err(SecretError::TooLong { .. })));
        assert!(matches!(SecretFile::new("token"), Err(SecretError::Relative { .. })));
        assert!(matches!(SecretFile::new("/nonexistent"), Err(SecretError::Unreadable { .. })));
    }
}
