//! What the time loop publishes: the state of this machine's clock, small enough to copy.

use crate::{Bound, Frequency, Leap, LeapSecond, MonoTime, Reading, Span, Timestamp};

/// The greatest age at which a state with a bound still promises anything. Who publishes does so
/// every 64 s at least while there is a bound, so an older state is of a loop that has ended or
/// hangs: nobody looks any more whether the clock was set, or whether sources still agree.
pub const STATE_AGE_MAX: Span = Span::from_secs(128);

/// Two clocks of one machine, read together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// The raw monotonic clock (`CLOCK_MONOTONIC_RAW`): never set, never slewed.
    pub raw: MonoTime,
    /// The system clock (`CLOCK_REALTIME`): what everyone else on the machine takes for the time.
    pub system: Timestamp,
    /// How long before or after the other each may have been read at most; at least zero. Where the
    /// one is told from the other, the error is as large.
    pub apart: Span,
}

impl Now {
    /// Readings of the very same moment, as a simulation has them.
    pub const fn exact(raw: MonoTime, system: Timestamp) -> Self {
        Self { raw, system, apart: Span::ZERO }
    }
}

/// How much is known about the clock's error.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SyncState {
    /// Nothing is known: no majority of sources has answered.
    #[default]
    Unsynchronized,
    /// A first estimate and bound exist, too few measurements yet to be relied on.
    Acquiring,
    /// Estimate and bound are fed by a majority of sources.
    Synchronized,
    /// Sources are lost; the bound grows from the last good estimate.
    Holdover,
}

/// The clock's published state: an estimate and a promise, true from `as_of` on until the next one.
///
/// True time at a later reading `now` of both clocks is
/// `now.system + offset + drift · (now.raw − as_of)`, within the bound at `now.raw`; that holds
/// while nobody steps the system clock or changes its rate, and each change publishes a new state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClockState {
    /// How much is known.
    pub state: SyncState,
    /// The raw monotonic clock when this was published.
    pub as_of: MonoTime,
    /// The system clock at the same moment.
    pub system: Timestamp,
    /// True time less system time, positive when the system clock is behind; `None` while unknown.
    pub offset: Option<Span>,
    /// How fast `offset` changes per unit of raw time.
    pub drift: Frequency,
    /// The error of `offset`; `None` while nothing can be promised.
    pub bound: Option<Bound>,
    /// How far after the estimate the middle of what true time can be is, negative when before:
    /// on the other side the error is smaller than the bound by twice this.
    pub lean: Span,
    /// Estimated rate error of the undisciplined oscillator, positive when it gains on true time.
    pub frequency: Frequency,
    /// Announced leap second.
    pub leap: Leap,
    /// The leap second that is announced, or that came less than a day ago; which of both, `leap`
    /// tells.
    pub leap_second: Option<LeapSecond>,
    /// Steps away from a reference clock: 1 to 15, or 16 while unsynchronized.
    pub stratum: u8,
    /// Reference identifier (RFC 5905 section 7.3): of the chief source.
    pub reference_id: [u8; 4],
    /// When the estimate was last corrected by a measurement, in true time.
    pub reference_time: Timestamp,
    /// Sum of round trips to the reference clock; at least zero.
    pub root_delay: Span,
    /// Sum of errors to the reference clock at `as_of`, without half the root delay; at least zero.
    pub root_dispersion: Span,
}

impl ClockState {
    /// True time at `now`, as far as this state tells.
    pub fn reading(&self, now: Now) -> Reading {
        let Some(offset) = self.offset else {
            return Reading { estimate: now.system, half_width: None, lean: Span::ZERO };
        };
        let estimate = now.system + offset + self.drift.over(now.raw - self.as_of);
        // Where the raw clock was read late, the offset is that of another moment.
        let moved = self.drift.abs().over_ceil(now.apart);
        let half_width = self.bound.map(|bound| bound.half_width_at(now.raw + now.apart) + moved);
        Reading { estimate, half_width, lean: self.lean }
    }

    /// What this state still tells at `at`, by the raw clock: all of it, or where it promised
    /// something and is older than [`STATE_AGE_MAX`], nothing.
    pub fn still_at(self, at: MonoTime) -> Self {
        if self.bound.is_none() || at - self.as_of <= STATE_AGE_MAX {
            return self;
        }
        let Self { as_of, system, frequency, .. } = self;
        Self { as_of, system, frequency, stratum: 16, ..Self::default() }
    }

    /// Whether others may rely on the clock: a bound exists and is fed, or was fed (holdover).
    pub fn is_usable(&self) -> bool {
        self.bound.is_some() && matches!(self.state, SyncState::Synchronized | SyncState::Holdover)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_follows_offset_drift_and_bound() {
        let as_of = MonoTime::from_nanos(1_000);
        let system = Timestamp::from_unix(1_795_000_000, 0);
        let bound =
            Bound { as_of, half_width: Span::from_micros(50), growth: Frequency::from_ppm(1) };
        let state = ClockState {
            state: SyncState::Synchronized,
            as_of,
            system,
            offset: Some(Span::from_millis(77)),
            drift: Frequency::from_ppm(-2),
            bound: Some(bound),
            ..ClockState::default()
        };
        let second = Span::from_secs(1);
        let reading = state.reading(Now::exact(as_of + second, system + second));
        assert_eq!(reading.estimate, system + second + Span::from_micros(76_998));
        assert_eq!(reading.half_width, Some(Span::from_micros(51)));
        assert!(state.is_usable());
    }

    #[test]
    fn what_lies_between_the_two_readings_is_in_the_bound() {
        let as_of = MonoTime::from_nanos(1_000);
        let system = Timestamp::from_unix(1_795_000_000, 0);
        let (half_width, growth) = (Span::from_micros(50), Frequency::from_ppm(1_000));
        let state = ClockState {
            as_of,
            offset: Some(Span::ZERO),
            drift: Frequency::from_ppm(-80_000),
            bound: Some(Bound { as_of, half_width, growth }),
            ..ClockState::default()
        };
        let now = Now { apart: Span::from_micros(10), ..Now::exact(as_of, system) };
        let expected = half_width + Span::from_nanos(800 + 10);
        assert_eq!(state.reading(now).half_width, Some(expected));
    }

    #[test]
    fn a_promise_that_nobody_renews_is_none_any_more() {
        let as_of = MonoTime::from_nanos(1_000);
        let frequency = Frequency::from_ppm(3);
        let bound =
            Bound { as_of, half_width: Span::from_micros(50), growth: Frequency::from_ppm(1) };
        let state = ClockState {
            state: SyncState::Holdover,
            as_of,
            offset: Some(Span::ZERO),
            bound: Some(bound),
            frequency,
            stratum: 3,
            ..ClockState::default()
        };
        assert_eq!(state.still_at(as_of + STATE_AGE_MAX), state);
        let unknown = ClockState { as_of, frequency, stratum: 16, ..ClockState::default() };
        assert_eq!(state.still_at(as_of + STATE_AGE_MAX + Span::NANOSECOND), unknown);
        // Who promises nothing need not renew it.
        assert_eq!(unknown.still_at(as_of + STATE_AGE_MAX * 9), unknown);
    }

    #[test]
    fn nothing_is_promised_before_the_first_measurement() {
        let now = Now::exact(MonoTime::ZERO, Timestamp::UNIX_EPOCH);
        let state = ClockState::default();
        let unknown = Reading { estimate: now.system, half_width: None, lean: Span::ZERO };
        assert_eq!(state.reading(now), unknown);
        assert!(!state.is_usable());
    }
}
