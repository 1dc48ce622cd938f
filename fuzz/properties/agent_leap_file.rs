//! A list of leap seconds is refused with its line, or tells at every moment what it says there.

use timeball_agent::{LeapFileError, parse_leap_seconds};
use timeball_timebase::{Span, Timestamp};

pub(crate) fn check(octets: &[u8]) {
    let Ok(text) = core::str::from_utf8(octets) else { return };
    let table = match parse_leap_seconds(text, "list") {
        Ok(table) => table,
        Err(LeapFileError::Line { line, .. }) => {
            assert!((1..=text.lines().count()).contains(&line), "line {line} is not there");
            return;
        }
        Err(error) => {
            assert!(matches!(error, LeapFileError::Incomplete { .. }), "{error}");
            return;
        }
    };
    assert_eq!(table.tai_offset_s(table.expires()), None, "it has expired");
    for at_s in [i64::MIN / 4_000_000_000, 0, 1_483_228_799, 1_483_228_800, 4_000_000_000] {
        let offset = table.tai_offset_s(Timestamp::from_unix(at_s, 0));
        assert!(offset.is_none_or(|offset| (-1_000..=1_000).contains(&offset)), "{offset:?}");
    }
    let before = table.expires() - Span::NANOSECOND;
    let shifted = parse_leap_seconds(&format!("# first\n{text}\n# last\n"), "list");
    let shifted = shifted.expect("comments change nothing");
    assert_eq!(shifted.tai_offset_s(before), table.tai_offset_s(before));
}
