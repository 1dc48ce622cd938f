//! For how long it is remembered how fast the oscillator walks, which promises rely on.

/// How much of a member's likelihood is remembered from one measurement to the next, at least: that
/// of some two hundred measurements. What kind of oscillator it is does not change within hours,
/// and the fewer measurements, the wilder the guesses.
const FADING: f64 = 0.995;
/// However many measurements there are in it, this time is remembered: within an hour there is
/// hardly a walk to be seen.
const MEMORY_S: f64 = 8.0 * 3_600.0;
/// That, or this share of the time so far: the first measurements were judged by filters that knew
/// neither the rate nor the paths.
const SHARE: f64 = 0.5;

/// The time between measurements.
#[derive(Clone, Debug, Default)]
pub(super) struct Habits {
    /// Seconds since the last one.
    elapsed_s: f64,
    /// Seconds from the first to the last one.
    watched_s: f64,
}

impl Habits {
    /// Moves on by so many seconds.
    pub(super) fn advance(&mut self, dt: f64) {
        self.elapsed_s += dt;
    }

    /// How much is remembered of what there was before the measurement that is taken now.
    pub(super) fn fading(&mut self) -> f64 {
        let elapsed_s = core::mem::take(&mut self.elapsed_s).max(0.0);
        self.watched_s += elapsed_s;
        let memory_s = MEMORY_S.min(SHARE * self.watched_s).max(f64::MIN_POSITIVE);
        FADING.max((-elapsed_s / memory_s).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bank;
    use super::*;

    #[test]
    fn two_hundred_measurements_are_remembered_and_hours_of_many_but_not_the_first() {
        let fading_after = |interval_s: f64, measurements: usize| {
            let mut habits = Habits::default();
            let mut fading = || {
                habits.advance(interval_s);
                habits.fading()
            };
            (0..measurements).map(|_| fading()).last().unwrap()
        };
        assert_eq!(fading_after(1_024.0, 1_000), FADING);
        assert_eq!(fading_after(16.0, 100), FADING);
        assert!((fading_after(16.0, 1_000) - (-16.0 / 8_000.0_f64).exp()).abs() < 1e-12);
        assert!((fading_after(16.0, 9_000) - (-16.0 / 28_800.0_f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn the_habits_of_hours_ago_count_however_often_sources_are_asked() {
        const INTERVAL_S: f64 = 4.0;
        let mut bank = Bank::new(1, 0.0, 1e-4);
        bank.set_phase(0.0, 1.0);
        let mut phase = 0.0;
        let mut told_after = |hours: i32, rate: f64| {
            for answer in 0..hours * 900 {
                // It jumps every half an hour.
                let sign = if answer % 900 < 450 { 1.0 } else { -1.0 };
                phase += sign * rate * INTERVAL_S;
                bank.advance(INTERVAL_S, &[0.0]);
                bank.update(0, phase, 1e-12);
            }
            bank.estimate().wander
        };
        let (jumping, calm) = (told_after(8, 5e-8), told_after(1, 0.0));
        assert!(calm > 0.3 * jumping, "{jumping} {calm}");
    }
}
