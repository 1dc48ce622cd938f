//! The form of the file that remembers sources from one run to the next.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use timeball_ntp::engine::{
    REMEMBERED_MAX, Record, RememberedBias, RememberedPath, RememberedSource,
};
use timeball_timebase::{Span, Timestamp};

/// The newest version of the file that this program reads.
const VERSION: u32 = 2;
/// Octets of a host's name (RFC 1035 section 2.3.4), and of a device's path in its place.
const HOST_OCTETS_MAX: usize = 255;
/// No round trip that is measured takes longer, and no bias is larger.
const SPAN_MAX: Span = Span::from_secs(8);
/// Timestamps end in the year 2262.
const LEARNED_AT_S_MAX: i64 = 9_000_000_000;
/// No source is remembered for longer than a day, so none can be missed for longer.
const MISSED_S_MAX: i64 = 86_400;

/// Why a file of remembered sources is not read.
#[derive(Debug, Error)]
pub enum RememberedError {
    /// A newer version wrote it.
    #[error("it has version {found}, but this program knows only up to {VERSION}")]
    Newer {
        /// The version that it has.
        found: u32,
    },
    /// It is not of the form.
    #[error("it is no list of sources: {0}")]
    Form(#[from] serde_json::Error),
    /// A value is out of its range.
    #[error("`{field}` is {value}, which cannot be")]
    Range {
        /// Its name.
        field: &'static str,
        /// What it is.
        value: i64,
    },
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    sources: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    learned_at_s: i64,
    /// Version 1 did not write it.
    #[serde(default)]
    missed_s: i64,
    found: Found,
    path: Option<Path>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Found {
    True,
    Probation,
    False,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Path {
    delay_min_ns: i64,
    queue_ns: i64,
    bias: Option<Bias>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Bias {
    bias_ns: i64,
    error_ns: i64,
}

/// Reads what an earlier run remembered of its sources.
///
/// # Errors
/// Where a newer version wrote it, it is not of the form, or a value cannot be.
pub fn parse_remembered(octets: &[u8]) -> Result<Vec<RememberedSource>, RememberedError> {
    // What a newer version writes beside its number is not known, so the number is read first.
    let Versioned { version: found } = serde_json::from_slice(octets)?;
    if found > VERSION {
        return Err(RememberedError::Newer { found });
    }
    let Document { sources, .. } = serde_json::from_slice(octets)?;
    in_range("sources", sources.len() as i64, 0..=REMEMBERED_MAX as i64)?;
    sources.into_iter().map(Entry::parse).collect()
}

/// Writes what is remembered of sources, as [`parse_remembered`] reads it; times in whole seconds.
pub fn format_remembered(sources: &[RememberedSource]) -> Vec<u8> {
    let sources = sources.iter().map(Entry::new).collect();
    let document = Document { version: VERSION, sources };
    let mut octets = serde_json::to_vec_pretty(&document).expect("it has no keys but strings");
    octets.push(b'\n');
    octets
}

impl Entry {
    fn new(source: &RememberedSource) -> Self {
        let path = |path: RememberedPath| Path {
            delay_min_ns: path.delay_min.as_nanos(),
            queue_ns: path.queue.as_nanos(),
            bias: path.bias.map(|known| Bias {
                bias_ns: known.bias.as_nanos(),
                error_ns: known.error.as_nanos(),
            }),
        };
        Self {
            host: source.host.clone(),
            port: source.port,
            address: source.address,
            learned_at_s: source.learned_at.unix_seconds(),
            missed_s: (source.missed.as_millis() / 1_000).clamp(0, MISSED_S_MAX),
            found: match source.record {
                Record::Clean => Found::True,
                Record::Probation => Found::Probation,
                Record::Convicted => Found::False,
            },
            path: source.path.map(path),
        }
    }

    fn parse(self) -> Result<RememberedSource, RememberedError> {
        in_range("host", self.host.len() as i64, 1..=HOST_OCTETS_MAX as i64)?;
        let learned_at_s = in_range("learned_at_s", self.learned_at_s, 0..=LEARNED_AT_S_MAX)?;
        let missed_s = in_range("missed_s", self.missed_s, 0..=MISSED_S_MAX)?;
        Ok(RememberedSource {
            host: self.host,
            port: self.port,
            address: self.address,
            learned_at: Timestamp::from_unix(learned_at_s, 0),
            missed: Span::from_secs(missed_s),
            record: match self.found {
                Found::True => Record::Clean,
                Found::Probation => Record::Probation,
                Found::False => Record::Convicted,
            },
            path: self.path.map(Path::parse).transpose()?,
        })
    }
}

impl Path {
    fn parse(self) -> Result<RememberedPath, RememberedError> {
        let length = |field, value| in_range(field, value, 0..=SPAN_MAX.as_nanos());
        let bias = |known: Bias| -> Result<RememberedBias, RememberedError> {
            let limits = -SPAN_MAX.as_nanos()..=SPAN_MAX.as_nanos();
            Ok(RememberedBias {
                bias: Span::from_nanos(in_range("bias_ns", known.bias_ns, limits)?),
                error: Span::from_nanos(length("error_ns", known.error_ns)?),
            })
        };
        Ok(RememberedPath {
            delay_min: Span::from_nanos(length("delay_min_ns", self.delay_min_ns)?),
            queue: Span::from_nanos(length("queue_ns", self.queue_ns)?),
            bias: self.bias.map(bias).transpose()?,
        })
    }
}

fn in_range(
    field: &'static str,
    value: i64,
    limits: std::ops::RangeInclusive<i64>,
) -> Result<i64, RememberedError> {
    if limits.contains(&value) { Ok(value) } else { Err(RememberedError::Range { field, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(record: Record, path: Option<RememberedPath>) -> RememberedSource {
        RememberedSource {
            host: "time.example.net".to_owned(),
            port: 123,
            address: Some("[2001:db8::1]:123".parse().unwrap()),
            learned_at: Timestamp::from_unix(1_795_000_000, 0),
            missed: Span::from_secs(7_200),
            record,
            path,
        }
    }

    #[test]
    fn what_is_remembered_is_read_as_it_was_written() {
        let bias = RememberedBias { bias: Span::from_micros(-310), error: Span::from_micros(12) };
        let path = RememberedPath {
            delay_min: Span::from_millis(20),
            queue: Span::from_micros(700),
            bias: Some(bias),
        };
        let clock = RememberedSource {
            host: "/dev/ptp0".to_owned(),
            address: None,
            ..source(Record::Clean, Some(RememberedPath { bias: None, ..path }))
        };
        let sources = [
            source(Record::Clean, Some(path)),
            source(Record::Probation, None),
            source(Record::Convicted, None),
            clock,
        ];
        assert_eq!(parse_remembered(&format_remembered(&sources)).unwrap(), sources);
        assert_eq!(parse_remembered(&format_remembered(&[])).unwrap(), []);
    }

    #[test]
    fn what_version_1_wrote_is_read_too() {
        let remembered = source(Record::Clean, None);
        let text = String::from_utf8(format_remembered(std::slice::from_ref(&remembered))).unwrap();
        let missed = text.lines().find(|line| line.contains("missed_s")).unwrap();
        let text = text.replacen(&format!("{missed}\n"), "", 1);
        let text = text.replacen("\"version\": 2", "\"version\": 1", 1);
        let expected = RememberedSource { missed: Span::ZERO, ..remembered };
        assert_eq!(parse_remembered(text.as_bytes()).unwrap(), [expected]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let text = String::from_utf8(format_remembered(&[source(Record::Clean, None)])).unwrap();
        for (from, to, expected) in [
            ("\"version\": 2", "\"version\": 3", "it has version 3, but"),
            ("1795000000", "-1", "`learned_at_s` is -1"),
            ("7200", "-1", "`missed_s` is -1"),
            ("time.example.net", "", "`host` is 0"),
            ("\"port\": 123", "\"port\": 123456", "it is no list of sources: invalid value"),
            ("\"port\"", "\"door\"", "unknown field `door`"),
            ("true", "maybe", "unknown variant `maybe`"),
            ("null", r#"{"delay_min_ns":-1,"queue_ns":0,"bias":null}"#, "`delay_min_ns` is -1"),
        ] {
            let error = parse_remembered(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let many = vec![source(Record::Clean, None); REMEMBERED_MAX + 1];
        let error = parse_remembered(&format_remembered(&many)).unwrap_err();
        assert!(matches!(error, RememberedError::Range { field: "sources", value: 65 }), "{error}");
    }
}
