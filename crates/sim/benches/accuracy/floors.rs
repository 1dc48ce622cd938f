//! What nobody can promise less than who takes no path for symmetric, though the rate be known to
//! the last bit of what is allowed for.

use timeball_sim::{Noise, median};

/// The paths of `lan100`: each way the base and an exponential of this mean, in seconds.
const BASE_S: f64 = 50e-6;
const JITTER_S: f64 = 100e-6;
const POLL_S: f64 = 64.0;
/// What a promise loses in a second.
const DRIFT: f64 = 1e-6;
const EXCHANGES: usize = 200_000;
/// Moments between two exchanges at which the promise is looked at.
const LOOKS: u32 = 8;
/// Exchanges before the first look.
const STARTED: usize = 100;

/// Prints the medians of both floors. Each end is the least, over all exchanges, of what its way
/// took and 1 us for each second since; an estimate that is right has the larger of both ends as
/// its largest error, and the mean of both is half the length.
pub(crate) fn print() {
    let mut noise = Noise::new(1, 0);
    let mut ends = [f64::INFINITY; 2];
    let (mut largest, mut half_lengths) = (Vec::new(), Vec::new());
    for exchange in 0..EXCHANGES {
        ends = ends.map(|end| end.min(BASE_S + noise.exponential(JITTER_S)));
        let [up, down] = ends;
        for look in 0..LOOKS {
            let aged = DRIFT * POLL_S * (f64::from(look) + 0.5) / f64::from(LOOKS);
            if exchange >= STARTED {
                largest.push(up.max(down) + aged);
                half_lengths.push((up + down) / 2.0 + aged);
            }
        }
        ends = ends.map(|end| end + DRIFT * POLL_S);
    }
    println!(
        "\nlan100 at exactly 1 ppm, no path taken for symmetric: median of the largest error {:.1} \
         us, of half the length {:.1} us",
        median(largest) * 1e6,
        median(half_lengths) * 1e6,
    );
}
