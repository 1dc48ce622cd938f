//! What nobody can promise less than who takes no path for symmetric, though the rate be known to
//! the last bit of what is allowed for.

use timeball_sim::{Noise, median};

/// The paths of `lan100`: each way the base and an exponential of this mean, in seconds.
const BASE_S: f64 = 50e-6;
const JITTER_S: f64 = 100e-6;
const POLL_S: f64 = 64.0;
/// What a promise loses in a second: what is allowed for, and that with some walk of the rate.
const DRIFTS: [f64; 3] = [1e-6, 1.2e-6, 1.4e-6];
const EXCHANGES: usize = 200_000;
/// Moments between two exchanges at which the promise is looked at.
const LOOKS: u32 = 8;
/// Exchanges before the first look.
const STARTED: usize = 100;

/// Prints the medians of both floors. Each end is the least, over all exchanges, of what its way
/// took and what the promise has lost since; an estimate that is right has the larger of both ends
/// as its largest error, and the mean of both is half the length.
pub(crate) fn print() {
    println!("\n| lan100, no path symmetric, grows by | largest error us | half length us |");
    println!("|---|---|---|");
    for drift in DRIFTS {
        let (largest, half_length) = medians(drift);
        println!("| {:.1} ppm | {largest:.1} | {half_length:.1} |", drift * 1e6);
    }
}

fn medians(drift: f64) -> (f64, f64) {
    let mut noise = Noise::new(1, 0);
    let mut ends = [f64::INFINITY; 2];
    let (mut largest, mut half_lengths) = (Vec::new(), Vec::new());
    for exchange in 0..EXCHANGES {
        ends = ends.map(|end| end.min(BASE_S + noise.exponential(JITTER_S)));
        let [up, down] = ends;
        for look in 0..LOOKS {
            let aged = drift * POLL_S * (f64::from(look) + 0.5) / f64::from(LOOKS);
            if exchange >= STARTED {
                largest.push(up.max(down) + aged);
                half_lengths.push((up + down) / 2.0 + aged);
            }
        }
        ends = ends.map(|end| end + drift * POLL_S);
    }
    (median(largest) * 1e6, median(half_lengths) * 1e6)
}
