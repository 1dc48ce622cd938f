//! What the fuzzers found interesting stays true without a fuzzer.

#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/schedule_file.rs"]
mod schedule_file;
#[path = "../../../fuzz/properties/schedule_import.rs"]
mod schedule_import;

#[test]
fn any_text_is_refused_as_a_schedule_file_or_each_schedule_of_it_means_the_same_as_json() {
    replay::corpus("schedule_file", schedule_file::check);
}

#[test]
fn any_text_is_refused_as_others_file_or_each_schedule_of_it_is_read_as_it_was_written() {
    replay::corpus("schedule_import", schedule_import::check);
}
