//! Replays what the fuzzers have found.

#[path = "../../../fuzz/properties/gate_image.rs"]
mod gate_image;
#[path = "../../../fuzz/properties/gate_instant.rs"]
mod gate_instant;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn every_instant_of_the_corpus_keeps_its_property() {
    replay::corpus("gate_instant", gate_instant::check);
}

#[test]
fn every_program_of_the_corpus_keeps_its_property() {
    replay::corpus("gate_image", gate_image::check);
}
