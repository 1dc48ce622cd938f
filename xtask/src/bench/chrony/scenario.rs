//! What is simulated: the physics, as the simulator's configuration wants them.

mod others;

use super::noise::Noise;
pub(super) use others::others;
use std::fmt::Write as _;
use std::path::Path;

/// The physics of one comparison. Times are in seconds; delays are of each way.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    /// Mean of each server's exponential queueing delay; their number is that of the servers.
    pub(super) jitters: Vec<f64>,
    /// Least delay.
    pub(super) base: f64,
    /// A clock at hand beside the servers, or instead of them.
    pub(super) reference: Option<Reference>,
    /// The way there has 1 − this of the jitter, the way back 1 + this.
    pub(super) asymmetry: f64,
    /// Where the clock's rate is at the start.
    pub(super) rate: f64,
    /// The oscillator's random walk, per square root of a second.
    pub(super) wander: f64,
    /// Amplitude and period of the oscillator's swing.
    pub(super) temperature: (f64, f64),
    /// When the oscillator's rate changes, and by what.
    pub(super) rate_step: Option<(usize, f64)>,
    /// log2 of the polling interval; `None`: each daemon's own habit.
    pub(super) poll: Option<i8>,
    /// How far the clock is ahead at the start.
    pub(super) offset: f64,
    /// The last server is this far ahead.
    pub(super) lie: f64,
    /// One answer in ten is late by this, on average.
    pub(super) spike: f64,
    /// Share of requests that are lost.
    pub(super) loss: f64,
    /// Nothing passes between these times.
    pub(super) outage: Option<(u32, u32)>,
    pub(super) length: usize,
    /// The clock is judged from here on.
    pub(super) judged_from: usize,
    /// The clock has settled once it stays this near.
    pub(super) settled_within: f64,
    /// Whether what is promised may be no wider than what chrony promises.
    pub(super) is_told_error_judged: bool,
}

/// A reference clock that both daemons read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) kind: ReferenceKind,
    /// Standard deviation of its readings.
    pub(super) scatter: f64,
}

/// How it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReferenceKind {
    /// A PTP hardware clock.
    Phc,
    /// Shared memory.
    Shm,
}

impl Scenario {
    fn new(name: impl Into<String>, jitter: f64, settled_within: f64) -> Self {
        Self {
            name: name.into(),
            jitters: vec![jitter],
            base: 5e-5,
            reference: None,
            asymmetry: 0.0,
            rate: 1e-5,
            wander: 1e-9,
            temperature: (0.0, 1.0),
            rate_step: None,
            poll: Some(6),
            offset: 1e-2,
            lie: 0.0,
            spike: 0.0,
            loss: 0.0,
            outage: None,
            length: 40_000,
            judged_from: 10_000,
            settled_within,
            is_told_error_judged: true,
        }
    }

    /// The node of the client; the servers' come before it.
    pub(super) fn client(&self) -> usize {
        self.jitters.len() + 1
    }

    /// Whether the oscillator does what the default settings say that it does not: change its rate
    /// by more than 1 ppm at once.
    pub(super) fn exceeds_drift_allowance(&self) -> bool {
        self.rate_step.is_some_and(|(_, by)| by.abs() > 1e-6)
    }

    /// The client's rate error at each second, a line each.
    pub(super) fn rates(&self, seed: u64) -> String {
        let mut noise = Noise::new(seed, "wander");
        let (swing, period) = self.temperature;
        let mut walk = 0.0;
        let mut lines = String::new();
        for second in 0..self.length + 10 {
            let turns = second as f64 / period;
            let stepped = self.rate_step.filter(|(at, _)| second >= *at).map_or(0.0, |(_, by)| by);
            let swing = swing * (std::f64::consts::TAU * turns).sin();
            walk += self.wander * noise.normal();
            let _ = writeln!(lines, "{:.12e}", self.rate + walk + swing + stepped);
        }
        lines
    }

    /// The simulator's configuration, with files of random numbers in `directory`: each daemon
    /// meets the same ones. Returns them by name.
    pub(super) fn configuration(
        &self,
        seed: u64,
        directory: &Path,
    ) -> (String, Vec<(String, String)>) {
        let client = self.client();
        let directory = directory.display();
        let mut files = vec![("rates".to_owned(), self.rates(seed))];
        let mut text = format!(
            "node{client}_offset = {:e}\nnode{client}_freq = (file \"{directory}/rates\")\n",
            self.offset
        );
        for (server, jitter) in (1..).zip(&self.jitters) {
            for (way, from, to) in [("up", client, server), ("down", server, client)] {
                let name = format!("{way}{server}");
                let mut noise = Noise::new(seed, &name);
                let sign = if way == "up" { -1.0 } else { 1.0 };
                let mean = jitter * (1.0 + sign * self.asymmetry);
                let queue = self.delays(way, &mut noise, mean);
                let _ = writeln!(
                    text,
                    "node{from}_delay{to} = (+ {:e} (file \"{directory}/{name}\"){})",
                    self.base,
                    self.outage_term()
                );
                files.push((name, queue));
            }
        }
        if let Some(reference) = &self.reference {
            let mut noise = Noise::new(seed, "reference");
            let lines = (0..self.length).map(|_| reference.scatter * noise.normal());
            let lines: String = lines.map(|offset| format!("{offset:.9e}\n")).collect();
            let _ = writeln!(text, "node{client}_refclock = (file \"{directory}/reference\")");
            files.push(("reference".to_owned(), lines));
        }
        if self.lie != 0.0 {
            let _ = writeln!(text, "node{}_offset = {:e}", self.jitters.len(), self.lie);
        }
        (text, files)
    }

    /// Queueing delays, a line each; the simulator drops what has a negative delay.
    fn delays(&self, way: &str, noise: &mut Noise, mean: f64) -> String {
        const LINES: usize = 20_011;
        let mut lines = String::new();
        for _ in 0..LINES {
            let (queue, late, lost) = (noise.exponential(), noise.exponential(), noise.unit());
            let is_late = noise.unit() < 0.1;
            let mut delay = mean * queue;
            if way == "down" && is_late {
                delay += self.spike * late;
            }
            if way == "up" && lost < self.loss {
                delay = -1e3;
            }
            let _ = writeln!(lines, "{delay:.9e}");
        }
        lines
    }

    fn outage_term(&self) -> String {
        self.outage.map_or(String::new(), |(from, to)| {
            // Within the outage, and only there, the clamped time is the time itself.
            format!(" (* -1e3 (equal 0.5 time (min {to} (max {from} time))))")
        })
    }
}

/// The comparison. The first ten are those of the table in `docs/benchmarks.md`; the others show
/// what else goes wrong in networks.
pub(super) fn all() -> Vec<Scenario> {
    let lan = |name: &str| Scenario::new(name, 1e-4, 3e-4);
    let wan = |name: &str, servers| Scenario {
        jitters: vec![1e-3; servers],
        base: 1e-2,
        ..Scenario::new(name, 1e-3, 3e-3)
    };
    let late = Scenario { base: 1e-3, spike: 2e-2, ..Scenario::new("spike", 1e-4, 1e-3) };
    let init = Scenario {
        poll: None,
        offset: 10.0,
        length: 15_000,
        judged_from: 5_000,
        ..Scenario::new("init10", 1e-4, 1e-3)
    };
    vec![
        Scenario::new("lan10", 1e-5, 1e-4),
        lan("lan100"),
        Scenario { wander: 1e-8, settled_within: 1e-3, ..lan("lan100-w8") },
        wan("wan1", 1),
        Scenario { poll: None, ..lan("lan100-def") },
        wan("wan1x4", 4),
        late,
        Scenario { lie: 0.1, ..wan("false4", 4) },
        init,
        Scenario { rate_step: Some((20_000, 5e-6)), ..lan("fstep") },
        Scenario { asymmetry: 0.9, ..lan("asymmetric") },
        Scenario { temperature: (1e-6, 7_200.0), ..lan("temperature") },
        Scenario { loss: 0.5, ..lan("loss") },
        Scenario { jitters: vec![1e-4, 1e-3, 5e-3, 1e-2], base: 5e-3, ..lan("unequal4") },
        Scenario { outage: Some((20_000, 27_200)), ..lan("outage") },
    ]
}

/// The comparison with reference clocks: a hardware clock, a pulse and what a receiver's serial
/// port tells.
pub(super) fn references() -> Vec<Scenario> {
    let with = |name: &str, kind, scatter, settled_within| Scenario {
        jitters: Vec::new(),
        reference: Some(Reference { kind, scatter }),
        length: 20_000,
        judged_from: 5_000,
        // Of a reference clock chrony promises nothing.
        is_told_error_judged: false,
        ..Scenario::new(name, 0.0, settled_within)
    };
    use ReferenceKind::{Phc, Shm};
    vec![
        with("phc100ns", Phc, 1e-7, 1e-5),
        with("shm1us", Shm, 1e-6, 1e-5),
        with("shm100us", Shm, 1e-4, 1e-3),
        with("shm10ms", Shm, 1e-2, 1e-1),
        Scenario { wander: 1e-8, ..with("shm1us-w8", Shm, 1e-6, 1e-5) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_each_server_has_its_own_numbers() {
        let scenario = all().into_iter().find(|scenario| scenario.name == "false4").unwrap();
        let (text, files) = scenario.configuration(1, Path::new("/d"));
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..4], ["rates", "up1", "down1", "up2"]);
        assert_eq!(files.len(), 9);
        assert_ne!(files[1].1, files[2].1);
        assert!(text.contains("node5_delay1 = (+ 1e-2 (file \"/d/up1\"))\n"), "{text}");
        assert!(text.contains("node4_offset = 1e-1\n"), "{text}");
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let scenario = &all()[0];
        assert_eq!(scenario.rates(3), scenario.rates(3));
        assert_ne!(scenario.rates(3), scenario.rates(4));
    }
}
