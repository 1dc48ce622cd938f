//! When the first octet of a message reaches its receiver after T: the real firing thread and
//! targets beside a bare thread that sleeps to T and writes to an open connection to the same
//! receiver.
//!
//! In each round every way has its turn, in random order. The bare thread appears twice for each
//! receiver (A/A): what differs between its two rows is noise.
//! `cargo bench -p timeball-scheduler --features brokers --bench messages [-- --rounds N]`
#![allow(clippy::print_stdout)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use timeball_runtime::read_clocks;
use timeball_scheduler::bench_support::{FiringThread, Messenger, shuffled};
use timeball_timebase::{Span, Timestamp};

const FIRES_PER_ROUND: usize = 40;
/// Further apart than a message takes, and no multiple of a timer's period.
const APART: Span = Span::from_micros(23_700);

/// Somebody who notes when a message begins to arrive.
struct Server {
    name: &'static str,
    port: u16,
    arrivals: Receiver<Timestamp>,
    /// What a bare client says first, and what it sends at T.
    greeting: &'static [u8],
    message: Vec<u8>,
    target: Messenger,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let position = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = position.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(10);
    let servers = servers();
    let ways = servers.len() * 3;
    let mut late: Vec<Vec<i64>> = vec![Vec::new(); ways];
    let mut lost = vec![0; ways];
    let mut failed = Vec::new();
    let mut seed = read_clocks().system.as_unix_nanos().unsigned_abs();
    for _ in 0..rounds {
        for way in shuffled(ways, &mut seed) {
            let server = &servers[way / 3];
            let start = read_clocks().system + Span::from_millis(700);
            let instants: Vec<Timestamp> =
                (0..FIRES_PER_ROUND).map(|n| start + APART * n as i64).collect();
            while server.arrivals.try_recv().is_ok() {}
            match way % 3 {
                0 | 1 => bare(server, &instants),
                _ => failed.extend(server.target.send(&instants)),
            }
            std::thread::sleep(Duration::from_millis(50));
            let arrived: Vec<Timestamp> = server.arrivals.try_iter().collect();
            for at in instants {
                let within = |arrival: &&Timestamp| **arrival >= at && **arrival < at + APART;
                match arrived.iter().find(within) {
                    Some(arrival) => late[way].push((*arrival - at).as_nanos()),
                    None => lost[way] += 1,
                }
            }
        }
    }
    report(&servers, &mut late, &lost);
    failed.dedup();
    for message in failed {
        println!("a message failed: {message}");
    }
}

fn servers() -> Vec<Server> {
    let mut servers = vec![http_server()];
    if cfg!(feature = "brokers") {
        servers.push(nats_server());
    }
    servers
}

/// A thread of its own with a slack of 1 ns, as the firing thread has, that sleeps and writes.
fn bare(server: &Server, instants: &[Timestamp]) {
    let (instants, message) = (instants.to_vec(), server.message.clone());
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.write_all(server.greeting).expect("the server reads");
    let mut answers = stream.try_clone().expect("a descriptor is left");
    let reader = std::thread::spawn(move || {
        let mut octets = [0; 4_096];
        while matches!(answers.read(&mut octets), Ok(n) if n > 0) {}
    });
    let thread = std::thread::spawn(move || {
        FiringThread::sleep_bare_prepare();
        for at in instants {
            FiringThread::sleep_bare(at);
            stream.write_all(&message).expect("the server reads");
        }
        std::thread::sleep(Duration::from_millis(20));
        stream.shutdown(std::net::Shutdown::Both).expect("it is open");
    });
    thread.join().expect("a sleeping thread does not panic");
    reader.join().expect("a reading thread does not panic");
}

/// Accepts connections, each with a thread of its own.
fn serve(
    serve_one: impl Fn(TcpStream, Sender<Timestamp>) + Copy + Send + 'static,
) -> (u16, Receiver<Timestamp>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is left");
    let port = listener.local_addr().expect("it is bound").port();
    let (arrived, arrivals) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let arrived = arrived.clone();
            stream.set_nodelay(true).expect("a TCP socket");
            std::thread::spawn(move || serve_one(stream, arrived));
        }
    });
    (port, arrivals)
}

fn http_server() -> Server {
    let (port, arrivals) = serve(|mut stream, arrived| {
        let mut octets = [0; 16_384];
        // A message of ours comes in one piece.
        while matches!(stream.read(&mut octets), Ok(n) if n > 0) {
            if arrived.send(read_clocks().system).is_err()
                || stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err()
            {
                return;
            }
        }
    });
    let head = format!("POST / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 200\r\n");
    let message = format!("{head}x-filling: {}\r\n\r\n{}", "x".repeat(250), "x".repeat(200));
    let target = Messenger::http(&format!("{{ url: 'http://127.0.0.1:{port}/' }}"));
    let target = target.expect("the messenger can be started");
    Server { name: "http", port, arrivals, greeting: b"", message: message.into(), target }
}

#[cfg(not(feature = "brokers"))]
fn nats_server() -> Server {
    unreachable!("only with brokers")
}

/// As much of a NATS server as a client needs that publishes to a stream.
#[cfg(feature = "brokers")]
fn nats_server() -> Server {
    use std::io::{BufRead, BufReader};
    const INFO: &str = "INFO {\"server_id\":\"B\",\"version\":\"2.12.0\",\"go\":\"\",\"host\":\"127.0.0.1\",\
        \"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\"client_id\":1,\
        \"server_name\":\"b\",\"client_ip\":\"127.0.0.1\"}\r\n";
    let (port, arrivals) = serve(|mut stream, arrived| {
        let _ = stream.write_all(INFO.as_bytes());
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor is left"));
        let mut inbox = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PING"] => drop(stream.write_all(b"PONG\r\n")),
                ["SUB", .., sid] => inbox = (*sid).to_owned(),
                ["HPUB", _, reply, _, octets] => {
                    if arrived.send(read_clocks().system).is_err() {
                        return;
                    }
                    let mut rest = vec![0; octets.parse::<usize>().unwrap_or(0) + 2];
                    if reader.read_exact(&mut rest).is_err() {
                        return;
                    }
                    let ack = "{\"stream\":\"S\",\"seq\":1}";
                    let text = format!("MSG {reply} {inbox} {}\r\n{ack}\r\n", ack.len());
                    let _ = stream.write_all(text.as_bytes());
                }
                _ => {}
            }
        }
    });
    let (head, body) =
        (format!("NATS/1.0\r\nfilling: {}\r\n\r\n", "x".repeat(250)), "x".repeat(200));
    let octets = head.len() + body.len();
    let message = format!("HPUB a reply {} {octets}\r\n{head}{body}\r\n", head.len());
    let form = format!("{{ servers: ['nats://127.0.0.1:{port}'], subject: a }}");
    let target = Messenger::nats(&form).expect("the messenger can be started");
    let greeting = b"CONNECT {}\r\nPING\r\n";
    Server { name: "nats", port, arrivals, greeting, message: message.into(), target }
}

fn report(servers: &[Server], late: &mut [Vec<i64>], lost: &[u32]) {
    println!("| receiver | way | messages | not seen | p50 us | p99 us | p50 ratio | p99 ratio |");
    println!("|---|---|---|---|---|---|---|---|");
    for (server, (late, lost)) in servers.iter().zip(late.chunks_mut(3).zip(lost.chunks(3))) {
        let mut base = (f64::NAN, f64::NAN);
        let ways = ["bare thread (A)", "bare thread (A again)", "target"];
        for ((way, late), lost) in ways.iter().zip(late).zip(lost) {
            late.sort_unstable();
            let last = late.len().saturating_sub(1) as f64;
            let at = |share: f64| match late.get((last * share) as usize) {
                Some(nanos) => *nanos as f64 / 1_000.0,
                None => f64::NAN,
            };
            let (n, p50, p99) = (late.len(), at(0.5), at(0.99));
            if base.0.is_nan() {
                base = (p50, p99);
            }
            let (a, b) = (p50 / base.0, p99 / base.1);
            let name = server.name;
            println!("| {name} | {way} | {n} | {lost} | {p50:.1} | {p99:.1} | {a:.2} | {b:.2} |");
        }
    }
}
