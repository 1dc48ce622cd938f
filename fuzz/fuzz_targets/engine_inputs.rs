#![no_main]

#[path = "../properties/engine_inputs.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
