//! How wrong a time may be.

use crate::{Frequency, MonoTime, Span, Timestamp};

/// A promise about an error: at most `half_width` at `as_of`, and at most `growth` more per unit of
/// raw time from then on. There is no bound that is too small; where none can be promised there is
/// no `Bound` (`Option::None`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bound {
    /// When the half width held.
    pub as_of: MonoTime,
    /// Largest absolute error at `as_of`; at least zero.
    pub half_width: Span,
    /// How fast the largest error grows; at least zero.
    pub growth: Frequency,
}

impl Bound {
    /// The largest absolute error at `at`, rounded up. Before `as_of` it is the half width.
    pub fn half_width_at(&self, at: MonoTime) -> Span {
        let age = at - self.as_of;
        if age.is_negative() {
            return self.half_width;
        }
        self.half_width + self.growth.over_ceil(age)
    }
}

/// A time and how wrong it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// The best estimate of true time.
    pub estimate: Timestamp,
    /// Largest absolute error of the estimate; `None` where nothing can be promised.
    pub half_width: Option<Span>,
    /// How far after the estimate the middle of all that true time can be is, negative when before:
    /// on the other side the error is smaller by twice this. No larger than the half width.
    pub lean: Span,
}

impl Reading {
    /// The earliest instant that true time can be; `None` where nothing can be promised.
    pub fn earliest(&self) -> Option<Timestamp> {
        self.half_width.map(|half_width| self.estimate - half_width + self.lean.max(Span::ZERO) * 2)
    }

    /// The latest instant that true time can be; `None` where nothing can be promised.
    pub fn latest(&self) -> Option<Timestamp> {
        self.half_width.map(|half_width| self.estimate + half_width + self.lean.min(Span::ZERO) * 2)
    }

    /// How far true time can be from `t` at most; `None` where nothing can be promised.
    pub fn error_of(&self, t: Timestamp) -> Option<Span> {
        Some((self.latest()? - t).max(t - self.earliest()?))
    }

    /// Whether `t` has certainly passed.
    pub fn is_certainly_after(&self, t: Timestamp) -> bool {
        self.earliest().is_some_and(|earliest| earliest > t)
    }

    /// Whether `t` is certainly still to come.
    pub fn is_certainly_before(&self, t: Timestamp) -> bool {
        self.latest().is_some_and(|latest| latest < t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_only_ever_grows() {
        let bound = Bound {
            as_of: MonoTime::from_nanos(5),
            half_width: Span::from_micros(10),
            growth: Frequency::from_ppm(15),
        };
        assert_eq!(bound.half_width_at(MonoTime::ZERO), Span::from_micros(10));
        assert_eq!(bound.half_width_at(bound.as_of), Span::from_micros(10));
        let later = bound.as_of + Span::from_secs(1);
        assert_eq!(bound.half_width_at(later), Span::from_micros(25));
        assert_eq!(bound.half_width_at(bound.as_of + Span::NANOSECOND), Span::from_nanos(10_001));
    }

    #[test]
    fn a_reading_without_a_bound_is_certain_of_nothing() {
        let t = Timestamp::from_unix(1_795_000_000, 0);
        let unknown = Reading { estimate: t, half_width: None, lean: Span::ZERO };
        assert!(!unknown.is_certainly_after(Timestamp::MIN));
        assert!(!unknown.is_certainly_before(Timestamp::MAX));
        let known = Reading { half_width: Some(Span::from_millis(1)), ..unknown };
        assert!(known.is_certainly_after(t - Span::from_millis(2)));
        assert!(!known.is_certainly_after(t - Span::from_millis(1)));
        assert!(known.is_certainly_before(t + Span::from_millis(2)));
    }

    #[test]
    fn a_reading_that_leans_is_wrong_by_less_on_the_other_side() {
        let t = Timestamp::from_unix(1_795_000_000, 0);
        let ms = Span::from_millis;
        let later = Reading { estimate: t, half_width: Some(ms(5)), lean: ms(2) };
        assert_eq!((later.earliest(), later.latest()), (Some(t - ms(1)), Some(t + ms(5))));
        assert_eq!(later.error_of(t), Some(ms(5)));
        assert_eq!(later.error_of(t + ms(2)), Some(ms(3)));
        let earlier = Reading { lean: ms(-2), ..later };
        assert_eq!((earlier.earliest(), earlier.latest()), (Some(t - ms(5)), Some(t + ms(1))));
    }
}
