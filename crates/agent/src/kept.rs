//! What the agent keeps from one run to the next, in its state directory: the oscillator's rate
//! error (`drift`) and what was learned of the sources (`sources`).

use std::path::Path;

use timeball_ntp::engine::{RememberedSource, Report};
use timeball_runtime::boot_id;
use timeball_runtime::state::{StateDirectory, StateError};
use timeball_timebase::{MonoTime, Span};

use crate::drift::Drift;
use crate::remembered::{RememberedError, format_remembered, parse_remembered};

/// The newest format of the agent's state directory that this version knows.
const FORMAT: u32 = 1;
const DRIFT: &str = "drift";
const DRIFT_OCTETS_MAX: u64 = 256;
const SOURCES: &str = "sources";
const SOURCES_OCTETS_MAX: u64 = 65_536;
/// Writing more often would only wear the disk: an oscillator drifts slowly.
const WRITE_INTERVAL: Span = Span::from_minutes(60);
/// The first value is worth keeping early, in case the run is short.
const FIRST_WRITE_AFTER: Span = Span::from_minutes(5);

/// The agent's state directory.
#[derive(Debug)]
pub(crate) struct Kept {
    directory: StateDirectory,
    boot: Option<String>,
    write_at: Option<MonoTime>,
    /// Whether the file of sources is ours to write: a newer version's is left as it is.
    writes_sources: bool,
}

/// What an earlier run kept.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Former {
    pub(crate) drift: Option<Drift>,
    /// Whether that was learned since the machine was booted.
    pub(crate) drift_is_of_this_boot: bool,
    pub(crate) sources: Vec<RememberedSource>,
}

/// What this run has learned.
pub(crate) struct Learned {
    pub(crate) report: Report,
    pub(crate) sources: Vec<RememberedSource>,
}

impl Kept {
    /// Takes the directory into use and reads what an earlier run kept. A file that cannot be
    /// understood is set aside; one of a newer version is neither read nor written.
    pub(crate) fn open(path: &Path) -> Result<(Self, Former), StateError> {
        let directory = StateDirectory::open(path, FORMAT)?;
        let drift = match directory.read(DRIFT, DRIFT_OCTETS_MAX) {
            Ok(None) => None,
            Ok(Some(octets)) => Drift::parse(&octets).or_else(|| {
                set_aside(&directory, DRIFT, "it does not hold a drift, its error and its boot");
                None
            }),
            Err(error) => {
                set_aside(&directory, DRIFT, &error.to_string());
                None
            }
        };
        let boot = boot_id();
        let mut kept = Self { directory, boot, write_at: None, writes_sources: true };
        let sources = kept.read_sources();
        let boot = kept.boot.as_deref();
        let drift_is_of_this_boot = drift.as_ref().is_some_and(|drift| drift.is_of(boot));
        Ok((kept, Former { drift, drift_is_of_this_boot, sources }))
    }

    /// Writes what was learned now and then; `learned` is asked for only when that is due. Failures
    /// are logged.
    pub(crate) fn keep(&mut self, now: MonoTime, learned: impl FnOnce() -> Learned) {
        match self.write_at {
            None => self.write_at = Some(now + FIRST_WRITE_AFTER),
            Some(at) if now >= at => {
                self.write_at = Some(now + WRITE_INTERVAL);
                self.write(&learned());
            }
            Some(_) => {}
        }
    }

    /// Writes at the end of a run what was learned.
    pub(crate) fn close(&self, learned: &Learned) {
        self.write(learned);
    }

    fn read_sources(&mut self) -> Vec<RememberedSource> {
        let problem = match self.directory.read(SOURCES, SOURCES_OCTETS_MAX) {
            Ok(None) => return Vec::new(),
            Ok(Some(octets)) => match parse_remembered(&octets) {
                Ok(sources) => return sources,
                Err(error @ RememberedError::Newer { .. }) => {
                    let file = self.directory.file(SOURCES);
                    tracing::warn!(
                        %error, file = %file.display(),
                        "what is remembered of sources is left as it is, and nothing is added"
                    );
                    self.writes_sources = false;
                    return Vec::new();
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        set_aside(&self.directory, SOURCES, &problem);
        Vec::new()
    }

    fn write(&self, learned: &Learned) {
        if let Some(drift) = Drift::learned(&learned.report, self.boot.clone()) {
            self.write_file(DRIFT, drift.text().as_bytes());
        }
        if self.writes_sources && !learned.sources.is_empty() {
            self.write_file(SOURCES, &format_remembered(&learned.sources));
        }
    }

    fn write_file(&self, file: &str, octets: &[u8]) {
        if let Err(error) = self.directory.write(file, octets) {
            tracing::warn!(%error, file, "what was learned could not be kept");
        }
    }
}

fn set_aside(directory: &StateDirectory, file: &str, why: &str) {
    match directory.set_aside(file) {
        Ok(kept_as) => {
            tracing::warn!(file, why, kept_as = %kept_as.display(), "a kept file was not usable");
        }
        Err(error) => tracing::warn!(file, why, %error, "a kept file is not usable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use timeball_ntp::engine::{Counters, Record};
    use timeball_timebase::{Bound, ClockState, Frequency, SyncState, Timestamp};

    fn report(ppb: i64, error_ppb: i64) -> Report {
        let clock = ClockState {
            state: SyncState::Synchronized,
            bound: Some(Bound {
                as_of: MonoTime::ZERO,
                half_width: Span::ZERO,
                growth: Frequency::ZERO,
            }),
            frequency: Frequency::from_ppb(ppb),
            ..ClockState::default()
        };
        Report {
            clock,
            offset_error: None,
            frequency_error: None,
            drift_error: Some(Frequency::from_ppb(error_ppb)),
            sources: Vec::new(),
            counters: Counters::default(),
            kernel: None,
            constrained: None,
            yielded: false,
            tai_offset_s: None,
            leap_table_expires: None,
            refused_offset: None,
            adjust_error: None,
        }
    }

    fn learned(ppb: i64, error_ppb: i64, host: &str) -> Learned {
        let source = RememberedSource {
            host: host.to_owned(),
            port: 123,
            address: Some("192.0.2.1:123".parse().unwrap()),
            learned_at: Timestamp::from_unix(1_795_000_000, 0),
            missed: Span::ZERO,
            record: Record::Convicted,
            path: None,
        };
        Learned { report: report(ppb, error_ppb), sources: vec![source] }
    }

    #[test]
    fn what_was_learned_is_remembered_by_the_next_run() {
        let root = tempfile::tempdir().unwrap();
        let (mut kept, former) = Kept::open(root.path()).unwrap();
        assert_eq!(former, Former::default());
        kept.keep(MonoTime::ZERO, || unreachable!("not due"));
        kept.keep(MonoTime::ZERO + FIRST_WRITE_AFTER, || learned(-12_345, 67, "early"));
        let soon = MonoTime::ZERO + FIRST_WRITE_AFTER + Span::NANOSECOND;
        kept.keep(soon, || unreachable!("not due"));
        // A clock that may not be relied on at the end leaves the drift as it was.
        let mut last = learned(99, 1, "late");
        last.report.clock = ClockState::default();
        kept.close(&last);
        drop(kept);
        let (_, former) = Kept::open(root.path()).unwrap();
        let (frequency, error) = (Frequency::from_ppb(-12_345), Frequency::from_ppb(67));
        assert_eq!(former.drift, Some(Drift { frequency, error, boot: boot_id() }));
        assert_eq!(former.drift_is_of_this_boot, boot_id().is_some());
        assert_eq!(former.sources, last.sources);
    }

    #[test]
    fn what_was_learned_in_another_boot_is_known_to_be() {
        let root = tempfile::tempdir().unwrap();
        for text in ["12 3 another-boot\n", "12 3\n"] {
            fs::write(root.path().join(DRIFT), text).unwrap();
            let (_, former) = Kept::open(root.path()).unwrap();
            assert!(former.drift.is_some() && !former.drift_is_of_this_boot, "{text}");
        }
    }

    #[test]
    fn corrupt_files_are_kept_aside_and_survived() {
        let root = tempfile::tempdir().unwrap();
        let long = "9".repeat(70_000);
        for file in [DRIFT, SOURCES] {
            for (n, broken) in ["", "NaN", "{\"version\":1}", "\u{fffd}", &long].iter().enumerate()
            {
                fs::write(root.path().join(file), broken).unwrap();
                let (kept, former) = Kept::open(root.path()).unwrap();
                assert_eq!(former, Former::default(), "{broken:?}");
                let aside = root.path().join(format!("{file}.corrupt-{}", n + 1));
                assert_eq!(&fs::read_to_string(aside).unwrap(), broken);
                kept.close(&learned(1, 1, "anew"));
                assert!(root.path().join(file).exists());
                fs::remove_file(root.path().join(DRIFT)).unwrap();
                fs::remove_file(root.path().join(SOURCES)).unwrap();
            }
        }
    }

    #[test]
    fn a_file_of_a_newer_version_is_neither_read_nor_written() {
        let root = tempfile::tempdir().unwrap();
        let newer = r#"{"version":3,"sources":"elsewhere"}"#;
        fs::write(root.path().join(SOURCES), newer).unwrap();
        let (kept, former) = Kept::open(root.path()).unwrap();
        assert_eq!(former, Former::default());
        kept.close(&learned(5, 1, "older"));
        assert_eq!(fs::read_to_string(root.path().join(SOURCES)).unwrap(), newer);
        assert!(root.path().join(DRIFT).exists(), "the drift is kept all the same");
    }
}
