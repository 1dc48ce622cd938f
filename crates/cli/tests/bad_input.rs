//! What a person types or writes wrongly: each mistake is named with its place and its fix, with a
//! status that a script notices, and nothing is begun.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use redb::{Database, ReadableTable, TableDefinition};
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Liar, Lie, Scratch, Up, YEARLY, run};

/// Runs a command that must fail with `status`, and returns what it says.
#[track_caller]
fn refused(status: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed something before it failed");
    said
}

#[test]
fn a_wrong_schedule_is_shown_with_its_place_and_a_suggestion() {
    let cases: [(&[&str], &[&str]); 8] = [
        (&["*/0.0 * * * * *"], &["the second field is 0", "*/0.001", "    ^"]),
        (&["@every 500us"], &["at least 1 ms apart", "@every 1ms"]),
        (&["*/0.0005 * * * * *"], &["1 ms"]),
        (&["61 * * * *"], &["61", "minute", "0 to 59"]),
        (&["0 9 * * mom"], &["mom", "`MON`"]),
        (&["tomorrow"], &["5"]),
        (&["* * * * *", "--tz", "Europe/Berln"], &["Europe/Berln", "Europe/Berlin"]),
        (&["* * * * *", "--after", "yesterday"], &["--after", "yesterday"]),
    ];
    for (arguments, expected) in cases {
        let said = refused(2, &[&["schedule", "next"], arguments].concat());
        for words in expected {
            assert!(said.contains(words), "{arguments:?}: {words:?} is not in: {said}");
        }
    }
}

#[test]
fn a_typo_in_the_settings_is_named_with_file_line_and_the_right_word() {
    let scratch = Scratch::new("typo");
    let file = scratch.join("agent.toml");
    let cases = [
        ("[clock]\nmode = \"observ\"\n", ":2:", "observe"),
        ("[clock]\nmode = \"observe\"\n[[sorce]]\naddress = \"a\"\n", ":3:", "`source`"),
        ("[[source]]\naddress = \"a\"\niburts = true\n", ":3:", "`iburst`"),
        ("[[source]]\naddress = \"a:123456\"\n", ":2:", "65535"),
        ("[clock\n", ":1:", "]"),
    ];
    for (text, place, fix) in cases {
        std::fs::write(&file, text).unwrap();
        for command in [["agent", "--config"], ["up", "--config"]] {
            let said = refused(1, &[command[0], command[1], &file]);
            assert!(said.contains(&format!("{file}{place}")), "{text:?}: {said}");
            assert!(said.contains(fix), "{text:?}: {said}");
        }
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_refused_with_a_way_out() {
    let said = refused(1, &["up", "--state", "/proc/timeball"]);
    assert!(said.contains("/proc/timeball") && said.contains("--state"), "{said}");
    let scratch = Scratch::new("file");
    let file = scratch.join("state");
    std::fs::write(&file, "not a directory").unwrap();
    let said = refused(1, &["up", "--state", &file]);
    assert!(said.contains(&file), "{said}");
    assert_eq!(std::fs::read_to_string(Path::new(&file)).unwrap(), "not a directory");
}

#[test]
fn schedules_in_what_is_no_directory_are_refused_before_anything_is_begun() {
    let scratch = Scratch::new("schedules");
    let (state, file) = (scratch.join("state"), scratch.join("flush.yaml"));
    std::fs::write(&file, YEARLY).unwrap();
    let said = refused(1, &["up", "--state", &state, "--schedules", &file]);
    assert!(said.contains(&file) && said.contains("--schedules DIR"), "{said}");
}

#[test]
fn a_settings_file_that_is_not_there_is_named_with_the_way_to_one() {
    let said = refused(1, &["agent", "--config", "no-such-settings.toml"]);
    assert!(said.contains("no-such-settings.toml") && said.contains("configuration.md"), "{said}");
}

#[test]
fn a_time_server_that_cannot_answer_is_told_by_name_and_the_status_says_so() {
    let output = run(&["query", "127.0.0.1:1", "no.such.host.invalid", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems: Vec<&str> =
        answers.as_array().unwrap().iter().map(|a| a["error"].as_str().unwrap()).collect();
    assert!(problems[0].contains("refused"), "{problems:?}");
    assert!(problems[1].contains("no such host"), "{problems:?}");
}

/// Has the store of a stopped `up` say `after` wherever a record says `before`, as a version of
/// this revision would that knows such a word.
fn rewrite_store(state: &str, revision: u64, before: &str, after: &str) {
    let replaced = |octets: &[u8]| {
        let mut octets = octets.to_vec();
        let mut from = 0;
        let part = |from: usize, octets: &[u8]| {
            octets[from..].windows(before.len()).position(|part| part == before.as_bytes())
        };
        while let Some(at) = part(from, &octets) {
            from += at + before.len();
            octets[from - before.len()..from].copy_from_slice(after.as_bytes());
        }
        octets
    };
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let accounts: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("accounts");
    let changes: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");
    let database = Database::create(Path::new(state).join("schedules.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert("revision", revision).unwrap();
    {
        let mut images = transaction.open_table(accounts).unwrap();
        let all = images.iter().unwrap().map(Result::unwrap);
        let all: Vec<_> = all.map(|(uid, image)| (uid.value(), replaced(image.value()))).collect();
        for (uid, image) in all {
            images.insert(uid, image.as_slice()).unwrap();
        }
        let mut rows = transaction.open_table(changes).unwrap();
        let all = rows.iter().unwrap().map(Result::unwrap);
        let all: Vec<_> =
            all.map(|(number, row)| (number.value(), replaced(row.value()))).collect();
        for (number, row) in all {
            rows.insert(number, row.as_slice()).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[test]
fn a_history_that_only_a_newer_version_can_read_is_refused_and_nothing_of_it_is_lost() {
    let (scratch, source) = (Scratch::new("newer"), Liar::start(Lie::default()));
    let (state, files) = (scratch.join("state"), scratch.join("files"));
    let fails = YEARLY.replace("0 0 1 1 *", "@every 100ms").replace("'true'", "'false'");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(Path::new(&files).join("fails.yaml"), fails).unwrap();
    let source = source.address();
    let options = ["--source", &source, "--schedules", &files];
    let oldest = |up: &Up| {
        let start = Instant::now();
        loop {
            let history = up.ask(&["schedule", "history", "yearly"]);
            let failed = |outcome: &&serde_json::Value| outcome["reason"] == "ExitStatus";
            if let Some(outcome) = history["outcomes"].as_array().unwrap().iter().rfind(failed) {
                return outcome["scheduled_ns"].as_i64().unwrap();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "nothing has failed: {history}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let up = Up::start(&state, &options);
    let before = oldest(&up);
    assert!(up.interrupt().success());

    rewrite_store(&state, 2, "ExitStatus", "QuotaLimit");
    let command = ["up", "--state", &state, "--port", "0", "--ntp-port", "0"];
    for _ in 0..2 {
        let said = refused(1, &[&command[..], &options].concat());
        assert!(said.contains("schedules.redb") && said.contains("newer version"), "{said}");
    }
    rewrite_store(&state, 2, "QuotaLimit", "ExitStatus");
    let up = Up::start(&state, &options);
    assert_eq!(oldest(&up), before);
    assert!(up.interrupt().success());
}
