use super::*;
use std::sync::mpsc::{self, Receiver};
use timeball_schedule::ScheduleUid;
use timeball_timebase::Timestamp;

fn runner(programs_max: usize) -> (Runner, Receiver<Ended>) {
    let (sender, receiver) = mpsc::channel();
    let term_grace = Span::from_millis(200);
    let limits = TargetLimits { programs_max, term_grace, ..TargetLimits::default() };
    (Runner::new(limits, Arc::new(move |ended: Ended| sender.send(ended).unwrap())), receiver)
}

fn shell(script: &str) -> Program {
    Program {
        path: c"/bin/sh".to_owned(),
        arguments: ["sh", "-c", script].map(|word| CString::new(word).unwrap()).into(),
        directory: c"/".to_owned(),
        variables: vec![("ADDED".to_owned(), "a value".to_owned())],
        account: None,
        timeout: Duration::from_secs(20),
        retries: 0,
    }
}

fn fire(second: i64) -> FireId {
    let scheduled_at = Timestamp::from_unix(1_795_000_000 + second, 250_000_000);
    FireId { schedule: ScheduleUid([7; 16]), scheduled_at }
}

fn release(runner: &Runner, second: i64, program: Program) {
    let name = ScheduleName { namespace: "default".to_owned(), name: "flush".to_owned() };
    runner.prepare(fire(second), &name, &Arc::new(program))();
}

fn run(program: Program) -> Ended {
    let (runner, ended) = runner(4);
    release(&runner, 0, program);
    ended.recv_timeout(Duration::from_secs(30)).unwrap()
}

#[test]
fn a_program_knows_its_fire_and_what_it_says_is_kept() {
    let ended =
        run(shell("echo $TIMEBALL_FIRE_ID $TIMEBALL_SCHEDULED_AT $TIMEBALL_SCHEDULE $ADDED"));
    let expected = "07070707-0707-0707-0707-070707070707.1795000000250000 \
        2026-11-18T11:06:40.250Z default/flush a value";
    assert_eq!((ended.outcome, ended.message.as_str()), (Outcome::Fired, expected));
    assert_eq!(ended.fire, fire(0));
    assert!(ended.duration > Span::ZERO);
}

#[test]
fn a_program_that_fails_says_how_with_the_last_of_its_output() {
    let ended = run(shell("seq 1 100000; echo no such table >&2; exit 3"));
    assert_eq!(ended.outcome, Outcome::Failed(Reason::ExitStatus));
    assert!(ended.message.starts_with("exit status 3; output: …"), "{}", ended.message);
    assert!(ended.message.ends_with("100000\nno such table"), "{}", ended.message);
    assert!(ended.message.len() <= super::super::MESSAGE_OCTETS_MAX);
    let killed = run(shell("kill -KILL $$"));
    assert_eq!(killed.outcome, Outcome::Failed(Reason::ExitStatus));
    assert_eq!(killed.message, "signal 9");
}

#[test]
fn a_program_that_cannot_be_started_is_unreachable() {
    let ended = run(Program { path: c"/nonexistent".to_owned(), ..shell("") });
    assert_eq!(ended.outcome, Outcome::Failed(Reason::Unreachable));
    assert!(ended.message.starts_with("/nonexistent could not be started"), "{}", ended.message);
}

#[test]
fn a_hanging_program_is_asked_to_end_and_then_killed_with_its_group() {
    let timeout = Duration::from_millis(100);
    let polite = run(Program { timeout, ..shell("sleep 100") });
    assert_eq!(polite.outcome, Outcome::Failed(Reason::TimedOut));
    let expected = "still running after 0.1 s; asked to end, and ended with signal 15";
    assert_eq!(polite.message, expected);
    let stubborn = run(Program { timeout, ..shell("trap '' TERM; sleep 100 & wait; wait") });
    assert_eq!(stubborn.outcome, Outcome::Failed(Reason::TimedOut));
    assert!(stubborn.message.contains("; killed, and ended with signal 9"), "{}", stubborn.message);
}

#[test]
fn something_left_in_the_background_does_not_hold_up_the_end() {
    let ended = run(shell("sleep 5 & echo done"));
    assert_eq!((ended.outcome, ended.message.as_str()), (Outcome::Fired, "done"));
    assert!(ended.duration < Span::from_secs(4));
}

#[test]
fn a_running_program_can_be_stopped_and_a_full_house_is_said() {
    let (runner, ended) = runner(1);
    release(&runner, 0, shell("sleep 100"));
    release(&runner, 1, shell("true"));
    let refused = ended.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((refused.fire, refused.outcome), (fire(1), Outcome::Failed(Reason::Unreachable)));
    assert!(refused.message.starts_with("1 programs run already"), "{}", refused.message);
    while runner.0.lock().is_empty() {
        std::thread::yield_now();
    }
    runner.stop(fire(0), Reason::Replaced);
    let stopped = ended.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((stopped.fire, stopped.outcome), (fire(0), Outcome::Failed(Reason::Replaced)));
}

#[test]
fn a_failure_is_tried_again_as_often_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tries");
    let script = format!("echo x >> {0}; test $(wc -l < {0}) -ge 3", file.display());
    let ended = run(Program { retries: 5, ..shell(&script) });
    assert_eq!(ended.outcome, Outcome::Fired);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "x\nx\nx\n");
}
