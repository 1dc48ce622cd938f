//! The machine's hardware clock: of whole seconds, and runs on while the machine stands still.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use timeball_timebase::Timestamp;

/// Its time as seconds since 1970, which everybody may read.
const TIME: &str = "/sys/class/rtc/rtc0/since_epoch";
/// Digits of such a number, and a line's end.
const OCTETS_MAX: u64 = 24;

/// Where the hardware clock is read.
pub(crate) struct HardwareClock(PathBuf);

impl HardwareClock {
    /// This machine's, if it has one.
    pub(crate) fn of_machine() -> Self {
        Self(Path::new(TIME).to_owned())
    }

    /// What it tells, as UTC; `None` where there is none, or it tells nothing.
    ///
    /// It takes a few milliseconds, so this is for rare occasions.
    pub(crate) fn read(&self) -> Option<Timestamp> {
        let mut text = String::new();
        File::open(&self.0).ok()?.take(OCTETS_MAX).read_to_string(&mut text).ok()?;
        let seconds: u32 = text.trim().parse().ok()?;
        Some(Timestamp::from_unix(seconds.into(), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn whole_seconds_are_read_and_anything_else_is_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let clock = HardwareClock(directory.path().join("since_epoch"));
        assert_eq!(clock.read(), None);
        for (text, expected) in [
            ("1795000000\n", Some(Timestamp::from_unix(1_795_000_000, 0))),
            ("", None),
            ("-1\n", None),
            ("soon\n", None),
            ("99999999999999999999999999999999\n", None),
        ] {
            fs::write(&clock.0, text).unwrap();
            assert_eq!(clock.read(), expected, "{text:?}");
        }
    }
}
