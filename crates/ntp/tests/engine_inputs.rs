//! The engine survives whatever it is told, by fuzzers' finds and by scripts drawn anew each time.

#[path = "../../../fuzz/properties/engine_inputs.rs"]
mod engine_inputs;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

use proptest::prelude::*;

#[test]
fn no_script_of_the_corpus_makes_the_engine_publish_nonsense() {
    replay::corpus("engine_inputs", engine_inputs::check);
}

proptest! {
    #[test]
    fn no_drawn_script_makes_the_engine_publish_nonsense(
        script in prop::collection::vec(any::<u8>(), 0..1_500),
    ) {
        engine_inputs::check(&script);
    }
}
