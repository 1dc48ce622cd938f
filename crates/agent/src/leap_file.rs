//! The list of leap seconds as the IERS and NIST publish it and zone databases ship it
//! (`/usr/share/zoneinfo/leap-seconds.list`).
//!
//! Lines of `NTP-seconds TAI-UTC`; of the comments, only these say something: `#@ NTP-seconds`
//! until when the list is complete, `#$ NTP-seconds` when it was changed last, and `#h` with five
//! words in hexadecimal the SHA-1 of the digits of those two and of all entries, in this order.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha1::{Digest, Sha1};
use thiserror::Error;
use timeball_ntp::engine::LeapTable;
use timeball_timebase::{MonoTime, Span, Timestamp};

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
    /// It was cut or changed since it was published.
    #[error("{file}: it is not what its line `#h` says: it was cut or changed; get it anew")]
    Altered {
        /// Its path.
        file: String,
    },
}

/// The file is looked at this often, and read where it has changed: zone databases bring a new one
/// twice a year.
const LOOK_INTERVAL: Span = Span::from_minutes(60);

/// The list of a running agent, which follows the file.
pub(crate) struct LeapFile {
    path: PathBuf,
    /// What tells whether the file has changed: when it was, and how long and which it is.
    seen: Option<(SystemTime, u64, u64)>,
    looked_at: MonoTime,
    /// Why the file was not taken as it is now.
    problem: Option<String>,
}

impl LeapFile {
    /// Reads the list at the start, where it must be good.
    ///
    /// # Errors
    /// Where it cannot be read or is no list.
    pub(crate) fn open(path: &Path, now: MonoTime) -> Result<(Self, LeapTable), LeapFileError> {
        // Looked at before it is read: what changes in between is read once more.
        let seen = look(path).ok();
        let table = read(path)?;
        Ok((Self { path: path.to_owned(), seen, looked_at: now, problem: None }, table))
    }

    /// Reads the list anew where it is time to look and the file has changed. One that cannot be
    /// read, or is none, changes nothing but [`Self::problem`].
    pub(crate) fn refresh(&mut self, now: MonoTime) -> Option<LeapTable> {
        if now - self.looked_at < LOOK_INTERVAL {
            return None;
        }
        self.looked_at = now;
        let seen = look(&self.path).ok();
        if seen.is_some() && seen == self.seen {
            return None;
        }
        self.seen = seen;
        match read(&self.path) {
            Ok(table) => {
                tracing::info!(file = %self.path.display(), "a new list of leap seconds is read");
                self.problem = None;
                Some(table)
            }
            Err(error) => {
                // It is said in the notices for as long as it is so.
                self.problem = Some(error.to_string());
                None
            }
        }
    }

    /// Why the file was not taken when it was looked at last; the list before it stays in use.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

fn look(path: &Path) -> io::Result<(SystemTime, u64, u64)> {
    let metadata = path.metadata()?;
    Ok((metadata.modified()?, metadata.len(), metadata.ino()))
}

/// Reads the list at `path`.
fn read(path: &Path) -> Result<LeapTable, LeapFileError> {
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
    let mut check = Check::default();
    for (line, text) in (1..).zip(text.lines()) {
        let wrong = || {
            let text = text.chars().take(60).collect();
            LeapFileError::Line { file: file.to_owned(), line, text }
        };
        if let Some(comment) = text.strip_prefix('#') {
            if let Some(at) = comment.strip_prefix('@') {
                expires = Some(instant(at.trim()).ok_or_else(wrong)?);
                check.expires = at;
            } else if let Some(at) = comment.strip_prefix('$') {
                check.changed = at;
            } else if comment == "h" || comment.starts_with("h ") || comment.starts_with("h\t") {
                check.sum = Some(parse_sum(&comment[1..]).ok_or_else(wrong)?);
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
                check.entries.extend([at, offset]);
            }
            _ => return Err(wrong()),
        }
    }
    if !check.holds() {
        return Err(LeapFileError::Altered { file: file.to_owned() });
    }
    match expires {
        Some(expires) if !entries.is_empty() => Ok(LeapTable::new(entries, expires)),
        _ => Err(LeapFileError::Incomplete { file: file.to_owned() }),
    }
}

/// What the list's check sum is made of, as written, and the sum where the list has one.
#[derive(Default)]
struct Check<'a> {
    changed: &'a str,
    expires: &'a str,
    entries: Vec<&'a str>,
    sum: Option<[u32; 5]>,
}

impl Check<'_> {
    fn holds(&self) -> bool {
        let Some(sum) = self.sum else { return true };
        let mut digest = Sha1::new();
        for text in [self.changed, self.expires].into_iter().chain(self.entries.iter().copied()) {
            text.split_whitespace().for_each(|word| digest.update(word));
        }
        digest.finalize()[..] == *sum.map(u32::to_be_bytes).as_flattened()
    }
}

/// Five words in hexadecimal; some who publish the list leave out zeros that a word begins with.
fn parse_sum(text: &str) -> Option<[u32; 5]> {
    let words = text.split_whitespace().map(|word| u32::from_str_radix(word, 16).ok());
    words.collect::<Option<Vec<u32>>>()?.try_into().ok()
}

fn instant(ntp_seconds: &str) -> Option<Timestamp> {
    let seconds: u32 = ntp_seconds.parse().ok()?;
    Some(Timestamp::from_unix(i64::from(seconds) - UNIX_FROM_1900, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#\tATOMIC TIME\n#$\t 3945196800\n#@\t3960057600\n\
                        3644697600\t36\t# 1 Jul 2015\n3692217600      37      # 1 Jan 2017\n";
    /// Of the digits of that.
    const SUM: &str = "#h\t570cb357 f2641c87 77d3ae56 801f7d52 8f66becb\n";

    #[test]
    fn a_list_is_read_as_it_is_published() {
        let table = parse_leap_seconds(LIST, "list").unwrap();
        // 2025-06-28.
        assert_eq!(table.expires(), Timestamp::from_unix(1_751_068_800, 0));
        let new_year_2017 = Timestamp::from_unix(1_483_228_800, 0);
        assert_eq!(table.tai_offset_s(new_year_2017), Some(37));
    }

    #[test]
    fn a_list_that_was_cut_or_changed_is_not_what_its_sum_says() {
        let whole = format!("{LIST}{SUM}");
        let parse = |text: &str| parse_leap_seconds(text, "list");
        assert_eq!(parse(&whole).unwrap(), parse(LIST).unwrap());
        assert!(parse(&format!("#history\n{whole}")).is_ok(), "a remark");
        for (from, to) in [
            ("3692217600      37      # 1 Jan 2017\n", ""),
            ("37 ", "38 "),
            ("3960057600", "3960057601"),
            ("3945196800", "3945196801"),
        ] {
            let error = parse(&whole.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains("cut or changed"), "{from}: {error}");
        }
        for sum in ["#h", "#h 1 2 3 4", "#h 1 2 3 4 5 6", "#h 1 2 3 4 x"] {
            let error = parse(&format!("{LIST}{sum}\n")).unwrap_err().to_string();
            assert!(error.contains(&format!("list:6: `{sum}`")), "{error}");
        }
    }

    #[test]
    fn a_file_that_changes_is_read_anew_and_a_bad_one_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("leap-seconds.list");
        std::fs::write(&path, LIST).unwrap();
        let mut now = MonoTime::from_nanos(1);
        let (mut file, table) = LeapFile::open(&path, now).unwrap();
        assert_eq!(table, parse_leap_seconds(LIST, "list").unwrap());
        let mut refresh = |file: &mut LeapFile| {
            now += LOOK_INTERVAL;
            file.refresh(now)
        };
        assert_eq!((refresh(&mut file), file.problem()), (None, None));
        std::fs::write(&path, "#@ 1\n1 2 3\n").unwrap();
        assert_eq!(refresh(&mut file), None);
        assert!(file.problem().unwrap().contains("`1 2 3`"));
        // Bad and unchanged: what was said of it stands.
        assert_eq!(refresh(&mut file), None);
        assert!(file.problem().is_some());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(refresh(&mut file), None);
        assert!(file.problem().unwrap().contains("No such file"));
        let longer = format!("{LIST}4000000000 38\n");
        std::fs::write(&path, &longer).unwrap();
        assert_eq!(refresh(&mut file), Some(parse_leap_seconds(&longer, "list").unwrap()));
        assert_eq!(file.problem(), None);
        std::fs::write(&path, LIST).unwrap();
        let looked_at = file.looked_at;
        assert_eq!(file.refresh(looked_at + Span::from_minutes(59)), None, "not yet");
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
