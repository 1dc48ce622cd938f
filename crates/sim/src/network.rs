//! The way of a datagram to a server and back.

use crate::noise::Noise;

/// What happens to datagrams between the client and one server. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    /// The way to the server.
    pub up: Way,
    /// The way back.
    pub down: Way,
    /// Probability that an answer arrives twice, the second time after another delay.
    pub duplication: f64,
    /// Nothing passes between these times.
    pub outages: Vec<(f64, f64)>,
}

/// One direction of a path. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    /// Least delay.
    pub base: f64,
    /// Mean of the queueing delay.
    pub jitter: f64,
    /// How the queueing delay is distributed.
    pub tail: Tail,
    /// Probability that a datagram is late, and the mean of the exponential lateness.
    pub spike: (f64, f64),
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Share by which the mean of the queueing delay swings, and the period (a day, say).
    pub load: (f64, f64),
    /// Congestion: once in each period, for this long, this mean of delay comes on top.
    pub bursts: Option<Bursts>,
    /// From these times on the least delay is longer by this much, shorter if negative.
    pub route_changes: Vec<(f64, f64)>,
}

/// How queueing delays are distributed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Tail {
    /// Exponential.
    #[default]
    Exponential,
    /// A power of this shape, above 1.
    Heavy(f64),
}

/// Recurrent congestion. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// From the beginning of one to that of the next.
    pub period: f64,
    /// How long one lasts.
    pub length: f64,
    /// Mean of the exponential delay that is added.
    pub mean: f64,
}

impl Path {
    /// The same least delay and jitter on both ways, and nothing else.
    pub fn symmetric(base: f64, jitter: f64) -> Self {
        let way = Way::new(base, jitter);
        Self { up: way.clone(), down: way, ..Self::default() }
    }

    /// Delay of a request sent at `at`, in nanoseconds; `None` if it is lost.
    pub(crate) fn request(&self, at: f64, noise: &mut Noise) -> Option<i64> {
        let (lost, delay) = self.up.draw(at, noise);
        (!lost && !self.is_out(at)).then_some(delay)
    }

    /// Delays of the copies of an answer sent at `at`, in nanoseconds.
    pub(crate) fn answer(&self, at: f64, noise: &mut Noise) -> Vec<i64> {
        let (lost, delay) = self.down.draw(at, noise);
        if lost || self.is_out(at) {
            return Vec::new();
        }
        let mut delays = vec![delay];
        if noise.chance(self.duplication) {
            delays.push(delay + nanos(noise.exponential(0.1)));
        }
        delays
    }

    fn is_out(&self, at: f64) -> bool {
        self.outages.iter().any(|(from, to)| (*from..*to).contains(&at))
    }
}

impl Way {
    /// Exponential jitter over a least delay, and nothing else.
    pub fn new(base: f64, jitter: f64) -> Self {
        Self { base, jitter, ..Self::default() }
    }

    /// Least delay at a time.
    pub fn base_at(&self, at: f64) -> f64 {
        let past = self.route_changes.iter().filter(|(from, _)| at >= *from);
        (self.base + past.map(|(_, by)| by).sum::<f64>()).max(0.0)
    }

    fn draw(&self, at: f64, noise: &mut Noise) -> (bool, i64) {
        // Every draw is made whatever came before, so that worlds with and without loss are alike.
        let lost = noise.chance(self.loss);
        let (swing, period) = self.load;
        let load = if swing == 0.0 { 0.0 } else { swing * phase(at, period).sin() };
        let mean = self.jitter * (1.0 + load);
        let mut delay = self.base_at(at);
        delay += match self.tail {
            Tail::Exponential => noise.exponential(mean),
            Tail::Heavy(shape) => noise.heavy(mean, shape),
        };
        if noise.chance(self.spike.0) {
            delay += noise.exponential(self.spike.1);
        }
        if let Some(bursts) = self.bursts {
            let extra = noise.exponential(bursts.mean);
            if at.rem_euclid(bursts.period) < bursts.length {
                delay += extra;
            }
        }
        (lost, nanos(delay))
    }
}

fn phase(at: f64, period: f64) -> f64 {
    core::f64::consts::TAU * at / period
}

fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}
