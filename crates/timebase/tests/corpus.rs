//! Replays what the fuzzers have found.

#[path = "../../../fuzz/properties/clock_segment.rs"]
mod clock_segment;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn any_octets_are_a_segment_or_are_refused() {
    replay::corpus("clock_segment", clock_segment::check);
}
