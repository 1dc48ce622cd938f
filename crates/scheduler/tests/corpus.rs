//! What the fuzzers found interesting stays true without a fuzzer.

#[path = "../../../fuzz/properties/nats_server.rs"]
mod nats_server;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/schedule_file.rs"]
mod schedule_file;
#[path = "../../../fuzz/properties/schedule_import.rs"]
mod schedule_import;
#[path = "../../../fuzz/properties/store_row.rs"]
mod store_row;

#[test]
fn any_text_is_refused_as_a_schedule_file_or_each_schedule_of_it_means_the_same_as_json() {
    replay::corpus("schedule_file", schedule_file::check);
}

#[test]
fn any_text_is_refused_as_others_file_or_each_schedule_of_it_is_read_as_it_was_written() {
    replay::corpus("schedule_import", schedule_import::check);
}

#[test]
fn any_octets_of_the_store_are_refused_or_written_as_an_image_that_reads_back_the_same() {
    replay::corpus("store_row", store_row::check);
}

#[test]
fn any_octets_of_a_server_of_nats_are_the_same_words_however_they_are_cut() {
    replay::corpus("nats_server", nats_server::check);
}
