//! The estimator that knows the physics: how good anybody can be on the same noise.
//!
//! A Kalman filter of phase and rate that knows the wander and the least delays beforehand. With
//! exponential queues on both ways, an answer that was e late in all is anything from e / 2 too
//! early to e / 2 too late, nothing more likely than anything else: its variance is e² / 12.

use crate::floor::Exchange;
use crate::records::Series;

/// Error of reading the clocks, in seconds.
const READING_SD: f64 = 1e-7;
/// What is known of the rate at the start.
const RATE_SD: f64 = 1e-4;

/// Root mean square of the filter's error from `from_s` on, in seconds, judged a tick apart.
///
/// `exchanges` are a world's, of one honest server, `raw_errors` its record, a second apart, and
/// `wander` is that of its oscillator.
pub fn clairvoyant_rms(
    exchanges: &[Exchange],
    raw_errors: &Series,
    wander: f64,
    from_s: i64,
) -> f64 {
    let mut filter: Option<Filter> = None;
    let mut waiting = exchanges.iter().peekable();
    let mut squares = 0.0;
    let mut judged = 0_i64;
    for (tick, truth) in raw_errors.values().iter().enumerate() {
        let at_s = (tick + 1) as f64;
        while let Some(exchange) = waiting.next_if(|e| e.at_s + e.down_s <= at_s) {
            let filter = filter.get_or_insert_with(|| Filter::new(wander, exchange.at_s));
            filter.advance(exchange.at_s);
            filter.update(exchange);
        }
        if at_s > from_s as f64
            && let Some(filter) = &filter
        {
            let error = filter.phase_at(at_s) - truth;
            squares += error * error;
            judged += 1;
        }
    }
    (squares / judged.max(1) as f64).sqrt()
}

struct Filter {
    wander: f64,
    at_s: f64,
    /// Raw clock less true time, and its rate.
    phase: f64,
    rate: f64,
    phase_variance: f64,
    covariance: f64,
    rate_variance: f64,
}

impl Filter {
    fn new(wander: f64, at_s: f64) -> Self {
        let (phase, rate, covariance) = (0.0, 0.0, 0.0);
        let rate_variance = RATE_SD * RATE_SD;
        Self { wander, at_s, phase, rate, phase_variance: 1e6, covariance, rate_variance }
    }

    fn phase_at(&self, at_s: f64) -> f64 {
        self.phase + self.rate * (at_s - self.at_s)
    }

    fn advance(&mut self, at_s: f64) {
        // An answer that was overtaken is taken as if it were as new as the one before it.
        let dt = (at_s - self.at_s).max(0.0);
        let q = self.wander * self.wander;
        self.phase += self.rate * dt;
        self.phase_variance +=
            2.0 * dt * self.covariance + dt * dt * self.rate_variance + q * dt * dt * dt / 3.0;
        self.covariance += dt * self.rate_variance + q * dt * dt / 2.0;
        self.rate_variance += q * dt;
        self.at_s += dt;
    }

    fn update(&mut self, exchange: &Exchange) {
        let late_up = exchange.up_s - exchange.base_up_s;
        let late_down = exchange.down_s - exchange.base_down_s;
        let measured = exchange.raw_error_s + (late_down - late_up) / 2.0;
        let late = late_up + late_down;
        let variance = late * late / 12.0 + READING_SD * READING_SD;
        let innovation = measured - self.phase;
        let total = self.phase_variance + variance;
        let (phase_gain, rate_gain) = (self.phase_variance / total, self.covariance / total);
        self.phase += phase_gain * innovation;
        self.rate += rate_gain * innovation;
        self.rate_variance -= rate_gain * self.covariance;
        self.phase_variance *= 1.0 - phase_gain;
        self.covariance *= 1.0 - phase_gain;
    }
}
