//! The gate and a clock of which a time service tells how wrong it may be.
#![allow(dead_code, unreachable_pub, clippy::print_stderr, reason = "a test says what it skips")]

mod support;

use std::path::Path;
use std::process::Output;

use support::{both, gate, in_millis, run, said};
use timeball_timebase::segment::{Segment, SegmentStatus};
use timeball_timebase::{MonoTime, Span};

/// A segment as a service has just written it, its file and all.
fn share(path: &Path, bound: Span, status: SegmentStatus) {
    let as_of = MonoTime::from_nanos(support::sys::coarse_monotonic_ns());
    let void_after = as_of + Span::from_secs(60);
    let segment = Segment { void_after, bound, status, ..Segment::unknown(as_of) };
    std::fs::write(path, [&Segment::header(2)[..], &segment.body()].concat())
        .expect("a file is written");
}

/// Says "began" if the command begins, in every mode that has one.
fn began(segment: &Path, judge: impl Fn(&Output)) {
    let option = format!("--segment={}", segment.display());
    for program in both() {
        for mode in ["entry", "exec"] {
            let options = ["--max-error", "5ms", &option, "--mode", mode, "--", "echo", "began"];
            judge(&run(gate(program, in_millis(100), &options)));
        }
    }
}

#[test]
fn a_clock_that_is_good_enough_lets_the_command_begin() {
    let directory = tempfile::tempdir().expect("a directory");
    let segment = directory.path().join("shm0");
    for status in [SegmentStatus::Synchronized, SegmentStatus::FreeRunning] {
        share(&segment, Span::from_millis(4), status);
        began(&segment, |output| {
            assert_eq!((output.status.code(), said(output).as_str()), (Some(0), ""), "{output:?}");
            assert_eq!(output.stdout, b"began\n");
        });
    }
}

#[test]
fn by_a_clock_that_is_worse_or_unknown_nothing_begins() {
    let directory = tempfile::tempdir().expect("a directory");
    let segment = directory.path().join("shm0");
    let refused = |expected: &str| {
        began(&segment, |output| {
            assert_eq!(output.status.code(), Some(123), "{output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
            assert!(said(output).contains(expected), "{output:?}");
        });
    };
    refused("nothing is known of the clock");
    std::fs::write(&segment, b"nonsense").expect("a file is written");
    refused("it begins with something else");
    share(&segment, Span::from_millis(6), SegmentStatus::Synchronized);
    refused("the clock may be 6000 us off, which --max-error forbids");
    share(&segment, Span::ZERO, SegmentStatus::Unknown);
    refused("no source vouches for it");
}
