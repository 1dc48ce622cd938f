//! The loop of the firing thread.

use super::clock::{Known, is_jump};
use super::lanes::{Entry, Lanes};
use super::{Command, Release, TimerEvent, TimerOptions};
use crate::fault::{self, Point};
use crate::sys::{Alarm, Wake, set_timer_slack};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use timeball_runtime::read_clocks;
use timeball_schedule::planner::{ArmedFire, FireMode, OnExceeded};
use timeball_schedule::{FireId, Outcome, Reason};
use timeball_timebase::{Now, Span, Timestamp};

/// The clock's state is read anew this long before a fire, so that a longer sleep does not rest on
/// an estimate that has been replaced since.
const REREAD_BEFORE: Span = Span::from_millis(250);
/// A fire that waits for a better clock is looked at this often.
const REVIEW_EVERY: Span = Span::from_millis(50);
/// What is told at a time of fires with the same instant: telling wakes another thread, which the
/// fires that are still due need not wait for.
const NEWS_MAX: usize = 64;
/// The longest sleep; the alarm must always be set, or a clock that is set goes unnoticed.
const SLEEP_MAX: Span = Span::from_secs(3_600);
/// Commands taken between two looks at what is due: a burst of them must make no fire late.
const COMMANDS_MAX: usize = 32;

/// The state of the thread.
pub(super) struct Firing {
    options: TimerOptions,
    commands: Receiver<Command>,
    alarm: Arc<Alarm>,
    lanes: Lanes<Release>,
    /// Fires that are due and wait for a better clock.
    waiting: BTreeMap<FireId, Entry<Release>>,
    /// How often the clock was set and nobody has said yet how to go on.
    clock_sets_open: u32,
    /// The clocks as they were read before the last release.
    seen: Now,
    /// What became of fires and was not told yet.
    news: Vec<TimerEvent>,
}

/// Whether there are commands yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Commands {
    /// All were taken.
    Taken,
    /// There may be more.
    More,
    /// The last one was taken.
    Over,
}

impl Firing {
    pub(super) fn new(
        options: TimerOptions,
        commands: Receiver<Command>,
        alarm: Arc<Alarm>,
    ) -> Self {
        let (lanes, waiting) = (Lanes::new(), BTreeMap::new());
        let news = Vec::with_capacity(NEWS_MAX);
        let seen = read_clocks();
        Self { options, commands, alarm, lanes, waiting, clock_sets_open: 0, seen, news }
    }

    pub(super) fn run(mut self) {
        set_timer_slack(1);
        loop {
            let commands = self.take_commands();
            if commands == Commands::Over {
                return;
            }
            self.release_due();
            let woken = if commands == Commands::More {
                self.alarm.ask()
            } else {
                self.review_waiting();
                self.tell_news();
                self.wait()
            };
            match woken {
                // Whether the clock was set is known before the clock is believed.
                Ok(wake) => self.note(wake),
                Err(error) => {
                    // Without its alarm the thread can do nothing; it has never been seen to fail.
                    tracing::error!(%error, "the firing thread cannot wait any more");
                    return;
                }
            }
        }
    }

    /// Takes some commands.
    fn take_commands(&mut self) -> Commands {
        for _ in 0..COMMANDS_MAX {
            match self.commands.try_recv() {
                Ok(Command::Arm(fire, release)) => {
                    self.waiting.remove(&fire.fire);
                    self.lanes.insert(Entry { fire, release });
                }
                Ok(Command::Revoke(fire)) => {
                    if self.waiting.remove(&fire).or_else(|| self.lanes.remove(fire)).is_some() {
                        let outcome = Outcome::Skipped(Reason::Revoked);
                        (self.options.tell)(TimerEvent::Unreleased { fire, outcome });
                    }
                }
                Ok(Command::Resume) => {
                    self.clock_sets_open = self.clock_sets_open.saturating_sub(1);
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Commands::Over,
                Err(TryRecvError::Empty) => return Commands::Taken,
            }
        }
        Commands::More
    }

    fn release_due(&mut self) {
        loop {
            let (known, now) = self.look();
            // A clock that is set forward ends the sleep a moment before the kernel says why.
            if jumped(std::mem::replace(&mut self.seen, now), now) {
                self.note(Wake::ClockSet);
            }
            if self.clock_sets_open > 0 {
                break;
            }
            let Some((entry, followed)) = self.lanes.pop_due(&known, now) else { break };
            let lateness = followed.time - entry.fire.release_at;
            self.decide(entry, lateness, followed.time, followed.bound);
            if self.news.len() >= NEWS_MAX {
                self.tell_news();
            }
        }
        self.tell_news();
    }

    /// Releases a fire that is due, or tells why not.
    fn decide(
        &mut self,
        entry: Entry<Release>,
        lateness: Span,
        time: Timestamp,
        clock_bound: Option<Span>,
    ) {
        let ArmedFire { fire, not_after, clock, .. } = entry.fire;
        if not_after.is_some_and(|limit| time > limit) {
            let outcome = Outcome::Missed(Reason::DeadlineExceeded);
            return self.news.push(TimerEvent::Unreleased { fire, outcome });
        }
        let limit = clock.max_error;
        // An instant cannot be certain to have come while nothing is known of the clock.
        let certain = clock.fire == FireMode::Nearest || clock_bound.is_some();
        let within = limit.is_none_or(|limit| clock_bound.is_some_and(|bound| bound <= limit));
        let clock_exceeded = !(certain && within);
        match clock.on_exceeded {
            OnExceeded::Refuse if clock_exceeded => {
                let outcome = Outcome::Skipped(Reason::ClockErrorExceeded);
                self.news.push(TimerEvent::Unreleased { fire, outcome });
            }
            OnExceeded::Delay if clock_exceeded => {
                self.waiting.insert(fire, entry);
            }
            _ => {
                fault::pass(Point::ReleaseDue);
                (entry.release)();
                fault::pass(Point::Released);
                let event = TimerEvent::Released { fire, lateness, clock_bound, clock_exceeded };
                self.news.push(event);
            }
        }
    }

    fn tell_news(&mut self) {
        self.news.drain(..).for_each(&mut self.options.tell);
    }

    fn note(&mut self, wake: Wake) {
        if wake == Wake::ClockSet {
            self.clock_sets_open += 1;
            (self.options.tell)(TimerEvent::ClockSet);
        }
    }

    fn look(&self) -> (Known, Now) {
        let now = read_clocks();
        (self.options.clock.read(now), now)
    }

    /// Tries again the fires that wait for a better clock.
    fn review_waiting(&mut self) {
        if self.clock_sets_open > 0 {
            return;
        }
        for (_, entry) in std::mem::take(&mut self.waiting) {
            let (known, now) = self.look();
            let followed = super::lanes::Lane::of(entry.fire.clock).read(&known, now);
            let lateness = followed.time - entry.fire.release_at;
            if lateness.is_negative() {
                // A better estimate moved the instant ahead again.
                self.lanes.insert(entry);
            } else {
                self.decide(entry, lateness, followed.time, followed.bound);
            }
        }
    }

    /// Sleeps until the next fire is due, a command comes, or the clock is set.
    fn wait(&self) -> io::Result<Wake> {
        let (known, now) = self.look();
        let held = self.clock_sets_open > 0;
        let due = self.lanes.next_due(&known, now).filter(|_| !held);
        let spin = self.options.spin;
        if due.is_some_and(|due| due - now.system <= spin) {
            return self.watch_the_clock();
        }
        let reviewing = !self.waiting.is_empty() && !held;
        self.alarm.sleep_until(wake_at(now, due, spin, reviewing))
    }

    /// Reads the clock until the next fire is due: no longer than `spin`, unless the clock is set
    /// back meanwhile, which is why it looks again each time.
    ///
    /// Whether the clock was set is asked each time, too: asked once, at the end, the question took
    /// four microseconds, for nothing that it needs was at hand.
    fn watch_the_clock(&self) -> io::Result<Wake> {
        loop {
            let wake = self.alarm.ask()?;
            let (known, now) = self.look();
            match self.lanes.next_due(&known, now) {
                _ if wake == Wake::ClockSet => return Ok(wake),
                Some(due) if due > now.system && due - now.system <= self.options.spin => {
                    std::hint::spin_loop();
                }
                _ => return Ok(wake),
            }
        }
    }
}

/// Whether the system clock was set between two readings (or the machine was asleep). The kernel
/// says so too, and that it is told twice does no harm.
fn jumped(before: Now, now: Now) -> bool {
    let elapsed = now.raw - before.raw;
    is_jump(now.system - before.system - elapsed, elapsed)
}

/// When to wake, by the system clock.
fn wake_at(now: Now, due: Option<Timestamp>, spin: Span, reviewing: bool) -> Timestamp {
    let mut at = now.system + SLEEP_MAX;
    if let Some(due) = due {
        let soon = due - now.system <= REREAD_BEFORE;
        at = at.min(if soon { due - spin } else { due - REREAD_BEFORE });
    }
    if reviewing { at.min(now.system + REVIEW_EVERY) } else { at }
}

#[cfg(test)]
mod tests {
    use super::super::FollowedClock;
    use super::*;
    use std::sync::mpsc;
    use timeball_schedule::ScheduleUid;
    use timeball_schedule::planner::ClockPolicy;

    fn firing() -> (Firing, mpsc::Sender<Command>, mpsc::Receiver<TimerEvent>) {
        let (told, events) = mpsc::channel();
        let (commands, received) = mpsc::channel();
        let options = TimerOptions {
            clock: Arc::new(FollowedClock::new(Arc::default())),
            spin: Span::ZERO,
            real_time: None,
            tell: Box::new(move |event| told.send(event).unwrap()),
        };
        (Firing::new(options, received, Arc::new(Alarm::new().unwrap())), commands, events)
    }

    fn arm(number: usize, scheduled_at: Timestamp) -> Command {
        let schedule = ScheduleUid((number as u128).to_be_bytes());
        let fire = FireId { schedule, scheduled_at };
        let clock = ClockPolicy::default();
        let fire = ArmedFire { fire, release_at: scheduled_at, not_after: None, clock };
        Command::Arm(fire, Box::new(|| {}))
    }

    #[test]
    fn a_clock_that_was_set_forward_releases_nothing_before_somebody_says_how_to_go_on() {
        for by in [Span::from_millis(150), Span::from_secs(3_600), -Span::from_secs(3_600)] {
            let (mut firing, commands, events) = firing();
            commands.send(arm(0, Timestamp::MIN)).unwrap();
            assert_eq!(firing.take_commands(), Commands::Taken);
            // The alarm says nothing of it yet.
            firing.seen.system -= by;
            firing.release_due();
            assert_eq!(events.try_iter().collect::<Vec<_>>(), [TimerEvent::ClockSet]);
            commands.send(Command::Resume).unwrap();
            assert_eq!(firing.take_commands(), Commands::Taken);
            firing.release_due();
            assert!(matches!(events.try_recv(), Ok(TimerEvent::Released { .. })));
        }
    }

    #[test]
    fn a_burst_of_commands_is_taken_in_parts_between_which_fires_are_released() {
        let (mut firing, commands, events) = firing();
        let ahead = read_clocks().system + Span::from_secs(3_600);
        for number in 0..2 * COMMANDS_MAX {
            let scheduled_at = if number == 0 { Timestamp::MIN } else { ahead };
            commands.send(arm(number, scheduled_at)).unwrap();
        }
        assert_eq!(firing.take_commands(), Commands::More);
        firing.release_due();
        assert!(matches!(events.try_recv(), Ok(TimerEvent::Released { .. })));
        assert_eq!(firing.take_commands(), Commands::More);
        assert_eq!(firing.take_commands(), Commands::Taken);
        drop(commands);
        assert_eq!(firing.take_commands(), Commands::Over);
    }
}
