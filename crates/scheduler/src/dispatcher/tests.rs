use super::*;
use crate::store::DiskStore;
use crate::targets::TargetLimits;
use std::sync::mpsc;
use timeball_schedule::Outcome;

#[test]
fn a_target_that_ends_before_its_release_was_told_of_is_waited_for_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    let store_path = directory.path().join("store");
    let ledger = Ledger::open(Box::new(DiskStore::open(&store_path).unwrap().0), None).unwrap();
    let (_sender, inbox) = mpsc::channel();
    let targets = Targets::start(TargetLimits::default(), None, Arc::new(|_: Ended| {})).unwrap();
    let stop_timeout = Duration::from_secs(60);
    let clock = Arc::new(FollowedClock::new(Arc::default()));
    let mut dispatcher = Dispatcher::new(Parts {
        ledger,
        clock,
        timer: None,
        targets,
        board: Arc::default(),
        inbox,
        store_path,
        stop_timeout,
    });
    let scheduled_at = Timestamp::from_unix(1_795_000_000, 0);
    let fire = FireId { schedule: ScheduleUid([7; 16]), scheduled_at };
    let (outcome, duration, message) = (Outcome::Fired, Span::from_micros(9), String::new());
    dispatcher.take(Message::Ended(Ended { fire, outcome, duration, message }));
    dispatcher.take(Message::Timer(TimerEvent::Released {
        fire,
        lateness: Span::from_micros(20),
        clock_bound: None,
        clock_exceeded: false,
    }));
    assert!(dispatcher.running.is_empty() && dispatcher.ended_early.is_empty());
    let start = Instant::now();
    dispatcher.stop();
    assert!(start.elapsed() < stop_timeout / 2, "nothing was left to wait for");
}
