//! What the fuzzers found interesting stays true without a fuzzer.

#[path = "../../../fuzz/properties/agent_config.rs"]
mod agent_config;
#[path = "../../../fuzz/properties/agent_keys.rs"]
mod agent_keys;
#[path = "../../../fuzz/properties/agent_leap_file.rs"]
mod agent_leap_file;
#[path = "../../../fuzz/properties/agent_remembered.rs"]
mod agent_remembered;
#[path = "../../../fuzz/properties/reference_sample.rs"]
mod reference_sample;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn any_settings_are_refused_with_their_place_or_keep_their_limits() {
    replay::corpus("agent_config", agent_config::check);
}

#[test]
fn any_keys_are_refused_with_their_line_or_make_macs() {
    replay::corpus("agent_keys", agent_keys::check);
}

#[test]
fn a_list_of_leap_seconds_is_refused_with_its_line_or_tells_what_it_says() {
    replay::corpus("agent_leap_file", agent_leap_file::check);
}

#[test]
fn what_is_remembered_of_sources_is_refused_or_read_as_it_is_written() {
    replay::corpus("agent_remembered", agent_remembered::check);
}

#[test]
fn any_sample_of_a_reference_clock_is_refused_or_says_what_its_octets_say() {
    replay::corpus("reference_sample", reference_sample::check);
}
