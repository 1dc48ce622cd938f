//! Real peers: chronyd as our source, chronyd and ntpdig as clients of our server.
//!
//! `cargo xtask peers` unpacks them; no test can move this machine's clock (`support::peers`).

mod support;

use serde_json::Value;
use support::peers::Peers;
use support::{Liar, Lie, Scratch, Up, stdout};

/// What two readings of one clock through loopback may differ by on a busy machine.
const LOOPBACK_ERROR_S: f64 = 0.005;

#[test]
fn the_peers_agree_with_each_other() {
    // What the other tests blame on us must not be the peers' own doing.
    let Some(peers) = Peers::find("the peers among themselves") else { return };
    let chronyd = peers.chronyd();
    let wrong_by = peers.chronyd_measures(&chronyd.address());
    assert!(wrong_by.abs() < LOOPBACK_ERROR_S, "chronyd measures {wrong_by} s");
    let answer = peers.ntpdig(&chronyd.address());
    assert!(answer["offset"].as_f64().is_some_and(|s| s.abs() < LOOPBACK_ERROR_S), "{answer}");
}

#[test]
fn a_real_chronyd_is_a_source_whose_bound_holds() {
    let Some(peers) = Peers::find("chronyd as a source of `up`") else { return };
    let (scratch, chronyd) = (Scratch::new("chronyd-source"), peers.chronyd());
    let up = Up::start(&scratch.join("state"), &["--source", &chronyd.address()]);
    assert_eq!(up.next_event("sources")["answering"], serde_json::json!([chronyd.address()]));
    let second = up.wait_for(|line| line["state"] == "synchronized");
    let (offset, bound) = (whole(&second["offset_ns"]), whole(&second["bound_ns"]));
    // Both read the same clock, so the true offset is zero.
    assert!(offset.abs() <= bound, "{second}");
    assert!(bound < 20_000_000, "loopback is closer than that: {second}");
    let status = up.ask(&["status"]);
    let source = &status["sources"][0];
    assert_eq!(source["stratum"], 1, "{source}");
    assert!(source["problem"].is_null(), "{source}");
    assert!(up.interrupt().success());
}

#[test]
fn chronyd_is_a_client_of_our_server() {
    let Some(peers) = Peers::find("chronyd as a client of our server") else { return };
    let (scratch, source) = (Scratch::new("chronyd-client"), peers.chronyd());
    let up = synchronized(&scratch, &source.address());
    let wrong_by = peers.chronyd_measures(up.ntp());
    assert!(wrong_by.abs() < LOOPBACK_ERROR_S, "chronyd measures {wrong_by} s");
}

#[test]
fn ntpdig_is_a_client_of_our_server() {
    let Some(peers) = Peers::find("ntpdig as a client of our server") else { return };
    let (scratch, source) = (Scratch::new("ntpdig-client"), peers.chronyd());
    let up = synchronized(&scratch, &source.address());
    let answer = peers.ntpdig(up.ntp());
    let offset = answer["offset"].as_f64().expect("an offset");
    assert!(offset.abs() < LOOPBACK_ERROR_S, "{answer}");
    assert_eq!(answer["stratum"], 2, "one below chronyd's: {answer}");
    assert_eq!(answer["leap"], "no-leap", "{answer}");
}

#[test]
fn clients_of_our_server_are_told_the_estimate_and_not_the_system_clock() {
    let Some(peers) = Peers::find("the sign of what our server tells") else { return };
    // A clock that both sides read would hide a wrong sign, so the source lies.
    for lie in [0.077, -1.5] {
        let scratch = Scratch::new("served-lie");
        let liar = Liar::start(Lie { offset_s: lie, ..Lie::default() });
        let up = synchronized(&scratch, &liar.address());
        let offset = peers.ntpdig(up.ntp())["offset"].as_f64().expect("an offset");
        assert!((offset - lie).abs() < LOOPBACK_ERROR_S, "ntpdig says {offset}, true is {lie}");
        let wrong_by = peers.chronyd_measures(up.ntp());
        assert!((wrong_by - lie).abs() < LOOPBACK_ERROR_S, "chronyd: {wrong_by}, lie: {lie}");
    }
}

#[test]
fn query_measures_chronyd_and_our_own_server_alike() {
    let Some(peers) = Peers::find("`timeball query` of chronyd") else { return };
    let (scratch, chronyd) = (Scratch::new("query"), peers.chronyd());
    let up = synchronized(&scratch, &chronyd.address());
    for (server, stratum) in [(chronyd.address(), 1), (up.ntp().to_owned(), 2)] {
        let text = stdout(&["query", &server, "--output", "json"]);
        let answers: Value = serde_json::from_str(&text).expect("JSON");
        let answer = answers.get(0).unwrap_or(&answers);
        let (offset, delay) = (whole(&answer["offset_ns"]), whole(&answer["delay_ns"]));
        assert!(offset.abs() <= delay.max(1_000_000), "{server}: {answer}");
        assert!(delay < 50_000_000, "{server}: {answer}");
        assert_eq!(answer["stratum"], stratum, "{server}: {answer}");
    }
}

/// An `up` that has its time from one source.
fn synchronized(scratch: &Scratch, source: &str) -> Up {
    let up = Up::start(&scratch.join("state"), &["--source", source]);
    up.wait_for(|line| line["state"] == "synchronized");
    up
}

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("a whole number instead of {value}"))
}
