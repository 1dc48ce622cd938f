//! Time zones: the zone database is an input, and the only place where jiff's types live.

use thiserror::Error;
use timeball_timebase::Timestamp;

/// A time zone with its rules.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    rules: jiff::tz::TimeZone,
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
}

impl Zone {
    /// Coordinated Universal Time, `Etc/UTC`.
    pub fn utc() -> Self {
        Self { name: "Etc/UTC".to_owned(), rules: jiff::tz::TimeZone::UTC }
    }

    /// Makes a zone of its name and the octets of its TZif file (RFC 9636).
    pub fn from_tzif(name: &str, octets: &[u8]) -> Result<Self, ZoneError> {
        match jiff::tz::TimeZone::tzif(name, octets) {
            Ok(rules) => Ok(Self { name: name.to_owned(), rules }),
            Err(error) => {
                Err(ZoneError::Invalid { name: name.to_owned(), message: error.to_string() })
            }
        }
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Local time less UTC at an instant, in seconds.
    pub fn offset_s_at(&self, at: Timestamp) -> i32 {
        let seconds = jiff::Timestamp::new(at.unix_seconds(), 0).unwrap_or(jiff::Timestamp::MAX);
        self.rules.to_offset(seconds).seconds()
    }
}
