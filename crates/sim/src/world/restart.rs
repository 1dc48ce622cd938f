//! The process ends and begins anew, with what it wrote down.

use timeball_ntp::engine::{ClockMode, Engine, EngineConfig, RememberedSource};
use timeball_timebase::{ClockState, Frequency, SyncState};

use super::{SECOND, World};

/// What a process leaves to the next one.
#[derive(Debug)]
pub(super) struct Kept {
    /// The oscillator's rate error and its standard error, where they were learned.
    drift: Option<(Frequency, Frequency)>,
    /// Whether the machine is the same and was not booted anew.
    same_boot: bool,
    sources: Vec<RememberedSource>,
}

impl World {
    /// The process leaves the clock at its natural rate, as it does before it ends in order.
    pub(super) fn calm_clock(&mut self) {
        let state = self.engine.clock_state();
        let disciplines = self.scenario.config.mode == ClockMode::Discipline;
        if disciplines && state.state != SyncState::Unsynchronized {
            // What the kernel refuses now it refused the process, too.
            let _ = self.clocks.write_frequency(-state.frequency);
        }
    }

    /// The process ends, and its sockets are closed.
    pub(super) fn end(&mut self, after_s: i64, remembers: bool, same_boot: bool) {
        let report = self.report();
        let error = report.drift_error.filter(|_| report.clock.is_usable());
        let drift = error.map(|error| (report.clock.frequency, error));
        let remembered = self.engine.remembered(self.clocks.now());
        let sources = if remembers { remembered } else { Vec::new() };
        self.kept = Some(Kept { drift, same_boot, sources });
        self.kept_by_kernel.clear();
        self.wake_at = None;
        self.state = ClockState::default();
        self.stalled_until = Some(self.at + after_s * SECOND);
    }

    /// The next process begins.
    pub(super) fn begin_anew(&mut self, kept: Kept) {
        if !kept.same_boot {
            self.clocks.boot();
        }
        let kernel = Some(self.clocks.take_over());
        let (drift, drift_error) = kept.drift.unzip();
        let config = EngineConfig {
            kernel,
            drift,
            drift_error: drift_error.unwrap_or_default(),
            drift_is_of_this_boot: kept.same_boot,
            remembered: kept.sources,
            ..self.scenario.config.clone()
        };
        self.checkers.begun_anew();
        let now = self.clocks.now();
        self.engine = Engine::new(config, self.engine_noise.octets(), now);
        let actions = self.engine.start(now);
        self.carry_out(actions);
    }
}
