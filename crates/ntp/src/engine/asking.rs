//! Whom to ask now, and for whom the others wait.

use core::net::SocketAddr;

use timeball_timebase::Now;

use super::Engine;
use super::io::{Action, ResolveError, SourceId};

impl Engine {
    /// Asks every source whose time has come.
    pub(super) fn poll_sources(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let places = self.sources.len();
        for i in 0..places {
            if self.sources[i].due().is_none_or(|due| now.raw < due) {
                continue;
            }
            let taken = self.addresses_except(i);
            let source = &mut self.sources[i];
            let former_address = source.address;
            let sent = source.sent;
            actions.extend(source.wake(now, &taken, &mut self.random));
            if source.sent > sent {
                self.counters.sent += 1;
                if source.polling.burst_has_ended() {
                    source.polling.spread(now.raw, i, places);
                }
            }
            if source.address != former_address {
                self.forget_source(now.raw, i);
            }
        }
        // A poll without an answer to the one before may be what makes a source unreachable.
        let waited = self.waiting_until.is_some_and(|until| now.raw >= until);
        if waited || !actions.is_empty() {
            self.vote_again(now, &mut actions);
        }
        actions
    }

    /// Takes the resolver's answer.
    pub(super) fn handle_resolved(
        &mut self,
        now: Now,
        id: SourceId,
        result: Result<Vec<SocketAddr>, ResolveError>,
        actions: &mut Vec<Action>,
    ) {
        let taken = self.addresses_except(usize::from(id.0));
        let Some(source) = self.source_mut(id) else { return };
        if source.resolved(now, result, &taken) {
            self.forget_source(now.raw, usize::from(id.0));
        }
        // Who has no address is waited for no longer.
        self.vote_again(now, actions);
    }

    /// The addresses that the other sources ask.
    pub(super) fn addresses_except(&self, index: usize) -> Vec<SocketAddr> {
        let others = self.sources.iter().enumerate().filter(|(i, _)| *i != index);
        others.filter_map(|(_, source)| source.address).collect()
    }

    /// Votes where nobody was heard but somebody is silent, and follows where that decides.
    fn vote_again(&mut self, now: Now, actions: &mut Vec<Action>) {
        let spoke = self.majority_speaks();
        self.vote(now);
        match (spoke, self.majority_speaks()) {
            // From now on the clock runs on by what is known of its rate.
            (true, false) => self.steer(now, actions),
            // Those that are heard need not wait for the others: what they said so far counts now.
            (false, true) if !self.is_pause_suspected() => self.decide(now, actions),
            _ => {}
        }
    }
}
