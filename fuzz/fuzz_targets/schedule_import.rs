#![no_main]

#[path = "../properties/schedule_import.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
