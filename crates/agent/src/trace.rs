//! The trace: one JSON object a line for each published clock state, for checkers and debuggers.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use timeball_timebase::{ClockState, Span};

use crate::status::state_word;

/// One line: when the raw monotonic clock read `mono_ns`, the system clock read `system_ns`, and
/// true time was within `system_ns + offset_ns ± bound_ns`, the offset changing by `drift_ppb` and
/// the bound growing from then on; the middle of what it can be is `lean_ns` from the offset.
#[derive(Debug, Serialize)]
struct Line {
    /// Raw monotonic clock, ns.
    mono_ns: i64,
    /// System clock, ns since 1970.
    system_ns: i64,
    /// True time less system time, ns; null while unknown.
    offset_ns: Option<i64>,
    /// How fast the offset changes, parts per 10^9 of raw time.
    drift_ppb: f64,
    /// Largest error of the offset, ns; null while unknown.
    bound_ns: Option<i64>,
    /// How far the middle of what true time can be is from the offset, ns; zero while unknown.
    /// Where it is positive, true time is not before `offset_ns - bound_ns + 2 lean_ns`; where it
    /// is negative, not after `offset_ns + bound_ns + 2 lean_ns`.
    lean_ns: i64,
    /// Growth of the bound, parts per 10^9; null while unknown.
    bound_growth_ppb: Option<f64>,
    /// Rate error of the undisciplined oscillator, parts per 10^9.
    freq_ppb: f64,
    /// `unsynchronized`, `acquiring`, `synchronized` or `holdover`.
    state: &'static str,
}

/// A file of such lines, written as they come; it grows without limit.
#[derive(Debug)]
pub(crate) struct Trace(File);

impl Trace {
    /// Begins a trace, replacing what the file held.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(Self)
    }

    /// Writes one line.
    pub(crate) fn write(&mut self, state: &ClockState) -> io::Result<()> {
        let line = Line {
            mono_ns: state.as_of.as_nanos(),
            system_ns: state.system.as_unix_nanos(),
            offset_ns: state.offset.map(Span::as_nanos),
            drift_ppb: state.drift.as_ppb_f64(),
            bound_ns: state.bound.map(|bound| bound.half_width_at(state.as_of).as_nanos()),
            lean_ns: state.lean.as_nanos(),
            bound_growth_ppb: state.bound.map(|bound| bound.growth.as_ppb_f64()),
            freq_ppb: state.frequency.as_ppb_f64(),
            state: state_word(state.state),
        };
        let mut text = serde_json::to_string(&line).expect("numbers and words are always JSON");
        text.push('\n');
        self.0.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::{Bound, Frequency, MonoTime, SyncState, Timestamp};

    #[test]
    fn a_line_says_null_for_what_is_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.jsonl");
        let mut trace = Trace::create(&path).unwrap();
        trace.write(&ClockState::default()).unwrap();
        let as_of = MonoTime::from_nanos(7);
        let known = ClockState {
            state: SyncState::Synchronized,
            as_of,
            system: Timestamp::from_unix_nanos(9),
            offset: Some(Span::from_nanos(-5)),
            bound: Some(Bound {
                as_of,
                half_width: Span::from_nanos(3),
                growth: Frequency::from_ppb(15_000),
            }),
            lean: Span::NANOSECOND,
            frequency: Frequency::from_ppb(-250),
            ..ClockState::default()
        };
        trace.write(&known).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            text,
            "{\"mono_ns\":0,\"system_ns\":0,\"offset_ns\":null,\"drift_ppb\":0.0,\
             \"bound_ns\":null,\"lean_ns\":0,\"bound_growth_ppb\":null,\"freq_ppb\":0.0,\
             \"state\":\"unsynchronized\"}\n\
             {\"mono_ns\":7,\"system_ns\":9,\"offset_ns\":-5,\"drift_ppb\":0.0,\
             \"bound_ns\":3,\"lean_ns\":1,\"bound_growth_ppb\":15000.0,\"freq_ppb\":-250.0,\
             \"state\":\"synchronized\"}\n"
        );
    }
}
