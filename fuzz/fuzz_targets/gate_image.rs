#![no_main]

#[path = "../properties/gate_image.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
