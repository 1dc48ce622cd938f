//! Our NTP server as its clients see it who ask too often, or from elsewhere.
#![allow(clippy::unwrap_used)]
// The loop must not use it (see clippy.toml); a test's client may.
#![allow(clippy::disallowed_types)]

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use timeball_agent::{Agent, AgentConfig, AgentOptions};
use timeball_api::status::Server;

/// Octets of a request without extensions, and of its answer.
const HEADER_OCTETS: usize = 48;

fn serve(settings: &str) -> Agent {
    let text = format!("[server]\nlisten = [\"127.0.0.1:0\"]\n{settings}");
    let config = AgentConfig::parse(&text, "agent.toml").unwrap();
    Agent::start(config, AgentOptions::default()).unwrap()
}

fn client(of: &Agent) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(of.server_addresses()[0]).unwrap();
    socket
}

/// A request of version 4 whose transmit timestamp is `nonce`.
fn request(nonce: u64) -> [u8; HEADER_OCTETS] {
    let mut octets = [0; HEADER_OCTETS];
    octets[0] = 4 << 3 | 3;
    octets[40..].copy_from_slice(&nonce.to_be_bytes());
    octets
}

/// What the status counts once it has counted `received` datagrams.
fn counted(agent: &Agent, received: u64) -> Server {
    let begun = Instant::now();
    loop {
        if let Some(server) = agent.status().read().server.clone()
            && server.received == received
        {
            return server;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", agent.status().read().server);
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_client_over_the_limit_that_is_set_is_told_rate_and_never_gets_more_octets_than_it_sent() {
    let agent = serve("rate_limit = { interval_s = 3600, burst = 5, leak = 65535, kiss = 1 }");
    let socket = client(&agent);
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut answers, mut kisses) = (0, 0);
    for nonce in 1..=40_u64 {
        socket.send(&request(nonce)).unwrap();
        let mut octets = [0; 512];
        let length = socket.recv(&mut octets).unwrap();
        assert!(length <= HEADER_OCTETS, "{length} octets");
        assert_eq!(octets[24..32], nonce.to_be_bytes(), "the answer is to this request");
        // Version 4, server; whatever else it is, it says "not synchronized".
        assert_eq!(octets[0], 3 << 6 | 4 << 3 | 4);
        match (octets[1], &octets[12..16]) {
            (0, b"RATE") => kisses += 1,
            _ => answers += 1,
        }
    }
    // Beyond the five, one in 65,535 is answered at random.
    assert!((5..8).contains(&answers), "{answers} answers and {kisses} kisses");
    let server = counted(&agent, 40);
    assert_eq!((server.rate_limited, server.kisses), (kisses, kisses));
    agent.shutdown();
}

#[test]
fn without_kisses_it_is_silent_and_with_a_leak_of_one_there_is_no_limit() {
    let limited = serve("rate_limit = { interval_s = 3600, burst = 2, leak = 65535, kiss = 0 }");
    let free = serve("rate_limit = { interval_s = 3600, burst = 1, leak = 1 }");
    for agent in [&limited, &free] {
        let socket = client(agent);
        for nonce in 1..=100 {
            socket.send(&request(nonce)).unwrap();
        }
    }
    let server = counted(&limited, 100);
    assert!(server.rate_limited > 94 && server.kisses == 0, "{server:?}");
    assert_eq!(counted(&free, 100).rate_limited, 0);
    limited.shutdown();
    free.shutdown();
}

#[test]
fn only_networks_that_are_named_are_answered() {
    let agent = serve("allow = [\"192.0.2.0/24\"]");
    let socket = client(&agent);
    socket.send(&request(1)).unwrap();
    let server = counted(&agent, 1);
    assert_eq!((server.denied, server.rate_limited), (1, 0));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; HEADER_OCTETS]).is_err());
    agent.shutdown();
}
