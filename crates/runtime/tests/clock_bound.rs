//! The shared segment as AWS ClockBound's own client reads it.

use clock_bound_client::{ClockBoundClient, ClockStatus};
use timeball_runtime::read_clocks;
use timeball_runtime::segment::{SegmentWriter, read_bounded_clock};
use timeball_timebase::segment::SegmentStatus;
use timeball_timebase::{Bound, ClockState, Frequency, Now, Span, SyncState};

const HALF_WIDTH: Span = Span::from_millis(2);
const OFFSET: Span = Span::from_millis(-3);
/// What the bound grows by, in nanoseconds, in far longer than lies between two readings.
const AGES_APART: i64 = 50_000;

fn known(state: SyncState, now: Now) -> ClockState {
    let growth = Frequency::from_ppm(1);
    ClockState {
        state,
        as_of: now.raw,
        system: now.system,
        offset: Some(OFFSET),
        bound: Some(Bound { as_of: now.raw, half_width: HALF_WIDTH, growth }),
        ..ClockState::default()
    }
}

#[test]
fn the_client_of_clockbound_reads_our_segment() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("clockbound/shm0");
    let mut writer = SegmentWriter::open(&path).unwrap();
    writer.publish(&ClockState::default()).unwrap();
    let mut client = ClockBoundClient::new_with_path(path.to_str().unwrap()).unwrap();
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Unknown);

    for (state, theirs, ours) in [
        (SyncState::Synchronized, ClockStatus::Synchronized, SegmentStatus::Synchronized),
        (SyncState::Holdover, ClockStatus::FreeRunning, SegmentStatus::FreeRunning),
        (SyncState::Acquiring, ClockStatus::Unknown, SegmentStatus::Unknown),
    ] {
        writer.publish(&known(state, read_clocks())).unwrap();
        let before = read_clocks().system.as_unix_nanos();
        let told = client.now().unwrap();
        let after = read_clocks().system.as_unix_nanos();
        let (reading, status) = read_bounded_clock(&path).unwrap();
        assert_eq!((told.clock_status, status), (theirs, ours));
        if ours == SegmentStatus::Unknown {
            continue;
        }
        let nanos = |seconds: i64, nanos: i64| seconds * 1_000_000_000 + nanos;
        let earliest = nanos(told.earliest.tv_sec(), told.earliest.tv_nsec());
        let latest = nanos(told.latest.tv_sec(), told.latest.tv_nsec());
        let middle = earliest + (latest - earliest) / 2;
        assert!((before..=after).contains(&middle), "it bounds the system clock's reading");
        let theirs = (latest - earliest) / 2;
        let ours = reading.half_width.unwrap().as_nanos();
        let told = (HALF_WIDTH + OFFSET.abs()).as_nanos();
        assert!(theirs >= told && ours >= told, "{theirs} {ours} {told}");
        assert!((theirs - ours).abs() < AGES_APART, "the client reads ±{theirs} ns, we ±{ours} ns");
    }
}
