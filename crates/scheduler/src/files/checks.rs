//! What every kind of document is checked for.

use super::error::DocumentError;
use serde::Serialize;
use std::hash::{Hash, Hasher};
use timeball_schedule::language::Zone;
use timeball_timebase::Timestamp;

/// Refuses a field that has another value than the only one possible.
pub(super) fn expect(
    field: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<(), DocumentError> {
    if value == expected {
        return Ok(());
    }
    let value = value.to_owned();
    Err(DocumentError::Kind { field, value, expected })
}

/// Refuses what Kubernetes takes for no name.
pub(super) fn check_name(
    field: &'static str,
    value: &str,
    octets_max: usize,
) -> Result<(), DocumentError> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let sound = (1..=octets_max).contains(&value.len())
        && value.bytes().all(inner)
        && !value.starts_with('-')
        && !value.ends_with('-');
    if sound {
        return Ok(());
    }
    let value = value.escape_debug().to_string();
    Err(DocumentError::Name { field, value, octets_max })
}

/// The value, if it is within `least..=most`.
pub(super) fn range(
    field: &'static str,
    value: i64,
    least: i64,
    most: i64,
) -> Result<i64, DocumentError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(DocumentError::Range { field, value, least, most })
}

/// Feeds a document and the rules of its zone to a hasher.
pub(super) fn fingerprint(
    document: &impl Serialize,
    zone: Option<&Zone>,
    hasher: &mut impl Hasher,
) {
    let form = serde_json::to_vec(document).expect("a document came from text and can go back");
    form.hash(hasher);
    // A zone is its first offset and its table of changes; a new database shows there.
    let (first, last) = (Timestamp::MIN, Timestamp::MAX);
    if let Some(zone) = zone {
        zone.offset_s_at(first).hash(hasher);
        zone.changes_between(first, last).hash(hasher);
    }
}
