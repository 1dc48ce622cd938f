//! Where a source is asked: what its name resolves to, and which of that is chosen.

use core::net::{IpAddr, SocketAddr};

use timeball_timebase::{MonoTime, Now, Span};

use super::{FINDABLE, RATE, RESOLVE_PAUSE_MIN, Source};
use crate::engine::addresses::Choice;
use crate::engine::io::{Action, ResolveError};
use crate::engine::polling::Polling;

const RESOLVE_PAUSE_MAX: Span = Span::from_secs(1_024);
/// How long a server that refused us for good is left alone before its name is asked for again.
const DENIED_PAUSE: Span = Span::from_minutes(60);

impl Source {
    /// Takes the resolver's answer. Returns whether the address changed.
    pub(in crate::engine) fn resolved(
        &mut self,
        now: Now,
        result: Result<Vec<SocketAddr>, ResolveError>,
        taken: &[SocketAddr],
    ) -> bool {
        let result = result.and_then(|addresses| match addresses.is_empty() {
            true => Err(ResolveError::NotFound),
            false => Ok(addresses),
        });
        match result {
            Ok(addresses) => {
                self.addresses.replace(addresses);
                self.resolve_error = None;
                self.resolve_due = None;
                self.resolve_pause = RESOLVE_PAUSE_MIN;
                self.choose_address(now, taken)
            }
            Err(error) => {
                self.resolve_error = Some(error);
                self.resolve_due = Some(now.raw + self.resolve_pause);
                self.resolve_pause = (self.resolve_pause * 2).min(RESOLVE_PAUSE_MAX);
                false
            }
        }
    }

    /// Asks for the addresses of its name.
    pub(super) fn resolve(&mut self, now: Now) -> Vec<Action> {
        if self.config.host.parse::<IpAddr>().is_ok() {
            // Nothing to find out, but the source that has the same address may leave it.
            self.resolve_due = self.duplicate.then(|| now.raw + RESOLVE_PAUSE_MAX);
            return Vec::new();
        }
        // Should no answer ever come, it is asked for again.
        self.resolve_due = Some(now.raw + RESOLVE_PAUSE_MAX);
        let (host, port) = (self.config.host.clone(), self.config.port);
        vec![Action::Resolve { source: self.id, host, port }]
    }

    /// Somebody else is heard for the first time: until now there was no network, perhaps, and what
    /// was asked for in vain is asked for as at the start.
    pub(in crate::engine) fn begin_anew(&mut self, at: MonoTime) {
        if self.lacks_key {
            return;
        }
        self.polling.restart(at);
        self.findable_until = at + FINDABLE;
        if self.resolve_error == Some(ResolveError::Temporary) {
            self.resolve_error = None;
            self.resolve_pause = RESOLVE_PAUSE_MIN;
            self.resolve_due = Some(at);
        }
    }

    /// Looks for another server: first among the addresses that are known, then by the name, which
    /// may have moved.
    pub(super) fn replace(&mut self, now: Now, taken: &[SocketAddr]) -> Vec<Action> {
        if let Some(current) = self.address
            && self.addresses.has_other(&current, taken)
        {
            // This one comes again when none of the others is better.
            self.addresses.put_last(&current);
            self.address = None;
            self.choose_address(now, taken);
        }
        if self.resolve_due.is_some() { Vec::new() } else { self.resolve(now) }
    }

    /// Keeps the address while it is the name's and answers, else takes the first that is free.
    /// Returns whether it changed.
    pub(super) fn choose_address(&mut self, now: Now, taken: &[SocketAddr]) -> bool {
        if self.address.is_some_and(|current| self.addresses.holds(&current))
            && !self.polling.is_unreachable()
        {
            return false;
        }
        let choice = self.addresses.choose(taken);
        self.duplicate = choice == Choice::AllTaken;
        let (chosen, pause) = match choice {
            Choice::Ask(address) => (Some(address), None),
            Choice::AllTaken => (None, Some(RESOLVE_PAUSE_MAX)),
            Choice::Nobody => (None, Some(DENIED_PAUSE)),
        };
        let changed = chosen != self.address;
        self.address = chosen;
        if changed {
            self.forget_server();
            // Once all servers of the name were asked in vain it is the network that fails.
            let in_a_row = (self.given_up as usize) < self.addresses.len();
            self.polling.replace(now.raw, Polling::of(&self.config), in_a_row);
        }
        if let (Some(pause), None) = (pause, self.resolve_due) {
            self.resolve_due = Some(now.raw + pause);
        }
        changed
    }

    /// Does what a kiss of death asks for (RFC 5905 section 7.4).
    pub(super) fn obey(&mut self, now: Now, code: [u8; 4]) {
        match &code {
            &RATE => self.polling.slow_down(now.raw),
            b"DENY" | b"RSTR" => {
                if let Some(address) = self.address.take() {
                    self.addresses.deny(address);
                }
                self.forget_server();
                // Another address is chosen at the next wake-up, which knows which are taken.
                self.resolve_due = Some(now.raw);
            }
            _ => {}
        }
    }
}
