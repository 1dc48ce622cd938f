//! The way of a datagram to a server and back.

use crate::noise::Noise;

/// What happens to datagrams between the client and one server. Times are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Least delay on the way to the server.
    pub base_up: f64,
    /// Least delay on the way back.
    pub base_down: f64,
    /// Mean of the exponential queueing delay on the way to the server.
    pub jitter_up: f64,
    /// Mean of the exponential queueing delay on the way back.
    pub jitter_down: f64,
    /// Probability that an answer is late, and the mean of the exponential lateness.
    pub spike: (f64, f64),
    /// Probability that a request is lost.
    pub loss: f64,
    /// Probability that an answer arrives twice, the second time after another delay.
    pub duplication: f64,
    /// Nothing passes between these times.
    pub outages: Vec<(f64, f64)>,
    /// From these times on the least delays are longer, to the server and back.
    pub route_changes: Vec<(f64, f64, f64)>,
}

impl Path {
    /// The same least delay and jitter on both ways, and nothing else.
    pub fn symmetric(base: f64, jitter: f64) -> Self {
        Self {
            base_up: base,
            base_down: base,
            jitter_up: jitter,
            jitter_down: jitter,
            spike: (0.0, 0.0),
            loss: 0.0,
            duplication: 0.0,
            outages: Vec::new(),
            route_changes: Vec::new(),
        }
    }

    /// Delay of a request sent at `at`, in nanoseconds; `None` if it is lost.
    pub(crate) fn up(&self, at: f64, noise: &mut Noise) -> Option<i64> {
        // Every draw is made whatever came before, so that worlds with and without loss are alike.
        let lost = noise.chance(self.loss);
        let delay = self.base_up + self.longer(at).0 + noise.exponential(self.jitter_up);
        (!lost && !self.is_out(at)).then_some((delay * 1e9) as i64)
    }

    /// Delays of the copies of an answer sent at `at`, in nanoseconds.
    pub(crate) fn down(&self, at: f64, noise: &mut Noise) -> Vec<i64> {
        let mut delay = self.base_down + self.longer(at).1 + noise.exponential(self.jitter_down);
        if noise.chance(self.spike.0) {
            delay += noise.exponential(self.spike.1);
        }
        if self.is_out(at) {
            return Vec::new();
        }
        let mut delays = vec![(delay * 1e9) as i64];
        if noise.chance(self.duplication) {
            delays.push(((delay + noise.exponential(0.1)) * 1e9) as i64);
        }
        delays
    }

    fn is_out(&self, at: f64) -> bool {
        self.outages.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    fn longer(&self, at: f64) -> (f64, f64) {
        let past = self.route_changes.iter().filter(|(from, _, _)| at >= *from);
        past.fold((0.0, 0.0), |sum, (_, up, down)| (sum.0 + up, sum.1 + down))
    }
}
