//! The oscillator's rate error, remembered from one run to the next: two numbers, parts per 10^9.

use timeball_ntp::engine::Report;
use timeball_timebase::Frequency;

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

impl Drift {
    /// What the engine has learned; `None` while its clock may not be relied on.
    pub(crate) fn learned(report: &Report) -> Option<Self> {
        let error = report.drift_error.filter(|_| report.clock.is_usable())?;
        Some(Self { frequency: report.clock.frequency, error })
    }

    /// As the file tells it.
    pub(crate) fn text(self) -> String {
        format!("{:.3} {:.3}\n", self.frequency.as_ppb_f64(), self.error.as_ppb_f64())
    }

    /// Reads what [`Drift::text`] wrote; `None` where it cannot be.
    pub(crate) fn parse(octets: &[u8]) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_read_as_it_was_written_or_without_an_error() {
        let (frequency, error) = (Frequency::from_ppb(-12_345), Frequency::from_ppb(67));
        let drift = Drift { frequency, error };
        assert_eq!(Drift::parse(drift.text().as_bytes()), Some(drift));
        let frequency = Frequency::from_ppb(250);
        let expected = Some(Drift { frequency, error: Frequency::ZERO });
        assert_eq!(Drift::parse(b"250\n"), expected);
    }

    #[test]
    fn what_no_oscillator_does_is_no_drift() {
        for broken in ["", "NaN", "1e99", "1 -1", "1 2 3", "\u{fffd}", "600000"] {
            assert_eq!(Drift::parse(broken.as_bytes()), None, "{broken:?}");
        }
    }
}
