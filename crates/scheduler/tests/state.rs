//! A state directory that cannot be written or is somebody else's, and edits of what is claimed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, find, lines, wait_for};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use timeball_api::schedules::Outcome;
use timeball_runtime::{ClockCell, read_clocks};
use timeball_scheduler::{Scheduler, SchedulerOptions};

/// Where the directories are for a process of its own, and what it is to do there.
const CHILD: &str = "TIMEBALL_TEST_STATE_DIRECTORY";
const TASK: &str = "TIMEBALL_TEST_STATE_TASK";
/// The user `nobody`: root may write what is read-only.
const NOBODY: u32 = 65_534;

/// Not a test of its own: the process that others start.
#[test]
#[ignore = "started by the other tests"]
fn scheduler_of_its_own() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let root = Path::new(&root);
    match std::env::var(TASK).unwrap().as_str() {
        "start" => drop(start(root)),
        "lose a zone" => lose_a_zone(root),
        "live through a new zone database" => live_through_a_new_zone_database(root),
        _ => live_through_read_only_state(root),
    }
}

/// Starts a scheduler and says what came of it.
fn start(root: &Path) -> Option<Scheduler> {
    let clock = Arc::new(ClockCell::new());
    let options = SchedulerOptions::new(root.join("schedules"), root.join("state"), clock);
    match Scheduler::start(options) {
        Ok(scheduler) => Some(scheduler),
        Err(error) => {
            println!("refused: {error}");
            None
        }
    }
}

fn live_through_read_only_state(root: &Path) {
    let state = root.join("state");
    let set_mode = |directory: u32, file: u32| {
        for entry in fs::read_dir(&state).unwrap() {
            fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(file)).unwrap();
        }
        fs::set_permissions(&state, Permissions::from_mode(directory)).unwrap();
    };
    let fired = |scheduler: &Scheduler| find(scheduler, "beat").map_or(0, |s| s.counts.fired);
    let scheduler = start(root).unwrap();
    wait_for("it fires", || (fired(&scheduler) >= 3).then_some(()));
    set_mode(0o500, 0o400);
    let before = fired(&scheduler);
    // Two seconds of instants, which no claim was made for before.
    wait_for("it goes on", || (fired(&scheduler) >= before + 30).then_some(()));
    assert_eq!(scheduler.schedules().problems, []);
    scheduler.shutdown();
    assert!(start(root).is_none());
    set_mode(0o700, 0o600);
    let scheduler = start(root).unwrap();
    wait_for("all is well again", || (fired(&scheduler) >= before + 40).then_some(()));
    let counts = find(&scheduler, "beat").unwrap().counts;
    assert_eq!((counts.unknown, counts.failed), (0, 0), "{counts:?}");
}

/// Reloads without a zone that a schedule has, then with it again.
fn lose_a_zone(root: &Path) {
    let (zone, aside) = (root.join("zones/Test/Harbour"), root.join("aside"));
    let fired = |scheduler: &Scheduler| find(scheduler, "beat").map_or(0, |s| s.counts.fired);
    let scheduler = start(root).unwrap();
    wait_for("it fires", || (fired(&scheduler) >= 3).then_some(()));
    fs::rename(&zone, &aside).unwrap();
    let told = scheduler.reload().unwrap();
    assert!(!told.applied && told.changes.is_empty(), "{told:?}");
    println!("problem: {}", told.problems[0].message);
    assert_eq!(scheduler.schedules().problems, told.problems);
    let before = fired(&scheduler);
    wait_for("it goes on as it was", || (fired(&scheduler) >= before + 30).then_some(()));
    fs::rename(&aside, &zone).unwrap();
    let told = scheduler.reload().unwrap();
    assert!(told.applied && told.changes.is_empty() && told.problems.is_empty(), "{told:?}");
    let counts = find(&scheduler, "beat").unwrap().counts;
    assert_eq!((counts.missed, counts.skipped, counts.failed), (0, 0, 0), "{counts:?}");
}

/// Has the rules of a zone change, the zone vanish and come back, and asks for no reload.
fn live_through_a_new_zone_database(root: &Path) {
    let zone = root.join("zones/Test/Harbour");
    let put = |rules: &str| {
        // As packages do it: nobody reads half a file.
        fs::copy(format!("/usr/share/zoneinfo/Etc/{rules}"), root.join("fresh")).unwrap();
        fs::rename(root.join("fresh"), &zone).unwrap();
    };
    let scheduler = start(root).unwrap();
    let noon = || find(&scheduler, "noon").map_or(0, |schedule| schedule.next_ns[0]);
    let fired = || find(&scheduler, "beat").map_or(0, |schedule| schedule.counts.fired);
    wait_for("it fires", || (fired() >= 3).then_some(()));
    let before = noon();
    put("GMT-3");
    let after = notice("the new rules", || Some(noon()).filter(|after| *after != before));
    let hour_ns = 3_600_000_000_000;
    assert_eq!((before - after).rem_euclid(24 * hour_ns), 2 * hour_ns);
    fs::remove_file(&zone).unwrap();
    let told = notice("a problem", || scheduler.schedules().problems.pop());
    println!("problem: {}", told.message);
    let fires = fired();
    wait_for("it goes on by its last rules", || (fired() >= fires + 30).then_some(()));
    assert_eq!(noon(), after);
    put("GMT-3");
    let is_well = || scheduler.schedules().problems.is_empty().then_some(());
    notice("all is well again", is_well);
    let counts = find(&scheduler, "beat").unwrap().counts;
    assert_eq!((counts.missed, counts.failed, counts.unknown), (0, 0, 0), "{counts:?}");
}

/// Waits for the effect of a change that was just made, soon after the files were last read.
fn notice<T>(effect: &str, found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let found = wait_for(effect, found);
    // Once a minute everything is read anew, changed or not.
    let is_soon = start.elapsed() < Duration::from_secs(55);
    assert!(is_soon, "{effect}: it was not the change that was noticed");
    found
}

/// What a process of its own says: ours, or one that may not write what is read-only.
fn run_child(house: &House, task: &str, is_confined: bool) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "scheduler_of_its_own", "--ignored", "--nocapture"]);
    child.env(CHILD, house.root.path()).env(TASK, task).stdin(Stdio::null());
    child.env("TZDIR", house.root.path().join("zones"));
    if is_confined && is_root() {
        for path in [house.root.path(), &house.root.path().join("schedules")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        child.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_state_directory_that_is_read_only_is_refused_with_its_reason() {
    let house = House::new();
    let state = house.path("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o555)).unwrap();
    let said = run_child(&house, "start", true);
    let store = format!("refused: {state}/schedules.redb cannot be used");
    assert!(said.contains(&store) && said.contains("is the disk full or read-only?"), "{said}");
    assert!(said.contains("ermission denied"), "{said}");
    fs::remove_dir(&state).unwrap();
    fs::set_permissions(house.root.path(), Permissions::from_mode(0o555)).unwrap();
    let said = run_child(&house, "start", true);
    let directory = format!("refused: state directory {state} cannot be made");
    assert!(said.contains(&directory), "{said}");
    fs::set_permissions(house.root.path(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_state_directory_that_becomes_read_only_stops_nothing_that_runs_and_is_told_at_the_next_start()
{
    let house = House::new();
    let target = "  target: { exec: { command: ['true'] } }";
    house.write("a.yaml", "beat", &format!("  schedule: '@every 100ms'\n{target}"));
    let said = run_child(&house, "live through read-only state", true);
    assert_eq!(said.matches("refused: ").count(), 1, "{said}");
    assert!(said.contains("is the disk full or read-only?"), "{said}");
}

#[test]
fn a_second_process_on_the_same_state_is_refused_and_the_first_goes_on() {
    let house = House::new();
    house.write("a.yaml", "beat", &format!("  schedule: '@every 100ms'\n{}", house.append("log")));
    let scheduler = house.start();
    wait_for("it fires", || find(&scheduler, "beat").filter(|s| s.counts.fired > 3));
    let said = run_child(&house, "start", false);
    assert!(said.contains("is in use by another process; stop that one"), "{said}");
    let before = find(&scheduler, "beat").unwrap().counts;
    let after = wait_for("it goes on", || {
        find(&scheduler, "beat").filter(|beat| beat.counts.fired > before.fired + 20)
    });
    assert_eq!((after.counts.missed, after.counts.unknown), (before.missed, 0), "{after:?}");
    scheduler.shutdown();
    let fired = lines(&house.path("log"));
    let mut unique = fired.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), fired.len(), "none twice");
}

#[test]
fn a_zone_that_vanished_from_the_database_is_named_at_a_reload_and_the_schedules_stay_as_they_were()
{
    let house = House::new();
    let zones = house.root.path().join("zones/Test");
    fs::create_dir_all(&zones).unwrap();
    fs::copy("/usr/share/zoneinfo/Europe/Berlin", zones.join("Harbour")).unwrap();
    let target = "  target: { exec: { command: ['true'] } }";
    let spec = format!("  schedule: '*/0.1 * * * * *'\n  timeZone: Test/Harbour\n{target}");
    house.write("a.yaml", "beat", &spec);
    let said = run_child(&house, "lose a zone", false);
    let problem =
        "problem: line 6: schedule `beat`: spec.timeZone: unknown time zone `Test/Harbour`";
    assert!(said.contains(problem), "{said}");
}

#[test]
fn a_new_zone_database_is_taken_up_while_running_and_without_a_zone_the_last_rules_stay() {
    let house = House::new();
    let zones = house.root.path().join("zones/Test");
    fs::create_dir_all(&zones).unwrap();
    fs::copy("/usr/share/zoneinfo/Etc/GMT-1", zones.join("Harbour")).unwrap();
    let write = |name: &str, schedule: &str| {
        let target = "  target: { exec: { command: ['true'] } }";
        let spec = format!("  schedule: '{schedule}'\n  timeZone: Test/Harbour\n{target}");
        house.write(&format!("{name}.yaml"), name, &spec);
    };
    write("beat", "*/0.1 * * * * *");
    write("noon", "0 12 * * *");
    let said = run_child(&house, "live through a new zone database", false);
    let problem = "spec.timeZone: unknown time zone `Test/Harbour`";
    assert!(said.contains(problem), "{said}");
}

/// Writes the file of schedule `edited` anew shortly before one of its instants, which is claimed
/// by then; returns that instant and its only outcome, or nothing where this machine was too slow.
fn edit_before_instant(house: &House, scheduler: &Scheduler, spec: &str) -> Option<Outcome> {
    let at = wait_for("an instant is near", || {
        let next = *find(scheduler, "edited")?.next_ns.first()?;
        let ahead_ms = (next - read_clocks().system.as_unix_nanos()) / 1_000_000;
        (400..800).contains(&ahead_ms).then_some(next)
    });
    house.write("a.yaml", "edited", spec);
    let told = scheduler.reload().unwrap();
    assert_eq!(told.problems, []);
    if read_clocks().system.as_unix_nanos() > at - 100_000_000 {
        return None;
    }
    let of_it = || {
        let outcomes = scheduler.history("default", "edited").unwrap().outcomes;
        outcomes.into_iter().find(|o| o.scheduled_ns <= at && at <= o.until_ns)
    };
    Some(wait_for("the instant's outcome", of_it))
}

#[test]
fn an_instant_that_an_edit_removes_after_its_claim_is_skipped_and_the_new_ones_are_fired_once() {
    let house = House::new();
    let spec = |phase: &str| format!("  schedule: '@every 2s/{phase}'\n{}", house.append("log"));
    house.write("a.yaml", "edited", &spec("0s"));
    let scheduler = house.start();
    let mut phases = ["1s", "0s"].into_iter().cycle().take(10);
    let skipped =
        phases.find_map(|phase| edit_before_instant(&house, &scheduler, &spec(phase))).unwrap();
    assert_eq!(
        (skipped.result.as_str(), skipped.reason.as_str(), skipped.count),
        ("skipped", "Revoked", 1),
        "{skipped:?}"
    );
    let after = |line: &String| {
        let micros: i64 = line.rsplit('.').next().unwrap().parse().unwrap();
        micros - skipped.scheduled_ns / 1_000
    };
    let fired = || lines(&house.path("log")).iter().map(after).collect::<Vec<i64>>();
    wait_for("new instants", || (fired().iter().filter(|at| **at > 0).count() >= 2).then_some(()));
    scheduler.shutdown();
    let mut later = fired();
    later.retain(|at| *at >= 0);
    later.sort_unstable();
    // From the skipped one on, the new instants are a second after each old one.
    let expected = (0..later.len() as i64).map(|n| 1_000_000 + n * 2_000_000);
    assert_eq!(later, expected.collect::<Vec<_>>());
}

#[test]
fn an_instant_that_an_edit_keeps_after_its_claim_is_fired_once_by_the_new_target() {
    let house = House::new();
    let spec =
        |log: usize| format!("  schedule: '@every 2s'\n{}", house.append(&format!("log{log}")));
    house.write("a.yaml", "edited", &spec(0));
    let scheduler = house.start();
    let edits = 1..10;
    let (log, fired) = edits
        .into_iter()
        .find_map(|log| Some((log, edit_before_instant(&house, &scheduler, &spec(log))?)))
        .unwrap();
    assert_eq!(fired.result, "fired", "{fired:?}");
    let key = format!(".{}", fired.scheduled_ns / 1_000);
    let runs = |log: usize| {
        let lines = lines(&house.path(&format!("log{log}")));
        lines.iter().filter(|line| line.ends_with(&key)).count()
    };
    wait_for("the program's line", || (runs(log) == 1).then_some(()));
    scheduler.shutdown();
    assert_eq!((0..log).map(runs).sum::<usize>(), 0, "the old target was run");
    assert_eq!(runs(log), 1);
}
