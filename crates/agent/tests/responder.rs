//! The agent against a responder that shares no code with it: 48 octets made by hand, in a thread
//! of
//! the test, which lies by a known amount over a path of known asymmetry.
//!
//! A real server on this machine reads the same clock as the agent, so a wrong sign would pass
//! there.
#![allow(clippy::unwrap_used)]
// The loop must not use it (see clippy.toml); a test's server may.
#![allow(clippy::disallowed_types)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timeball_agent::{
    Agent, AgentConfig, AgentOptions, HostPort, PollRange, QueryError, SourceConfig, StartError,
    query, source,
};
use timeball_api::status::Status;

/// How a responder behaves.
#[derive(Clone, Copy, Default)]
struct Behaviour {
    /// What it adds to the time it tells, ns.
    lie_ns: i64,
    /// Delay before the request is stamped, and after the answer is.
    there: Duration,
    back: Duration,
    /// Whether datagrams that are no answers come along with each answer.
    hostile: bool,
}

struct Responder {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    fn start(behaviour: Behaviour) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut former = [0; 48];
            let mut request = [0; 256];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, client)) = socket.recv_from(&mut request) else { continue };
                assert_eq!(length, 48, "a request is a bare header");
                assert_eq!(request[0] & 7, 3, "a request has mode 3");
                thread::sleep(behaviour.there);
                let mut answer = answer(&request, behaviour.lie_ns);
                if behaviour.hostile {
                    disturb(&socket, client, &answer, &former);
                }
                former = answer;
                answer[40..48].copy_from_slice(&ntp_time(behaviour.lie_ns));
                thread::sleep(behaviour.back);
                socket.send_to(&answer, client).unwrap();
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    fn target(&self) -> HostPort {
        self.address.to_string().parse().unwrap()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

fn ntp_time(lie_ns: i64) -> [u8; 8] {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i128;
    let since_1900 = unix + i128::from(lie_ns) + 2_208_988_800 * 1_000_000_000;
    (((since_1900 << 32) / 1_000_000_000) as u64).to_be_bytes()
}

fn answer(request: &[u8], lie_ns: i64) -> [u8; 48] {
    let mut answer = [0; 48];
    // No leap second, version 4, mode 4; stratum 1; precision 2^-20 s; no root delay or dispersion.
    answer[..4].copy_from_slice(&[0x24, 1, 6, 0xec]);
    answer[12..16].copy_from_slice(b"LIE\0");
    answer[16..24].copy_from_slice(&ntp_time(lie_ns));
    answer[24..32].copy_from_slice(&request[40..48]);
    answer[32..40].copy_from_slice(&ntp_time(lie_ns));
    answer[40..48].copy_from_slice(&ntp_time(lie_ns));
    answer
}

/// Sends what is no answer: rubbish, cut, too long, to another request, to an earlier one, from
/// elsewhere. The last two would be 1,000 s off if they were believed.
fn disturb(socket: &UdpSocket, client: SocketAddr, answer: &[u8; 48], former: &[u8; 48]) {
    let mut foreign = *answer;
    foreign[24] ^= 1;
    let mut elsewhere = *answer;
    elsewhere[32..40].copy_from_slice(&ntp_time(1_000_000_000_000));
    elsewhere[40..48].copy_from_slice(&ntp_time(1_000_000_000_000));
    for octets in [&[0xa5; 48][..], &answer[..47], &[0x24; 3_000], &foreign, former] {
        socket.send_to(octets, client).unwrap();
    }
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&elsewhere, client).unwrap();
}

/// The port of each request to a server that answers every second one.
fn ports_of_requests(socket: &UdpSocket, count: usize) -> Vec<u16> {
    let mut request = [0; 256];
    let mut ports = Vec::new();
    while ports.len() < count {
        let (_, client) = socket.recv_from(&mut request).unwrap();
        ports.push(client.port());
        if ports.len() % 2 == 0 {
            socket.send_to(&answer(&request, 0), client).unwrap();
        }
    }
    ports
}

fn agent(sources: &[String], listen: &[SocketAddr]) -> Result<Agent, StartError> {
    let sources = sources.iter().map(|text| source(text).unwrap()).collect();
    let server_listen = listen.to_vec();
    let config = AgentConfig { sources, server_listen, ..AgentConfig::default() };
    Agent::start(config, AgentOptions::default())
}

fn wait_for(agent: &Agent, what: &str, holds: impl Fn(&Status) -> bool) -> Arc<Status> {
    let begun = Instant::now();
    loop {
        let status = agent.status().read();
        if holds(&status) {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never {what}: {status:#?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The lies, with a delay on the way there or back that the other way does not have.
fn liars() -> [(Behaviour, Duration); 2] {
    let delay = Duration::from_millis(30);
    [
        (Behaviour { lie_ns: 77_000_000, there: delay, ..Behaviour::default() }, delay),
        (Behaviour { lie_ns: -1_500_000_000, back: delay, ..Behaviour::default() }, delay),
    ]
}

#[test]
fn a_lie_is_told_with_its_sign_within_half_the_delay() {
    for (behaviour, delay) in liars() {
        let responder = Responder::start(behaviour);
        let agent = agent(&[responder.address.to_string()], &[]).unwrap();
        let status = wait_for(&agent, "measured", |status| status.clock.offset_ns.is_some());
        let source = &status.sources[0];
        let error_ns = (source.offset_ns.unwrap() - behaviour.lie_ns).abs();
        let half_delay_ns = source.delay_ns.unwrap() / 2;
        assert!(error_ns <= half_delay_ns, "{error_ns} ns off, delay {source:?}");
        assert!(half_delay_ns * 2 >= delay.as_nanos() as i64, "{source:?}");
        // What the lie is to true time, the bound must hold: the promise is about the source's
        // word.
        let off_ns = (status.clock.offset_ns.unwrap() - behaviour.lie_ns).abs();
        let bound_ns = status.clock.bound_ns.unwrap();
        assert!(off_ns <= bound_ns, "{off_ns} ns off, promised {bound_ns}");
        assert_eq!(source.reference_id, "LIE");
        agent.shutdown();
    }
}

#[test]
fn a_query_tells_the_lies_of_several_servers_at_once() {
    let liars = liars().map(|(behaviour, _)| (behaviour, Responder::start(behaviour)));
    let targets: Vec<_> = liars.iter().map(|(_, responder)| responder.target()).collect();
    let results = query(&targets, None, Duration::from_secs(5));
    for ((behaviour, _), result) in liars.iter().zip(results) {
        let answer = result.outcome.unwrap();
        let error_ns = (answer.offset.as_nanos() - behaviour.lie_ns).abs();
        assert!(error_ns <= answer.delay.as_nanos() / 2, "{error_ns} ns off: {answer:?}");
        assert!(answer.delay.as_millis() >= 30, "{answer:?}");
    }
}

#[test]
fn hostile_datagrams_are_counted_and_change_nothing() {
    let lie_ns = 77_000_000;
    let hostile = Behaviour { lie_ns, hostile: true, ..Behaviour::default() };
    let responder = Responder::start(hostile);
    let agent = agent(&[responder.address.to_string()], &[]).unwrap();
    let status = wait_for(&agent, "answered twice", |s| s.counters.received >= 2);
    // What comes from elsewhere the kernel keeps away; the other five are seen and refused.
    assert!(status.counters.rejected >= 10, "{:?}", status.counters);
    let source = &status.sources[0];
    assert!((source.offset_ns.unwrap() - lie_ns).abs() <= source.delay_ns.unwrap() / 2);
    // A busy machine makes the bound wider, and no promise wrong.
    let off_ns = (status.clock.offset_ns.unwrap() - lie_ns).abs();
    assert!(off_ns <= status.clock.bound_ns.unwrap(), "{:?}", status.clock);
    let answer =
        query(&[responder.target()], None, Duration::from_secs(5)).remove(0).outcome.unwrap();
    assert!((answer.offset.as_nanos() - lie_ns).abs() <= answer.delay.as_nanos() / 2, "{answer:?}");
    agent.shutdown();
}

#[test]
fn every_request_leaves_from_another_port() {
    // RFC 9109: whoever does not see our traffic must not be able to guess where to send a forgery.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let poll = PollRange { min: -4, max: -4 };
    let quick = SourceConfig { poll, ..source(&socket.local_addr().unwrap().to_string()).unwrap() };
    let config = AgentConfig { sources: vec![quick], ..AgentConfig::default() };
    let agent = Agent::start(config, AgentOptions::default()).unwrap();
    let ports = ports_of_requests(&socket, 8);
    agent.shutdown();
    let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
    // By chance the kernel may choose one of 28,000 twice, but hardly more.
    assert!(distinct.len() >= 7, "{ports:?}");
}

#[test]
fn a_name_that_does_not_resolve_is_told_and_the_rest_works() {
    let responder = Responder::start(Behaviour::default());
    let sources = ["timeball-test.invalid".to_owned(), responder.address.to_string()];
    let agent = agent(&sources, &[]).unwrap();
    let status = wait_for(&agent, "measured and told", |status| {
        status.sources.get(1).is_some_and(|s| s.offset_ns.is_some())
            && status.notices.iter().any(|notice| notice.reason == "ServerNotResolved")
    });
    let problem = status.sources[0].problem.clone().unwrap();
    assert!(problem.contains("timeball-test.invalid"), "{problem}");
    agent.shutdown();
    let target = "timeball-test.invalid".parse().unwrap();
    let result = query(&[target], None, Duration::from_secs(10)).remove(0);
    assert!(matches!(result.outcome, Err(QueryError::Resolve(_))), "{result:?}");
}

#[test]
fn a_port_where_nobody_listens_is_told_at_once() {
    let unused = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = unused.to_string().parse().unwrap();
    let result = query(&[target], None, Duration::from_secs(5)).remove(0);
    assert!(matches!(result.outcome, Err(QueryError::Refused { .. })), "{result:?}");
    let agent = agent(&[unused.to_string()], &[]).unwrap();
    let status = wait_for(&agent, "refused", |s| s.sources.iter().any(|s| s.problem.is_some()));
    assert!(status.sources[0].problem.as_ref().unwrap().contains("refused"), "{status:?}");
    agent.shutdown();
}

#[test]
fn a_port_in_use_is_refused_by_name_and_freed_at_the_end() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = agent(&[], &[address]).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("another port"), "{error}");
    drop(taken);
    agent(&[], &[address]).unwrap().shutdown();
    UdpSocket::bind(address).unwrap();
}

#[test]
fn the_server_answers_a_client_made_by_hand_with_the_estimate() {
    let lie_ns = -1_500_000_000;
    let responder = Responder::start(Behaviour { lie_ns, ..Behaviour::default() });
    let listen = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let agent = agent(&[responder.address.to_string()], &listen).unwrap();
    wait_for(&agent, "synchronized", |status| status.clock.state == "synchronized");
    for &server in agent.server_addresses() {
        let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let client = UdpSocket::bind(any).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut request = [0; 48];
        request[0] = 0x23;
        request[40..48].copy_from_slice(b"by hand!");
        client.send_to(&request, server).unwrap();
        let mut answer = [0; 64];
        let (length, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!((length, from), (48, server));
        assert_eq!((answer[0], answer[1]), (0x24, 2), "leap 0, version 4, mode 4, stratum 2");
        assert_eq!(&answer[24..32], b"by hand!");
        let told = u64::from_be_bytes(answer[40..48].try_into().unwrap());
        let truth = u64::from_be_bytes(ntp_time(lie_ns));
        let off_s = (i128::from(told) - i128::from(truth)) as f64 / (1_u64 << 32) as f64;
        assert!(off_s.abs() < 0.05, "the server is {off_s} s off what its source says");
    }
    let status =
        wait_for(&agent, "counted", |s| s.server.as_ref().is_some_and(|s| s.answered >= 2));
    assert_eq!(status.mode, "observe");
    agent.shutdown();
}

/// An address of this machine, with a port that nobody has now.
fn free_port(address: &str) -> SocketAddr {
    UdpSocket::bind(address).unwrap().local_addr().unwrap()
}

#[test]
fn of_two_agents_that_ask_each_other_the_one_that_is_followed_does_not_believe_its_echo() {
    let responder = Responder::start(Behaviour::default());
    let (port, b_at) = (free_port("0.0.0.0:0").port(), free_port("127.0.0.1:0"));
    // Where the first one is reached it is told by nobody but by the requests that come in.
    let a_at = SocketAddr::from(([127, 0, 0, 2], port));
    let poll = PollRange { min: -2, max: -2 };
    let asking = |servers: &[SocketAddr], listen: SocketAddr| {
        let quick = |at: &SocketAddr| SourceConfig { poll, ..source(&at.to_string()).unwrap() };
        let sources = servers.iter().map(quick).collect();
        let config = AgentConfig { sources, server_listen: vec![listen], ..AgentConfig::default() };
        Agent::start(config, AgentOptions::default()).unwrap()
    };
    let a = asking(&[responder.address, b_at, a_at], SocketAddr::from(([0, 0, 0, 0], port)));
    let b = asking(&[a_at], b_at);
    let told = wait_for(&b, "synchronized", |status| status.clock.state == "synchronized");
    assert_eq!((told.clock.stratum, told.clock.reference_id.as_str()), (3, "127.0.0.2"));
    let told = wait_for(&a, "aware of both", |status| {
        let rejects = |i: usize, why| status.sources[i].rejections.contains_key(why);
        status.sources.len() == 3 && rejects(1, "follows-us") && rejects(2, "ourselves")
    });
    let [first, echo, own] = &told.sources[..] else { panic!("three sources") };
    assert_eq!((told.clock.stratum, first.selection.as_str()), (2, "chief"));
    for (source, why) in [(echo, "it follows us: 127.0.0.2"), (own, "our own server")] {
        assert_eq!(source.selection, "unfit", "{source:?}");
        assert!(source.problem.as_ref().is_some_and(|p| p.contains(why)), "{source:?}");
    }
    a.shutdown();
    b.shutdown();
}
