//! Where the time loop puts what it knows, and where everybody else reads it.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use timeball_api::status::Status;
use timeball_timebase::{
    Bound, ClockState, Frequency, Leap, LeapSecond, MonoTime, Span, SyncState, Timestamp,
};

/// The clock state as last published: one writer, any number of readers that never wait.
///
/// Two slots take turns. The count of publications tells which one is current; a writer fills the
/// other and then counts up, so a writer that is preempted half way holds up nobody. A reader whose
/// slot was reused while it read sees that the count moved, and reads again.
#[derive(Debug)]
pub struct ClockCell {
    published: AtomicU64,
    slots: [[AtomicU64; WORDS]; 2],
    writer: Mutex<()>,
}

impl ClockCell {
    /// Makes a cell that holds [`ClockState::default`]: nothing is known.
    pub fn new() -> Self {
        let nothing = encode(&ClockState::default());
        let slot = || array::from_fn(|i| AtomicU64::new(nothing[i]));
        Self { published: AtomicU64::new(0), slots: [slot(), slot()], writer: Mutex::new(()) }
    }

    /// Replaces the state.
    pub fn publish(&self, state: ClockState) {
        let _one_writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.published.load(Ordering::Relaxed).wrapping_add(1);
        // Whoever sees one of the words below must also see the count that retired this slot.
        fence(Ordering::Release);
        for (word, value) in self.slot(next).iter().zip(encode(&state)) {
            word.store(value, Ordering::Relaxed);
        }
        self.published.store(next, Ordering::Release);
    }

    /// What is known at `at`, by the raw clock: the state as last published, while it is renewed as
    /// it has to be ([`ClockState::still_at`]).
    pub fn read_at(&self, at: MonoTime) -> ClockState {
        self.last().still_at(at)
    }

    /// The state as last published, however old it is.
    pub fn last(&self) -> ClockState {
        loop {
            let before = self.published.load(Ordering::Acquire);
            let slot = self.slot(before);
            let words = array::from_fn(|i| slot[i].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if self.published.load(Ordering::Relaxed) == before {
                return decode(words);
            }
        }
    }

    /// How often a state has been published; a reader that keeps it sees whether there is news.
    pub fn version(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    fn slot(&self, count: u64) -> &[AtomicU64; WORDS] {
        &self.slots[(count & 1) as usize]
    }
}

impl Default for ClockCell {
    fn default() -> Self {
        Self::new()
    }
}

/// The whole status as last published; readers share it.
#[derive(Debug, Default)]
pub struct StatusCell(RwLock<Arc<Status>>);

impl StatusCell {
    /// Makes a cell that holds an empty status.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the status.
    pub fn publish(&self, status: Arc<Status>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// The status as last published.
    pub fn read(&self) -> Arc<Status> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

const WORDS: usize = 14;
const HAS_OFFSET: u64 = 1;
const HAS_BOUND: u64 = 2;
const HAS_LEAP_SECOND: u64 = 4;
const LEAP_SECOND_IS_INSERTED: u64 = 8;

fn encode(state: &ClockState) -> [u64; WORDS] {
    let sync = match state.state {
        SyncState::Unsynchronized => 0,
        SyncState::Acquiring => 1,
        SyncState::Synchronized => 2,
        SyncState::Holdover => 3,
    };
    let leap = match state.leap {
        Leap::None => 0,
        Leap::Insert => 1,
        Leap::Delete => 2,
    };
    let mut has = 0;
    if state.offset.is_some() {
        has |= HAS_OFFSET;
    }
    if state.bound.is_some() {
        has |= HAS_BOUND;
    }
    if let Some(leap_second) = state.leap_second {
        has |= HAS_LEAP_SECOND;
        has |= if leap_second.is_inserted { LEAP_SECOND_IS_INSERTED } else { 0 };
    }
    let small = has
        | sync << 8
        | leap << 16
        | u64::from(state.stratum) << 24
        | u64::from(u32::from_be_bytes(state.reference_id)) << 32;
    let offset = state.offset.unwrap_or(Span::ZERO);
    let bound = state.bound.unwrap_or(Bound {
        as_of: MonoTime::ZERO,
        half_width: Span::ZERO,
        growth: Frequency::ZERO,
    });
    [
        small,
        state.as_of.as_nanos() as u64,
        state.system.as_unix_nanos() as u64,
        offset.as_nanos() as u64,
        state.drift.as_femto() as u64,
        bound.as_of.as_nanos() as u64,
        bound.half_width.as_nanos() as u64,
        bound.growth.as_femto() as u64,
        state.frequency.as_femto() as u64,
        state.reference_time.as_unix_nanos() as u64,
        state.root_delay.as_nanos() as u64,
        state.root_dispersion.as_nanos() as u64,
        state.leap_second.map_or(0, |leap_second| leap_second.at.as_unix_nanos() as u64),
        state.lean.as_nanos() as u64,
    ]
}

fn decode(words: [u64; WORDS]) -> ClockState {
    let small = words[0];
    let span = |i: usize| Span::from_nanos(words[i] as i64);
    let mono = |i: usize| MonoTime::from_nanos(words[i] as i64);
    let rate = |i: usize| Frequency::from_femto(words[i] as i64);
    let time = |i: usize| Timestamp::from_unix_nanos(words[i] as i64);
    ClockState {
        state: match small >> 8 & 0xff {
            1 => SyncState::Acquiring,
            2 => SyncState::Synchronized,
            3 => SyncState::Holdover,
            _ => SyncState::Unsynchronized,
        },
        as_of: mono(1),
        system: time(2),
        offset: (small & HAS_OFFSET != 0).then(|| span(3)),
        drift: rate(4),
        bound: (small & HAS_BOUND != 0).then(|| Bound {
            as_of: mono(5),
            half_width: span(6),
            growth: rate(7),
        }),
        frequency: rate(8),
        leap: match small >> 16 & 0xff {
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::None,
        },
        stratum: (small >> 24 & 0xff) as u8,
        reference_id: ((small >> 32) as u32).to_be_bytes(),
        reference_time: time(9),
        root_delay: span(10),
        root_dispersion: span(11),
        leap_second: (small & HAS_LEAP_SECOND != 0).then(|| LeapSecond {
            at: time(12),
            is_inserted: small & LEAP_SECOND_IS_INSERTED != 0,
        }),
        lean: span(13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    /// A state all of whose numbers are the same, so that a mixture of two is recognised.
    fn uniform(n: i64) -> ClockState {
        let span = Span::from_nanos(n);
        let rate = Frequency::from_femto(n);
        ClockState {
            state: SyncState::Synchronized,
            as_of: MonoTime::from_nanos(n),
            system: Timestamp::from_unix_nanos(n),
            offset: Some(span),
            drift: rate,
            bound: Some(Bound { as_of: MonoTime::from_nanos(n), half_width: span, growth: rate }),
            frequency: rate,
            leap: Leap::Insert,
            stratum: (n & 0xf) as u8,
            reference_id: ((n & 0xffff_ffff) as u32).to_be_bytes(),
            reference_time: Timestamp::from_unix_nanos(n),
            root_delay: span,
            root_dispersion: span,
            leap_second: Some(LeapSecond { at: Timestamp::from_unix_nanos(n), is_inserted: true }),
            lean: span,
        }
    }

    #[test]
    fn readers_never_see_a_mixture_of_two_states() {
        let cell = ClockCell::new();
        cell.publish(uniform(1));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let state = cell.last();
                        let n = state.as_of.as_nanos();
                        assert_eq!(state, uniform(n));
                        assert!(n >= last, "the state went back from {last} to {n}");
                        last = n;
                    }
                });
            }
            for n in 2..50_000 {
                cell.publish(uniform(n));
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(cell.last(), uniform(49_999));
        assert_eq!(cell.version(), 49_999);
    }

    #[test]
    fn a_new_cell_knows_nothing() {
        assert_eq!(ClockCell::new().last(), ClockState::default());
        assert_eq!(*StatusCell::new().read(), Status::default());
    }

    proptest! {
        #[test]
        fn every_state_survives_the_cell(
            numbers in prop::array::uniform10(any::<i64>()),
            offset in any::<Option<i64>>(),
            bound in any::<Option<i64>>(),
            (state, leap, stratum, reference_id) in (0..4, 0..3, any::<u8>(), any::<[u8; 4]>()),
            leap_second in any::<Option<bool>>(),
        ) {
            let span = |i: usize| Span::from_nanos(numbers[i]);
            let expected = ClockState {
                state: [SyncState::Unsynchronized, SyncState::Acquiring, SyncState::Synchronized,
                    SyncState::Holdover][state as usize],
                as_of: MonoTime::from_nanos(numbers[0]),
                system: Timestamp::from_unix_nanos(numbers[1]),
                offset: offset.map(Span::from_nanos),
                drift: Frequency::from_femto(numbers[2]),
                bound: bound.map(|n| Bound {
                    as_of: MonoTime::from_nanos(numbers[3]),
                    half_width: Span::from_nanos(n),
                    growth: Frequency::from_femto(numbers[4]),
                }),
                frequency: Frequency::from_femto(numbers[5]),
                leap: [Leap::None, Leap::Insert, Leap::Delete][leap as usize],
                stratum,
                reference_id,
                reference_time: Timestamp::from_unix_nanos(numbers[6]),
                root_delay: span(7),
                root_dispersion: span(8),
                leap_second: leap_second.map(|is_inserted| LeapSecond {
                    at: Timestamp::from_unix_nanos(numbers[9]),
                    is_inserted,
                }),
                lean: span(9),
            };
            let cell = ClockCell::new();
            cell.publish(expected);
            prop_assert_eq!(cell.last(), expected);
        }
    }
}
