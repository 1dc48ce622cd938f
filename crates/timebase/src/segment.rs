//! The shared segment through which other programs read the clock and its bound without asking:
//! 80 octets in a file, laid out as the daemon of AWS ClockBound 2 lays them out, so that its
//! clients (Rust, C, and whatever is built on them) read it as it is.
//!
//! Here is the layout and what it means; who maps or writes files is elsewhere. All numbers are in
//! the machine's own octet order, since no other machine reads them.

use core::fmt;

use crate::{Bound, ClockState, Frequency, MonoTime, Now, Reading, Span, SyncState, Timestamp};

/// Octets of the whole segment: header and body.
pub const SEGMENT_OCTETS: usize = HEADER_OCTETS + BODY_OCTETS;
/// Where the body begins.
pub const HEADER_OCTETS: usize = 16;
/// Octets after the header.
pub const BODY_OCTETS: usize = 64;
/// Where the header has its generation, two octets.
pub const GENERATION_AT: usize = 14;

/// What a segment begins with (native order, as its clients compare it).
const MAGIC: [u32; 2] = [0x414d_5a4e, 0x4342_0200];
/// The only version of the layout that is known here.
const VERSION: u16 = 2;
/// A client that finds the segment older than this says "free running", whatever it holds.
const FRESH_FOR: Span = Span::from_secs(5);
/// After this without an update nothing is promised: what is known of the oscillator is no longer
/// enough, and a writer that died in mid-slew left the clock running at the wrong rate.
const VALID_FOR: Span = Span::from_secs(60);
/// Clients read a clock that ticks a few hundred times a second, so an age may be short by this.
const TICK_MAX: Span = Span::from_millis(10);
/// The same clock is slewed together with the system clock, by at most a tenth.
const SLEWED_BY: i64 = 10;
/// A reading may be this much older than the segment and still be taken: two processors' clocks
/// may differ a little.
const BLUR: Span = Span::from_micros(1);
/// Drifts from here on are nonsense (clients refuse them).
const DRIFT_LIMIT_PPB: u32 = 1_000_000_000;

/// How much a segment says is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SegmentStatus {
    /// Nothing is promised.
    #[default]
    Unknown,
    /// The bound holds, and sources vouch for it.
    Synchronized,
    /// The bound holds; the sources are lost, or the writer is late.
    FreeRunning,
    /// The clock was disrupted (a virtual machine that was moved): nothing is promised.
    Disrupted,
}

/// The segment's content: error and validity of the system clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    /// When the bound held, by `CLOCK_MONOTONIC_COARSE` (not the raw clock).
    pub as_of: MonoTime,
    /// When it ends to be valid, by the same clock.
    pub void_after: MonoTime,
    /// Largest absolute error of the system clock at `as_of`; at least zero.
    pub bound: Span,
    /// How fast the largest error grows, in parts per 10^9; below 10^9.
    pub max_drift_ppb: u32,
    /// What is known.
    pub status: SegmentStatus,
    /// Changes when the machine's clock was disrupted.
    pub disruption_marker: u64,
    /// Whether the writer would notice that.
    pub notices_disruption: bool,
}

/// Why octets are no segment that can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SegmentError {
    /// Fewer octets than a segment has.
    Truncated {
        /// How many there are.
        octets: usize,
    },
    /// It begins with something else.
    NotASegment,
    /// No writer has filled it yet.
    NotInitialized,
    /// A newer or older layout.
    UnknownVersion {
        /// Which.
        version: u16,
    },
    /// A writer is at work; reading again helps.
    BeingWritten,
    /// A status that does not exist, a bound below zero, or a drift that cannot be.
    Malformed,
    /// It is of the future by the clock of this reading: it was left by another boot.
    OfTheFuture,
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { octets } => {
                write!(f, "{octets} octets, but a clock segment has {SEGMENT_OCTETS}")
            }
            Self::NotASegment => f.write_str("no clock segment: it begins with something else"),
            Self::NotInitialized => f.write_str("no time service has written it yet"),
            Self::UnknownVersion { version } => {
                write!(f, "layout version {version}, but only version {VERSION} is known here")
            }
            Self::BeingWritten => f.write_str("it is being written; read it again"),
            Self::Malformed => f.write_str("its content cannot be: it was not written whole"),
            Self::OfTheFuture => f.write_str("it was left by an earlier boot of this machine"),
        }
    }
}

impl core::error::Error for SegmentError {}

impl Segment {
    /// What a clock state says of the system clock at `now`; `as_of` is a reading of
    /// `CLOCK_MONOTONIC_COARSE` taken just before `now`.
    pub fn of(state: &ClockState, now: Now, as_of: MonoTime) -> Self {
        let reading = state.reading(now);
        let known = reading.error_of(now.system).zip(state.bound).filter(|_| state.is_usable());
        let Some((error, Bound { growth, .. })) = known else { return Self::unknown(as_of) };
        // Where the clock is under way somewhere, the writer may die before it arrives.
        let growth = growth + state.drift.abs();
        let growth = growth + Frequency::from_femto(growth.as_femto() / SLEWED_BY);
        Self {
            void_after: as_of + VALID_FOR,
            bound: error + growth.over_ceil(TICK_MAX),
            max_drift_ppb: ppb_up(growth),
            status: match state.state {
                SyncState::Synchronized => SegmentStatus::Synchronized,
                _ => SegmentStatus::FreeRunning,
            },
            ..Self::unknown(as_of)
        }
    }

    /// Promises nothing.
    pub const fn unknown(as_of: MonoTime) -> Self {
        Self {
            as_of,
            void_after: as_of,
            bound: Span::ZERO,
            max_drift_ppb: 0,
            status: SegmentStatus::Unknown,
            disruption_marker: 0,
            notices_disruption: false,
        }
    }

    /// The system clock's reading with its bound, and how far it may be trusted; `monotonic` is a
    /// reading of `CLOCK_MONOTONIC` (coarse or not) taken *after* `system`, so that an interruption
    /// between them only widens the bound.
    ///
    /// # Errors
    /// Where the segment is from another boot.
    pub fn reading(
        &self,
        system: Timestamp,
        monotonic: MonoTime,
    ) -> Result<(Reading, SegmentStatus), SegmentError> {
        let age = monotonic - self.as_of;
        if age < -BLUR {
            return Err(SegmentError::OfTheFuture);
        }
        let status = match self.status {
            SegmentStatus::Unknown | SegmentStatus::Disrupted => self.status,
            _ if monotonic >= self.void_after => SegmentStatus::Unknown,
            SegmentStatus::Synchronized if age < FRESH_FOR => SegmentStatus::Synchronized,
            SegmentStatus::Synchronized | SegmentStatus::FreeRunning => SegmentStatus::FreeRunning,
        };
        let growth = Frequency::from_ppb(i64::from(self.max_drift_ppb));
        let bound = self.bound + growth.over_ceil(age.max(Span::ZERO));
        let promises = matches!(status, SegmentStatus::Synchronized | SegmentStatus::FreeRunning);
        let half_width = promises.then_some(bound);
        Ok((Reading { estimate: system, half_width, lean: Span::ZERO }, status))
    }

    /// The header of a segment that readers may use, with an even generation.
    pub fn header(generation: u16) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        octets[..4].copy_from_slice(&MAGIC[0].to_ne_bytes());
        octets[4..8].copy_from_slice(&MAGIC[1].to_ne_bytes());
        octets[8..12].copy_from_slice(&(SEGMENT_OCTETS as u32).to_ne_bytes());
        octets[12..14].copy_from_slice(&VERSION.to_ne_bytes());
        octets[GENERATION_AT..].copy_from_slice(&generation.to_ne_bytes());
        octets
    }

    /// The octets after the header.
    pub fn body(&self) -> [u8; BODY_OCTETS] {
        let mut octets = [0; BODY_OCTETS];
        octets[..16].copy_from_slice(&timespec(self.as_of));
        octets[16..32].copy_from_slice(&timespec(self.void_after));
        octets[32..40].copy_from_slice(&self.bound.as_nanos().to_ne_bytes());
        octets[40..48].copy_from_slice(&self.disruption_marker.to_ne_bytes());
        octets[48..52].copy_from_slice(&self.max_drift_ppb.to_ne_bytes());
        let status: i32 = match self.status {
            SegmentStatus::Unknown => 0,
            SegmentStatus::Synchronized => 1,
            SegmentStatus::FreeRunning => 2,
            SegmentStatus::Disrupted => 3,
        };
        octets[52..56].copy_from_slice(&status.to_ne_bytes());
        octets[56] = u8::from(self.notices_disruption);
        octets
    }

    /// Reads a whole segment, and its generation: it is the segment's content only if the
    /// generation is still the same after the octets were read.
    ///
    /// # Errors
    /// Where the octets are no segment that can be used.
    pub fn parse(octets: &[u8]) -> Result<(Self, u16), SegmentError> {
        let Some((header, body)) = octets.split_first_chunk::<HEADER_OCTETS>() else {
            return Err(SegmentError::Truncated { octets: octets.len() });
        };
        if MAGIC != [u32::from_ne_bytes(part(header, 0)), u32::from_ne_bytes(part(header, 4))] {
            return Err(SegmentError::NotASegment);
        }
        let version = u16::from_ne_bytes(part(header, 12));
        let generation = u16::from_ne_bytes(part(header, GENERATION_AT));
        match (version, generation) {
            (0, _) | (_, 0) => return Err(SegmentError::NotInitialized),
            (VERSION, _) if generation % 2 == 1 => return Err(SegmentError::BeingWritten),
            (VERSION, _) => {}
            (version, _) => return Err(SegmentError::UnknownVersion { version }),
        }
        let Some(body) = body.first_chunk::<BODY_OCTETS>() else {
            return Err(SegmentError::Truncated { octets: octets.len() });
        };
        Self::parse_body(body).ok_or(SegmentError::Malformed).map(|segment| (segment, generation))
    }

    fn parse_body(octets: &[u8; BODY_OCTETS]) -> Option<Self> {
        let segment = Self {
            as_of: instant(octets, 0)?,
            void_after: instant(octets, 16)?,
            bound: Span::from_nanos(i64::from_ne_bytes(part(octets, 32))),
            disruption_marker: u64::from_ne_bytes(part(octets, 40)),
            max_drift_ppb: u32::from_ne_bytes(part(octets, 48)),
            status: match i32::from_ne_bytes(part(octets, 52)) {
                0 => SegmentStatus::Unknown,
                1 => SegmentStatus::Synchronized,
                2 => SegmentStatus::FreeRunning,
                3 => SegmentStatus::Disrupted,
                _ => return None,
            },
            notices_disruption: octets[56] != 0,
        };
        let possible = !segment.bound.is_negative() && segment.max_drift_ppb < DRIFT_LIMIT_PPB;
        possible.then_some(segment)
    }
}

/// The generations while a segment is written and afterwards, from that before: odd, then even, and
/// never 0, which would mean that nothing was written yet.
pub const fn next_generations(before: u16) -> (u16, u16) {
    // An odd one was left by a writer that died at work.
    let writing = if before % 2 == 1 { before } else { before.wrapping_add(1) };
    let written = writing.wrapping_add(1);
    (writing, if written == 0 { 2 } else { written })
}

fn ppb_up(frequency: Frequency) -> u32 {
    let ppb = frequency.as_femto().saturating_add(999_999) / 1_000_000;
    u32::try_from(ppb).unwrap_or(0).min(DRIFT_LIMIT_PPB - 1)
}

fn timespec(at: MonoTime) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&at.as_nanos().div_euclid(NANOS).to_ne_bytes());
    octets[8..].copy_from_slice(&at.as_nanos().rem_euclid(NANOS).to_ne_bytes());
    octets
}

fn instant(octets: &[u8; BODY_OCTETS], at: usize) -> Option<MonoTime> {
    let seconds = i64::from_ne_bytes(part(octets, at));
    let nanos = i64::from_ne_bytes(part(octets, at + 8));
    let whole = seconds.checked_mul(NANOS)?.checked_add(nanos)?;
    (0..NANOS).contains(&nanos).then_some(MonoTime::from_nanos(whole))
}

const NANOS: i64 = 1_000_000_000;

fn part<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&octets[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SECOND: Span = Span::from_secs(1);

    fn at(seconds: i64) -> MonoTime {
        MonoTime::ZERO + Span::from_secs(seconds)
    }

    fn octets(segment: &Segment, generation: u16) -> Vec<u8> {
        [&Segment::header(generation)[..], &segment.body()].concat()
    }

    fn known(state: SyncState) -> (ClockState, Now) {
        let now = Now::exact(at(1_000), Timestamp::from_unix(1_795_000_000, 0));
        let bound = Bound {
            as_of: now.raw,
            half_width: Span::from_micros(50),
            growth: Frequency::from_ppm(2),
        };
        let state = ClockState {
            state,
            as_of: now.raw,
            system: now.system,
            offset: Some(Span::from_micros(-20)),
            drift: Frequency::from_ppm(8),
            bound: Some(bound),
            ..ClockState::default()
        };
        (state, now)
    }

    #[test]
    fn the_octets_stand_where_clients_look_for_them() {
        let segment = Segment {
            as_of: MonoTime::from_nanos(3_000_000_004),
            void_after: MonoTime::from_nanos(5_000_000_006),
            bound: Span::from_nanos(7),
            max_drift_ppb: 8,
            status: SegmentStatus::FreeRunning,
            disruption_marker: 9,
            notices_disruption: true,
        };
        let octets = octets(&segment, 10);
        let mut expected = Vec::new();
        for word in [0x414d_5a4e_u32, 0x4342_0200, 80] {
            expected.extend(word.to_ne_bytes());
        }
        expected.extend(2_u16.to_ne_bytes());
        expected.extend(10_u16.to_ne_bytes());
        for word in [3_i64, 4, 5, 6, 7, 9] {
            expected.extend(word.to_ne_bytes());
        }
        expected.extend(8_u32.to_ne_bytes());
        expected.extend(2_i32.to_ne_bytes());
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(octets, expected);
        assert_eq!(Segment::parse(&octets), Ok((segment, 10)));
    }

    #[test]
    fn the_segment_covers_bound_offset_and_the_way_the_clock_is_on() {
        let (state, now) = known(SyncState::Synchronized);
        let segment = Segment::of(&state, now, at(7));
        assert_eq!(segment.status, SegmentStatus::Synchronized);
        // 50 us + 20 us, and 10 ms of 11 ppm.
        assert_eq!(segment.bound, Span::from_nanos(70_110));
        assert_eq!(segment.max_drift_ppb, 11_000);
        let (reading, status) = segment.reading(now.system + SECOND, at(8)).unwrap();
        assert_eq!(status, SegmentStatus::Synchronized);
        assert_eq!(reading.estimate, now.system + SECOND);
        assert_eq!(reading.half_width, Some(Span::from_nanos(81_110)));
    }

    #[test]
    fn a_silent_writer_is_trusted_less_and_less() {
        let (state, now) = known(SyncState::Synchronized);
        let segment = Segment::of(&state, now, at(0));
        let status = |seconds| segment.reading(now.system, at(seconds)).unwrap().1;
        assert_eq!(status(4), SegmentStatus::Synchronized);
        assert_eq!(status(5), SegmentStatus::FreeRunning);
        assert_eq!(status(59), SegmentStatus::FreeRunning);
        assert_eq!(status(60), SegmentStatus::Unknown);
        assert_eq!(segment.reading(now.system, at(60)).unwrap().0.half_width, None);
        let of_another_boot = segment.reading(now.system, at(-1));
        assert_eq!(of_another_boot, Err(SegmentError::OfTheFuture));
    }

    #[test]
    fn holdover_is_free_running_and_less_is_unknown() {
        for (state, expected) in [
            (SyncState::Holdover, SegmentStatus::FreeRunning),
            (SyncState::Acquiring, SegmentStatus::Unknown),
            (SyncState::Unsynchronized, SegmentStatus::Unknown),
        ] {
            let (state, now) = known(state);
            let segment = Segment::of(&state, now, at(7));
            assert_eq!(segment.reading(now.system, at(7)).unwrap().1, expected);
        }
    }

    #[test]
    fn what_is_no_segment_is_refused_with_the_reason() {
        let (state, now) = known(SyncState::Synchronized);
        let good = octets(&Segment::of(&state, now, at(7)), 4);
        let with = |at: usize, octet: u8| {
            let mut changed = good.clone();
            changed[at] = octet;
            Segment::parse(&changed).map(|_| ())
        };
        assert_eq!(Segment::parse(&good[..79]), Err(SegmentError::Truncated { octets: 79 }));
        assert_eq!(Segment::parse(&[]), Err(SegmentError::Truncated { octets: 0 }));
        assert_eq!(with(0, 0), Err(SegmentError::NotASegment));
        assert_eq!(
            Segment::parse(&octets(&Segment::unknown(at(0)), 0)),
            Err(SegmentError::NotInitialized)
        );
        assert_eq!(
            Segment::parse(&octets(&Segment::unknown(at(0)), 7)),
            Err(SegmentError::BeingWritten)
        );
        let mut newer = good.clone();
        newer[12..14].copy_from_slice(&3_u16.to_ne_bytes());
        assert_eq!(Segment::parse(&newer), Err(SegmentError::UnknownVersion { version: 3 }));
        for at in [HEADER_OCTETS + 39, HEADER_OCTETS + 51, HEADER_OCTETS + 52, HEADER_OCTETS + 15] {
            assert_eq!(with(at, 0xff), Err(SegmentError::Malformed), "octet {at}");
        }
    }

    #[test]
    fn a_generation_is_odd_while_writing_and_never_zero() {
        assert_eq!(next_generations(0), (1, 2));
        assert_eq!(next_generations(2), (3, 4));
        assert_eq!(next_generations(5), (5, 6));
        assert_eq!(next_generations(u16::MAX - 1), (u16::MAX, 2));
    }
}
