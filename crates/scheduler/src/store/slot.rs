//! One record of the journal as octets.

use super::form::REVISION;
use super::{HistoryEntry, fnv1a};
use timeball_schedule::{FireId, ScheduleUid};
use timeball_timebase::Timestamp;

/// Identifies the boot of the machine, for only since then is the page cache what it was.
pub(crate) type BootId = [u8; 16];

/// The size of a slot; a divisor of a page, so that none straddles two.
pub(super) const SLOT_OCTETS: usize = 256;
const HEADER_OCTETS: usize = 48;
const PAYLOAD_OCTETS_MAX: usize = SLOT_OCTETS - HEADER_OCTETS;

/// A record with its number.
pub(super) struct Slot {
    /// Counts up by one from record to record; at least one.
    pub(super) number: u64,
    pub(super) body: Body,
}

/// What is found in a slot.
pub(super) enum Found {
    Record(Slot),
    /// A whole record of this boot, which only a newer version can read.
    Newer {
        number: u64,
        revision: u8,
    },
}

pub(super) enum Body {
    /// The journal was begun.
    Opened,
    Begun(FireId),
    Ended(ScheduleUid, HistoryEntry),
}

impl Slot {
    /// The octets to write: checksum (8 octets), number (8), kind (1), revision (1), length of the
    /// payload (2), nothing (4), schedule (16), instant (8), payload; numbers are little-endian.
    pub(super) fn encode(&self, boot: BootId) -> Vec<u8> {
        let (kind, uid, at, payload) = match &self.body {
            Body::Opened => (0, [0; 16], 0, Vec::new()),
            Body::Begun(fire) => (1, fire.schedule.0, nanos(fire.scheduled_at), Vec::new()),
            Body::Ended(uid, entry) => (2, uid.0, nanos(entry.from), fitting(entry)),
        };
        let length = u16::try_from(payload.len()).expect("a payload is cut to fit its slot");
        let mut octets = Vec::with_capacity(HEADER_OCTETS + payload.len());
        octets.extend([0; 8]);
        octets.extend(self.number.to_le_bytes());
        octets.extend([kind, REVISION]);
        octets.extend(length.to_le_bytes());
        octets.extend([0; 4]);
        octets.extend(uid);
        octets.extend(at.to_le_bytes());
        octets.extend(payload);
        seal(&mut octets, boot);
        octets
    }

    /// The record in a slot; `None` for one that is torn, empty, or of another boot.
    pub(super) fn find(octets: &[u8], boot: BootId) -> Option<Found> {
        let length = usize::from(u16::from_le_bytes(array(octets, 18)?));
        let used = octets.get(..HEADER_OCTETS + length)?;
        if u64::from_le_bytes(array(used, 0)?) != checksum(boot, &used[8..]) {
            return None;
        }
        let (number, revision) = (u64::from_le_bytes(array(used, 8)?), used[17]);
        match Body::decode(used) {
            Some(body) => Some(Found::Record(Self { number, body })),
            None if revision > REVISION => Some(Found::Newer { number, revision }),
            None => None,
        }
    }
}

impl Body {
    fn decode(used: &[u8]) -> Option<Self> {
        let schedule = ScheduleUid(array(used, 24)?);
        let at = Timestamp::from_unix_nanos(i64::from_le_bytes(array(used, 40)?));
        match used[16] {
            0 => Some(Self::Opened),
            1 => Some(Self::Begun(FireId { schedule, scheduled_at: at })),
            2 => HistoryEntry::decode(at, &used[HEADER_OCTETS..])
                .map(|entry| Self::Ended(schedule, entry)),
            _ => None,
        }
    }
}

fn nanos(at: Timestamp) -> i64 {
    at.as_unix_nanos()
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..at + N)?.try_into().ok()
}

/// The entry as it is kept in the store, its message cut where it is too long for a slot.
fn fitting(entry: &HistoryEntry) -> Vec<u8> {
    let mut entry = entry.clone();
    loop {
        let octets = entry.encode();
        if octets.len() <= PAYLOAD_OCTETS_MAX {
            return octets;
        }
        // Halved, for a character may take several octets in its form.
        let mut end = entry.message.len() / 2;
        while !entry.message.is_char_boundary(end) {
            end -= 1;
        }
        entry.message.truncate(end);
    }
}

/// Writes the checksum of a record in front of it.
pub(super) fn seal(octets: &mut [u8], boot: BootId) {
    let sum = checksum(boot, &octets[8..]);
    octets[..8].copy_from_slice(&sum.to_le_bytes());
}

/// It finds torn and old octets; nobody who could forge them is kept out.
fn checksum(boot: BootId, octets: &[u8]) -> u64 {
    fnv1a(boot.iter().chain(octets).copied())
}
