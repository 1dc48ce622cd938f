//! The drift file: the oscillator's rate error, remembered from one run to the next.

use std::path::Path;

use timeball_runtime::state::{StateDirectory, StateError};
use timeball_timebase::{ClockState, Frequency, MonoTime, Span};

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

/// The agent's state directory with the drift file in it.
#[derive(Debug)]
pub(crate) struct DriftFile {
    directory: StateDirectory,
    write_at: Option<MonoTime>,
}

impl DriftFile {
    /// Takes the directory into use and reads the drift of an earlier run, in parts per 10^9,
    /// positive when the oscillator gains. A file that cannot be understood is set aside.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Frequency>), StateError> {
        let directory = StateDirectory::open(path, FORMAT)?;
        let drift = match directory.read(FILE, FILE_OCTETS_MAX) {
            Ok(None) => None,
            Ok(Some(octets)) => parse(&octets).or_else(|| set_aside(&directory, "is no number")),
            Err(error) => set_aside(&directory, &error.to_string()),
        };
        Ok((Self { directory, write_at: None }, drift))
    }

    /// Writes the drift now and then while the clock is synchronized; failures are logged.
    pub(crate) fn keep(&mut self, state: &ClockState, now: MonoTime) {
        if !state.is_usable() {
            return;
        }
        match self.write_at {
            None => self.write_at = Some(now + FIRST_WRITE_AFTER),
            Some(at) if now >= at => {
                self.write_at = Some(now + WRITE_INTERVAL);
                self.write(state);
            }
            Some(_) => {}
        }
    }

    /// Writes the drift at the end of a run, if it was learned.
    pub(crate) fn close(&self, state: &ClockState) {
        if self.write_at.is_some() && state.is_usable() {
            self.write(state);
        }
    }

    fn write(&self, state: &ClockState) {
        let text = format!("{:.3}\n", state.frequency.as_ppb_f64());
        if let Err(error) = self.directory.write(FILE, text.as_bytes()) {
            tracing::warn!(%error, "the drift file could not be written");
        }
    }
}

fn parse(octets: &[u8]) -> Option<Frequency> {
    let ppb: f64 = std::str::from_utf8(octets).ok()?.trim().parse().ok()?;
    Frequency::from_ratio_f64(ppb / 1e9).filter(|drift| drift.abs() <= PLAUSIBLE_MAX)
}

fn set_aside(directory: &StateDirectory, why: &str) -> Option<Frequency> {
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
    use timeball_timebase::{Bound, SyncState};

    fn synchronized(ppb: i64) -> ClockState {
        ClockState {
            state: SyncState::Synchronized,
            bound: Some(Bound {
                as_of: MonoTime::ZERO,
                half_width: Span::ZERO,
                growth: Frequency::ZERO,
            }),
            frequency: Frequency::from_ppb(ppb),
            ..ClockState::default()
        }
    }

    #[test]
    fn the_drift_is_remembered_by_the_next_run() {
        let root = tempfile::tempdir().unwrap();
        let (mut file, drift) = DriftFile::open(root.path()).unwrap();
        assert_eq!(drift, None);
        file.keep(&synchronized(-12_345), MonoTime::ZERO);
        assert!(!root.path().join(FILE).exists(), "written before it is worth it");
        file.keep(&synchronized(-12_345), MonoTime::ZERO + FIRST_WRITE_AFTER);
        file.keep(&synchronized(99), MonoTime::ZERO + FIRST_WRITE_AFTER + Span::NANOSECOND);
        file.close(&ClockState::default());
        drop(file);
        let (_, drift) = DriftFile::open(root.path()).unwrap();
        assert_eq!(drift, Some(Frequency::from_ppb(-12_345)));
    }

    #[test]
    fn a_corrupt_drift_file_is_kept_aside_and_survived() {
        let root = tempfile::tempdir().unwrap();
        for (n, broken) in ["", "NaN", "1e99", "\u{fffd}", &"9".repeat(1_000)].iter().enumerate() {
            fs::write(root.path().join(FILE), broken).unwrap();
            let (_, drift) = DriftFile::open(root.path()).unwrap();
            assert_eq!(drift, None, "{broken:?}");
            let kept = root.path().join(format!("{FILE}.corrupt-{}", n + 1));
            assert_eq!(&fs::read_to_string(kept).unwrap(), broken);
        }
    }
}
