#![no_main]

#[path = "../properties/agent_leap_file.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
