//! What the engine tells: the clock state with its bound, and the report.

use timeball_timebase::{
    Bound, ClockState, Frequency, Interval, Leap, MonoTime, Now, Span, SyncState, Timestamp,
};

use super::interval::{Hull, SIGMAS, TimedInterval};
use super::kernel_truth::KernelLeap;
use super::leap_table::LeapTable;
use super::ourselves::reference_id;
use super::report::{Report, SourceReport};
use super::selection::Outcome;
use super::source::Source;
use super::{Action, Engine, OBSERVE_CHANGE, OBSERVE_INTERVAL, REFRESH_INTERVAL};
use super::{clamp_into, system_less_raw};
use crate::association::STRATUM_UNSYNCHRONIZED;
use crate::estimator::Estimate;

/// Rounds of measurements before the estimate is relied on.
const ACQUIRED_ROUNDS: u64 = 3;
/// A bound beyond this promises nothing that anybody could use (RFC 5905 MAXDISP).
const BOUND_MAX: Span = Span::from_secs(16);
/// Error of measuring a system clock's rate that somebody else sets.
const FOREIGN_RATE_ERROR: Frequency = Frequency::from_ppb(500);

impl Engine {
    /// Everything a person or a metric may ask.
    pub fn report(&self, now: Now) -> Report {
        let estimate = self.estimator.estimate_at(now.raw);
        Report {
            clock: self.published,
            offset_error: estimate.and_then(|e| Span::from_seconds_f64(e.offset_sd)),
            frequency_error: estimate.and_then(|e| Frequency::from_ratio_f64(e.frequency_sd)),
            drift_error: estimate.and_then(|e| self.drift_error(now.raw, &e)),
            sources: self.sources.iter().map(|source| self.source_report(now, source)).collect(),
            counters: self.counters,
            constrained: self.constraints.is_known(),
            kernel: self.discipline.as_ref().map(|servo| servo.kernel),
            yielded: self.conflict.is_yielded(),
            tai_offset_s: self.tai_offset_s(now),
            leap_table_expires: self.config.leap_table.as_ref().map(LeapTable::expires),
            refused_offset: self.refused_offset(),
            adjust_error: self.discipline.as_ref().and_then(|servo| servo.error),
        }
    }

    fn drift_error(&self, at: MonoTime, estimate: &Estimate) -> Option<Frequency> {
        let (lowest, highest) = self.rates.possible(at, 0.0).into_inner();
        let off = (highest - estimate.frequency).max(estimate.frequency - lowest);
        Frequency::from_ratio_f64(estimate.frequency_sd.max(off / SIGMAS))
    }

    /// Publishes the clock state as of now.
    pub(super) fn publish(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.published = self.state_at(now);
        self.published_apart = now.apart;
        actions.push(Action::Publish);
        self.tell_kernel(now, actions);
    }

    /// Publishes anew what has changed by itself, and tells the kernel what it must know.
    pub(super) fn refresh(&mut self, now: Now, actions: &mut Vec<Action>) {
        let age = now.raw - self.published.as_of;
        let mut changed = self.published.bound.is_some() && age >= REFRESH_INTERVAL;
        // What was published told how far the clock is off that somebody has set since.
        let was_set = self.system_clock.set_at() > self.published.as_of;
        if was_set || self.verdict_changed(now) {
            changed = true;
        } else if age >= OBSERVE_INTERVAL {
            // Others may slew the clock, whoever disciplines it.
            let state = self.state_at(now);
            let told = self.published.reading(now).estimate;
            changed |= (state.reading(now).estimate - told).abs() >= OBSERVE_CHANGE
                || state.state != self.published.state
                // It was published by readings with an interruption between them.
                || self.published_apart - now.apart >= OBSERVE_CHANGE;
        }
        if changed {
            self.publish(now, actions);
        } else {
            self.tell_kernel(now, actions);
        }
    }

    /// The last majority's interval now, while it may still be used.
    pub(super) fn hull_at(&self, at: MonoTime) -> Option<Interval> {
        let interval = self.hull?.aged(at);
        (interval.half_width() <= BOUND_MAX).then_some(interval)
    }

    /// What a majority promises now, with all that is needed to let it age.
    pub(super) fn new_hull(&self, at: MonoTime, interval: Interval) -> Hull {
        Hull { promise: TimedInterval { at, interval }, learned: self.rates.learned() }
    }

    fn state_at(&self, now: Now) -> ClockState {
        let estimate = self.estimate_at(now.raw);
        let hull = self.hull.zip(self.hull_at(now.raw));
        let hull = hull.filter(|_| self.refused_offset().is_none());
        let (Some((promised, hull)), Some(estimate)) = (hull, estimate) else {
            return ClockState {
                as_of: now.raw,
                system: now.system,
                frequency: estimate.map_or(Frequency::ZERO, oscillator_frequency),
                stratum: STRATUM_UNSYNCHRONIZED,
                ..ClockState::default()
            };
        };
        let truth = clamp_into(estimate.offset, hull);
        let (leap, leap_second) =
            self.leap.told(Timestamp::from_unix_nanos(now.raw.as_nanos()) + truth);
        let (before, after) = (truth - hull.earliest, hull.latest - truth);
        // The offset is told from the readings, so it is as far off as they were apart.
        let half_width = before.max(after).max(Span::NANOSECOND) + now.apart;
        let drift = Frequency::from_ratio_f64(estimate.frequency).unwrap_or_default();
        let foreign = match self.discipline {
            Some(_) => Frequency::ZERO,
            None => FOREIGN_RATE_ERROR + self.system_clock.rate_error(),
        };
        // The estimate moves on at its own rate, which may have become another than the promise's.
        let apart = (drift - promised.learned.ageing.drift).abs();
        let growth = promised.growth(now.raw, now.raw + REFRESH_INTERVAL) + apart + foreign;
        let bound = Bound { as_of: now.raw, half_width, growth };
        let chief = self.verdict.chief.and_then(|chief| self.sources.get(chief));
        let told = chief.and_then(|chief| chief.told);
        // Beyond the bound the delay would only make the sum larger than the promise.
        let root_delay = told.map_or(self.published.root_delay, |t| t.root_delay + t.delay);
        let root_delay = root_delay.min(half_width * 2);
        ClockState {
            state: self.sync_state(),
            as_of: now.raw,
            system: now.system,
            offset: Some(truth - system_less_raw(now)),
            drift: drift - self.system_clock.rate(),
            bound: Some(bound),
            // Cut towards zero: the nearer end is then never nearer than it is.
            lean: (after - before) / 2,
            frequency: -drift,
            leap,
            leap_second,
            stratum: told.map_or(self.published.stratum, |told| told.stratum.saturating_add(1)),
            reference_id: chief.and_then(source_id).unwrap_or(self.published.reference_id),
            reference_time: chief
                .and_then(|chief| chief.last_sample)
                .map_or(self.published.reference_time, |sample| sample.server_time),
            root_delay,
            root_dispersion: half_width - root_delay / 2,
        }
    }

    /// An offset that the policy does not believe: while there is one, nothing can be promised.
    fn refused_offset(&self) -> Option<Span> {
        self.discipline.as_ref().and_then(|servo| servo.policy.refused())
    }

    fn sync_state(&self) -> SyncState {
        let acquired = self.rounds >= ACQUIRED_ROUNDS;
        match (self.verdict.outcome, acquired) {
            (Outcome::Majority(_) | Outcome::Remnant(_) | Outcome::Witness, true) => {
                SyncState::Synchronized
            }
            (Outcome::Silence | Outcome::Contradiction, true) => SyncState::Holdover,
            (_, false) => SyncState::Acquiring,
        }
    }

    fn verdict_changed(&self, now: Now) -> bool {
        let promised = self.published.bound.is_some();
        let known = self.hull_at(now.raw).is_some()
            && self.counters.updates > 0
            && self.refused_offset().is_none();
        promised != known || (promised && self.published.state != self.sync_state())
    }

    fn tell_kernel(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.discipline.is_none() {
            return;
        }
        let leap =
            KernelLeap { leap: self.leap_for_kernel(now), tai_offset_s: self.tai_offset_s(now) };
        let state = self.published;
        if let Some(discipline) = &mut self.discipline {
            let estimate = self.estimator.estimate_at(now.raw);
            let offset_sd = estimate.and_then(|e| Span::from_seconds_f64(e.offset_sd));
            actions.extend(discipline.tell_kernel(now, &state, leap, offset_sd));
        }
    }

    fn source_report(&self, now: Now, source: &Source) -> SourceReport {
        let told = source.told;
        let distance = source.promise.map(|promise| {
            promise.aged(now.raw, self.rates.ageing(promise.at, now.raw)).half_width()
        });
        SourceReport {
            id: source.id,
            host: source.config.host.clone(),
            address: source.address,
            selection: source.selection,
            twin: source.twin.and_then(|place| Some(self.sources.get(place)?.id)),
            stratum: told.map_or(0, |told| told.stratum),
            reference_id: told.map_or([0; 4], |told| told.reference_id),
            leap: told.map_or(Leap::None, |told| told.leap),
            reach: source.polling.reach(),
            poll: source.polling.poll(),
            last_sample: source.last_sample,
            jitter: source.jitter,
            root_distance: distance,
            sent: source.sent,
            received: source.received,
            rejected: source.rejected,
            rejections: source.rejections.clone(),
            is_interleaved: source.is_interleaved,
            last_rejection: source.last_rejection,
            resolve_error: source.resolve_error,
            send_error: source.send_error,
            reference_error: source.reference.error,
            ahead: source.ahead(),
            ahead_leapt: -source.reference.leapt,
        }
    }
}

fn oscillator_frequency(estimate: Estimate) -> Frequency {
    Frequency::from_ratio_f64(-estimate.frequency).unwrap_or_default()
}

/// What the reference identifier of those who follow a source is (RFC 5905 section 7.3).
fn source_id(source: &Source) -> Option<[u8; 4]> {
    let reference = source.config.reference.as_ref().map(|reference| reference.reference_id);
    reference.or_else(|| source.address.map(|address| reference_id(address.ip())))
}
