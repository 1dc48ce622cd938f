//! The machine's hardware clock: of whole seconds, and runs on while the machine stands still.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use timeball_timebase::Timestamp;

/// Its time as seconds since 1970, which everybody may read.
const TIME: &str = "/sys/class/rtc/rtc0/since_epoch";
/// Digits of such a number, and a line's end.
const OCTETS_MAX: u64 = 24;

/// hwclock(8)'s notes; the third line says whether the clock keeps UTC or LOCAL time.
const NOTES: &str = "/etc/adjtime";
const NOTES_OCTETS_MAX: u64 = 1024;

/// Where the hardware clock is read.
pub(crate) struct HardwareClock {
    time: PathBuf,
    notes: PathBuf,
}

impl HardwareClock {
    /// This machine's, if it has one.
    pub(crate) fn of_machine() -> Self {
        Self { time: Path::new(TIME).to_owned(), notes: Path::new(NOTES).to_owned() }
    }

    /// What it tells; `None` where there is none, it tells nothing, or it keeps local time: it
    /// would agree with whoever lies by the hours that it is off.
    ///
    /// It takes a few milliseconds, so this is for rare occasions.
    pub(crate) fn read(&self) -> Option<Timestamp> {
        if self.keeps_local_time() {
            return None;
        }
        let text = first_octets(&self.time, OCTETS_MAX)?;
        let seconds: u32 = text.trim().parse().ok()?;
        Some(Timestamp::from_unix(seconds.into(), 0))
    }

    fn keeps_local_time(&self) -> bool {
        let notes = first_octets(&self.notes, NOTES_OCTETS_MAX).unwrap_or_default();
        notes.lines().nth(2).is_some_and(|line| line.trim() == "LOCAL")
    }
}

fn first_octets(path: &Path, limit: u64) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(limit).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn whole_seconds_are_read_and_anything_else_is_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let [time, notes] = ["since_epoch", "adjtime"].map(|name| directory.path().join(name));
        let clock = HardwareClock { time, notes };
        assert_eq!(clock.read(), None);
        for (text, expected) in [
            ("1795000000\n", Some(Timestamp::from_unix(1_795_000_000, 0))),
            ("", None),
            ("-1\n", None),
            ("soon\n", None),
            ("99999999999999999999999999999999\n", None),
        ] {
            fs::write(&clock.time, text).unwrap();
            assert_eq!(clock.read(), expected, "{text:?}");
        }
        fs::write(&clock.time, "1795000000\n").unwrap();
        fs::write(&clock.notes, "0.0 1795000000 0.0\n1795000000\nUTC\n").unwrap();
        assert!(clock.read().is_some());
        fs::write(&clock.notes, "0.0 1795000000 0.0\n1795000000\nLOCAL\n").unwrap();
        assert_eq!(clock.read(), None);
    }
}
