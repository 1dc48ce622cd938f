//! `timeball schedule explain` as a person and a program call it.

mod support;

use serde_json::{Value, json};
use support::{run, stdout};

const DAILY: [&str; 7] = [
    "schedule",
    "explain",
    "30 2 * * *",
    "--tz",
    "Europe/Berlin",
    "--after",
    "2026-12-31T12:00:00Z",
];

#[test]
fn it_says_what_an_expression_means_when_it_is_next_and_what_the_clocks_do_to_it() {
    let text = stdout(&[&DAILY[..], &["-n", "2"]].concat());
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert!(lines[0].ends_with(", in Europe/Berlin"), "{text}");
    for line in [
        "  canonical  30 2 * * *",
        "  dialect    vixie",
        "  next       2027-01-01T02:30:00+01:00",
        "             2027-01-02T02:30:00+01:00",
    ] {
        assert!(lines.contains(&line), "no `{line}` in {text}");
    }
    // Two years have four changes of the clocks.
    let clocks = lines.iter().skip_while(|line| !line.starts_with("  clocks")).count();
    assert_eq!(clocks, 4, "{text}");
    assert!(text.contains("2027-03-28"), "{text}");
}

#[test]
fn programs_get_the_same_as_json_by_the_rule_that_is_asked_for() {
    let effects = |options: &[&str]| {
        let options = [&DAILY[..], options, &["-n", "1", "--output", "json"]].concat();
        let told: Value = serde_json::from_str(&stdout(&options)).expect("JSON");
        assert_eq!(told["next"].as_array().map(Vec::len), Some(1), "{told:#}");
        assert_eq!(told["time_zone"], "Europe/Berlin");
        let traps = told["traps"].as_array().expect("a list").iter();
        traps.map(|trap| trap["effect"].clone()).take(2).collect::<Vec<_>>()
    };
    assert_eq!(effects(&[]), [json!("at-the-jump"), json!("once")]);
    let kubernetes = effects(&["--dialect", "kubernetes"]);
    assert_eq!(kubernetes, [json!("skipped"), json!("twice")]);
    assert_eq!(effects(&["--dst", "ocps"]), [json!("skipped"), json!("once")]);
}

#[test]
fn an_expression_that_is_wrong_is_refused_at_its_place() {
    let output = run(&["schedule", "explain", "61 * * * *"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty() && said.contains("61 is out of range"), "{said}");
}
