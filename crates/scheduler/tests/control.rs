//! Pause, resume, run now and backfill, over the local API: real files, real programs.
#![allow(clippy::unwrap_used)]

#[path = "house/wait.rs"]
mod wait;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use timeball_api::control::Backfill;
use timeball_api::schedules::{History, Schedule};
use timeball_runtime::ClockCell;
use timeball_runtime::http::{HttpOptions, Server};
use timeball_runtime::token::Token;
use timeball_scheduler::{ControlError, Named, Scheduler, SchedulerOptions};
use wait::wait_for;

/// A schedule that no instant of comes by itself in a test.
const RARE: &str = "  schedule: '0 0 1 1 *'\n  catchUp: { policy: None }\n";

struct House {
    root: TempDir,
}

impl House {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("schedules")).unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A schedule whose program writes a line of its variables to `NAME.log`, then does `more`.
    fn write(&self, name: &str, spec: &str, more: &str) {
        let log = self.path(&format!("{name}.log"));
        let words = "$TIMEBALL_TRIGGER $TIMEBALL_SCHEDULED_AT $TIMEBALL_FIRE_ID";
        let script = format!("echo {words} >> {}; {more}", log.display());
        let head = "apiVersion: timeball.dev/v1alpha1\nkind: PreciseCronJob\n";
        let target = format!("  target: {{ exec: {{ command: [sh, -c, '{script}'] }} }}\n");
        let text = format!("{head}metadata: {{ name: {name} }}\nspec:\n{spec}{target}");
        fs::write(self.path("schedules").join(format!("{name}.yaml")), text).unwrap();
    }

    fn start(&self) -> Scheduler {
        let clock = Arc::new(ClockCell::new());
        let (schedules, state) = (self.path("schedules"), self.path("state"));
        let scheduler = Scheduler::start(SchedulerOptions::new(schedules, state, clock)).unwrap();
        wait_for("the schedules", || (!scheduler.schedules().schedules.is_empty()).then_some(()));
        scheduler
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn named(name: &str) -> Named<'_> {
    Named { namespace: "default", name }
}

fn find(scheduler: &Scheduler, name: &str) -> Schedule {
    let all = scheduler.schedules().schedules;
    all.into_iter().find(|schedule| schedule.name == name).unwrap()
}

fn history(scheduler: &Scheduler, name: &str) -> History {
    scheduler.history("default", name).unwrap()
}

/// From the middle of one year to that of another: as many instants of [`RARE`] as years.
fn years(from: i64, until: i64) -> Backfill {
    // Close enough to the middle of a year, whose first instant is far away.
    let ns = |year: i64| ((year - 1970) * 365 + 190) * 86_400_000_000_000;
    Backfill {
        from_ns: ns(from),
        until_ns: ns(until),
        limit: 100,
        parallel: 1,
        again: false,
        dry_run: false,
        why: "lost".to_owned(),
    }
}

#[test]
fn a_pause_lasts_through_a_restart_and_what_it_skips_is_one_record_that_says_who_and_why() {
    let house = House::new();
    house.write("tick", "  schedule: '@every 100ms'\n", ":");
    let scheduler = house.start();
    wait_for("a fire", || (find(&scheduler, "tick").counts.fired > 0).then_some(()));
    scheduler.pause(&named("tick"), "uid 7", "disk full").unwrap();
    assert!(matches!(
        scheduler.pause(&named("tick"), "uid 8", ""),
        Err(ControlError::AlreadyPaused { by }) if by == "uid 7"
    ));
    let paused = find(&scheduler, "tick");
    assert_eq!(paused.paused.as_ref().unwrap().why, "disk full");
    assert!(paused.next_ns.is_empty());
    // What had begun may still write its line.
    std::thread::sleep(Duration::from_millis(300));
    let before = house.lines("tick").len();
    scheduler.shutdown();

    let scheduler = house.start();
    assert!(find(&scheduler, "tick").paused.is_some());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(house.lines("tick").len(), before, "nothing is fired while it is paused");
    scheduler.resume(&named("tick"), "uid 7", "").unwrap();
    assert_eq!(scheduler.resume(&named("tick"), "uid 7", ""), Err(ControlError::NotPaused));
    wait_for("it goes on", || (house.lines("tick").len() > before).then_some(()));
    let history = history(&scheduler, "tick");
    let skipped: Vec<_> = history.outcomes.iter().filter(|o| o.reason == "Paused").collect();
    assert_eq!(skipped.len(), 1, "{skipped:#?}");
    assert!(skipped[0].count >= 5 && skipped[0].message == "paused by uid 7: disk full");
    let kinds: Vec<&str> = history.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["resumed", "paused"]);
    scheduler.shutdown();
}

#[test]
fn a_schedule_whose_target_fails_three_times_in_a_row_pauses_itself() {
    let house = House::new();
    house.write("bad", "  schedule: '@every 50ms'\n  pauseOnFailure: 3\n", "exit 1");
    let scheduler = house.start();
    let paused = wait_for("a pause", || find(&scheduler, "bad").paused);
    assert_eq!((paused.by.as_str(), paused.why.as_str()), ("timeball", "the last 3 runs failed"));
    assert!(find(&scheduler, "bad").failures >= 3);
    scheduler.resume(&named("bad"), "uid 7", "mended").unwrap();
    let again = wait_for("another pause", || find(&scheduler, "bad").paused);
    assert!(again.at_ns > paused.at_ns);
    scheduler.shutdown();
}

#[test]
fn a_run_that_is_asked_for_happens_at_once_even_while_the_schedule_rests() {
    let house = House::new();
    house.write("rare", RARE, ":");
    let scheduler = house.start();
    scheduler.pause(&named("rare"), "uid 7", "").unwrap();
    let accepted = scheduler.run(&named("rare"), "uid 7", "a test").unwrap();
    assert_eq!(accepted.instants_ns.len(), 1);
    let run = wait_for("an outcome", || history(&scheduler, "rare").outcomes.first().cloned());
    assert_eq!((run.result.as_str(), run.trigger.as_str()), ("fired", "manual"), "{run:?}");
    assert_eq!(run.scheduled_ns, accepted.instants_ns[0]);
    assert_eq!(run.message, "asked for by uid 7: a test");
    let lines = house.lines("rare");
    assert!(lines.len() == 1 && lines[0].starts_with("manual "), "{lines:?}");
    let schedule = find(&scheduler, "rare");
    assert_eq!((schedule.counts.fired, schedule.requested.fired), (0, 1));
    let mut registry = prometheus_client::registry::Registry::default();
    scheduler.metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"timeball_outcomes_total{trigger="manual",outcome="fired",reason=""} 1"#,
        r#"timeball_fires_total{outcome="fired"} 0"#,
        "timeball_schedules_paused 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    scheduler.shutdown();
}

#[test]
fn a_backfill_runs_each_instant_of_its_range_once_and_again_only_if_asked() {
    let house = House::new();
    house.write("rare", &format!("{RARE}  concurrencyPolicy: Forbid\n"), ":");
    let scheduler = house.start();
    let range = years(2015, 2020);
    let of = named("rare");
    let dry = Backfill { dry_run: true, ..range.clone() };
    assert_eq!(scheduler.backfill(&of, "uid 7", &dry).unwrap().instants_ns.len(), 5);
    let few = Backfill { limit: 4, ..range.clone() };
    let refused = scheduler.backfill(&of, "uid 7", &few);
    assert_eq!(refused, Err(ControlError::TooMany { limit: 4 }));
    assert_eq!(scheduler.backfill(&of, "uid 7", &range).unwrap().instants_ns.len(), 5);
    wait_for("five runs", || (find(&scheduler, "rare").requested.fired == 5).then_some(()));
    let nothing = scheduler.backfill(&of, "uid 7", &range);
    assert!(matches!(nothing, Err(ControlError::NothingToRun { left_out: 5, .. })), "{nothing:?}");
    let again = Backfill { again: true, parallel: 3, ..range };
    scheduler.backfill(&of, "uid 7", &again).unwrap();
    wait_for("ten runs", || (find(&scheduler, "rare").requested.fired == 10).then_some(()));
    let lines = house.lines("rare");
    let mut instants: Vec<&str> = lines.iter().map(|l| l.split(' ').nth(1).unwrap()).collect();
    assert_eq!(instants[0], "2016-01-01T00:00:00Z", "oldest first");
    instants.dedup();
    let mut keys: Vec<&str> = lines.iter().map(|l| l.split(' ').nth(2).unwrap()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((instants.len(), keys.len()), (10, 10), "{lines:?}");
    let outcomes = history(&scheduler, "rare").outcomes;
    assert!(outcomes.iter().all(|o| o.trigger == "backfill" && o.message.ends_with("lost")));
    let future = years(2020, 2100);
    let refused = scheduler.backfill(&of, "uid 7", &future);
    assert!(matches!(refused, Err(ControlError::NotPast { .. })), "{refused:?}");
    scheduler.shutdown();
}

#[test]
fn a_backfill_that_was_stopped_goes_on_after_a_restart() {
    let house = House::new();
    house.write("slow", RARE, "sleep 0.2");
    let scheduler = house.start();
    let range = years(2010, 2016);
    scheduler.backfill(&named("slow"), "uid 7", &range).unwrap();
    wait_for("the first runs", || (find(&scheduler, "slow").requested.fired >= 2).then_some(()));
    scheduler.shutdown();
    let scheduler = house.start();
    wait_for("all six", || {
        let counts = find(&scheduler, "slow").requested;
        (counts.fired + counts.failed + counts.unknown == 6).then_some(())
    });
    let mut lines = house.lines("slow");
    lines.sort();
    lines.dedup();
    // The one that ran when it was stopped may not have come as far as its line.
    assert!((5..=6).contains(&lines.len()), "{lines:?}");
    scheduler.shutdown();
}

/// Sends a POST and returns the answer's status and body.
fn post(mut stream: impl Read + Write, path: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let kind = "Content-Type: application/json\r\nConnection: close";
    let head = format!("POST {path} HTTP/1.1\r\n{headers}{kind}\r\nContent-Length: {length}\r\n");
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

struct Doors {
    server: Server,
    _local: Server,
    token: Token,
    socket: PathBuf,
}

fn doors(scheduler: &Scheduler, root: &Path) -> Doors {
    let token = Token::load_or_create(&root.join("token")).unwrap();
    let router = scheduler.router(token.clone());
    let socket = root.join("s");
    let local = Server::start_local(&socket, router.clone(), HttpOptions::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(listener, router, HttpOptions::default()).unwrap();
    Doors { server, _local: local, token, socket }
}

#[test]
fn nothing_is_changed_without_the_socket_or_the_token_or_for_another_site() {
    let house = House::new();
    house.write("rare", RARE, ":");
    let scheduler = house.start();
    let doors = doors(&scheduler, house.root.path());
    let address: SocketAddr = doors.server.address();
    let tcp = || TcpStream::connect(address).unwrap();
    let host = format!("Host: {address}\r\n");
    let bearer = format!("{host}Authorization: Bearer {}\r\n", doors.token.secret());
    let one = "/v1/schedules/default/rare";
    for path in ["pause", "resume", "run", "backfill"].map(|what| format!("{one}/{what}")) {
        assert_eq!(post(tcp(), &path, &host, "{}").0, 401, "{path}");
        let wrong = format!("{host}Authorization: Bearer {}\r\n", "0".repeat(64));
        assert_eq!(post(tcp(), &path, &wrong, "{}").0, 403, "{path}");
        for foreign in ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
            assert_eq!(post(tcp(), &path, &format!("{bearer}{foreign}"), "{}").0, 403, "{path}");
        }
    }
    assert_eq!(post(tcp(), "/v1/schedules/reload", &host, "null").0, 401);
    assert!(find(&scheduler, "rare").paused.is_none() && house.lines("rare").is_empty());

    let origin = format!("{bearer}Origin: http://{address}\r\n");
    let (status, _) = post(tcp(), &format!("{one}/pause"), &origin, r#"{"why":"page"}"#);
    assert_eq!((status, find(&scheduler, "rare").paused.unwrap().by.as_str()), (200, "the page"));
    let (status, body) = post(tcp(), &format!("{one}/pause"), &bearer, "{}");
    assert!(status == 409 && body.contains("AlreadyPaused"), "{status} {body}");
    let local = || UnixStream::connect(&doors.socket).unwrap();
    let host = "Host: localhost\r\n";
    assert_eq!(post(local(), &format!("{one}/resume"), host, "{}").0, 200);
    let (status, _) = post(local(), &format!("{one}/pause"), host, "{}");
    let by = find(&scheduler, "rare").paused.unwrap().by;
    assert!(status == 200 && by.starts_with("uid "), "{by}");
    let (status, body) = post(local(), "/v1/schedules/default/nobody/run", host, "{}");
    assert!(status == 404 && body.contains("nobody"), "{body}");
    let (status, body) = post(local(), &format!("{one}/run"), host, r#"{"y":1}"#);
    assert!(status == 422 && body.contains("unknown field"), "{status} {body}");
    scheduler.shutdown();
}

#[test]
fn a_reload_says_what_changes_field_by_field_and_one_bad_file_changes_nothing() {
    let house = House::new();
    house.write("kept", RARE, ":");
    house.write("gone", RARE, ":");
    let scheduler = house.start();
    house.write("kept", &RARE.replace("1 1 *", "2 1 *"), ":");
    house.write("new", RARE, ":");
    fs::remove_file(house.path("schedules").join("gone.yaml")).unwrap();
    house.write("bad", "  schedule: '0 0 1 1 *'\n  timeZone: Mars/Base\n", ":");
    let refused = scheduler.reload().unwrap();
    assert!(!refused.applied);
    let problem = &refused.problems[0];
    assert!(problem.file.ends_with("bad.yaml"), "{problem:?}");
    assert!(problem.message.contains("spec.timeZone"), "{problem:?}");
    let names = |scheduler: &Scheduler| -> Vec<String> {
        scheduler.schedules().schedules.into_iter().map(|schedule| schedule.name).collect()
    };
    assert_eq!(names(&scheduler), ["gone", "kept"]);
    fs::remove_file(house.path("schedules").join("bad.yaml")).unwrap();
    // The watcher may have been there first: then there is nothing left to change.
    let told = scheduler.reload().unwrap();
    assert_eq!(names(&scheduler), ["kept", "new"]);
    if !told.changes.is_empty() {
        let kinds: Vec<_> =
            told.changes.iter().map(|c| (c.name.as_str(), c.kind.as_str())).collect();
        assert_eq!(kinds, [("gone", "removed"), ("kept", "changed"), ("new", "added")]);
        let field = &told.changes[1].fields[0];
        assert_eq!(field.field, "spec.schedule");
        assert_eq!(
            (field.before.as_str(), field.after.as_str()),
            ("\"0 0 1 1 *\"", "\"0 0 2 1 *\"")
        );
    }
    assert_eq!(scheduler.file_changes().unwrap().changes, []);
    scheduler.shutdown();
}
