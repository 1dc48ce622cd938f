//! Any octets as a shared segment: reading never panics, what is taken is written as the same, and
//! no time makes the bound that it gives negative.

use timeball_timebase::segment::{Segment, SegmentStatus};
use timeball_timebase::{MonoTime, Span, Timestamp};

pub(crate) fn check(octets: &[u8]) {
    let Ok((segment, generation)) = Segment::parse(octets) else { return };
    assert!(generation != 0 && generation % 2 == 0);
    let again = [&Segment::header(generation)[..], &segment.body()].concat();
    assert_eq!(Segment::parse(&again), Ok((segment, generation)));
    for monotonic in [segment.as_of, segment.void_after, MonoTime::ZERO, MonoTime::MAX] {
        let Ok((reading, status)) = segment.reading(Timestamp::UNIX_EPOCH, monotonic) else {
            continue;
        };
        assert!(reading.half_width.is_none_or(|half_width| half_width >= Span::ZERO));
        let promises = matches!(status, SegmentStatus::Synchronized | SegmentStatus::FreeRunning);
        assert_eq!(reading.half_width.is_some(), promises);
    }
}
