//! `timeball up` under a service manager: what it tells, and the units that are shipped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking and says so")]

mod support;

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Liar, Lie, Scratch, Up, timeball};

#[test]
fn the_service_manager_is_told_when_it_is_up_that_it_lives_and_that_it_ends() {
    let (scratch, source) = (Scratch::new("service"), Liar::start(Lie::default()));
    let socket = scratch.join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut octets = [0; 256];
        let length = manager.recv(&mut octets).unwrap();
        String::from_utf8_lossy(&octets[..length]).trim().to_owned()
    };
    let mut command = timeball();
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "30000000");
    let options = ["--source", &source.address(), "--spin", "100"];
    let up = Up::start_from(command, &scratch.join("state"), &options);
    assert_eq!(told(), "READY=1");
    assert_eq!(told(), "WATCHDOG=1");
    assert!(up.interrupt().success());
    let rest = std::iter::from_fn(|| Some(told())).find(|said| said != "WATCHDOG=1");
    assert_eq!(rest.as_deref(), Some("STOPPING=1"));
}

#[test]
fn real_time_is_had_or_its_refusal_is_said() {
    let (scratch, source) = (Scratch::new("real-time"), Liar::start(Lie::default()));
    // Where we are root it is allowed, so that is taken away as well.
    let mut refused = Command::new("setpriv");
    refused.args(["--bounding-set", "-sys_nice,-ipc_lock", "--inh-caps", "-all", "prlimit"]);
    refused.args(["--rtprio=0", "--memlock=65536", env!("CARGO_BIN_EXE_timeball")]);
    let options = ["--source", &source.address(), "--real-time"];
    let up = Up::start_from(refused, &scratch.join("state"), &options);
    let notes = up.started["notes"].to_string();
    for name in ["LimitRTPRIO=10", "LimitMEMLOCK=infinity"] {
        assert!(notes.contains(name), "{notes}");
    }
    up.wait_for(|line| line["fired"].as_u64() > Some(5));
    assert!(up.interrupt().success());
}

#[test]
fn the_units_for_systemd_are_what_systemd_accepts() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skip("systemd-analyze is not installed (Debian: package systemd)");
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/systemd");
    let scratch = Scratch::new("units");
    for (unit, manager) in [("timeball.service", "--system"), ("timeball-user.service", "--user")] {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let (program, options) = start.split_once(' ').unwrap();
        // Its options must be ours, and its program be there.
        let help = support::stdout(&["up", "--help"]);
        for option in options.split(' ').filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{unit}: {option}");
        }
        let path = scratch.path().join(unit);
        std::fs::write(&path, text.replace(program, env!("CARGO_BIN_EXE_timeball"))).unwrap();
        let verify = Command::new("systemd-analyze")
            .args([manager, "verify", "--man=no"])
            .arg(&path)
            .env("XDG_RUNTIME_DIR", scratch.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verify.stderr);
        assert!(verify.status.success() && said.is_empty(), "{unit}: {said}");
    }
}

/// Says past the harness, which hides what a passing test prints, that a test was not run.
fn skip(why: &str) {
    assert!(!support::is_ci(), "{why}, and CI must have it");
    writeln!(std::io::stderr(), "SKIPPED: {why}").expect("stderr");
}
