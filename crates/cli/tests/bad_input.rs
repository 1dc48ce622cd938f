//! What a person types or writes wrongly: each mistake is named with its place and its fix, with a
//! status that a script notices, and nothing is begun.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;
use support::{Scratch, run};

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
fn a_settings_file_that_is_not_there_is_named() {
    let said = refused(1, &["agent", "--config", "no-such-settings.toml"]);
    assert!(said.contains("no-such-settings.toml"), "{said}");
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
