//! The words of the status.

use timeball_ntp::engine::{ClockMode, Selection};
use timeball_timebase::{Leap, SyncState};

/// The word for a state in status and trace.
pub(crate) fn state_word(state: SyncState) -> &'static str {
    match state {
        SyncState::Unsynchronized => "unsynchronized",
        SyncState::Acquiring => "acquiring",
        SyncState::Synchronized => "synchronized",
        SyncState::Holdover => "holdover",
    }
}

/// A reference identifier as its stratum gives it: letters for a reference clock and for refusals,
/// an address (or, for IPv6, a hash that looks like one) for a server. What should be letters and
/// is not (chronyd's own clock is 127.127.1.1 at any stratum) is shown as an address too.
pub(crate) fn reference_id(stratum: u8, id: [u8; 4]) -> String {
    let letters = || id.iter().filter(|octet| **octet != 0);
    match (stratum, id) {
        (_, [0, 0, 0, 0]) => String::new(),
        (0 | 1 | 16, _) if letters().all(u8::is_ascii_graphic) => {
            letters().map(|octet| char::from(*octet)).collect()
        }
        (_, [a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
    }
}

/// The word for a leap second in status and query.
pub(crate) fn leap_word(leap: Leap) -> &'static str {
    match leap {
        Leap::None => "none",
        Leap::Insert => "insert",
        Leap::Delete => "delete",
    }
}

/// The word for a source's part in the clock.
pub(crate) fn selection_word(selection: Selection) -> &'static str {
    match selection {
        Selection::Unreachable => "unreachable",
        Selection::Unfit => "unfit",
        Selection::Falseticker => "falseticker",
        Selection::Constrained => "constrained",
        Selection::Unconstrained => "unconstrained",
        Selection::NoMajority => "no-majority",
        Selection::NotSelectable => "not-selectable",
        Selection::Duplicate => "duplicate",
        Selection::Candidate => "candidate",
        Selection::Combined => "combined",
        Selection::Chief => "chief",
    }
}

/// The word for what is done to the clock.
pub(crate) fn mode_word(mode: ClockMode) -> &'static str {
    match mode {
        ClockMode::Observe => "observe",
        ClockMode::Discipline => "discipline",
    }
}
