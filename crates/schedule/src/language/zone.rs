//! Time zones: the zone database is an input, and the only place where jiff's types live.
//!
//! A zone is unrolled once into a table of its offsets from 1677 to 2262 (a few hundred entries,
//! shared by all schedules of the zone), so that finding an occurrence is a binary search and
//! integer arithmetic.

use super::{MAX_US, MIN_US, SECOND_US};
use core::fmt;
use std::sync::Arc;
use thiserror::Error;
use timeball_timebase::Timestamp;

/// Largest TZif file that is read, in octets; the largest of the database has about 4,000.
const TZIF_OCTETS_MAX: usize = 256 * 1024;
/// Most changes of the offset that a zone may have; two a year until 2262 are about 700.
const CHANGES_MAX: usize = 4_096;

/// A time zone with its rules; cheap to clone.
#[derive(Clone)]
pub struct Zone(Arc<Rules>);

#[derive(PartialEq)]
struct Rules {
    name: String,
    stretches: Box<[Stretch]>,
}

/// A stretch of time with one offset, up to the start of the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    /// When it begins, microseconds since 1970; [`MIN_US`] for the first.
    pub(super) start_us: i64,
    /// Local time less UTC, in microseconds.
    pub(super) offset_us: i64,
}

/// Why a zone could not be made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ZoneError {
    /// The octets are no TZif file.
    #[error("the rules of time zone `{name}` cannot be read: {message}")]
    Invalid {
        /// The zone's name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The file is larger than any zone needs.
    #[error(
        "the rules of time zone `{name}` have {octets} octets, at most {TZIF_OCTETS_MAX} are read"
    )]
    TooLarge {
        /// The zone's name.
        name: String,
        /// The file's size.
        octets: usize,
    },
    /// The file counts leap seconds, as those of `right/` do; a [`Timestamp`] does not.
    #[error(
        "the rules of time zone `{name}` count leap seconds, which instants here do not; use the \
         zone of that name without `right/`"
    )]
    LeapSeconds {
        /// The zone's name.
        name: String,
    },
    /// The zone changes its offset more often than any zone does.
    #[error("time zone `{name}` changes its offset more than {CHANGES_MAX} times before 2262")]
    TooManyChanges {
        /// The zone's name.
        name: String,
    },
}

impl Zone {
    /// Coordinated Universal Time, `Etc/UTC`.
    pub fn utc() -> Self {
        let stretches = Box::new([Stretch { start_us: MIN_US, offset_us: 0 }]);
        Self(Arc::new(Rules { name: "Etc/UTC".to_owned(), stretches }))
    }

    /// Makes a zone of its name and the octets of its TZif file (RFC 9636).
    pub fn from_tzif(name: &str, octets: &[u8]) -> Result<Self, ZoneError> {
        if octets.len() > TZIF_OCTETS_MAX {
            return Err(ZoneError::TooLarge { name: name.to_owned(), octets: octets.len() });
        }
        let rules = jiff::tz::TimeZone::tzif(name, octets).map_err(|error| ZoneError::Invalid {
            name: name.to_owned(),
            message: error.to_string(),
        })?;
        if counts_leap_seconds(octets) {
            return Err(ZoneError::LeapSeconds { name: name.to_owned() });
        }
        let stretches = unroll(&rules)
            .ok_or_else(|| ZoneError::TooManyChanges { name: name.to_owned() })?
            .into_boxed_slice();
        Ok(Self(Arc::new(Rules { name: name.to_owned(), stretches })))
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Local time less UTC at an instant, in seconds; positive east of Greenwich.
    pub fn offset_s_at(&self, at: Timestamp) -> i32 {
        let at_us = at.as_unix_nanos().div_euclid(1_000).max(MIN_US);
        let offset_us = self.stretches()[self.stretch_at(at_us)].offset_us;
        // An offset is at most 26 hours (RFC 9636), so its seconds fit.
        (offset_us / SECOND_US) as i32
    }

    /// The changes of the offset strictly after `after` and up to `until`, oldest first: when, and
    /// the offsets before and after in seconds. For people who want to see the traps ahead.
    pub fn changes_between(
        &self,
        after: Timestamp,
        until: Timestamp,
    ) -> Vec<(Timestamp, i32, i32)> {
        let seconds = |stretch: &Stretch| (stretch.offset_us / SECOND_US) as i32;
        self.stretches()
            .windows(2)
            .map(|pair| (instant(pair[1].start_us), seconds(&pair[0]), seconds(&pair[1])))
            .filter(|(at, ..)| *at > after && *at <= until)
            .collect()
    }

    /// The table of offsets, oldest first; never empty.
    pub(super) fn stretches(&self) -> &[Stretch] {
        &self.0.stretches
    }

    /// The index of the stretch that contains `at_us`, which is at least [`MIN_US`].
    pub(super) fn stretch_at(&self, at_us: i64) -> usize {
        self.0.stretches.partition_point(|stretch| stretch.start_us <= at_us).saturating_sub(1)
    }
}

impl PartialEq for Zone {
    /// Whether name and rules are the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zone")
            .field("name", &self.0.name)
            .field("changes", &(self.0.stretches.len() - 1))
            .finish()
    }
}

/// The instant of a number of microseconds; within the range of `Timestamp`.
fn instant(at_us: i64) -> Timestamp {
    Timestamp::from_unix_nanos(at_us.saturating_mul(1_000))
}

/// Whether a TZif file has leap seconds, so that its changes are not at the seconds of UTC
/// (RFC 9636 section 3.1). The file's first header says so, or the second, which all but the first
/// version have.
fn counts_leap_seconds(octets: &[u8]) -> bool {
    const HEADER: usize = 44;
    let counts = |header: &[u8]| {
        let fields = header.get(20..HEADER)?.chunks_exact(4);
        let numbers = fields.map(|field| {
            let field = <[u8; 4]>::try_from(field).expect("chunks of four octets");
            u32::from_be_bytes(field) as usize
        });
        <[usize; 6]>::try_from(numbers.collect::<Vec<usize>>()).ok()
    };
    let Some([ut, standard, leap, times, types, letters]) = counts(octets) else { return false };
    let first_block = times * 5 + types * 6 + letters + leap * 8 + standard + ut;
    let second = octets.get(HEADER + first_block..).and_then(counts);
    leap != 0 || second.is_some_and(|[_, _, leap, ..]| leap != 0)
}

/// The table of a zone's offsets; `None` where it has more than [`CHANGES_MAX`] changes.
fn unroll(rules: &jiff::tz::TimeZone) -> Option<Vec<Stretch>> {
    let first = jiff::Timestamp::from_microsecond(MIN_US).expect("1677 lies in jiff's range");
    let offset_us = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * SECOND_US;
    let mut stretches =
        vec![Stretch { start_us: MIN_US, offset_us: offset_us(rules.to_offset(first)) }];
    for (index, change) in rules.following(first).enumerate() {
        let start_us = change.timestamp().as_microsecond();
        if start_us > MAX_US {
            break;
        }
        if index >= CHANGES_MAX {
            return None;
        }
        let offset_us = offset_us(change.offset());
        // A change of the abbreviation only is none for us.
        if stretches.last().is_some_and(|last| last.offset_us != offset_us) {
            stretches.push(Stretch { start_us, offset_us });
        }
    }
    Some(stretches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_whose_file_counts_leap_seconds_is_refused() {
        let local_time = b"\0\0\0\0\0\0XXX\0";
        let block = |leap: u32, leaps: &[u8]| {
            let counts = [0, 0, leap, 0, 1, 4].map(u32::to_be_bytes);
            [b"TZif2", [0; 15].as_slice(), counts.as_flattened(), local_time, leaps].concat()
        };
        let file = |second: Vec<u8>| [block(0, &[]), second, b"\n<XXX>0\n".to_vec()].concat();
        let leap = [78_796_800_i64.to_be_bytes().as_slice(), &1_i32.to_be_bytes()].concat();
        assert!(Zone::from_tzif("Test/Harbour", &file(block(0, &[]))).is_ok());
        let error = Zone::from_tzif("right/Test/Harbour", &file(block(1, &leap))).unwrap_err();
        assert!(matches!(error, ZoneError::LeapSeconds { .. }), "{error}");
    }
}
