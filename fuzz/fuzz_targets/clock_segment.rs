#![no_main]

#[path = "../properties/clock_segment.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
