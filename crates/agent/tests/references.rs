//! The agent with reference clocks, written to by a test as gpsd would; it observes.
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timeball_agent::{Agent, AgentConfig, AgentOptions};
use timeball_api::status::Status;

fn agent(settings: &str) -> Agent {
    let config = AgentConfig::parse(settings, "test.toml").unwrap();
    Agent::start(config, AgentOptions::default()).unwrap()
}

/// Waits until the status is as it should be, and does something in between.
fn wait_for(agent: &Agent, holds: impl Fn(&Status) -> bool, between: impl Fn()) -> Arc<Status> {
    let begun = Instant::now();
    loop {
        let status = agent.status().read();
        if holds(&status) {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{status:#?}");
        between();
        thread::sleep(Duration::from_millis(20));
    }
}

/// A sample as C lays it out on 64-bit Linux: of a clock that is ahead by this now.
fn send_sample(socket: &UnixDatagram, to: &Path, ahead_s: f64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut octets = Vec::new();
    octets.extend(now.as_secs().to_ne_bytes());
    octets.extend(u64::from(now.subsec_micros()).to_ne_bytes());
    // The microseconds cut off are the clock's gain.
    let cut_s = f64::from(now.subsec_nanos() % 1_000) * 1e-9;
    octets.extend((ahead_s + cut_s).to_ne_bytes());
    for word in [0_u32, 0, 0, 0x534f_434b] {
        octets.extend(word.to_ne_bytes());
    }
    // The agent may not have made its socket yet, or not have read what it was sent.
    let _ = socket.send_to(&octets, to);
}

#[test]
fn samples_of_a_socket_make_a_clock_with_their_offset_and_error() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("gps.sock");
    let agent = agent(&format!(
        "[[source]]\nsock = \"{}\"\nerror_s = 0.01\nrefid = \"GPS\"\n",
        path.display()
    ));
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_nonblocking(true).unwrap();
    let status = wait_for(
        &agent,
        |status| status.clock.state == "synchronized",
        || send_sample(&socket, &path, 0.25),
    );
    let clock = &status.clock;
    assert_eq!((clock.stratum, clock.reference_id.as_str()), (1, "GPS"));
    let (offset_ns, bound_ns) = (clock.offset_ns.unwrap(), clock.bound_ns.unwrap());
    assert!((offset_ns - 250_000_000).abs() <= bound_ns, "{clock:?}");
    assert!((10_000_000..200_000_000).contains(&bound_ns), "{clock:?}");
    let source = &status.sources[0];
    assert_eq!((source.selection.as_str(), source.problem.as_deref()), ("chief", None));
    assert_eq!(source.name, path.to_str().unwrap());
    // What is no sample is counted, with its reason, and changes nothing.
    let status = wait_for(
        &agent,
        |status| status.sources[0].rejections.contains_key("malformed"),
        || {
            let _ = socket.send_to(b"not a sample", &path);
        },
    );
    assert!(status.sources[0].problem.as_ref().unwrap().contains("no sample"), "{status:#?}");
    agent.shutdown();
    assert!(!path.exists(), "the socket is taken away");
}

#[test]
fn a_clock_that_cannot_be_read_says_why() {
    let agent = agent("[[source]]\nphc = \"/dev/null\"\nerror_s = 0.001\n");
    let status = wait_for(
        &agent,
        |status| status.sources.first().is_some_and(|source| source.problem.is_some()),
        || {},
    );
    let problem = status.sources[0].problem.as_deref().unwrap();
    assert!(problem.contains("cannot be read: "), "{problem}");
    assert_eq!(status.clock.bound_ns, None);
    agent.shutdown();
}
