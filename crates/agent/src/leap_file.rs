//! The list of leap seconds as the IERS and NIST publish it and zone databases ship it
//! (`/usr/share/zoneinfo/leap-seconds.list`).
//!
//! Lines of `NTP-seconds TAI-UTC`; of the comments, only `#@ NTP-seconds` says something: until
//! when the list is complete.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;
use timeball_ntp::engine::LeapTable;
use timeball_timebase::Timestamp;

/// Octets that are read; the list has some 5,000.
const FILE_OCTETS_MAX: u64 = 1 << 18;
/// Entries that a list may have; since 1972 there were 28.
const ENTRIES_MAX: usize = 1_000;
/// Seconds from 1900, which the list counts from, to 1970.
const UNIX_FROM_1900: i64 = 2_208_988_800;

/// What is wrong with a list of leap seconds.
#[derive(Debug, Error)]
pub enum LeapFileError {
    /// It cannot be read.
    #[error("leap_file {file}: {error}; name a leap-seconds.list, as the package tzdata has it")]
    Read {
        /// Its path.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// A line is no entry.
    #[error("{file}:{line}: `{text}` is not `NTP-seconds TAI-UTC`; is it a leap-seconds.list?")]
    Line {
        /// Its path.
        file: String,
        /// The line (1+).
        line: usize,
        /// The line's text, cut.
        text: String,
    },
    /// It has no entries, too many, or does not say until when it is complete.
    #[error("{file}: no list of leap seconds: it needs entries and a line `#@ NTP-seconds`")]
    Incomplete {
        /// Its path.
        file: String,
    },
}

/// Reads the list at `path`.
pub(crate) fn read(path: &Path) -> Result<LeapTable, LeapFileError> {
    let file = path.display().to_string();
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|f| f.take(FILE_OCTETS_MAX).read_to_end(&mut octets));
    read.map_err(|error| LeapFileError::Read { file: file.clone(), error })?;
    parse_leap_seconds(&String::from_utf8_lossy(&octets), &file)
}

/// Reads the list from its text; `file` is what errors call it.
///
/// # Errors
/// The first line that is no entry, or that it is no whole list.
pub fn parse_leap_seconds(text: &str, file: &str) -> Result<LeapTable, LeapFileError> {
    let (mut entries, mut expires) = (Vec::new(), None);
    for (line, text) in (1..).zip(text.lines()) {
        let wrong = || {
            let text = text.chars().take(60).collect();
            LeapFileError::Line { file: file.to_owned(), line, text }
        };
        if let Some(comment) = text.strip_prefix('#') {
            if let Some(at) = comment.strip_prefix('@') {
                expires = Some(instant(at.trim()).ok_or_else(wrong)?);
            }
            continue;
        }
        let entry = text.split('#').next().unwrap_or_default();
        let words: Vec<&str> = entry.split_whitespace().collect();
        match words[..] {
            [] => {}
            [at, offset] if entries.len() < ENTRIES_MAX => {
                let offset_s = offset.parse().ok().filter(|s| (-1_000..=1_000).contains(s));
                entries.push(instant(at).zip(offset_s).ok_or_else(wrong)?);
            }
            _ => return Err(wrong()),
        }
    }
    match expires {
        Some(expires) if !entries.is_empty() => Ok(LeapTable::new(entries, expires)),
        _ => Err(LeapFileError::Incomplete { file: file.to_owned() }),
    }
}

fn instant(ntp_seconds: &str) -> Option<Timestamp> {
    let seconds: u32 = ntp_seconds.parse().ok()?;
    Some(Timestamp::from_unix(i64::from(seconds) - UNIX_FROM_1900, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#\tATOMIC TIME\n#$\t 3945196800\n#@\t3960057600\n\
                        3644697600\t36\t# 1 Jul 2015\n3692217600      37      # 1 Jan 2017\n#h x\n";

    #[test]
    fn a_list_is_read_as_it_is_published() {
        let table = parse_leap_seconds(LIST, "list").unwrap();
        // 2025-06-28.
        assert_eq!(table.expires(), Timestamp::from_unix(1_751_068_800, 0));
        let new_year_2017 = Timestamp::from_unix(1_483_228_800, 0);
        assert_eq!(table.tai_offset_s(new_year_2017), Some(37));
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "no list of leap seconds"),
            ("3692217600 37\n", "no list of leap seconds"),
            ("#@ 3960057600\n", "no list of leap seconds"),
            ("#@ soon\n", "list:1: `#@ soon`"),
            ("#@ 1\nx 37\n", "list:2: `x 37`"),
            ("#@ 1\n1 2 3\n", "list:2: `1 2 3`"),
            ("#@ 1\n1 99999\n", "list:2: `1 99999`"),
        ] {
            let error = parse_leap_seconds(text, "list").unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gave {error}");
        }
    }
}
