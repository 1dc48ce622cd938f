//! The oscillator's rate error, remembered from one run to the next: two numbers, parts per 10^9,
//! and the boot in which it was learned.

use timeball_ntp::engine::Report;
use timeball_timebase::Frequency;

/// No oscillator that works is further off than this.
const PLAUSIBLE_MAX: Frequency = Frequency::from_ppm(500);

/// The oscillator's rate error as learned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Drift {
    /// Positive when the oscillator gains.
    pub(crate) frequency: Frequency,
    /// Its standard error; at least zero. A short run learns little, and the next must know that.
    pub(crate) error: Frequency,
    /// The boot of the machine in which it was learned, as [`timeball_runtime::boot_id`] tells it;
    /// `None` where that is not known.
    pub(crate) boot: Option<String>,
}

impl Drift {
    /// What the engine has learned in this `boot`; `None` while its clock may not be relied on.
    pub(crate) fn learned(report: &Report, boot: Option<String>) -> Option<Self> {
        let error = report.drift_error.filter(|_| report.clock.is_usable())?;
        Some(Self { frequency: report.clock.frequency, error, boot })
    }

    /// As the file tells it.
    pub(crate) fn text(&self) -> String {
        let (frequency, error) = (self.frequency.as_ppb_f64(), self.error.as_ppb_f64());
        let boot = self.boot.iter().map(|boot| format!(" {boot}"));
        format!("{frequency:.3} {error:.3}{}\n", boot.collect::<String>())
    }

    /// Whether it was learned in this `boot`.
    pub(crate) fn is_of(&self, boot: Option<&str>) -> bool {
        boot.is_some() && self.boot.as_deref() == boot
    }

    /// Reads what [`Drift::text`] wrote; `None` where it cannot be.
    pub(crate) fn parse(octets: &[u8]) -> Option<Self> {
        let ppb = |word: &str| Frequency::from_ratio_f64(word.parse::<f64>().ok()? / 1e9);
        let mut words = std::str::from_utf8(octets).ok()?.split_whitespace();
        let frequency = ppb(words.next()?)?;
        // Versions before the first release wrote no error, and no boot.
        let error = words.next().map_or(Some(Frequency::ZERO), ppb)?;
        let boot = words.next().map(str::to_owned);
        let is_plausible = frequency.abs() <= PLAUSIBLE_MAX
            && (Frequency::ZERO..=PLAUSIBLE_MAX).contains(&error)
            && words.next().is_none();
        is_plausible.then_some(Self { frequency, error, boot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_read_as_it_was_written_or_without_what_older_versions_did_not_write() {
        let (frequency, error) = (Frequency::from_ppb(-12_345), Frequency::from_ppb(67));
        for boot in [None, Some("f0e1d2c3-b4a5-4687-9786-a5b4c3d2e1f0".to_owned())] {
            let drift = Drift { frequency, error, boot };
            assert_eq!(Drift::parse(drift.text().as_bytes()), Some(drift));
        }
        let frequency = Frequency::from_ppb(250);
        let expected = Some(Drift { frequency, error: Frequency::ZERO, boot: None });
        assert_eq!(Drift::parse(b"250\n"), expected);
    }

    #[test]
    fn only_what_was_learned_in_this_very_boot_is_of_it() {
        let of = |words: &str| Drift::parse(words.as_bytes()).unwrap();
        assert!(of("1 2 first").is_of(Some("first")));
        assert!(!of("1 2 first").is_of(Some("second")));
        assert!(!of("1 2 first").is_of(None) && !of("1 2").is_of(None));
        assert!(!of("1 2").is_of(Some("second")));
    }

    #[test]
    fn what_no_oscillator_does_is_no_drift() {
        for broken in ["", "NaN", "1e99", "1 -1", "1 2 3 4", "\u{fffd}", "600000"] {
            assert_eq!(Drift::parse(broken.as_bytes()), None, "{broken:?}");
        }
    }
}
