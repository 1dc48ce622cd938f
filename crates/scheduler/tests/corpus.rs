//! What the fuzzers found interesting stays true without a fuzzer.

#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/schedule_file.rs"]
mod schedule_file;

#[test]
fn any_text_is_refused_as_a_schedule_file_or_each_schedule_of_it_means_the_same_as_json() {
    replay::corpus("schedule_file", schedule_file::check);
}
