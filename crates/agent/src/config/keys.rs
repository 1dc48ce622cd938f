//! The file of shared keys: one a line, as chrony's and (but for hexadecimal keys) ntpd's.
//!
//! ```text
//! # identifier  algorithm  key
//! 1             AES128     HEX:000102030405060708090a0b0c0d0e0f
//! 2             SHA256     an-ascii-word
//! ```

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thiserror::Error;
use timeball_ntp::mac::{Key, KeyError, KeyRing, MacAlgorithm};

/// Keys that one file may hold.
pub const KEYS_MAX: usize = 1_024;
/// Octets that are read of a file; more than as many keys as there may be.
const FILE_OCTETS_MAX: u64 = 1 << 20;
const ALGORITHMS: &str = "MD5, SHA1, SHA256, SHA384, SHA512, AES128 or AES256";

/// What is wrong with a file of keys; never tells a key.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("key file {file}: {error}")]
    Read {
        /// Its path.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// A line is no key.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// Its path.
        file: String,
        /// The line (1+).
        line: usize,
        /// What is wrong, and the fix.
        problem: LineProblem,
    },
    /// A source (or a command) names a key that the file does not have.
    #[error("key file {file}: key {id}, which `{source_name}` names, is not in it; add it")]
    Missing {
        /// Its path.
        file: String,
        /// The key's identifier.
        id: u32,
        /// Whose key it is to be.
        source_name: String,
    },
}

/// What is wrong with one line of keys.
#[derive(Debug, Eq, Error, PartialEq)]
pub enum LineProblem {
    /// Not two or three words.
    #[error("a line is `identifier algorithm key`, as `1 AES128 HEX:` with 32 digits")]
    Words,
    /// The first word is no identifier.
    #[error("`{word}` is no identifier; write a number from 1 to 4294967295")]
    Id {
        /// As written.
        word: String,
    },
    /// The second word is no algorithm.
    #[error("`{word}` is no algorithm; write {ALGORITHMS}")]
    Algorithm {
        /// As written.
        word: String,
    },
    /// What follows `HEX:` are not pairs of hexadecimal digits.
    #[error("after `HEX:` an even number of hexadecimal digits is needed")]
    Hex,
    /// A key that the algorithm cannot use.
    #[error("{0}; a key that begins with `HEX:` has one octet for two digits")]
    Key(#[from] KeyError),
    /// An identifier that another line has, too.
    #[error("key {id} is given twice; remove one")]
    Twice {
        /// The identifier.
        id: u32,
    },
    /// More than can be wanted.
    #[error("more than {KEYS_MAX} keys; remove some")]
    TooMany,
}

/// Reads one key of the file at `path`, for whom `wanted_by` names.
///
/// # Errors
/// Where the file cannot be read, a line of it is no key, or the key is not in it.
pub fn read_key(path: &Path, id: u32, wanted_by: &str) -> Result<Key, KeyFileError> {
    let ring = read(path)?;
    ring.key(id).cloned().ok_or_else(|| KeyFileError::Missing {
        file: path.display().to_string(),
        id,
        source_name: wanted_by.to_owned(),
    })
}

/// Reads the file of keys at `path`.
///
/// # Errors
/// Where it cannot be read, or a line of it is no key.
pub(crate) fn read(path: &Path) -> Result<KeyRing, KeyFileError> {
    let file = path.display().to_string();
    let text = read_text(path).map_err(|error| KeyFileError::Read { file: file.clone(), error })?;
    parse_keys(&text, &file)
}

/// Reads keys from the text of a file; `file` is what errors call it.
///
/// # Errors
/// The first line that is no key.
pub fn parse_keys(text: &str, file: &str) -> Result<KeyRing, KeyFileError> {
    let mut keys: Vec<Key> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with(['#', '!', ';', '%']) {
            continue;
        }
        let error = |problem| KeyFileError::Line { file: file.to_owned(), line, problem };
        let key = parse_line(text).map_err(error)?;
        if keys.iter().any(|other| other.id() == key.id()) {
            return Err(error(LineProblem::Twice { id: key.id() }));
        }
        if keys.len() == KEYS_MAX {
            return Err(error(LineProblem::TooMany));
        }
        keys.push(key);
    }
    Ok(keys.into_iter().collect())
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o007 != 0 {
        tracing::warn!(
            path = %path.display(),
            "every user of this machine may use the key file; `chmod o= ` it"
        );
    }
    let mut text = String::new();
    if file.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text)? as u64 > FILE_OCTETS_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(text)
}

fn parse_line(text: &str) -> Result<Key, LineProblem> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (id, algorithm, secret) = match words[..] {
        // As chrony has it.
        [id, secret] => (id, "MD5", secret),
        [id, algorithm, secret] => (id, algorithm, secret),
        _ => return Err(LineProblem::Words),
    };
    let number = id.parse().ok().filter(|_| !id.starts_with('+'));
    let id = number.ok_or_else(|| LineProblem::Id { word: id.to_owned() })?;
    let algorithm = parse_algorithm(algorithm)
        .ok_or_else(|| LineProblem::Algorithm { word: algorithm.to_owned() })?;
    let secret = match (secret.strip_prefix("HEX:"), secret.strip_prefix("ASCII:")) {
        (Some(digits), _) => parse_hex(digits).ok_or(LineProblem::Hex)?,
        (None, Some(word)) => word.as_bytes().to_vec(),
        (None, None) => secret.as_bytes().to_vec(),
    };
    Ok(Key::new(id, algorithm, &secret)?)
}

fn parse_algorithm(word: &str) -> Option<MacAlgorithm> {
    Some(match word.to_ascii_uppercase().as_str() {
        "MD5" | "M" => MacAlgorithm::Md5,
        "SHA1" | "SHA" => MacAlgorithm::Sha1,
        "SHA256" => MacAlgorithm::Sha256,
        "SHA384" => MacAlgorithm::Sha384,
        "SHA512" => MacAlgorithm::Sha512,
        "AES128" | "AES" | "AES128CMAC" | "AES-128-CMAC" => MacAlgorithm::AesCmac128,
        "AES256" | "AES256CMAC" | "AES-256-CMAC" => MacAlgorithm::AesCmac256,
        _ => return None,
    })
}

fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_chrony_writes_them() {
        let text = "# a comment\n\n1 secret\n2 sha1 ASCII:HEX:\n4294967295 AES128 HEX:\
                    000102030405060708090A0b0c0d0e0f\r\n  7\tSHA256  x\n! 8 SHA256 y\n";
        let ring = parse_keys(text, "keys").unwrap();
        assert_eq!(ring.len(), 4);
        assert_eq!(ring.key(1), Some(&Key::new(1, MacAlgorithm::Md5, b"secret").unwrap()));
        assert_eq!(ring.key(2), Some(&Key::new(2, MacAlgorithm::Sha1, b"HEX:").unwrap()));
        let octets: Vec<u8> = (0..16).collect();
        let aes = Key::new(u32::MAX, MacAlgorithm::AesCmac128, &octets).unwrap();
        assert_eq!(ring.key(u32::MAX), Some(&aes));
        assert!(parse_keys("", "keys").unwrap().is_empty());
    }

    #[test]
    fn each_mistake_is_named_with_its_line_and_no_key_is_told() {
        for (line, expected) in [
            ("1", "a line is `identifier"),
            ("1 MD5 secret more", "a line is `identifier"),
            ("0 MD5 secret", "cannot have the identifier 0"),
            ("-1 MD5 secret", "`-1` is no identifier"),
            ("4294967296 MD5 secret", "is no identifier"),
            ("1 ROT13 secret", "`ROT13` is no algorithm; write MD5, SHA1"),
            ("1 AES128 secret", "has 6 octets, but it needs 16"),
            ("1 AES128 HEX:secret", "hexadecimal digits"),
            ("1 SHA1 HEX:abc", "an even number"),
            ("1 SHA1 HEX:", "has 0 octets"),
            ("9 MD5 secret", "key 9 is given twice"),
        ] {
            let text = format!("9 MD5 other\n{line}\n");
            let error = parse_keys(&text, "/keys").unwrap_err().to_string();
            assert!(error.starts_with("/keys:2: ") && error.contains(expected), "{line}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let many: String = (1..=KEYS_MAX + 1).map(|id| format!("{id} MD5 x\n")).collect();
        let error = parse_keys(&many, "keys").unwrap_err().to_string();
        assert!(error.starts_with("keys:1025: more than 1024"), "{error}");
        let error = read(Path::new("/nonexistent/keys")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/keys"), "{error}");
    }
}
