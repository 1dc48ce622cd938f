//! Schedules of a running `up` are controlled from the terminal, and by signals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking and says so")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Liar, Lie, Scratch, Up, YEARLY, run, signal};

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn schedule(up: &Up, name: &str) -> Value {
    let all = up.ask(&["schedule", "list"]);
    let all = all["schedules"].as_array().unwrap();
    all.iter().find(|schedule| schedule["name"] == name).cloned().unwrap_or_default()
}

/// A running `up` with the one schedule of [`YEARLY`].
fn start(scratch: &Scratch, source: &Liar) -> (Up, String) {
    let directory = scratch.join("files");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(format!("{directory}/yearly.yaml"), YEARLY).unwrap();
    let options = ["--source", &source.address(), "--schedules", &directory];
    (Up::start(&scratch.join("state"), &options), directory)
}

#[test]
fn a_schedule_is_paused_run_backfilled_and_resumed_from_the_terminal() {
    let (scratch, source) = (Scratch::new("control"), Liar::start(Lie::default()));
    let (up, _) = start(&scratch, &source);
    up.ask(&["schedule", "pause", "yearly", "--why", "a test"]);
    assert_eq!(schedule(&up, "yearly")["paused"]["why"], "a test");
    assert_eq!(up.ask(&["schedule", "show", "yearly"])["paused"]["why"], "a test");
    up.ask(&["schedule", "run", "yearly", "--yes"]);
    let range = ["--from", "2016-06-01T00:00:00Z", "--to", "2020-06-01T00:00:00Z"];
    let backfill = [&["schedule", "backfill", "yearly"], &range[..]].concat();
    let would = up.ask(&[&backfill[..], &["--dry-run"]].concat());
    assert_eq!(would["instants_ns"].as_array().unwrap().len(), 4);
    up.ask(&[&backfill[..], &["--yes"]].concat());
    until("five runs", || schedule(&up, "yearly")["requested"]["fired"] == 5);
    up.ask(&["schedule", "resume", "yearly"]);
    let history = up.ask(&["schedule", "history", "yearly"]);
    let kinds: Vec<_> = history["events"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["resumed", "backfill", "run", "paused"]);
    let by = history["events"][0]["by"].as_str().unwrap();
    assert!(by.starts_with("uid "), "{by}");

    let state = scratch.join("state");
    for (command, says) in [
        (&["schedule", "resume", "yearly"][..], "it is not paused"),
        (&["schedule", "pause", "yeerly"], "there is no schedule default/yeerly"),
        (&["schedule", "show", "yeerly"], "there is no schedule default/yeerly"),
        (&["schedule", "run", "yearly"], "--yes"),
        (&[&backfill[..], &["--yes", "--limit", "0"]].concat(), "`limit` is 0"),
    ] {
        let output = run(&[command, &["--state", &state]].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(says), "{command:?}: {text}");
    }
    let link = run(&["page", "--state", &state]);
    let link = String::from_utf8(link.stdout).unwrap();
    let token = std::fs::read_to_string(format!("{state}/token")).unwrap();
    assert_eq!(link.trim(), format!("{}#token={}", up.page(), token.trim()));
    for (name, mode) in [("token", 0o600), ("control.sock", 0o600)] {
        let file = std::fs::metadata(format!("{state}/{name}")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, mode, "{name}");
    }
    assert!(up.interrupt().success());
    assert!(!std::fs::exists(format!("{state}/control.sock")).unwrap());
}

#[test]
fn a_hangup_reads_the_files_and_a_diff_says_what_they_would_change() {
    let (scratch, source) = (Scratch::new("hangup"), Liar::start(Lie::default()));
    let (up, directory) = start(&scratch, &source);
    let (state, file) = (scratch.join("state"), format!("{directory}/yearly.yaml"));
    let nothing = up.ask(&["schedule", "diff"]);
    assert_eq!(nothing["changes"], serde_json::json!([]));
    std::fs::write(&file, YEARLY.replace("1 1 *", "x 1 *")).unwrap();
    let output = run(&["schedule", "diff", "--state", &state]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let place = format!("{file}: line 5:");
    assert!(text.contains(&place) && text.contains("spec.schedule"), "{text}");
    assert_eq!(schedule(&up, "yearly")["schedule"], "0 0 1 1 *", "the old set goes on");
    std::fs::write(&file, YEARLY.replace("1 1 *", "2 1 *")).unwrap();
    signal(up.pid(), "HUP");
    until("the change", || schedule(&up, "yearly")["schedule"] == "0 0 2 1 *");
    let reloaded = up.ask(&["schedule", "reload"]);
    assert_eq!(reloaded["applied"], true);
    assert!(up.interrupt().success(), "a hangup ends nothing");
}
