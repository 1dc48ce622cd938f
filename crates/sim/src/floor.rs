//! The tightest interval that anybody could promise, were the client's oscillator known.
//!
//! One answer tells that true time is no earlier than the server's stamp less the way up, and no
//! later than it plus the way back; nobody who does not assume that both ways are alike can say
//! more. Seen from the truth that is the interval from minus the one delay to the other. All
//! answers of a server hold, so the intersection of all does; the servers are then voted on.

use timeball_timebase::{Interval, Span, coverage_hull};

/// One answered request, as only the simulator knows it. All in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exchange {
    /// Index of the server.
    pub server: usize,
    /// When the server stamped it, after the start.
    pub at_s: f64,
    /// What the client's raw clock had then counted more than true time since the start.
    pub raw_error_s: f64,
    /// How long the request was on its way.
    pub up_s: f64,
    /// How long the answer was on its way.
    pub down_s: f64,
    /// The least the way up could take then.
    pub base_up_s: f64,
    /// The least the way back could take then.
    pub base_down_s: f64,
    /// How far the server's time was ahead of the truth.
    pub server_error_s: f64,
    /// How far off it said that it may be.
    pub claimed_error_s: f64,
}

impl Exchange {
    /// How far before and after the truth a promise from this answer reaches.
    pub(crate) fn ends_s(&self) -> (f64, f64) {
        let earliest = self.server_error_s - self.down_s - self.claimed_error_s;
        let latest = self.server_error_s + self.up_s + self.claimed_error_s;
        (earliest, latest)
    }
}

/// What somebody could promise who must allow for the oscillator's rate changing by `allowance`
/// unnoticed; with an allowance of zero, who knows the oscillator.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    allowance: f64,
    /// Of each server, both ends and when they held.
    ends: Vec<Option<(f64, f64, f64)>>,
}

impl Floor {
    pub(crate) fn new(servers: usize, allowance: f64) -> Self {
        Self { allowance, ends: vec![None; servers] }
    }

    pub(crate) fn answered(&mut self, exchange: &Exchange) {
        let (earliest, latest) = exchange.ends_s();
        let at_s = exchange.at_s;
        let known = self.aged(exchange.server, at_s);
        let both = known.map(|(e, l)| (earliest.max(e), latest.min(l)));
        // A contradiction to itself is a server whose error changes: its last word counts.
        let (earliest, latest) = both.filter(|(e, l)| e <= l).unwrap_or((earliest, latest));
        self.ends[exchange.server] = Some((earliest, latest, at_s));
    }

    /// Half the width of the promise, in seconds; infinite while there is none.
    pub(crate) fn half_width_s(&self, at_s: f64) -> f64 {
        let intervals: Vec<Interval> = (0..self.ends.len())
            .filter_map(|server| self.aged(server, at_s))
            .map(|(earliest, latest)| Interval { earliest: span(earliest), latest: span(latest) })
            .collect();
        let quorum = self.ends.len() / 2 + 1;
        let hull = coverage_hull(&intervals, quorum);
        hull.map_or(f64::INFINITY, |hull| hull.half_width().as_seconds_f64())
    }

    fn aged(&self, server: usize, at_s: f64) -> Option<(f64, f64)> {
        let (earliest, latest, since_s) = self.ends[server]?;
        let wider = self.allowance * (at_s - since_s).max(0.0);
        Some((earliest - wider, latest + wider))
    }
}

fn span(seconds: f64) -> Span {
    Span::from_seconds_f64(seconds).unwrap_or(Span::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(server: usize, at_s: f64, up_s: f64, down_s: f64) -> Exchange {
        Exchange {
            server,
            at_s,
            up_s,
            down_s,
            raw_error_s: 0.0,
            base_up_s: 0.0,
            base_down_s: 0.0,
            server_error_s: 0.0,
            claimed_error_s: 0.0,
        }
    }

    #[test]
    fn the_best_of_each_way_is_what_remains() {
        let mut floor = Floor::new(1, 0.0);
        assert_eq!(floor.half_width_s(0.0), f64::INFINITY);
        floor.answered(&exchange(0, 0.0, 0.004, 0.001));
        floor.answered(&exchange(0, 64.0, 0.001, 0.003));
        assert!((floor.half_width_s(1e6) - 0.001).abs() < 1e-9);
    }

    #[test]
    fn a_liar_neither_narrows_nor_widens_what_a_majority_says() {
        let mut floor = Floor::new(4, 0.0);
        for server in 0..3 {
            floor.answered(&exchange(server, 0.0, 0.002, 0.002));
        }
        let mut lie = exchange(3, 0.0, 0.001, 0.001);
        lie.server_error_s = 1.0;
        floor.answered(&lie);
        assert!((floor.half_width_s(0.0) - 0.002).abs() < 1e-9);
    }

    #[test]
    fn an_allowance_widens_with_age() {
        let mut floor = Floor::new(1, 1e-6);
        floor.answered(&exchange(0, 0.0, 0.001, 0.001));
        assert!((floor.half_width_s(1_000.0) - 0.002).abs() < 1e-9);
    }
}
