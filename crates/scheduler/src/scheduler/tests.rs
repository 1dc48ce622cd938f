//! kill -9 at every step: each point of [`Point`] is passed once and more often, the process dies
//! there, and the next one goes on.

mod check;
mod commits;
mod receiver;

use super::*;
use crate::fault::{DIE_AT, Point};
use crate::sys::GATE_OF_TESTS;
use check::{Absence, Effects, check_absence, check_edited, check_kept, lines, whole};
use receiver::Receiver as Hook;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tempfile::TempDir;

/// Where the directories are for a process that is to die.
const CHILD: &str = "TIMEBALL_TEST_DIES_IN";
/// How long a process may take to reach its point: some machines are slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long nobody is there before the last start.
const ABSENT: Duration = Duration::from_millis(1_100);
/// Chains of deaths that are under way at a time; mostly they wait for instants.
const AT_ONCE: usize = 4;

/// Not a test of its own: the process that the other one starts, and that dies.
#[test]
#[ignore = "started by the other test"]
fn scheduler_that_dies() {
    let Some(root) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let stops = std::env::var(DIE_AT).is_ok_and(|point| point.starts_with("Clos"));
    let start = Instant::now();
    let scheduler = start_in(&root);
    for round in 0.. {
        let fired = fired(&scheduler, "none");
        while self::fired(&scheduler, "none") < fired + 2 {
            assert!(start.elapsed() < PATIENCE, "nothing is fired");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(start.elapsed() < PATIENCE, "the point was not passed");
        write_edited(&root, round % 2 == 0);
        scheduler.reload().unwrap();
        let named = |name| Named { namespace: "default", name };
        // One that died in between has left it paused.
        let _ = scheduler.pause(&named("rested"), "uid 7", "");
        let _ = scheduler.resume(&named("rested"), "uid 7", "");
        scheduler.run(&named("edited"), "uid 7", "").unwrap();
        if stops {
            scheduler.shutdown();
        }
    }
}

#[test]
fn a_scheduler_that_is_killed_at_any_step_leaves_each_instant_one_outcome_and_repeats_none() {
    let chains: Vec<_> = Point::ALL.iter().map(|point| (*point, deaths(*point))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((point, deaths)) = chains.get(next.fetch_add(1, Ordering::Relaxed)) {
                    House::new(*point).die_and_go_on(deaths);
                }
            });
        }
    });
}

/// Where the processes of a chain die, and at which passing.
fn deaths(point: Point) -> Vec<(Point, u64)> {
    // There has to be something that can be lost.
    let before = (Point::OutcomeEntered, 5);
    match point {
        Point::JournalWiped => vec![(point, 1), before],
        Point::StoreMade => vec![(point, 1), before, (point, 1)],
        Point::StoreOpened
        | Point::JournalReplayed
        | Point::Compacting
        | Point::Compacted
        | Point::Closing
        | Point::Closed => vec![before, (point, 1)],
        Point::Folding | Point::Folded => vec![(point, 1), (point, 2), (point, 3)],
        _ => vec![(point, 1), (point, 2), (point, 7)],
    }
}

fn start_in(root: &Path) -> Scheduler {
    let clock = Arc::new(ClockCell::new());
    let options = SchedulerOptions::new(root.join("schedules"), root.join("state"), clock);
    let gate = GateProgram::of_this_process(GATE_OF_TESTS);
    Scheduler::start(SchedulerOptions { gate, ..options }).unwrap()
}

fn fired(scheduler: &Scheduler, name: &str) -> u64 {
    let schedules = scheduler.schedules().schedules;
    schedules.iter().find(|schedule| schedule.name == name).map_or(0, |found| found.counts.fired)
}

fn write(root: &Path, name: &str, spec: &str) {
    let head = "apiVersion: timeball.dev/v1alpha1\nkind: PreciseCronJob\n";
    let text = format!("{head}metadata: {{ name: {name} }}\nspec:\n{spec}");
    // As editors do it: nobody reads half a file.
    let (fresh, file) = (root.join(name), root.join("schedules").join(format!("{name}.yaml")));
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, file).unwrap();
}

/// A target that appends the keys of its fires to a file.
fn append(root: &Path, name: &str) -> String {
    let log = root.join(format!("{name}.log"));
    let script = format!("echo $TIMEBALL_FIRE_ID >> {}", log.display());
    format!("  target: {{ exec: {{ command: [sh, -c, '{script}'] }} }}\n")
}

/// Moves the instants of `edited` by half a period, or back; `passing` comes and goes with it.
fn write_edited(root: &Path, is_moved: bool) {
    let phase = if is_moved { "/50ms" } else { "" };
    let target = append(root, "edited");
    write(root, "edited", &format!("  schedule: '@every 100ms{phase}'\n{target}"));
    if is_moved {
        let spec = "  schedule: '@every 1s'\n  target: { exec: { command: ['true'] } }\n";
        write(root, "passing", spec);
    } else {
        let _ = fs::remove_file(root.join("schedules/passing.yaml"));
    }
}

/// The directories of a chain of processes, and what they have had effects on.
struct House {
    point: Point,
    root: TempDir,
    hook: Hook,
}

impl House {
    fn new(point: Point) -> Self {
        let house = Self { point, root: tempfile::tempdir().unwrap(), hook: Hook::start() };
        let root = house.root.path();
        fs::create_dir(root.join("schedules")).unwrap();
        let exec = |name, policy: &str| {
            write(root, name, &format!("{policy}{}", append(root, name)));
        };
        exec("none", "  schedule: '@every 50ms'\n  catchUp: { policy: None }\n");
        // Every one of its fires is kept with its lateness.
        exec("latest", "  schedule: '@every 250ms'\n  successfulJobsHistoryLimit: 10000\n");
        exec("rested", "  schedule: '@every 500ms'\n");
        let http = |name, policy: &str, retries| {
            let url = format!("http://127.0.0.1:{}/{name}", house.hook.port);
            let target = format!("{{ http: {{ url: '{url}', retries: {{ limit: {retries} }} }} }}");
            write(root, name, &format!("{policy}  target: {target}\n"));
        };
        let all = "  schedule: '@every 100ms'\n  catchUp: { policy: All, limit: 1000 }\n";
        http("all", all, 0);
        http("again", "  schedule: '@every 250ms'\n", 1);
        write_edited(root, false);
        house
    }

    /// Has processes die one after the other, starts the last one and checks what became of it all.
    fn die_and_go_on(self, deaths: &[(Point, u64)]) {
        for (point, passing) in deaths {
            if *point == Point::Compacting || *point == Point::Compacted {
                self.waste();
            }
            self.die(*point, *passing);
        }
        let died_at = now_ns();
        std::thread::sleep(ABSENT);
        let absence = Absence { from_ns: died_at, until_ns: now_ns() };
        let scheduler = start_in(self.root.path());
        let names = ["none", "latest", "all", "again", "edited"];
        let history = |name| {
            let history = scheduler.history("default", name);
            history.map(|history| history.outcomes).unwrap_or_default()
        };
        let periods_ms = [50, 250, 100, 250];
        let start = Instant::now();
        for (name, period_ms) in names.into_iter().zip(periods_ms) {
            let seen = absence.until_ns + 500_000_000;
            loop {
                let history = history(name);
                let whole = whole(&history, period_ms);
                if whole.last().is_some_and(|last| last.result == "fired" && last.until_ns > seen) {
                    break;
                }
                let late = start.elapsed() > PATIENCE;
                assert!(
                    !late,
                    "{:?}: a hole in {name}, or it rests: {}",
                    self.point,
                    lines(&whole)
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let [none, latest, all, again, edited] = names.map(history);
        scheduler.shutdown();

        let place = format!("killed at {:?}", self.point);
        let of = |name: &str| match name {
            "all" | "again" => Effects::new(self.hook.heard(name)),
            _ => Effects::new(self.log(name)),
        };
        for (name, outcomes, period_ms) in
            [("none", &none, 50), ("latest", &latest, 250), ("all", &all, 100)]
        {
            let place = format!("{place}: {name}");
            let effects = of(name);
            effects.assert_none_twice(&place);
            let whole = whole(outcomes, period_ms);
            check_kept(&whole, period_ms, &effects, &place);
            check_absence(name, &whole, absence, &place);
        }
        let place_again = format!("{place}: again");
        check_kept(&whole(&again, 250), 250, &of("again"), &place_again);
        let results: BTreeSet<&str> = again.iter().map(|o| o.result.as_str()).collect();
        assert!(!results.contains("unknown"), "{place_again}: {results:?}");
        let effects = of("edited");
        effects.assert_none_twice(&place);
        check_edited(&edited, &effects, &place);
    }

    /// Starts a process that dies at a point.
    fn die(&self, point: Point, passing: u64) {
        let ours = ["--exact", "scheduler::tests::scheduler_that_dies", "--ignored", "--nocapture"];
        let died = Process::new(std::env::current_exe().unwrap())
            .args(ours)
            .env(CHILD, self.root.path())
            .env(DIE_AT, format!("{point:?}:{passing}"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (status, said) = (died.status, String::from_utf8_lossy(&died.stderr));
        let is_killed = status.signal() == Some(libc::SIGKILL);
        assert!(is_killed, "{point:?} was not passed {passing} times: {status}, {said}");
    }

    /// Puts into the store what makes it worth to be compacted.
    fn waste(&self) {
        const ROWS: u64 = 24_000;
        let table: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("waste");
        let file = self.root.path().join("state").join(STORE_FILE);
        // A program that it was starting when it died may hold its locks for a moment.
        let database = loop {
            match redb::Database::create(&file) {
                Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                opened => break opened.unwrap(),
            }
        };
        let transaction = database.begin_write().unwrap();
        let mut rows = transaction.open_table(table).unwrap();
        for row in 0..ROWS {
            rows.insert(row, vec![7; 1_000].as_slice()).unwrap();
        }
        drop(rows);
        transaction.commit().unwrap();
        let transaction = database.begin_write().unwrap();
        // What is left lies at the end, so that the file does not shrink by itself.
        transaction.open_table(table).unwrap().retain(|row, _| row == ROWS - 1).unwrap();
        transaction.commit().unwrap();
    }

    fn log(&self, name: &str) -> Vec<String> {
        let log = self.root.path().join(format!("{name}.log"));
        let text = fs::read_to_string(log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn now_ns() -> i64 {
    timeball_runtime::read_clocks().system.as_unix_nanos()
}
