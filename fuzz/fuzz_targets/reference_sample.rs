#![no_main]

#[path = "../properties/reference_sample.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
