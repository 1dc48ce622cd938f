mod given;

use super::*;
use crate::store::JournalError;
use crate::targets::armed;
use std::sync::mpsc::{self, Receiver};
use timeball_schedule::ScheduleUid;
use timeball_schedule::planner::{ClockPolicy, FireMode, OnExceeded};
use timeball_timebase::Timestamp;

fn runner(programs_max: usize) -> (Runner, Receiver<Ended>) {
    // This very program is a gate when it is called with that argument: see sys::gate_of_tests.
    runner_with(programs_max, GateProgram::of_this_process(crate::sys::GATE_OF_TESTS))
}

fn runner_with(programs_max: usize, gate: Option<GateProgram>) -> (Runner, Receiver<Ended>) {
    let (sender, receiver) = mpsc::channel();
    let term_grace = Span::from_millis(200);
    let limits = TargetLimits { programs_max, term_grace, ..TargetLimits::default() };
    // A test that has seen enough does not listen any more.
    let told = Arc::new(move |ended: Ended| drop(sender.send(ended)));
    (Runner::new(limits, gate, told).unwrap(), receiver)
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
    runner.prepare(&armed(fire(second)), Span::ZERO, &name, &Arc::new(program))();
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
    while runner.shared.lock().is_empty() {
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

fn prepare(runner: &Runner, program: Program) -> Release {
    prepare_armed(runner, &armed(fire(0)), program)
}

fn prepare_armed(runner: &Runner, armed: &ArmedFire, program: Program) -> Release {
    let name = ScheduleName { namespace: "default".to_owned(), name: "flush".to_owned() };
    // Nothing happens by itself at the instant: only the release lets it go.
    runner.prepare(armed, Span::from_millis(400), &name, &Arc::new(program))
}

/// A program that says in a file that it has begun, and whose arguments tell it from all others.
fn marking(directory: &tempfile::TempDir) -> (Program, std::path::PathBuf) {
    let mark = directory.path().join("begun");
    (shell(&format!("echo begun >> {}", mark.display())), mark)
}

/// Waits until there is a process with these arguments that is stopped, with the C library loaded:
/// at its entry point.
fn held(program: &Program) -> String {
    let arguments: Vec<u8> =
        program.arguments.iter().flat_map(|a| a.to_bytes_with_nul()).copied().collect();
    let is_held = |process: &std::path::Path| {
        let read = |name: &str| std::fs::read(process.join(name)).unwrap_or_default();
        let text = |name: &str| String::from_utf8_lossy(&read(name)).into_owned();
        read("cmdline") == arguments
            && text("status").contains("State:\tT")
            && text("maps").contains("libc")
    };
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        for entry in std::fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            if is_held(&path) {
                return path.to_str().unwrap().to_owned();
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no process is held at its entry point");
}

#[test]
fn a_program_is_there_before_its_instant_and_has_not_begun() {
    let directory = tempfile::tempdir().unwrap();
    let (program, mark) = marking(&directory);
    let (runner, ended) = runner(4);
    let release = prepare(&runner, program.clone());
    held(&program);
    assert!(!mark.exists());
    release();
    let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!((ended.outcome, ended.message.as_str()), (Outcome::Fired, ""));
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "begun\n");
}

#[test]
fn a_program_that_is_killed_while_it_is_held_fails_and_says_how() {
    let directory = tempfile::tempdir().unwrap();
    let (program, mark) = marking(&directory);
    let (runner, ended) = runner(4);
    let release = prepare(&runner, program.clone());
    let pid = held(&program).rsplit('/').next().unwrap().to_owned();
    let kill = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    assert!(kill.unwrap().success());
    // Until its gate has seen it, and shortly before its instant at the latest.
    std::thread::sleep(Duration::from_millis(450));
    release();
    let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.outcome, Outcome::Failed(Reason::Unreachable));
    assert!(ended.message.contains("ended with signal 9 before its instant"), "{}", ended.message);
    assert!(!mark.exists());
}

#[test]
fn a_revoked_program_never_begins_and_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (program, mark) = marking(&directory);
    let (runner, ended) = runner(4);
    let release = prepare(&runner, program.clone());
    let process = held(&program);
    drop(release);
    let started = Instant::now();
    while std::path::Path::new(&process).exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "{process} is still there");
        std::thread::sleep(Duration::from_millis(2));
    }
    // Also what is taken back while it is on its way, and before.
    drop(prepare(&runner, program.clone()));
    drop(runner);
    assert!(!mark.exists());
    assert!(ended.recv().is_err(), "nothing was released, so nothing ended");
}

#[test]
fn a_program_that_is_released_while_it_is_loaded_begins_once() {
    for wait in [0, 1, 2, 4] {
        let directory = tempfile::tempdir().unwrap();
        let (program, mark) = marking(&directory);
        let (runner, ended) = runner(4);
        let release = prepare(&runner, program);
        std::thread::sleep(Duration::from_millis(wait));
        release();
        let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!((ended.outcome, ended.message.as_str()), (Outcome::Fired, ""));
        assert_eq!(std::fs::read_to_string(mark).unwrap(), "begun\n");
    }
}

#[test]
fn a_held_program_ends_and_is_stopped_like_any_other() {
    let (runner, ended) = runner(4);
    let failing = shell("echo no such table >&2; exit 125");
    let release = prepare(&runner, failing.clone());
    held(&failing);
    release();
    let failed = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    let message = "exit status 125; output: no such table";
    assert_eq!(failed.outcome, Outcome::Failed(Reason::ExitStatus));
    assert_eq!(failed.message, message);

    let stubborn = Program {
        timeout: Duration::from_millis(300),
        ..shell("trap 'echo asked' TERM; while :; do sleep 0.02; done")
    };
    let release = prepare(&runner, stubborn.clone());
    held(&stubborn);
    release();
    let stopped = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(stopped.outcome, Outcome::Failed(Reason::TimedOut));
    // Asked once: the signal to the group is not sent on by the gate.
    let (how, output) = stopped.message.split_once("; output: ").unwrap();
    assert!(how.ends_with("; killed, and ended with signal 9"), "{how}");
    assert_eq!(output.matches("asked").count(), 1, "{output}");
}

#[test]
fn a_program_that_cannot_be_loaded_is_unreachable_and_says_why() {
    let (runner, ended) = runner(4);
    let release = prepare(&runner, Program { path: c"/nonexistent".to_owned(), ..shell("") });
    std::thread::sleep(Duration::from_millis(50));
    release();
    let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.outcome, Outcome::Failed(Reason::Unreachable));
    let expected = "/nonexistent could not be started: ";
    assert!(ended.message.starts_with(expected), "{}", ended.message);
    assert!(ended.message.contains("not found"), "{}", ended.message);
}

#[test]
fn without_a_gate_that_works_a_program_is_started_at_its_instant() {
    let failing = GateProgram {
        path: c"/bin/sh".to_owned(),
        arguments: ["sh", "-c", "exit 125"].map(|word| CString::new(word).unwrap()).into(),
    };
    let missing = GateProgram { path: c"/nonexistent".to_owned(), arguments: Vec::new() };
    for gate in [Some(failing), Some(missing), None] {
        let (runner, ended) = runner_with(4, gate);
        let release = prepare(&runner, shell("echo begun"));
        std::thread::sleep(Duration::from_millis(20));
        release();
        let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!((ended.outcome, ended.message.as_str()), (Outcome::Fired, "begun"));
    }
}

/// Remembers which fires were noted; refuses if it is to.
struct Notes {
    refuses: bool,
    noted: Mutex<Vec<FireId>>,
    ended: Mutex<mpsc::Sender<Ended>>,
}

impl Report for Notes {
    fn begin(&self, fire: FireId) -> Result<(), JournalError> {
        if self.refuses {
            return Err(JournalError::Full);
        }
        self.noted.lock().unwrap().push(fire);
        Ok(())
    }

    fn end(&self, ended: Ended) {
        let _ = self.ended.lock().unwrap().send(ended);
    }
}

#[test]
fn a_held_program_is_noted_shortly_before_its_instant_and_not_begun_where_it_cannot_be() {
    let waiting = ClockPolicy {
        fire: FireMode::NotBefore,
        on_exceeded: OnExceeded::Delay,
        ..ClockPolicy::default()
    };
    // One that may wait for a better clock is noted when it is released, and not before.
    for (refuses, clock, noted_ahead) in
        [(false, ClockPolicy::default(), 1), (true, ClockPolicy::default(), 0), (false, waiting, 0)]
    {
        let directory = tempfile::tempdir().unwrap();
        let (program, mark) = marking(&directory);
        let (sender, ended) = mpsc::channel();
        let ended_sender = Mutex::new(sender);
        let notes = Arc::new(Notes { refuses, noted: Mutex::default(), ended: ended_sender });
        let gate = GateProgram::of_this_process(crate::sys::GATE_OF_TESTS);
        let told = Arc::clone(&notes) as Arc<dyn Report>;
        let runner = Runner::new(TargetLimits::default(), gate, told).unwrap();
        let armed = ArmedFire { clock, ..armed(fire(0)) };
        let release = prepare_armed(&runner, &armed, program.clone());
        held(&program);
        // The instant is 400 ms away; it is noted 20 ms before, or by its release if that is first.
        std::thread::sleep(Duration::from_millis(450));
        assert!(notes.noted.lock().unwrap().len() <= noted_ahead);
        release();
        let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
        if refuses {
            assert_eq!(ended.outcome, Outcome::Failed(Reason::StoreFailed));
            assert!(!mark.exists());
        } else {
            assert_eq!(ended.outcome, Outcome::Fired);
            assert_eq!(*notes.noted.lock().unwrap(), [fire(0)]);
        }
    }
}

/// Where the process that is to be killed leaves its marks.
const CRASH: &str = "TIMEBALL_TEST_CRASH_DIRECTORY";

/// Not a test of its own: the process that the other one starts and kills.
#[test]
#[ignore = "started by the other test"]
fn a_runner_to_be_killed() {
    let Some(directory) = std::env::var_os(CRASH).map(std::path::PathBuf::from) else { return };
    let marking =
        |mark: &str| format!("echo $TIMEBALL_FIRE_ID > {}", directory.join(mark).display());
    let (runner, _ended) = runner(4);
    let begun = shell(&format!("sleep 1; {}", marking("finished")));
    let release = prepare(&runner, begun.clone());
    held(&begun);
    release();
    let waiting = shell(&marking("begun"));
    let _armed = prepare(&runner, waiting.clone());
    std::fs::write(directory.join("held"), held(&waiting)).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_crash_of_ours_lets_what_has_begun_run_on_and_takes_what_is_held_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let read = |mark: &str| std::fs::read_to_string(directory.path().join(mark)).ok();
    let eventually = |what: &str, is_so: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut scheduler = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "targets::exec::tests::a_runner_to_be_killed", "--ignored"])
        .env(CRASH, directory.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("one program runs and one is held", &|| read("held").is_some_and(|p| !p.is_empty()));
    let held = read("held").unwrap();
    scheduler.kill().unwrap();
    scheduler.wait().unwrap();
    eventually("the held program is gone", &|| !std::path::Path::new(&held).exists());
    eventually("the other one comes to its end", &|| read("finished").is_some());
    assert_eq!(read("begun"), None);
}
