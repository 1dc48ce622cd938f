//! kill -9 at random moments: no instant without an outcome, none fired twice that was recorded.
#![allow(clippy::print_stdout)]

#[path = "house/wait.rs"]
mod wait;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use timeball_api::schedules::Outcome;
use timeball_runtime::ClockCell;
use timeball_scheduler::{Scheduler, SchedulerOptions};
use wait::wait_for;

/// How often the scheduler is killed, unless `TIMEBALL_KILLS` says otherwise: `cargo xtask bench
/// restart` kills it 200 times.
const KILLS: u64 = 50;
const PERIOD_NS: i64 = 20_000_000;

/// Where the directory is for a process that is to be killed.
const CHILD: &str = "TIMEBALL_TEST_KILL_DIRECTORY";

/// Not a test of its own: the process that the other one starts and kills.
#[test]
#[ignore = "started by the other test"]
fn scheduler_to_be_killed() {
    let Some(root) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let scheduler = start(&root);
    std::thread::sleep(Duration::from_secs(60));
    drop(scheduler);
}

fn start(root: &Path) -> Scheduler {
    let clock = Arc::new(ClockCell::new());
    let options = SchedulerOptions::new(root.join("schedules"), root.join("state"), clock);
    Scheduler::start(options).expect("a scheduler that was killed can be started again")
}

/// Outcomes, oldest first, as far as each instant has one: what comes after a gap may have ended
/// before an earlier fire that still runs.
fn whole(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    outcomes.reverse();
    let is_next = |pair: &&[Outcome]| pair[1].scheduled_ns <= pair[0].until_ns + PERIOD_NS;
    let whole = 1 + outcomes.windows(2).take_while(is_next).count();
    outcomes.truncate(whole);
    outcomes
}

#[test]
fn every_instant_has_one_outcome_though_the_scheduler_is_killed_again_and_again() {
    let root = tempfile::tempdir().unwrap();
    let schedules = root.path().join("schedules");
    fs::create_dir(&schedules).unwrap();
    let log = root.path().join("log");
    let spec = format!(
        "apiVersion: timeball.dev/v1alpha1\nkind: PreciseCronJob\nmetadata: {{ name: kill }}\n\
         spec:\n  schedule: '@every 20ms'\n  catchUp: {{ policy: None }}\n  target: {{ exec: {{ \
         command: [sh, -c, 'echo $TIMEBALL_FIRE_ID >> {}'] }} }}\n",
        log.display()
    );
    fs::write(schedules.join("kill.yaml"), spec).unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let kills = std::env::var("TIMEBALL_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    for _ in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scheduler_to_be_killed", "--ignored"])
            .env(CHILD, root.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Any spread of moments does; this one is the same in every run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(30 + (seed >> 33) % 400));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let started_ns = timeball_runtime::read_clocks().system.as_unix_nanos();
    let scheduler = start(root.path());
    let outcomes = wait_for("each instant has its outcome", || {
        let outcomes = whole(scheduler.history("default", "kill").ok()?.outcomes);
        let until_ns = outcomes.last()?.until_ns;
        (until_ns > started_ns + 500_000_000).then_some(outcomes)
    });
    scheduler.shutdown();

    let log = fs::read_to_string(log).unwrap();
    let fires: Vec<&str> = log.lines().collect();
    let unique: BTreeSet<&str> = fires.iter().copied().collect();
    assert_eq!(unique.len(), fires.len(), "an instant was fired twice");
    let mut expected = None;
    let mut instants = 0;
    let mut unknown = 0;
    for outcome in &outcomes {
        if let Some(expected) = expected {
            assert_eq!(outcome.scheduled_ns, expected, "a hole or an overlap before {outcome:?}");
        }
        let length = (outcome.until_ns - outcome.scheduled_ns) / PERIOD_NS + 1;
        assert_eq!(outcome.count, length.unsigned_abs(), "{outcome:?}");
        expected = Some(outcome.until_ns + PERIOD_NS);
        instants += outcome.count;
        if outcome.result == "unknown" {
            unknown += outcome.count;
        }
        if outcome.result == "fired" {
            for at in 0..length {
                let micros = (outcome.scheduled_ns + at * PERIOD_NS) / 1_000;
                let fired = unique.iter().any(|id| id.ends_with(&format!(".{micros}")));
                assert!(fired, "{micros} is recorded as fired and left no trace");
            }
        }
    }
    let results: BTreeSet<&str> = outcomes.iter().map(|o| o.result.as_str()).collect();
    println!("{instants} instants, {unknown} unknown, {} fires, {results:?}", fires.len());
    assert!(instants > 100 && fires.len() > 50, "{instants} instants, {} fires", fires.len());
}
