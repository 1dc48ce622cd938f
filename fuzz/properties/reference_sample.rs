//! Any octets as a sample of a reference clock: as shared memory and as a datagram of a socket.
//! What is taken is a time that a timestamp holds, and says what its octets say.

use timeball_agent::{
    ReferenceError, ReferenceReading, SHARED_MEMORY_OCTETS, SOCKET_SAMPLE_OCTETS,
    parse_shared_memory, parse_socket_sample,
};

pub(crate) fn check(octets: &[u8]) {
    match parse_socket_sample(octets) {
        Ok(reading) => {
            assert_eq!(octets.len(), SOCKET_SAMPLE_OCTETS);
            check_reading(&reading);
            let told = f64::from_ne_bytes(octets[16..24].try_into().expect("eight octets"));
            let offset = (reading.time - reading.system).as_seconds_f64();
            assert!((offset - told).abs() <= 1e-9 + told.abs() * 1e-9, "{offset} for {told}");
        }
        Err(error) => check_error(error),
    }
    let mut segment = [0; SHARED_MEMORY_OCTETS];
    let length = octets.len().min(SHARED_MEMORY_OCTETS);
    segment[..length].copy_from_slice(&octets[..length]);
    match parse_shared_memory(&segment) {
        Ok(sample) => {
            check_reading(&sample.reading);
            assert!(!sample.reading.is_pulse);
            assert_eq!(sample.count.to_ne_bytes(), segment[4..8]);
            let seconds = i64::from_ne_bytes(segment[24..32].try_into().expect("eight octets"));
            assert_eq!(sample.reading.system.as_unix_nanos().div_euclid(1_000_000_000), seconds);
        }
        Err(error) => check_error(error),
    }
}

fn check_reading(reading: &ReferenceReading) {
    assert!(reading.system.as_unix_nanos() >= 0);
    assert!(!reading.delay.is_negative());
}

fn check_error(error: ReferenceError) {
    assert!(matches!(error, ReferenceError::Malformed | ReferenceError::Unsynchronized));
}
