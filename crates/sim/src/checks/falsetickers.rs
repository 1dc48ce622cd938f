//! A minority of falsetickers never moves the clock.
//!
//! Whoever follows honest servers only is never further off than the slowest of their answers was
//! on its way, and what the clock may have drifted since the last one. Once the clock was that
//! near, it stays there, whatever liars say.

use std::collections::VecDeque;

use timeball_timebase::Span;

use super::{Rule, Scene, Violation};
use crate::floor::Exchange;

/// Honest answers before the clock's rate counts as known.
const ANSWERS_MIN: u32 = 24;
/// So many answers may pass before the clock has followed them: a majority must speak, and a slew
/// takes its time.
const TO_FOLLOW: usize = 8;
/// How far the oscillator's rate may have moved meanwhile.
const DRIFT: f64 = 5e-6;

#[derive(Clone, Debug, Default)]
pub(super) struct Falsetickers {
    /// The largest error that any honest answer could have had, in seconds.
    margin: f64,
    answers: u32,
    first_at_s: f64,
    /// When the last few honest answers came, oldest first.
    latest_s: VecDeque<f64>,
    /// Whether the clock has come near the truth since it was set.
    arrived: bool,
}

impl Falsetickers {
    pub(super) fn answered_honestly(&mut self, exchange: &Exchange) {
        let (earliest, latest) = exchange.ends_s();
        self.margin = self.margin.max(-earliest).max(latest);
        if self.answers == 0 {
            self.first_at_s = exchange.at_s;
        }
        self.answers = self.answers.saturating_add(1);
        self.latest_s.push_back(exchange.at_s);
        if self.latest_s.len() > TO_FOLLOW {
            self.latest_s.pop_front();
        }
    }

    pub(super) fn clock_was_set(&mut self) {
        self.arrived = false;
    }

    pub(super) fn check(&mut self, scene: &Scene<'_>) -> Option<Violation> {
        let error = scene.now.system - scene.truth;
        let error_s = error.as_seconds_f64().abs();
        if self.answers < ANSWERS_MIN {
            return None;
        }
        let followed_s = self.latest_s.front().copied().unwrap_or(self.first_at_s);
        // Errors at both ends of what was measured so far are an error of the rate.
        let rate_error = 2.0 * self.margin / (followed_s - self.first_at_s).max(1.0);
        let age_s = scene.at_s - followed_s;
        let limit_s = 2.0 * self.margin + (DRIFT + rate_error) * age_s;
        self.arrived |= error_s <= self.margin;
        let limit = Span::from_seconds_f64(limit_s).unwrap_or(Span::MAX);
        (self.arrived && error_s > limit_s).then_some(Violation {
            rule: Rule::Falsetickers,
            at_s: scene.at_s,
            error,
            limit,
        })
    }
}
