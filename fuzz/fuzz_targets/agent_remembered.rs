#![no_main]

#[path = "../properties/agent_remembered.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
