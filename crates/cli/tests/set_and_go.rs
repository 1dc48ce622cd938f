//! `timeball agent --set-and-go` where it only looks: with mode `observe` nothing is ever set. That
//! it sets is shown in a guest (`cargo xtask guest`).

mod support;

use serde_json::Value;
use support::peers::Peers;
use support::{Liar, Lie, Scratch, run};

const TWO_YEARS_S: f64 = 2.0 * 365.0 * 86_400.0;

/// Runs it on sources with further options; exit status, stdout and stderr.
fn look(sources: &[String], options: &[&str]) -> (Option<i32>, String, String) {
    let scratch = Scratch::new("set-and-go");
    let config = scratch.join("agent.toml");
    let table = |address: &String| format!("[[source]]\naddress = \"{address}\"\niburst = false\n");
    let text: String = sources.iter().map(table).collect();
    std::fs::write(&config, format!("[clock]\nmode = \"observe\"\n{text}")).expect("settings");
    let output = run(&[&["agent", "--config", &config, "--set-and-go"], options].concat());
    let [stdout, stderr] = [output.stdout, output.stderr]
        .map(|octets| String::from_utf8(octets).expect("the program writes UTF-8"));
    (output.status.code(), stdout, stderr)
}

#[test]
fn observing_it_says_what_it_would_set_however_wrong_the_clock_is_and_ends() {
    // Two agree; the third is a liar, whom the first set must not follow.
    let honest = || Liar::start(Lie { offset_s: TWO_YEARS_S, ..Lie::default() });
    let (one, two) = (honest(), honest());
    let liar = Liar::start(Lie { offset_s: -30.0, ..Lie::default() });
    let sources = [&liar, &one, &two].map(Liar::address);
    let (status, stdout, stderr) = look(&sources, &["--output", "json"]);
    assert_eq!(status, Some(0), "{stderr}");
    let told: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((&told["set"], &told["left_ns"]), (&Value::Bool(false), &Value::Null));
    let (offset, bound) = (told["offset_ns"].as_i64(), told["bound_ns"].as_i64());
    let (offset, bound) = offset.zip(bound).expect("an offset and its bound");
    let error = (offset - (TWO_YEARS_S * 1e9) as i64).abs();
    assert!(error <= bound && bound < 100_000_000, "{error} ± {bound} ns");
    assert_eq!(told["sources"][0]["selection"], "falseticker", "{told:#}");

    // Port 9 (discard) of loopback: nobody is there, and nobody is waited for without end.
    let (status, stdout, stderr) = look(&[one.address(), "127.0.0.1:9".to_owned()], &[]);
    assert_eq!(status, Some(0), "{stderr}");
    for part in ["behind UTC, certainly within ±", "mode is observe, so it was not set"] {
        assert!(stdout.contains(part), "{stdout}");
    }
}

#[test]
fn without_a_majority_it_fails_after_the_timeout_and_names_each_source() {
    let liars = [30.0, -30.0].map(|offset_s| Liar::start(Lie { offset_s, ..Lie::default() }));
    let mut sources = liars.each_ref().map(Liar::address).to_vec();
    sources.push("127.0.0.1:9".to_owned());
    let (status, stdout, stderr) = look(&sources, &["--timeout", "6"]);
    assert_eq!((status, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("error: no majority of the sources within 6 s: "), "{stderr}");
    for source in &sources {
        assert!(stderr.contains(&format!("{source} is ")), "{stderr}");
    }
    let (status, _, stderr) = look(&[], &[]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("the settings name no source; add a [[source]]"), "{stderr}");
}

#[test]
fn a_real_chronyd_is_believed() {
    let Some(peers) = Peers::find("chronyd as the source of --set-and-go") else { return };
    let chronyd = peers.chronyd();
    let (status, stdout, stderr) = look(&[chronyd.address()], &["--output", "json"]);
    assert_eq!(status, Some(0), "{stderr}");
    let told: Value = serde_json::from_str(&stdout).expect("JSON");
    let (offset, bound) = (told["offset_ns"].as_i64(), told["bound_ns"].as_i64());
    // Both read the same clock, so the true offset is zero.
    let (offset, bound) = offset.zip(bound).expect("an offset and its bound");
    assert!(offset.abs() <= bound && bound < 20_000_000, "{told:#}");
}
