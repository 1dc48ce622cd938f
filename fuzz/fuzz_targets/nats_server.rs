#![no_main]

#[path = "../properties/nats_server.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
