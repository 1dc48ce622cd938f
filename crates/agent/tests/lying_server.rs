//! The agent and one-shot queries against servers written by hand, without any code of the engine.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_types, reason = "the servers are no part of the agent")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timeball_agent::{Agent, AgentConfig, AgentOptions, QueryError, query};

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;
const NS: i64 = 1_000_000_000;

/// A responder of 48 octets whose clock is wrong by a set amount.
struct Liar {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    /// Is ahead by `ahead_ns`, answers after `delay` on the way back, and before each answer sends
    /// `noise` of the same request.
    fn start(ahead_ns: i64, delay: Duration, noise: fn(&[u8]) -> Vec<Vec<u8>>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let answer = answer(&buffer[..length], ahead_ns);
                thread::sleep(delay);
                for octets in noise(&answer) {
                    socket.send_to(&octets, from).unwrap();
                }
                socket.send_to(&answer, from).unwrap();
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(request: &[u8], ahead_ns: i64) -> Vec<u8> {
    let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let told = u64::try_from(i64::try_from(system).unwrap() + ahead_ns).unwrap();
    let (seconds, nanos) = (told / NS as u64 + NTP_TO_UNIX_S, told % NS as u64);
    let stamp = ((seconds << 32) | ((nanos << 32) / NS as u64)).to_be_bytes();
    let mut octets = vec![0; 48];
    // Leap 0, version 4, mode 4; stratum 1; precision 2^-24 s.
    octets[0] = 4 << 3 | 4;
    octets[1] = 1;
    octets[3] = (-24_i8).cast_unsigned();
    octets[12..16].copy_from_slice(b"LIAR");
    octets[16..24].copy_from_slice(&stamp);
    octets[24..32].copy_from_slice(&request[40..48]);
    octets[32..40].copy_from_slice(&stamp);
    octets[40..48].copy_from_slice(&stamp);
    octets
}

fn silent(_: &[u8]) -> Vec<Vec<u8>> {
    Vec::new()
}

/// Garbage, a cut answer, one that is too long, and one to a request that was never made.
fn noise(answer: &[u8]) -> Vec<Vec<u8>> {
    let mut forged = answer.to_vec();
    forged[24] ^= 0xff;
    forged[32] ^= 0x01;
    vec![vec![0xa5; 48], answer[..47].to_vec(), [answer, &[0; 1_900]].concat(), forged]
}

fn start(address: SocketAddr, more: &str) -> Agent {
    let text = format!(
        "[clock]\nmode = \"observe\"\n[[source]]\naddress = \"{address}\"\n\
         poll = {{ min = -2, max = 0 }}\n{more}"
    );
    let config = AgentConfig::parse(&text, "test.toml").unwrap();
    Agent::start(config, AgentOptions::default()).unwrap()
}

/// Waits until the status says what is wanted.
fn status_when(
    agent: &Agent,
    is_wanted: impl Fn(&timeball_api::status::Status) -> bool,
) -> Arc<timeball_api::status::Status> {
    let begun = Instant::now();
    loop {
        let status = agent.status().read();
        if is_wanted(&status) {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{status:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_that_lies_is_measured_with_the_right_sign_within_the_delay() {
    for (ahead_ns, delay) in
        [(77_000_000, Duration::ZERO), (-1_500_000_000, Duration::from_millis(40))]
    {
        let liar = Liar::start(ahead_ns, delay, silent);
        let target = liar.address.to_string().parse().unwrap();
        let result = query(&[target], Duration::from_secs(3)).remove(0);
        let told = result.outcome.unwrap();
        let error = (told.offset.as_nanos() - ahead_ns).abs();
        assert!(error <= told.delay.as_nanos() / 2 + 1_000, "off by {error} ns: {told:?}");
        assert!(told.delay.as_nanos() >= i64::try_from(delay.as_nanos()).unwrap());

        let agent = start(liar.address, "");
        let status = status_when(&agent, |status| status.clock.state == "synchronized");
        let (offset, bound) = (status.clock.offset_ns.unwrap(), status.clock.bound_ns.unwrap());
        assert!((offset - ahead_ns).abs() <= bound, "{offset} ± {bound} misses {ahead_ns}");
        assert_eq!(status.sources[0].selection, "chief");
        agent.shutdown();
    }
}

#[test]
fn forged_cut_and_garbled_datagrams_are_counted_and_change_nothing() {
    let liar = Liar::start(77_000_000, Duration::ZERO, noise);
    let target = liar.address.to_string().parse().unwrap();
    let told = query(&[target], Duration::from_secs(3)).remove(0).outcome.unwrap();
    assert!((told.offset.as_nanos() - 77_000_000).abs() <= told.delay.as_nanos());
    let agent = start(liar.address, "");
    let status = status_when(&agent, |status| status.clock.state == "synchronized");
    let source = &status.sources[0];
    assert!(source.rejected >= source.received, "{source:?}");
    let error = (status.clock.offset_ns.unwrap() - 77_000_000).abs();
    assert!(error <= status.clock.bound_ns.unwrap(), "{status:?}");
    agent.shutdown();
}

#[test]
fn the_agent_serves_what_it_knows_and_frees_its_port() {
    let liar = Liar::start(77_000_000, Duration::ZERO, silent);
    let agent = start(liar.address, "[server]\nlisten = [\"127.0.0.1:0\"]\n");
    status_when(&agent, |status| status.clock.state == "synchronized");
    let server = agent.server_addresses()[0];
    let taken = AgentConfig::parse(&format!("[server]\nlisten = [\"{server}\"]"), "t").unwrap();
    let error = Agent::start(taken, AgentOptions::default()).unwrap_err().to_string();
    assert!(error.contains(&server.to_string()), "{error}");
    let told = query(&[server.to_string().parse().unwrap()], Duration::from_secs(3)).remove(0);
    let told = told.outcome.unwrap();
    assert_eq!(told.stratum, 2);
    assert!((told.offset.as_nanos() - 77_000_000).abs() <= told.error_margin.as_nanos());
    agent.shutdown();
    UdpSocket::bind(server).expect("the port is free again");
}

#[test]
fn a_server_that_is_not_there_is_said_to_be() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let targets = [closed, silent.local_addr().unwrap()].map(|a| a.to_string().parse().unwrap());
    let results = query(&targets, Duration::from_millis(300));
    assert!(matches!(results[0].outcome, Err(QueryError::Refused { .. })), "{results:?}");
    assert!(matches!(results[1].outcome, Err(QueryError::NoAnswer { .. })), "{results:?}");
    let agent = start(closed, "");
    let status = status_when(&agent, |status| {
        status.sources.first().is_some_and(|source| source.problem.is_some())
    });
    assert_eq!(status.clock.state, "unsynchronized");
    agent.shutdown();
}
