#![no_main]

#[path = "../properties/ntp_packet.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| property::check(octets));
