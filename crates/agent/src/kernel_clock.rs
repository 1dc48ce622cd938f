//! The kernel's clock: read by everybody, written only in discipline mode.

use timeball_ntp::engine::{AdjustError, KernelClock, KernelStatus};
use timeball_runtime::read_clocks;
use timeball_timebase::{Frequency, Leap, Span};

use crate::sys;

/// Nominal length of a tick (`USER_HZ` is 100), µs.
const TICK_US: i64 = 10_000;
/// A tick that is 1 µs longer makes the clock this much faster.
const TICK_STEP: Frequency = Frequency::from_ppm(100);
/// `adjtimex` takes frequencies up to this, apart from the tick.
const FREQUENCY_MAX: Frequency = Frequency::from_ppm(500);
/// `adjtimex` takes ticks within 10 % of the nominal one.
const TICK_STEPS_MAX: i64 = TICK_US / 10;
/// Units of `adjtimex` frequencies in one part per million.
const UNITS_PER_PPM: i128 = 1 << 16;
const FEMTO_PER_PPM: i128 = 1_000_000_000;

/// Pairs of readings that the clock's precision is learned from.
const PRECISION_READINGS: u32 = 16;

/// Reads how the kernel's clock stands, without privilege.
///
/// # Errors
/// Where a sandbox forbids even reading.
pub(crate) fn read() -> Result<KernelClock, AdjustError> {
    let mut clock = sys::empty_timex();
    adjust(&mut clock)
}

/// How long one reading of the system clock takes at best; at least 1 ns, at most 1 ms.
pub(crate) fn precision() -> Span {
    let mut last = read_clocks().system;
    let mut shortest = Span::from_millis(1);
    for _ in 0..PRECISION_READINGS {
        let next = read_clocks().system;
        let took = next - last;
        if took > Span::ZERO {
            shortest = shortest.min(took);
        }
        last = next;
    }
    shortest
}

/// The only thing that writes the clock. It is made in discipline mode, and nowhere else.
#[derive(Debug)]
pub(crate) struct KernelClockWriter {
    /// Nobody else makes one by accident.
    _deliberate: (),
}

impl KernelClockWriter {
    /// Makes the writer, which touches nothing yet.
    pub(crate) fn for_discipline() -> Self {
        Self { _deliberate: () }
    }

    /// Takes the clock over: ends what an earlier owner left under way (a slew of `adjtime`, a
    /// phase adjustment of the kernel's loop, a leap second), keeps the frequency as it is, and
    /// sets the flag: who has measured nothing can vouch for nothing, be it after a mere restart.
    ///
    /// # Errors
    /// Where the process may not set the clock.
    pub(crate) fn take_over(&self) -> Result<KernelClock, AdjustError> {
        let mut phase = sys::empty_timex();
        // The kernel forgets a phase adjustment only by being given another with its loop on.
        phase.modes = libc::ADJ_STATUS | libc::ADJ_OFFSET;
        phase.status = libc::STA_PLL | libc::STA_UNSYNC;
        adjust(&mut phase)?;
        let mut slew = sys::empty_timex();
        slew.modes = libc::ADJ_OFFSET_SINGLESHOT;
        adjust(&mut slew)?;
        let mut status = sys::empty_timex();
        status.modes = libc::ADJ_STATUS;
        status.status = libc::STA_UNSYNC;
        adjust(&mut status)
    }

    /// Makes the system clock run `frequency` faster than the raw one, ±10 %; returns what was set,
    /// which is the nearest that the kernel can represent.
    pub(crate) fn set_frequency(&self, frequency: Frequency) -> Result<KernelClock, AdjustError> {
        let (tick_us, units) = tick_and_units(frequency);
        let mut clock = sys::empty_timex();
        clock.modes = libc::ADJ_FREQUENCY | libc::ADJ_TICK;
        clock.tick = tick_us;
        clock.freq = units;
        // Whether somebody else has written it since we did.
        let found = read().ok().map(|clock| clock.frequency);
        adjust(&mut clock).map(|written| KernelClock { found, ..written })
    }

    /// Steps the system clock, forward if positive.
    pub(crate) fn step(&self, offset: Span) -> Result<KernelClock, AdjustError> {
        let mut clock = sys::empty_timex();
        clock.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
        // The fraction must not be negative, even where the whole is.
        clock.time.tv_sec = offset.as_nanos().div_euclid(1_000_000_000);
        clock.time.tv_usec = offset.as_nanos().rem_euclid(1_000_000_000);
        adjust(&mut clock)
    }

    /// Writes status and error bounds, rounded up to the kernel's microseconds.
    pub(crate) fn set_status(&self, status: KernelStatus) -> Result<KernelClock, AdjustError> {
        let mut clock = sys::empty_timex();
        clock.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
        clock.status = match status.leap {
            Leap::None => 0,
            Leap::Insert => libc::STA_INS,
            Leap::Delete => libc::STA_DEL,
        };
        if !status.synchronized {
            clock.status |= libc::STA_UNSYNC;
        }
        if let Some(tai_offset_s) = status.tai_offset_s {
            clock.modes |= libc::ADJ_TAI;
            clock.constant = i64::from(tai_offset_s);
        }
        clock.maxerror = micros_up(status.max_error);
        clock.esterror = micros_up(status.estimated_error);
        adjust(&mut clock)
    }
}

fn adjust(clock: &mut libc::timex) -> Result<KernelClock, AdjustError> {
    sys::adjust_clock(clock).map_err(|errno| match errno {
        libc::EPERM | libc::EACCES | libc::ENOSYS => AdjustError::NotPermitted,
        errno => AdjustError::Failed { errno },
    })?;
    Ok(KernelClock {
        frequency: frequency_of(clock.tick, clock.freq),
        synchronized: clock.status & libc::STA_UNSYNC == 0,
        max_error: Span::from_micros(clock.maxerror),
        estimated_error: Span::from_micros(clock.esterror),
        tai_offset_s: clock.tai,
        found: None,
    })
}

/// Splits a frequency into tick (µs) and remainder (2^-16 ppm). The tick stays nominal as long as
/// the remainder alone suffices.
fn tick_and_units(frequency: Frequency) -> (i64, i64) {
    let step = TICK_STEP.as_femto();
    let steps = if frequency.abs() <= FREQUENCY_MAX {
        0
    } else {
        let half = if frequency.as_femto() < 0 { -step / 2 } else { step / 2 };
        (frequency.as_femto().saturating_add(half) / step).clamp(-TICK_STEPS_MAX, TICK_STEPS_MAX)
    };
    let rest = i128::from(frequency.as_femto()) - i128::from(steps) * i128::from(step);
    let limit = i128::from(FREQUENCY_MAX.as_femto());
    let rest = rest.clamp(-limit, limit);
    let half = if rest < 0 { -FEMTO_PER_PPM / 2 } else { FEMTO_PER_PPM / 2 };
    let units = (rest * UNITS_PER_PPM + half) / FEMTO_PER_PPM;
    (TICK_US + steps, i64::try_from(units).expect("500 ppm are 32,768,000 units"))
}

fn frequency_of(tick_us: i64, units: i64) -> Frequency {
    let ticks = i128::from(tick_us - TICK_US) * i128::from(TICK_STEP.as_femto());
    let rest = i128::from(units) * FEMTO_PER_PPM / UNITS_PER_PPM;
    Frequency::from_femto(i64::try_from(ticks + rest).unwrap_or(i64::MAX))
}

fn micros_up(span: Span) -> i64 {
    let nanos = span.as_nanos().max(0);
    nanos / 1_000 + i64::from(nanos % 1_000 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequency_survives_the_kernels_units() {
        for ppb in [0, 1, -1, 12_345, -499_999, 500_000, 500_001, -83_333_000, 100_000_000] {
            let frequency = Frequency::from_ppb(ppb);
            let (tick, units) = tick_and_units(frequency);
            let error = (frequency_of(tick, units) - frequency).abs();
            // Half a unit of 2^-16 ppm.
            assert!(error <= Frequency::from_femto(7_630), "{ppb} ppb: {error:?}");
            assert!(units.abs() <= 500 << 16, "{ppb}");
            assert_eq!(tick == TICK_US, ppb.abs() <= 500_000, "{ppb}");
        }
    }

    #[test]
    fn a_frequency_out_of_range_is_cut_to_the_kernels_limit() {
        for (frequency, tick) in [(i64::MAX, 11_000), (i64::MIN, 9_000)] {
            let (set, units) = tick_and_units(Frequency::from_femto(frequency));
            assert_eq!(set, tick);
            assert_eq!(units.abs(), 500 << 16);
        }
    }

    #[test]
    fn errors_are_rounded_up() {
        assert_eq!(micros_up(Span::from_nanos(1)), 1);
        assert_eq!(micros_up(Span::from_micros(7)), 7);
        assert_eq!(micros_up(Span::from_nanos(-5)), 0);
    }

    #[test]
    fn the_clock_is_read_without_being_touched() {
        // A sandbox may forbid it; then the error says so.
        match read() {
            Ok(clock) => assert!(clock.frequency.abs() <= Frequency::from_ppm(110_000)),
            Err(error) => assert_eq!(error, AdjustError::NotPermitted),
        }
        let precision = precision();
        assert!(precision >= Span::NANOSECOND && precision <= Span::from_millis(1));
    }
}
