//! The hold as a state machine: it reads no clock and makes no call.
//!
//! What the instant is on the system clock is decided in one place, [`Hold::due`]. Today it is the
//! instant itself.

use crate::exit::Exit;
use crate::sys::Received;
use timeball_timebase::{Span, Timestamp};

pub(crate) const SIGHUP: u8 = 1;
pub(crate) const SIGINT: u8 = 2;
pub(crate) const SIGQUIT: u8 = 3;
pub(crate) const SIGTERM: u8 = 15;
const SIGTSTP: u8 = 20;
const SIGTTIN: u8 = 21;
const SIGTTOU: u8 = 22;

/// A command that waits for its instant, and then runs.
#[derive(Debug)]
pub(crate) struct Hold {
    at: Timestamp,
    not_after: Option<Timestamp>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// On its way to the place where it is held.
    Loading,
    /// Ready; only the instant is missing.
    Held,
    /// Let go.
    Running,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// The command has come to the place where it is held.
    Loaded,
    /// The timer says that the instant has come, or that the clock was set.
    Timer,
    /// The gate got a signal. `ignored`: whoever started us wants it ignored.
    Signal {
        /// The signal.
        received: Received,
        /// Whether it was set to be ignored when we were started.
        ignored: bool,
    },
    /// The command was stopped by a signal, after it was let go.
    Stopped,
    /// The command has ended.
    Ended(Exit),
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Nothing.
    Wait,
    /// Set the timer.
    Arm(Timestamp),
    /// Let the command begin.
    Release {
        /// How long after the instant.
        lateness: Span,
    },
    /// Take the command back: it must not begin.
    Revoke {
        /// The signal that said so.
        signal: u8,
    },
    /// Take the command back: it is too late.
    Miss {
        /// How long after the instant.
        lateness: Span,
    },
    /// Send the signal on to the command.
    Forward(u8),
    /// Stop, as the command or the terminal's user does.
    Suspend,
    /// End as the command did.
    Leave(Exit),
}

impl Hold {
    /// A command that first has to be led to where it is held.
    pub(crate) fn loading(at: Timestamp, not_after: Option<Timestamp>) -> Self {
        Self { at, not_after, phase: Phase::Loading }
    }

    /// A command, or another deed, that is ready.
    pub(crate) fn ready(at: Timestamp, not_after: Option<Timestamp>) -> Self {
        Self { at, not_after, phase: Phase::Held }
    }

    /// What is to be done first.
    pub(crate) fn start(&mut self, now: Timestamp) -> Action {
        self.evaluate(now)
    }

    /// Whether the command has been let go.
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Takes one event at `now`, a reading of the system clock.
    pub(crate) fn handle(&mut self, now: Timestamp, event: Event) -> Action {
        match (self.phase, event) {
            (_, Event::Ended(exit)) => Action::Leave(exit),
            (Phase::Loading, Event::Loaded) => {
                self.phase = Phase::Held;
                // The timer is armed already; it may have been readable before we were ready.
                if now < self.due() { Action::Wait } else { self.evaluate(now) }
            }
            (Phase::Loading | Phase::Held, Event::Timer) => self.evaluate(now),
            (Phase::Loading | Phase::Held, Event::Signal { received, ignored }) => {
                before(received, ignored)
            }
            (Phase::Running, Event::Signal { received, .. }) => after(received),
            (Phase::Running, Event::Stopped) => Action::Suspend,
            (_, Event::Loaded | Event::Stopped) | (Phase::Running, Event::Timer) => Action::Wait,
        }
    }

    /// The reading of the system clock at which the command is let go.
    fn due(&self) -> Timestamp {
        self.at
    }

    fn evaluate(&mut self, now: Timestamp) -> Action {
        let lateness = now - self.due();
        if now < self.due() {
            Action::Arm(self.due())
        } else if self.not_after.is_some_and(|limit| now > limit) {
            Action::Miss { lateness }
        } else if self.phase == Phase::Loading {
            // It is let go as soon as it has come to its entry point.
            Action::Wait
        } else {
            self.phase = Phase::Running;
            Action::Release { lateness }
        }
    }
}

/// A signal while nothing has begun: there is no program yet that could take it.
fn before(received: Received, ignored: bool) -> Action {
    let signal = received.number;
    match signal {
        // Somebody who sends it to us means us, whatever a shell has set for background jobs.
        SIGTERM | SIGINT if !ignored || !received.from_kernel => Action::Revoke { signal },
        SIGHUP | SIGQUIT if !ignored => Action::Revoke { signal },
        SIGTSTP | SIGTTIN | SIGTTOU if !ignored => Action::Suspend,
        _ => Action::Wait,
    }
}

/// A signal while the command runs.
fn after(received: Received) -> Action {
    // What the kernel sends (a terminal's keys, a hang-up) goes to the whole process group, and the
    // command is in ours.
    if received.from_kernel { Action::Wait } else { Action::Forward(received.number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_unix(1_795_000_000, 0);

    fn signal(number: u8) -> Event {
        Event::Signal { received: Received { number, from_kernel: false }, ignored: false }
    }

    fn from_terminal(number: u8, ignored: bool) -> Event {
        Event::Signal { received: Received { number, from_kernel: true }, ignored }
    }

    fn early() -> Timestamp {
        AT - Span::from_secs(5)
    }

    #[test]
    fn a_command_is_let_go_at_the_instant_and_never_before() {
        let mut hold = Hold::loading(AT, None);
        assert_eq!(hold.start(early()), Action::Arm(AT));
        assert_eq!(hold.handle(early(), Event::Loaded), Action::Wait);
        let just_before = AT - Span::NANOSECOND;
        assert_eq!(hold.handle(just_before, Event::Timer), Action::Arm(AT));
        let lateness = Span::from_micros(25);
        assert_eq!(hold.handle(AT + lateness, Event::Timer), Action::Release { lateness });
        assert!(hold.is_running());
        assert_eq!(hold.handle(AT + lateness, Event::Timer), Action::Wait);
    }

    #[test]
    fn a_command_that_loads_past_the_instant_is_let_go_once_it_is_there() {
        let mut hold = Hold::loading(AT, None);
        assert_eq!(hold.start(early()), Action::Arm(AT));
        assert_eq!(hold.handle(AT, Event::Timer), Action::Wait);
        let lateness = Span::from_millis(3);
        assert_eq!(hold.handle(AT + lateness, Event::Loaded), Action::Release { lateness });
    }

    #[test]
    fn an_instant_that_has_passed_is_now_unless_it_is_too_late() {
        let lateness = Span::from_secs(9);
        assert_eq!(Hold::ready(AT, None).start(AT + lateness), Action::Release { lateness });
        let limit = Some(AT + Span::from_secs(8));
        assert_eq!(Hold::ready(AT, limit).start(AT + lateness), Action::Miss { lateness });
        assert_eq!(Hold::loading(AT, limit).start(AT + lateness), Action::Miss { lateness });
        let at_limit = Action::Release { lateness: Span::from_secs(8) };
        assert_eq!(Hold::ready(AT, limit).start(AT + Span::from_secs(8)), at_limit);
    }

    #[test]
    fn a_clock_that_is_set_is_read_again() {
        let mut hold = Hold::ready(AT, Some(AT + Span::from_secs(1)));
        assert_eq!(hold.start(early()), Action::Arm(AT));
        // Backwards: armed anew. Forwards past the limit: missed.
        assert_eq!(hold.handle(AT - Span::from_secs(500), Event::Timer), Action::Arm(AT));
        let lateness = Span::from_secs(500);
        assert_eq!(hold.handle(AT + lateness, Event::Timer), Action::Miss { lateness });
    }

    #[test]
    fn signals_that_end_a_process_revoke_while_nothing_has_begun() {
        for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            for mut hold in [Hold::loading(AT, None), Hold::ready(AT, None)] {
                let revoke = Action::Revoke { signal: number };
                assert_eq!(hold.handle(early(), signal(number)), revoke);
                assert_eq!(hold.handle(early(), from_terminal(number, false)), revoke);
                assert_eq!(hold.handle(early(), from_terminal(number, true)), Action::Wait);
            }
        }
        // SIGUSR1 would have ended a program that does not expect it; there is none yet.
        assert_eq!(Hold::ready(AT, None).handle(early(), signal(10)), Action::Wait);
    }

    #[test]
    fn a_signal_that_is_ignored_revokes_only_where_a_process_sent_it_and_means_us() {
        let sent = |number| Event::Signal {
            received: Received { number, from_kernel: false },
            ignored: true,
        };
        let mut hold = Hold::ready(AT, None);
        assert_eq!(hold.handle(early(), sent(SIGINT)), Action::Revoke { signal: SIGINT });
        assert_eq!(hold.handle(early(), sent(SIGHUP)), Action::Wait);
    }

    #[test]
    fn signals_go_on_to_a_running_command_but_not_those_that_it_got_itself() {
        let mut hold = Hold::ready(AT, None);
        assert_eq!(hold.start(AT), Action::Release { lateness: Span::ZERO });
        assert_eq!(hold.handle(AT, signal(SIGTERM)), Action::Forward(SIGTERM));
        assert_eq!(hold.handle(AT, signal(10)), Action::Forward(10));
        assert_eq!(hold.handle(AT, from_terminal(SIGINT, false)), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Stopped), Action::Suspend);
    }

    #[test]
    fn a_command_that_ends_ends_the_hold_in_every_phase() {
        let exit = Exit::Signal(9);
        for mut hold in [Hold::loading(AT, None), Hold::ready(AT, None)] {
            assert_eq!(hold.handle(early(), Event::Ended(exit)), Action::Leave(exit));
        }
    }
}
