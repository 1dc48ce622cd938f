//! Real peers: chronyd as our source, chronyd and ntpdig as clients of our server.
//!
//! `cargo xtask peers` unpacks them; no test can move this machine's clock (`support::peers`).

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::peers::{Chronyd, Peers, set_mode};
use support::{Liar, Lie, Scratch, Up, stdout};

/// What two readings of one clock through loopback may differ by on a busy machine.
const LOOPBACK_ERROR_S: f64 = 0.02;

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
fn the_ipv4_and_the_ipv6_address_of_a_chronyd_are_one_witness() {
    let Some(peers) = Peers::find("a chronyd under two addresses") else { return };
    let (scratch, chronyd) = (Scratch::new("two-addresses"), peers.chronyd());
    let (first, second) = (chronyd.address(), chronyd.second_address());
    let up = Up::start(&scratch.join("state"), &["--source", &first, "--source", &second]);
    up.wait_for(|line| line["state"] == "synchronized");
    let told = format!("the same server as {first}");
    let status = wait_for_status(&up, |status| {
        status["sources"][1]["problem"].as_str().is_some_and(|problem| problem.contains(&told))
    });
    assert!(status["sources"][0]["problem"].is_null(), "{status}");
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

/// One key of each algorithm that chronyd knows, as both sides' files have them.
const KEYS: &str = "1 MD5 a-word\n2 SHA1 HEX:0123456789abcdef\n3 SHA256 ASCII:another\n\
    4 SHA512 third\n5 AES128 HEX:000102030405060708090a0b0c0d0e0f\n\
    6 AES256 HEX:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
const OTHER_KEYS: &str = "5 AES128 HEX:ff0102030405060708090a0b0c0d0e0f\n";

#[test]
fn keys_are_shared_with_chronyd_as_server_and_as_client() {
    let Some(peers) = Peers::find("shared keys with chronyd") else { return };
    let scratch = Scratch::new("keys");
    // Each key has a chronyd of its own: two sources never ask the same address.
    let servers: Vec<_> = (1..=6).map(|_| peers.chronyd_with_keys(KEYS)).collect();
    let source = |(key, server): (i32, &Chronyd)| {
        format!("[[source]]\naddress = \"{}\"\nkey = {key}\n", server.address())
    };
    let sources: String = (1..).zip(&servers).map(source).collect();
    let up = configured(&scratch, KEYS, &sources);
    up.wait_for(|line| line["state"] == "synchronized");
    let status = wait_for_status(&up, |status| {
        status["sources"].as_array().is_some_and(|all| all.iter().all(|s| s["received"] != 0))
    });
    for source in status["sources"].as_array().expect("sources") {
        assert_eq!(source["rejected"], 0, "{source}");
    }
    for key in [1, 3, 5, 6] {
        let wrong_by = peers.chronyd_measures_with(up.ntp(), KEYS, &format!("key {key}"));
        assert!(wrong_by.is_some_and(|s| s.abs() < LOOPBACK_ERROR_S), "key {key}: {wrong_by:?}");
    }
}

#[test]
fn a_chronyd_with_another_key_and_we_do_not_believe_each_other() {
    let Some(peers) = Peers::find("wrong keys") else { return };
    let chronyd = peers.chronyd_with_keys(OTHER_KEYS);
    let scratch = Scratch::new("wrong-keys");
    let source = |key: &str| format!("[[source]]\naddress = \"{}\"\n{key}\n", chronyd.address());
    let up = configured(&scratch, KEYS, &source("key = 5"));
    let status = wait_for_status(&up, |status| status["sources"][0]["sent"].as_u64() >= Some(2));
    assert_eq!(status["sources"][0]["received"], 0, "{status}");
    assert_eq!(peers.chronyd_measures_with(up.ntp(), OTHER_KEYS, "key 5"), None);
    let status = wait_for_status(&up, |status| status["server"]["unauthenticated"] != 0);
    assert_eq!(status["server"]["answered"], 0, "{status}");
}

#[test]
fn chronyd_and_we_speak_the_interleaved_mode_in_both_directions() {
    let Some(peers) = Peers::find("the interleaved mode with chronyd") else { return };
    let (scratch, chronyd) = (Scratch::new("interleaved"), peers.chronyd());
    let source = format!(
        "[[source]]\naddress = \"{}\"\ninterleaved = true\npoll = {{ min = -2, max = -2 }}\n",
        chronyd.address()
    );
    let up = configured(&scratch, "", &source);
    let second = up.wait_for(|line| line["state"] == "synchronized");
    let (offset, bound) = (whole(&second["offset_ns"]), whole(&second["bound_ns"]));
    assert!(offset.abs() <= bound, "{second}");
    let status = wait_for_status(&up, |status| status["sources"][0]["interleaved"] == true);
    assert!(whole(&status["sources"][0]["offset_ns"]).abs() < 5_000_000, "{status}");
    assert!(whole(&status["sources"][0]["delay_ns"]) < 5_000_000, "{status}");
    let wrong_by = peers.chronyd_measures_with(up.ntp(), "", "xleave minpoll -2 maxpoll -2");
    assert!(wrong_by.is_some_and(|s| s.abs() < LOOPBACK_ERROR_S), "{wrong_by:?}");
    wait_for_status(&up, |status| status["server"]["interleaved"].as_u64() >= Some(1));
}

/// An `up` with such keys and sources.
fn configured(scratch: &Scratch, keys: &str, sources: &str) -> Up {
    let (file, config) = (scratch.join("keys"), scratch.join("agent.toml"));
    std::fs::write(&file, keys).expect("keys");
    set_mode(file.as_ref(), 0o600);
    std::fs::write(&config, format!("[keys]\nfile = \"{file}\"\n{sources}")).expect("settings");
    Up::start(&scratch.join("state"), &["--config", &config])
}

fn wait_for_status(up: &Up, good: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = up.ask(&["status"]);
        if good(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "never: {status}");
        std::thread::sleep(Duration::from_millis(100));
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
