//! The machine's two clocks, read together.

use std::fs;

use timeball_timebase::{MonoTime, Now, Span, Timestamp};

use crate::sys;

/// How often a pair of readings that took unusually long is tried again.
const ATTEMPTS: u32 = 3;
/// A pair of readings that took no longer than this was not interrupted.
const UNDISTURBED: Span = Span::from_micros(2);

/// Reads `CLOCK_MONOTONIC_RAW` and `CLOCK_REALTIME` as of one moment.
///
/// The system clock is read between two readings of the raw clock, whose middle is its moment; of a
/// few attempts the shortest counts, so that a preemption in between hardly passes for an offset;
/// what is left of it is told with the readings ([`Now::apart`]).
pub fn read_clocks() -> Now {
    let mut best: Option<(Span, Now)> = None;
    for _ in 0..ATTEMPTS {
        let before = raw_clock();
        let system = system_clock();
        let after = raw_clock();
        let took = after - before;
        if best.is_none_or(|(shortest, _)| took < shortest) {
            let raw = before + took / 2;
            best = Some((took, Now { raw, system, apart: after - raw }));
        }
        if took <= UNDISTURBED {
            break;
        }
    }
    best.expect("at least one attempt is made").1
}

/// How long the machine was suspended since it was started; zero or more, and right to microseconds
/// (`CLOCK_BOOTTIME` less `CLOCK_MONOTONIC`). A virtual machine that is paused from outside knows
/// nothing of that.
pub fn time_asleep() -> Span {
    let mut best: Option<(Span, Span)> = None;
    for _ in 0..ATTEMPTS {
        let before = monotonic_clock(libc::CLOCK_MONOTONIC);
        let asleep = monotonic_clock(libc::CLOCK_BOOTTIME) - before;
        let took = monotonic_clock(libc::CLOCK_MONOTONIC) - before;
        best = Some(best.map_or((took, asleep), |shortest| shortest.min((took, asleep))));
        if took <= UNDISTURBED {
            break;
        }
    }
    best.expect("at least one attempt is made").1
}

/// What tells this boot of the machine from all others, a UUID; `None` where the kernel does not
/// tell. The raw clock and the rate at which the kernel lets it count are of one boot only.
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The machine's host name; `localhost` where the kernel does not tell.
pub fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

pub(crate) fn raw_clock() -> MonoTime {
    monotonic_clock(libc::CLOCK_MONOTONIC_RAW)
}

/// `CLOCK_MONOTONIC_COARSE`: slewed with the system clock, never set, and as of the last tick.
pub(crate) fn coarse_clock() -> MonoTime {
    monotonic_clock(libc::CLOCK_MONOTONIC_COARSE)
}

fn monotonic_clock(clock: libc::clockid_t) -> MonoTime {
    let (seconds, nanos) = sys::clock_gettime(clock);
    MonoTime::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

pub(crate) fn system_clock() -> Timestamp {
    let (seconds, nanos) = sys::clock_gettime(libc::CLOCK_REALTIME);
    Timestamp::from_unix(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn the_clocks_are_those_of_the_machine() {
        let first = read_clocks();
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        let second = read_clocks();
        assert!(first.system.as_unix_nanos() <= system && system <= second.system.as_unix_nanos());
        assert!(first.raw < second.raw);
        assert!(Span::ZERO <= first.apart && first.apart <= second.raw - first.raw);
        assert!(!hostname().is_empty() && !time_asleep().is_negative());
    }
}
