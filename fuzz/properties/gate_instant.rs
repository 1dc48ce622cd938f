//! Any instant of the gate's command line: reading never panics, and what was read is written in
//! both forms so that it is read as the same.

use timeball_gate::{parse_instant, parse_limit};

pub(crate) fn check(octets: &[u8]) {
    if let Ok(at) = parse_instant(octets) {
        let (seconds, nanos) = (at.unix_seconds(), at.subsec_nanos());
        assert!(seconds >= 0, "{at}");
        assert_eq!(parse_instant(format!("@{seconds}.{nanos:09}").as_bytes()), Ok(at));
        assert_eq!(parse_instant(at.to_string().as_bytes()), Ok(at));
        if let Ok(limit) = parse_limit(octets, at) {
            assert_eq!(limit, at);
        }
    } else if let Ok(limit) = parse_limit(octets, timeball_timebase::Timestamp::UNIX_EPOCH) {
        assert!(limit >= timeball_timebase::Timestamp::UNIX_EPOCH, "{limit}");
    }
}
