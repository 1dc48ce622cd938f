//! A minority of falsetickers never moves the clock.
//!
//! An honest answer tells the truth to the delays of its two ways. Where no more than f of n
//! sources lie, what so many of those that speak agree on as cannot all lie is agreed on by all but
//! f of the honest ones that speak at least. So whoever believes such a majority is never further
//! off, to either side, than all but f of the latest honest answers allow for, whatever liars say;
//! and once the clock was that near, it stays there. Nothing of how the engine votes is asked here:
//! delays and clock are those that only the world knows.

use std::collections::VecDeque;

use timeball_timebase::Span;

use super::{Rule, Scene, Violation};
use crate::floor::Exchange;
use crate::scenario::Scenario;
use crate::server::Behaviour;

/// Rounds of honest answers before the clock's rate counts as known.
const ROUNDS_MIN: usize = 8;
/// So many rounds of honest answers may pass before the clock has followed them: a majority must
/// speak, and three answers in a row are asked for where one of them surprises.
const ROUNDS_TO_FOLLOW: usize = 5;
/// However often servers are asked, so long may pass: a slew of a small offset lasts up to 32 s,
/// and one that is under way is ended first.
const TO_FOLLOW_S: f64 = 64.0;
/// Who does not answer in so many of the shortest polling intervals may count as silent (the reach
/// register of RFC 5905 has eight bits).
const POLLS_OF_SILENCE: f64 = 8.0;
/// Who doubts the rate, be it for a route that changed, and doubts it again, allows for any that a
/// crystal may have (they are made to 50 ppm) until the next answers.
const RATE_IN_DOUBT: f64 = 5e-5;
/// How far off the rate of an oscillator may be of which nothing was measured.
const RATE_UNKNOWN: f64 = 5e-4;
/// How far the rate that the clock is left to may be off while nothing is heard.
const DRIFT: f64 = 5e-6;

#[derive(Clone, Debug)]
pub(super) struct Falsetickers {
    /// How many of the honest ones that speak a majority may do without; all but one where `None`.
    lacking_max: Option<usize>,
    /// For how long each server certainly speaks after an answer, and its last honest answer.
    servers: Vec<(f64, Option<Ends>)>,
    honest: usize,
    answers: usize,
    first_at_s: f64,
    /// What was allowed for at the latest honest answers, oldest first.
    allowed: VecDeque<Ends>,
    /// Whether the clock has come near the truth since it was set.
    arrived: bool,
    /// Until when there is no process that could end a slew.
    unattended_until_s: f64,
}

/// How far the clock may be behind the truth and ahead of it, in seconds.
#[derive(Clone, Copy, Debug)]
struct Ends {
    at_s: f64,
    behind: f64,
    ahead: f64,
}

impl Falsetickers {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let sources = scenario.config.sources.iter().zip(&scenario.servers);
        // Where one has no voice of its own, or another's word is law, fewer are a majority.
        let all_have_a_voice = sources.clone().all(|(source, server)| {
            let options = source.options;
            let falls_silent = matches!(server.behaviour, Behaviour::HonestUntil { .. });
            let is_one_of_several = server.follows.is_some();
            !(options.noselect || options.trust || falls_silent || is_one_of_several)
        });
        let honest = scenario.servers.iter().filter(|server| server.is_honest()).count();
        let false_max = scenario.servers.len().saturating_sub(1) / 2;
        let speaks_s = |poll: i8| POLLS_OF_SILENCE * f64::from(poll).exp2();
        Self {
            lacking_max: all_have_a_voice.then_some(false_max),
            servers: sources.map(|(source, _)| (speaks_s(source.poll.min), None)).collect(),
            honest,
            answers: 0,
            first_at_s: 0.0,
            allowed: VecDeque::new(),
            arrived: false,
            unattended_until_s: 0.0,
        }
    }

    pub(super) fn answered_honestly(&mut self, exchange: &Exchange) {
        let (earliest, latest) = exchange.ends_s();
        let at_s = exchange.at_s;
        if self.answers == 0 {
            self.first_at_s = at_s;
        }
        self.answers += 1;
        self.servers[exchange.server].1 = Some(Ends { at_s, behind: -earliest, ahead: latest });
        self.allowed.extend(self.allowed_at(at_s));
        let rounds = ROUNDS_TO_FOLLOW * self.honest;
        // What one allowed for holds until the clock has followed the next.
        while self.allowed.len() > rounds && at_s - self.allowed[1].at_s > TO_FOLLOW_S {
            self.allowed.pop_front();
        }
    }

    pub(super) fn clock_was_set(&mut self) {
        self.arrived = false;
        self.allowed.clear();
        self.servers.iter_mut().for_each(|(_, last)| *last = None);
    }

    /// The process does not run until then: a slew that is under way goes too far, and has to be
    /// made good.
    pub(super) fn unattended_until(&mut self, at_s: f64) {
        self.arrived = false;
        self.unattended_until_s = self.unattended_until_s.max(at_s);
    }

    pub(super) fn check(&mut self, scene: &Scene<'_>) -> Option<Violation> {
        let is_unattended = scene.at_s < self.unattended_until_s;
        if is_unattended || self.allowed.is_empty() || self.answers < ROUNDS_MIN * self.honest {
            return None;
        }
        let error = scene.now.system - scene.truth;
        let drift = DRIFT + self.rate_error();
        let end = |ends: &Ends| if error.is_negative() { ends.behind } else { ends.ahead };
        let grown = |ends: &Ends| end(ends) + drift * (scene.at_s - ends.at_s);
        // A rate that is in doubt may be followed until the next answers.
        let newest_s = self.allowed.back().map_or(0.0, |newest| scene.at_s - newest.at_s);
        let followed = RATE_IN_DOUBT * newest_s.min(TO_FOLLOW_S);
        let limit_s = self.allowed.iter().map(grown).fold(0.0, f64::max) + followed;
        let error_s = error.as_seconds_f64().abs();
        // Nearer than any limit can be from now on: one that shrinks must not overtake a slew.
        self.arrived |= error_s <= self.allowed.iter().map(end).fold(0.0, f64::max);
        let limit = Span::from_seconds_f64(limit_s).unwrap_or(Span::MAX);
        (self.arrived && error_s > limit_s).then_some(Violation {
            rule: Rule::Falsetickers,
            at_s: scene.at_s,
            error,
            limit,
        })
    }

    /// Errors at both ends of what was measured so far are an error of the rate.
    fn rate_error(&self) -> f64 {
        let Some(oldest) = self.allowed.front() else { return RATE_UNKNOWN };
        let both = |ends: &Ends| ends.behind + ends.ahead;
        let widest = self.allowed.iter().map(both).fold(0.0, f64::max);
        (widest / (oldest.at_s - self.first_at_s).max(1.0)).min(RATE_UNKNOWN)
    }

    /// What a majority allows for that has all but so many of the honest ones; `None` where no more
    /// than those speak.
    fn allowed_at(&self, at_s: f64) -> Option<Ends> {
        let mut behind: Vec<f64> = Vec::new();
        let mut ahead: Vec<f64> = Vec::new();
        let rate_doubt = RATE_IN_DOUBT + self.rate_error();
        for (speaks_s, last) in &self.servers {
            let Some(last) = last.filter(|last| at_s - last.at_s <= *speaks_s) else { continue };
            let aged = rate_doubt * (at_s - last.at_s);
            behind.push(last.behind + aged);
            ahead.push(last.ahead + aged);
        }
        // Those that it does without may be the narrowest.
        let lacking = self.lacking_max.unwrap_or(behind.len().saturating_sub(1));
        let end = |mut ends: Vec<f64>| {
            ends.sort_unstable_by(f64::total_cmp);
            ends.get(lacking).copied()
        };
        Some(Ends { at_s, behind: end(behind)?, ahead: end(ahead)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_ntp::engine::KernelClock;
    use timeball_timebase::{ClockState, MonoTime, Now};

    use crate::network::Path;
    use crate::server::Server;

    /// Three honest servers, the ways to which take 1, 2 and 40 ms, and a liar; each is asked once
    /// a minute until that second.
    fn heard_until(second: u32) -> Falsetickers {
        let lie = Behaviour::Lies { by: Span::from_secs(1), from_s: 0.0 };
        let scenario = Scenario::new("a far one, and a liar")
            .with_honest(3, &Path::default(), 6)
            .with_server(Server::honest(Path::default()).with(lie), 6);
        let mut rule = Falsetickers::new(&scenario);
        for at_s in (0..second).step_by(64).map(f64::from) {
            for (server, way_s) in [1e-3, 2e-3, 4e-2].into_iter().enumerate() {
                rule.answered_honestly(&Exchange {
                    server,
                    at_s,
                    raw_error_s: 0.0,
                    up_s: way_s,
                    down_s: way_s,
                    base_up_s: way_s,
                    base_down_s: way_s,
                    server_error_s: 0.0,
                    claimed_error_s: 0.0,
                });
            }
        }
        rule
    }

    fn finds(rule: &mut Falsetickers, second: u32, ahead: Span) -> bool {
        let truth = Scenario::new("").epoch + Span::from_secs(second.into());
        let scene = Scene {
            at_s: second.into(),
            now: Now::exact(MonoTime::ZERO, truth + ahead),
            truth,
            state: &ClockState::default(),
            kernel: KernelClock::default(),
        };
        rule.check(&scene).is_some()
    }

    #[test]
    fn a_clock_is_no_further_off_than_all_but_one_of_the_honest_three_allow_for() {
        let mut rule = heard_until(40_000);
        for ahead_ms in [-50, -1, 1] {
            assert!(!finds(&mut rule, 40_000, Span::from_millis(ahead_ms)), "{ahead_ms} ms");
        }
        for ahead_ms in [-39, -12, 12, 39] {
            assert!(finds(&mut rule, 40_000, Span::from_millis(ahead_ms)), "{ahead_ms} ms");
        }
        rule.clock_was_set();
        assert!(!finds(&mut rule, 40_000, Span::from_secs(1)), "it may be anywhere");
    }

    #[test]
    fn what_is_allowed_for_grows_while_nobody_is_heard() {
        let mut rule = heard_until(40_000);
        assert!(!finds(&mut rule, 40_000, Span::ZERO));
        assert!(!finds(&mut rule, 44_000, Span::from_millis(20)));
        assert!(finds(&mut rule, 44_000, Span::from_millis(40)));
    }
}
