//! `timeball query` with a key, of a server that has it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Liar, Lie, Scratch, Up, peers::set_mode, run};

const KEY: &str = "7 AES128 HEX:000102030405060708090a0b0c0d0e0f\n";

#[test]
fn a_server_is_measured_with_its_key_and_not_with_another() {
    let (scratch, source) = (Scratch::new("query-key"), Liar::start(Lie::default()));
    let written = |name: &str, text: &str| {
        let path = scratch.join(name);
        std::fs::write(&path, text).unwrap();
        set_mode(path.as_ref(), 0o600);
        path
    };
    let keys = written("keys", KEY);
    let other = written("other", "7 AES128 HEX:ff0102030405060708090a0b0c0d0e0f\n");
    let config = written("agent.toml", &format!("[keys]\nfile = \"{keys}\"\n"));
    let options = ["--source", &source.address(), "--config", &config];
    let up = Up::start(&scratch.join("state"), &options);
    up.wait_for(|line| line["state"] == "synchronized");
    let query = |keys: &str, id: &str| {
        run(&["query", up.ntp(), "--key", id, "--keys", keys, "--timeout", "2"])
    };
    let good = query(&keys, "7");
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    let wrong = query(&other, "7");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("no answer"), "{wrong:?}");
    let missing = query(&keys, "8");
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("key 8, which `--key` names, is not in it"), "{said}");
    assert_eq!(run(&["query", up.ntp(), "--key", "7"]).status.code(), Some(2));
}
