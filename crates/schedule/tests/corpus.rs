//! What the fuzzers found interesting stays true without a fuzzer.
// The core reads no file; its tests may.
#![allow(clippy::disallowed_methods)]

#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/schedule_language.rs"]
mod schedule_language;

#[test]
fn any_text_is_refused_with_its_place_or_means_what_it_prints() {
    replay::corpus("schedule_language", schedule_language::check);
}
