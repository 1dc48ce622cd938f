//! The scheduler as a whole: real files, real programs, a real HTTP server.
#![allow(clippy::unwrap_used)]

mod house;

use house::{House, find, lines, wait_for};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};
use timeball_api::schedules::Counts;
use timeball_scheduler::{ControlError, StartError, StoreError};

fn all(counts: Counts) -> u64 {
    counts.fired + counts.missed + counts.skipped + counts.failed + counts.unknown
}

/// A server that answers every request with 204; returns its port.
fn answering_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut octets = [0; 4_096];
                while matches!(stream.read(&mut octets), Ok(n) if n > 0) {
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                }
            });
        }
    });
    port
}

#[test]
fn programs_and_requests_fire_ten_times_a_second_and_restart_where_they_were() {
    let house = House::new();
    let port = answering_server();
    house.write(
        "exec.yaml",
        "exec",
        &format!("  schedule: '@every 100ms'\n{}", house.append("log")),
    );
    let target = format!("  target: {{ http: {{ url: 'http://127.0.0.1:{port}/' }} }}");
    house.write("http.yaml", "http", &format!("  schedule: '*/0.1 * * * * *'\n{target}"));
    let scheduler = house.start();
    for name in ["exec", "http"] {
        let schedule = wait_for(name, || find(&scheduler, name).filter(|s| s.counts.fired >= 20));
        assert_eq!(schedule.counts.fired, all(schedule.counts), "{schedule:?}");
        assert!(schedule.lateness.p50_ns.unwrap() < 50_000_000, "{schedule:?}");
        assert_eq!(schedule.next_ns.len(), 10);
    }
    scheduler.shutdown();
    let fired = lines(&house.path("log"));
    let mut unique = fired.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), fired.len(), "none fired twice");

    let scheduler = house.start();
    let schedule =
        wait_for("it goes on", || find(&scheduler, "exec").filter(|s| s.counts.fired > 40));
    assert_eq!((schedule.counts.unknown, schedule.counts.failed), (0, 0), "{schedule:?}");
    let history = scheduler.history("default", "exec").unwrap();
    // No instant is missing: each outcome begins one period after the one before ended.
    let spans: Vec<(i64, i64)> =
        history.outcomes.iter().rev().map(|o| (o.scheduled_ns, o.until_ns)).collect();
    for pair in spans.windows(2) {
        assert_eq!(pair[1].0 - pair[0].1, 100_000_000, "{history:?}");
    }
    let none = scheduler.history("default", "nothing");
    assert!(matches!(none, Err(ControlError::NoSuchSchedule { .. })), "{none:?}");
}

#[test]
fn instants_that_passed_meanwhile_are_caught_up_as_far_as_the_policy_says() {
    let house = House::new();
    let policy = "  catchUp: { policy: All, windowSeconds: 60, limit: 5 }";
    let spec = format!("  schedule: '@every 100ms'\n{policy}\n{}", house.append("log"));
    house.write("a.yaml", "late", &spec);
    let scheduler = house.start();
    wait_for("fires", || find(&scheduler, "late").filter(|s| s.counts.fired >= 5));
    scheduler.shutdown();
    std::thread::sleep(Duration::from_millis(1_500));
    let before = lines(&house.path("log"));
    let scheduler = house.start();
    wait_for("it goes on", || {
        let fired = lines(&house.path("log")).len();
        find(&scheduler, "late").filter(|_| fired > before.len() + 10)
    });
    scheduler.shutdown();
    let counts = find(&scheduler, "late").unwrap().counts;
    assert!(counts.missed >= 5 && counts.unknown == 0, "{counts:?}");
    let micros = |line: &String| line.rsplit('.').next().unwrap().parse::<i64>().unwrap();
    let mut fired: Vec<i64> = lines(&house.path("log")).iter().map(micros).collect();
    fired.sort_unstable();
    fired.dedup();
    assert_eq!(fired.len(), lines(&house.path("log")).len(), "none twice");
    // Five of those that passed, the latest, and then without a gap.
    let gap = fired.windows(2).find(|pair| pair[1] - pair[0] > 150_000).unwrap();
    let after: Vec<i64> = fired.iter().copied().filter(|at| *at >= gap[1]).collect();
    assert!(after.len() > 10 && after.windows(2).all(|pair| pair[1] - pair[0] == 100_000));
    assert_eq!((gap[1] - gap[0]) / 100_000 - 1, i64::try_from(counts.missed).unwrap());
}

#[test]
fn a_hanging_server_delays_nobody_else() {
    let house = House::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let target = format!("http: {{ url: 'http://127.0.0.1:{port}/', timeoutSeconds: 1 }}");
    house.write(
        "hang.yaml",
        "hang",
        &format!("  schedule: '@every 100ms'\n  target: {{ {target} }}"),
    );
    house.write(
        "exec.yaml",
        "exec",
        &format!("  schedule: '@every 100ms'\n{}", house.append("log")),
    );
    let scheduler = house.start();
    let hanging = wait_for("timeouts", || find(&scheduler, "hang").filter(|s| s.counts.failed > 5));
    let last = hanging.last.unwrap();
    assert_eq!((last.result.as_str(), last.reason.as_str()), ("failed", "TimedOut"));
    let schedule = find(&scheduler, "exec").unwrap();
    assert!(schedule.counts.fired > 10 && schedule.counts.missed == 0, "{schedule:?}");
}

#[test]
fn a_second_scheduler_on_the_same_state_is_refused() {
    let house = House::new();
    let first = house.start();
    assert!(matches!(house.try_start(), Err(StartError::Store(StoreError::InUse { .. }))));
    first.shutdown();
    house.start();
}

#[test]
fn a_corrupt_store_is_kept_aside_and_begun_anew() {
    let house = House::new();
    fs::create_dir(house.path("state")).unwrap();
    fs::write(house.path("state/schedules.redb"), "this is no database".repeat(1_000)).unwrap();
    let scheduler = house.start();
    let aside = scheduler.store_kept_aside().expect("it was kept aside").to_owned();
    assert!(fs::read_to_string(&aside).unwrap().starts_with("this is no database"));
    assert!(Path::new(&house.path("state/schedules.redb")).exists());
}

#[test]
fn files_are_taken_up_when_they_change_and_kept_as_they_were_when_they_are_wrong() {
    let house = House::new();
    house.write(
        "a.yaml",
        "first",
        "  schedule: '@hourly'\n  target: { exec: { command: ['true'] } }",
    );
    let scheduler = house.start();
    wait_for("the first", || find(&scheduler, "first"));
    house.write(
        "b.yaml",
        "second",
        "  shedule: '@hourly'\n  target: { exec: { command: ['true'] } }",
    );
    let problem = wait_for("a problem", || scheduler.schedules().problems.pop());
    assert!(problem.file.ends_with("b.yaml"), "{problem:?}");
    assert!(problem.message.contains("line 5"), "{problem:?}");
    assert!(problem.message.contains("did you mean `schedule`?"), "{problem:?}");
    assert!(find(&scheduler, "first").is_some());
    house.write(
        "b.yaml",
        "second",
        "  schedule: '@hourly'\n  target: { exec: { command: ['true'] } }",
    );
    fs::remove_file(house.path("schedules/a.yaml")).unwrap();
    wait_for("the second", || find(&scheduler, "second"));
    assert!(find(&scheduler, "first").is_none());
    assert_eq!(scheduler.schedules().problems, []);
}

#[test]
fn a_calendar_that_changes_changes_the_instants_of_its_schedules_at_once() {
    let house = House::new();
    let calendar = |days: &str| {
        let head = "apiVersion: timeball.dev/v1alpha1\nkind: Calendar\n";
        let text = format!("{head}metadata: {{ name: freeze }}\nspec: {{ days: [{days}] }}\n");
        fs::write(house.root.path().join("schedules/freeze.yaml"), text).unwrap();
    };
    calendar("");
    let exclude = "  schedule: '@every 100ms'\n  exclude: [{ calendar: freeze }]";
    house.write("a.yaml", "beat", &format!("{exclude}\n{}", house.append("beats")));
    let scheduler = house.start();
    wait_for("it fires", || find(&scheduler, "beat").filter(|beat| beat.counts.fired > 3));
    // All days up to 2200, so that it does not matter which day it is.
    calendar("{ from: 2020-01-01, to: 2199-12-31 }");
    let year_2200_ns = 7_258_118_400_000_000_000;
    let frozen = wait_for("it is frozen", || {
        let beat = find(&scheduler, "beat")?;
        beat.next_ns.first().is_some_and(|next| *next == year_2200_ns).then_some(beat)
    });
    std::thread::sleep(Duration::from_millis(700));
    let later = find(&scheduler, "beat").unwrap();
    // What was begun may have ended meanwhile; nothing new began, and nothing is missed.
    assert!(later.counts.fired <= frozen.counts.fired + 2, "{later:?} after {frozen:?}");
    assert_eq!(later.counts.missed, frozen.counts.missed);
    calendar("");
    wait_for("it goes on", || {
        find(&scheduler, "beat").filter(|beat| beat.counts.fired > later.counts.fired + 3)
    });
}

#[test]
fn a_running_program_is_stopped_with_the_scheduler_and_recorded() {
    let house = House::new();
    let target = "  target: { exec: { command: [sleep, '100'] } }";
    let spec = format!("  schedule: '@every 100ms'\n  concurrencyPolicy: Forbid\n{target}");
    house.write("a.yaml", "long", &spec);
    let scheduler = house.start();
    wait_for("a run", || find(&scheduler, "long").filter(|s| s.running == 1));
    let start = Instant::now();
    scheduler.shutdown();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let counts = find(&scheduler, "long").unwrap().counts;
    assert_eq!((counts.failed, counts.unknown), (1, 0), "{counts:?}");
}

#[test]
fn of_the_instants_that_come_while_a_program_runs_buffer_one_fires_the_latest_at_its_end() {
    let house = House::new();
    let log = house.path("log");
    let script = format!("echo begin >> {log}; sleep 0.35; echo end >> {log}");
    let target = format!("  target: {{ exec: {{ command: [sh, -c, '{script}'] }} }}");
    let history = "  successfulJobsHistoryLimit: 100";
    let policy = format!("  concurrencyPolicy: BufferOne\n{history}");
    house.write("a.yaml", "slow", &format!("  schedule: '@every 100ms'\n{policy}\n{target}"));
    let scheduler = house.start();
    wait_for("runs", || find(&scheduler, "slow").filter(|slow| slow.counts.fired >= 5));
    let mut outcomes = scheduler.history("default", "slow").unwrap().outcomes;
    scheduler.shutdown();
    outcomes.sort_by_key(|outcome| outcome.scheduled_ns);
    let mut replaced = 0;
    for pair in outcomes.windows(2) {
        assert_eq!(pair[1].scheduled_ns - pair[0].until_ns, 100_000_000, "{outcomes:?}");
        let [result, reason] = [&pair[0].result, &pair[0].reason].map(String::as_str);
        match result {
            "fired" => {}
            _ => assert_eq!((result, reason), ("skipped", "Replaced"), "{outcomes:?}"),
        }
        replaced += if result == "skipped" { pair[0].count } else { 0 };
    }
    assert!(replaced >= 5, "{outcomes:?}");
    // Each but the first began at the end of the one before, and it was the latest instant then:
    // where others keep the machine busy, of some of them at least.
    let fired: Vec<_> = outcomes.iter().filter(|outcome| outcome.result == "fired").collect();
    let waited = fired.windows(2).map(|pair| {
        let [before, own] = [0, 1].map(|n| pair[n].scheduled_ns + pair[n].lateness_ns.unwrap());
        let ended_ns = before + pair[0].duration_ns.unwrap();
        assert!(own > ended_ns - 1_000_000, "two at a time: {pair:?}");
        ended_ns - pair[1].scheduled_ns
    });
    let waited: Vec<i64> = waited.collect();
    assert!(waited.iter().any(|ns| (0..100_000_000).contains(ns)), "{waited:?}");
    for (number, line) in lines(&log).iter().enumerate() {
        assert_eq!(line, ["begin", "end"][number % 2], "one at a time");
    }
}
