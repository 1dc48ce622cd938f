//! Which seeds a test runs.

/// The seeds 0 to `count`, or only the one in `TIMEBALL_SIM_SEED`, to replay a failure.
pub fn seeds(count: u64) -> Vec<u64> {
    let replay = std::env::var("TIMEBALL_SIM_SEED").ok();
    match replay.as_deref().map(str::parse) {
        Some(Ok(seed)) => vec![seed],
        Some(Err(_)) => panic!("TIMEBALL_SIM_SEED must be a number"),
        None => (0..count).collect(),
    }
}
