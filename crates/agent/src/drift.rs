//! The drift file: the oscillator's rate error, remembered from one run to the next.

use std::path::Path;

use timeball_ntp::engine::Report;
use timeball_runtime::state::{StateDirectory, StateError};
use timeball_timebase::{Frequency, MonoTime, Span};

/// The newest format of the agent's state directory that this version knows.
const FORMAT: u32 = 1;
const FILE: &str = "drift";
const FILE_OCTETS_MAX: u64 = 256;
/// Writing more often would only wear the disk: an oscillator drifts slowly.
const WRITE_INTERVAL: Span = Span::from_minutes(60);
/// The first value is worth keeping early, in case the run is short.
const FIRST_WRITE_AFTER: Span = Span::from_minutes(5);
/// No oscillator that works is further off than this.
const PLAUSIBLE_MAX: Frequency = Frequency::from_ppm(500);

/// The oscillator's rate error as learned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Drift {
    /// Positive when the oscillator gains.
    pub(crate) frequency: Frequency,
    /// Its standard error; at least zero. A short run learns little, and the next must know that.
    pub(crate) error: Frequency,
}

/// The agent's state directory with the drift file in it: two numbers, parts per 10^9.
#[derive(Debug)]
pub(crate) struct DriftFile {
    directory: StateDirectory,
    write_at: Option<MonoTime>,
}

impl DriftFile {
    /// Takes the directory into use and reads the drift of an earlier run. A file that cannot be
    /// understood is set aside.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Drift>), StateError> {
        let directory = StateDirectory::open(path, FORMAT)?;
        let drift = match directory.read(FILE, FILE_OCTETS_MAX) {
            Ok(None) => None,
            Ok(Some(octets)) => Drift::parse(&octets)
                .or_else(|| set_aside(&directory, "does not hold a drift and its error")),
            Err(error) => set_aside(&directory, &error.to_string()),
        };
        Ok((Self { directory, write_at: None }, drift))
    }

    /// Writes the drift now and then; `report` is asked for only when that is due. Failures are
    /// logged.
    pub(crate) fn keep(&mut self, now: MonoTime, report: impl FnOnce() -> Report) {
        match self.write_at {
            None => self.write_at = Some(now + FIRST_WRITE_AFTER),
            Some(at) if now >= at => {
                self.write_at = Some(now + WRITE_INTERVAL);
                self.write(&report());
            }
            Some(_) => {}
        }
    }

    /// Writes the drift at the end of a run, if it was learned.
    pub(crate) fn close(&self, report: &Report) {
        self.write(report);
    }

    fn write(&self, report: &Report) {
        let Some(drift) = Drift::learned(report) else { return };
        let (frequency, error) = (drift.frequency.as_ppb_f64(), drift.error.as_ppb_f64());
        let text = format!("{frequency:.3} {error:.3}\n");
        if let Err(error) = self.directory.write(FILE, text.as_bytes()) {
            tracing::warn!(%error, "the drift file could not be written");
        }
    }
}

impl Drift {
    /// What the engine has learned; `None` while its clock may not be relied on.
    fn learned(report: &Report) -> Option<Self> {
        let error = report.frequency_error.filter(|_| report.clock.is_usable())?;
        Some(Self { frequency: report.clock.frequency, error })
    }

    fn parse(octets: &[u8]) -> Option<Self> {
        let ppb = |word: &str| Frequency::from_ratio_f64(word.parse::<f64>().ok()? / 1e9);
        let mut words = std::str::from_utf8(octets).ok()?.split_whitespace();
        let frequency = ppb(words.next()?)?;
        // Versions before the first release wrote no error.
        let error = words.next().map_or(Some(Frequency::ZERO), ppb)?;
        let is_plausible = frequency.abs() <= PLAUSIBLE_MAX
            && (Frequency::ZERO..=PLAUSIBLE_MAX).contains(&error)
            && words.next().is_none();
        is_plausible.then_some(Self { frequency, error })
    }
}

fn set_aside(directory: &StateDirectory, why: &str) -> Option<Drift> {
    match directory.set_aside(FILE) {
        Ok(kept_as) => {
            tracing::warn!(why, kept_as = %kept_as.display(), "the drift file was not usable");
        }
        Err(error) => tracing::warn!(why, %error, "the drift file is not usable"),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use timeball_ntp::engine::Counters;
    use timeball_timebase::{Bound, ClockState, SyncState};

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
            frequency_error: Some(Frequency::from_ppb(error_ppb)),
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

    #[test]
    fn the_drift_is_remembered_by_the_next_run_with_its_error() {
        let root = tempfile::tempdir().unwrap();
        let (mut file, drift) = DriftFile::open(root.path()).unwrap();
        assert_eq!(drift, None);
        file.keep(MonoTime::ZERO, || unreachable!("not due"));
        file.keep(MonoTime::ZERO + FIRST_WRITE_AFTER, || report(-12_345, 67));
        let soon = MonoTime::ZERO + FIRST_WRITE_AFTER + Span::NANOSECOND;
        file.keep(soon, || unreachable!("not due"));
        file.close(&Report { clock: ClockState::default(), ..report(99, 1) });
        drop(file);
        let (_, drift) = DriftFile::open(root.path()).unwrap();
        let (frequency, error) = (Frequency::from_ppb(-12_345), Frequency::from_ppb(67));
        assert_eq!(drift, Some(Drift { frequency, error }));
    }

    #[test]
    fn a_drift_file_without_an_error_is_read() {
        let frequency = Frequency::from_ppb(250);
        let expected = Some(Drift { frequency, error: Frequency::ZERO });
        assert_eq!(Drift::parse(b"250\n"), expected);
    }

    #[test]
    fn a_corrupt_drift_file_is_kept_aside_and_survived() {
        let root = tempfile::tempdir().unwrap();
        for (n, broken) in
            ["", "NaN", "1e99", "1 -1", "1 2 3", "\u{fffd}", &"9".repeat(1_000)].iter().enumerate()
        {
            fs::write(root.path().join(FILE), broken).unwrap();
            let (_, drift) = DriftFile::open(root.path()).unwrap();
            assert_eq!(drift, None, "{broken:?}");
            let kept = root.path().join(format!("{FILE}.corrupt-{}", n + 1));
            assert_eq!(&fs::read_to_string(kept).unwrap(), broken);
        }
    }
}
