//! The hold as a state machine: it reads no clock and makes no call.
//!
//! When an instant has come is decided in one place, [`Hold::evaluate`].

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

/// What lets the command go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trigger {
    /// An instant.
    Instant {
        /// The instant.
        at: Timestamp,
        /// The latest instant at which it may still be let go; `None`: any.
        not_after: Option<Timestamp>,
    },
    /// Somebody who writes to the descriptor of this number.
    Descriptor(i32),
}

/// A command that waits for its trigger, and then runs.
#[derive(Debug)]
pub(crate) struct Hold {
    trigger: Trigger,
    /// Whether the descriptor has said that the command may begin.
    told: bool,
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
    /// The descriptor has said that the command may begin.
    Told,
    /// The descriptor was closed by whoever had its other end.
    Closed,
    /// The command has begun, without us.
    Begun,
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
    Revoke(Revoked),
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

/// Who took the command back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Revoked {
    /// A signal.
    BySignal(u8),
    /// Whoever has closed the descriptor.
    ByClosing,
}

impl Hold {
    /// A command that first has to be led to where it is held.
    pub(crate) fn loading(trigger: Trigger) -> Self {
        Self { trigger, told: false, phase: Phase::Loading }
    }

    /// A command, or another deed, that is ready.
    pub(crate) fn ready(trigger: Trigger) -> Self {
        Self { trigger, told: false, phase: Phase::Held }
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
                self.evaluate(now)
            }
            (Phase::Loading | Phase::Held, Event::Timer) => self.evaluate(now),
            (Phase::Held, Event::Begun) => {
                self.phase = Phase::Running;
                Action::Wait
            }
            (Phase::Loading | Phase::Held, Event::Told) => {
                self.told = true;
                self.evaluate(now)
            }
            // Whoever said "go" and left has still said it.
            (Phase::Loading | Phase::Held, Event::Closed) if self.told => Action::Wait,
            (Phase::Loading | Phase::Held, Event::Closed) => Action::Revoke(Revoked::ByClosing),
            (Phase::Loading | Phase::Held, Event::Signal { received, ignored }) => {
                before(received, ignored)
            }
            (Phase::Running, Event::Signal { received, .. }) if self.stands_aside() => {
                after(received)
            }
            (Phase::Running, Event::Stopped) if self.stands_aside() => Action::Suspend,
            (Phase::Held | Phase::Running, Event::Loaded)
            | (Phase::Loading | Phase::Held, Event::Stopped)
            | (Phase::Loading, Event::Begun)
            | (Phase::Running, _) => Action::Wait,
        }
    }

    /// Whether the gate stands in for the command after the start. Whoever tells by a descriptor
    /// knows that there are two processes, and signals the group of both.
    fn stands_aside(&self) -> bool {
        matches!(self.trigger, Trigger::Instant { .. })
    }

    fn evaluate(&mut self, now: Timestamp) -> Action {
        let lateness = match self.trigger {
            Trigger::Instant { at, .. } if now < at => return Action::Arm(at),
            Trigger::Instant { at, not_after } => {
                let lateness = now - at;
                if not_after.is_some_and(|limit| now > limit) {
                    return Action::Miss { lateness };
                }
                lateness
            }
            Trigger::Descriptor(_) if !self.told => return Action::Wait,
            Trigger::Descriptor(_) => Span::ZERO,
        };
        if self.phase == Phase::Loading {
            // It is let go as soon as it has come to its entry point.
            return Action::Wait;
        }
        self.phase = Phase::Running;
        Action::Release { lateness }
    }
}

/// A signal while nothing has begun: there is no program yet that could take it.
fn before(received: Received, ignored: bool) -> Action {
    let signal = received.number;
    match signal {
        // Somebody who sends it to us means us, whatever a shell has set for background jobs.
        SIGTERM | SIGINT if !ignored || !received.from_kernel => {
            Action::Revoke(Revoked::BySignal(signal))
        }
        SIGHUP | SIGQUIT if !ignored => Action::Revoke(Revoked::BySignal(signal)),
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

    fn instant(not_after: Option<Timestamp>) -> Trigger {
        Trigger::Instant { at: AT, not_after }
    }

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
        let mut hold = Hold::loading(instant(None));
        assert_eq!(hold.start(early()), Action::Arm(AT));
        assert_eq!(hold.handle(early(), Event::Loaded), Action::Arm(AT));
        let just_before = AT - Span::NANOSECOND;
        assert_eq!(hold.handle(just_before, Event::Timer), Action::Arm(AT));
        let lateness = Span::from_micros(25);
        assert_eq!(hold.handle(AT + lateness, Event::Timer), Action::Release { lateness });
        assert!(hold.is_running());
        assert_eq!(hold.handle(AT + lateness, Event::Timer), Action::Wait);
    }

    #[test]
    fn a_command_that_loads_past_the_instant_is_let_go_once_it_is_there() {
        let mut hold = Hold::loading(instant(None));
        assert_eq!(hold.start(early()), Action::Arm(AT));
        assert_eq!(hold.handle(AT, Event::Timer), Action::Wait);
        let lateness = Span::from_millis(3);
        assert_eq!(hold.handle(AT + lateness, Event::Loaded), Action::Release { lateness });
    }

    #[test]
    fn an_instant_that_has_passed_is_now_unless_it_is_too_late() {
        let lateness = Span::from_secs(9);
        assert_eq!(Hold::ready(instant(None)).start(AT + lateness), Action::Release { lateness });
        let limit = Some(AT + Span::from_secs(8));
        assert_eq!(Hold::ready(instant(limit)).start(AT + lateness), Action::Miss { lateness });
        assert_eq!(Hold::loading(instant(limit)).start(AT + lateness), Action::Miss { lateness });
        let at_limit = Action::Release { lateness: Span::from_secs(8) };
        assert_eq!(Hold::ready(instant(limit)).start(AT + Span::from_secs(8)), at_limit);
    }

    #[test]
    fn a_clock_that_is_set_is_read_again() {
        let mut hold = Hold::ready(instant(Some(AT + Span::from_secs(1))));
        assert_eq!(hold.start(early()), Action::Arm(AT));
        // Backwards: armed anew. Forwards past the limit: missed.
        assert_eq!(hold.handle(AT - Span::from_secs(500), Event::Timer), Action::Arm(AT));
        let lateness = Span::from_secs(500);
        assert_eq!(hold.handle(AT + lateness, Event::Timer), Action::Miss { lateness });
    }

    #[test]
    fn signals_that_end_a_process_revoke_while_nothing_has_begun() {
        for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            for mut hold in [Hold::loading(instant(None)), Hold::ready(instant(None))] {
                let revoke = Action::Revoke(Revoked::BySignal(number));
                assert_eq!(hold.handle(early(), signal(number)), revoke);
                assert_eq!(hold.handle(early(), from_terminal(number, false)), revoke);
                assert_eq!(hold.handle(early(), from_terminal(number, true)), Action::Wait);
            }
        }
        // SIGUSR1 would have ended a program that does not expect it; there is none yet.
        assert_eq!(Hold::ready(instant(None)).handle(early(), signal(10)), Action::Wait);
    }

    #[test]
    fn a_signal_that_is_ignored_revokes_only_where_a_process_sent_it_and_means_us() {
        let sent = |number| Event::Signal {
            received: Received { number, from_kernel: false },
            ignored: true,
        };
        let mut hold = Hold::ready(instant(None));
        assert_eq!(hold.handle(early(), sent(SIGINT)), Action::Revoke(Revoked::BySignal(SIGINT)));
        assert_eq!(hold.handle(early(), sent(SIGHUP)), Action::Wait);
    }

    #[test]
    fn signals_go_on_to_a_running_command_but_not_those_that_it_got_itself() {
        let mut hold = Hold::ready(instant(None));
        assert_eq!(hold.start(AT), Action::Release { lateness: Span::ZERO });
        assert_eq!(hold.handle(AT, signal(SIGTERM)), Action::Forward(SIGTERM));
        assert_eq!(hold.handle(AT, signal(10)), Action::Forward(10));
        assert_eq!(hold.handle(AT, from_terminal(SIGINT, false)), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Stopped), Action::Suspend);
    }

    #[test]
    fn a_command_that_ends_ends_the_hold_in_every_phase() {
        let exit = Exit::Signal(9);
        for mut hold in [Hold::loading(instant(None)), Hold::ready(instant(None))] {
            assert_eq!(hold.handle(early(), Event::Ended(exit)), Action::Leave(exit));
        }
    }

    #[test]
    fn a_descriptor_lets_go_once_the_command_is_there_and_told_in_either_order() {
        let release = Action::Release { lateness: Span::ZERO };
        let mut hold = Hold::loading(Trigger::Descriptor(3));
        assert_eq!(hold.start(AT), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Loaded), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Told), release);
        assert_eq!(hold.handle(AT, Event::Closed), Action::Wait);

        let mut hold = Hold::loading(Trigger::Descriptor(3));
        assert_eq!(hold.handle(AT, Event::Told), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Closed), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Loaded), release);
    }

    #[test]
    fn a_command_that_was_let_go_without_us_runs_and_nothing_revokes_it_any_more() {
        let mut hold = Hold::loading(Trigger::Descriptor(3));
        assert_eq!(hold.handle(AT, Event::Loaded), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Begun), Action::Wait);
        assert!(hold.is_running());
        for event in [Event::Told, Event::Closed, signal(SIGTERM)] {
            assert_eq!(hold.handle(AT, event), Action::Wait);
        }
    }

    #[test]
    fn a_descriptor_that_closes_revokes_and_signals_stay_with_the_group() {
        for mut hold in [Hold::loading(Trigger::Descriptor(3)), Hold::ready(Trigger::Descriptor(3))]
        {
            assert_eq!(hold.handle(AT, Event::Closed), Action::Revoke(Revoked::ByClosing));
        }
        let mut hold = Hold::ready(Trigger::Descriptor(3));
        let revoke = Action::Revoke(Revoked::BySignal(SIGTERM));
        assert_eq!(hold.handle(AT, signal(SIGTERM)), revoke);
        assert!(matches!(hold.handle(AT, Event::Told), Action::Release { .. }));
        assert_eq!(hold.handle(AT, signal(SIGTERM)), Action::Wait);
        assert_eq!(hold.handle(AT, Event::Stopped), Action::Wait);
    }
}
