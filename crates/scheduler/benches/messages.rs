//! When the first octet of a message reaches its receiver after T: the real firing thread and
//! targets beside a bare thread that sleeps to T and writes to an open connection to the same
//! receiver.
//!
//! Once in the usual scheduling class and, where this process may, once with the receiver and
//! whoever sends at T in SCHED_FIFO; other threads of the target are in the usual class then too.
//! In each round every way has its turn, in random order. The bare thread appears twice for each
//! receiver (A/A): what differs between its two rows is noise. Ratios are those to the bare thread
//! in the same round; how sure their median is, and what that says of the target, stands with them.
//! It fails where that is not held, where a message left before its instant, and where one failed.
//! `cargo xtask bench messages --help` names the arguments.
#![allow(clippy::print_stdout)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use timeball_runtime::read_clocks;
use timeball_scheduler::bench_support::{
    Bars, FiringThread, Messenger, Rounds, Verdict, percentile, shuffled,
};
use timeball_timebase::{Span, Timestamp};

const FIRES_PER_ROUND: usize = 100;
/// Further apart than a message takes, and no multiple of a timer's period. Half a second before an
/// instant, when a broker is asked whether it is there, is in the middle between two others: what
/// has just read something is quicker to read again.
const APART: Span = Span::from_micros(24_400);
const FIRST: Span = Span::from_millis(700);
/// Of whoever sends, and of who receives, which is to be disturbed by nobody.
const SENDER: u8 = 50;
const RECEIVER: u8 = 60;
/// What is asked of the target's median, over the bare thread's.
const RATIO_MAX: f64 = 1.3;
const WAYS: [&str; 3] = ["bare thread (A)", "bare thread (A again)", "target"];

/// Somebody who notes when a message begins to arrive.
struct Server {
    name: String,
    /// Whether receiver and sender are in SCHED_FIFO.
    real_time: bool,
    port: u16,
    arrivals: Receiver<Timestamp>,
    /// What a bare client says first, and what it sends at T.
    greeting: &'static [u8],
    message: Vec<u8>,
    target: Messenger,
}

/// What was measured of one way.
#[derive(Default)]
struct Seen {
    late: Rounds,
    /// Rounds without values: with fewer or more messages than instants, nobody can say which
    /// message belongs to which instant.
    spoilt: usize,
    /// Messages that were there before their instants, at least.
    early: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name)?;
        arguments.get(position + 1)
    };
    let rounds = value("--rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let only = value("--only");
    let mut servers = servers();
    servers.retain(|server| only.is_none_or(|only| server.name == *only));
    let ways = servers.len() * WAYS.len();
    let mut seen: Vec<Seen> = std::iter::repeat_with(Seen::default).take(ways).collect();
    let mut failed = Vec::new();
    let mut seed = read_clocks().system.as_unix_nanos().unsigned_abs();
    for _ in 0..rounds {
        for way in shuffled(ways, &mut seed) {
            let server = &servers[way / WAYS.len()];
            let start = read_clocks().system + FIRST;
            let instants: Vec<Timestamp> =
                (0..FIRES_PER_ROUND).map(|n| start + APART * n as i64).collect();
            while server.arrivals.try_recv().is_ok() {}
            match way % WAYS.len() {
                0 | 1 => bare(server, &instants),
                _ => failed.extend(server.target.send(&instants)),
            }
            std::thread::sleep(Duration::from_millis(50));
            seen[way].note(&server.arrivals, &instants);
        }
    }
    let mut bars = report(&servers, &seen);
    failed.dedup();
    for message in failed {
        println!("{}", bars.note(Verdict::NotHeld, format_args!("a message failed: {message}")));
    }
    bars.exit()
}

impl Seen {
    fn note(&mut self, arrivals: &Receiver<Timestamp>, instants: &[Timestamp]) {
        let arrived: Vec<Timestamp> = arrivals.try_iter().collect();
        // In order, and not by the nearest instant: a message may be later than the next is due.
        let pairs = arrived.iter().zip(instants);
        let late: Vec<i64> = pairs.map(|(arrival, at)| (*arrival - *at).as_nanos()).collect();
        // Where some are missing, those that follow belong to instants that are later still.
        let early = late.iter().filter(|late| **late < 0).count();
        self.early += if arrived.len() <= instants.len() { early } else { 0 };
        let is_whole = arrived.len() == instants.len() && early == 0;
        self.spoilt += usize::from(!is_whole);
        self.late.push(if is_whole { late } else { Vec::new() });
    }
}

fn servers() -> Vec<Server> {
    let mut classes = vec![false];
    // Asked of a thread that ends, so that this one stays as it is.
    match std::thread::spawn(|| FiringThread::sleep_bare_in(Some(RECEIVER))).join() {
        Ok(Ok(())) => classes.push(true),
        refused => println!("rows of FIFO are left out: {refused:?}"),
    }
    let mut servers: Vec<Server> = classes.iter().map(|class| http_server(*class)).collect();
    servers.extend(classes.iter().map(|class| nats_server(*class)));
    servers
}

fn sender_class(real_time: bool) -> Option<u8> {
    real_time.then_some(SENDER)
}

/// A thread of its own with a slack of 1 ns, as the firing thread has, that sleeps and writes.
fn bare(server: &Server, instants: &[Timestamp]) {
    let (instants, message) = (instants.to_vec(), server.message.clone());
    let class = sender_class(server.real_time);
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
        FiringThread::sleep_bare_in(class).expect("it was allowed before");
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
    real_time: bool,
    serve_one: impl Fn(TcpStream, Sender<Timestamp>) + Copy + Send + 'static,
) -> (u16, Receiver<Timestamp>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is left");
    let port = listener.local_addr().expect("it is bound").port();
    let (arrived, arrivals) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let arrived = arrived.clone();
            stream.set_nodelay(true).expect("a TCP socket");
            std::thread::spawn(move || {
                let class = real_time.then_some(RECEIVER);
                FiringThread::sleep_bare_in(class).expect("it was allowed before");
                serve_one(stream, arrived);
            });
        }
    });
    (port, arrivals)
}

fn http_server(real_time: bool) -> Server {
    let (port, arrivals) = serve(real_time, |mut stream, arrived| {
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
    let form = format!("{{ url: 'http://127.0.0.1:{port}/' }}");
    let target = Messenger::http(&form, sender_class(real_time));
    let target = target.expect("the messenger can be started");
    let (name, message) = (name("http", real_time), message.into());
    Server { name, real_time, port, arrivals, greeting: b"", message, target }
}

fn name(of: &str, real_time: bool) -> String {
    if real_time { format!("FIFO: {of}") } else { of.to_owned() }
}

/// As much of a NATS server as a client needs that publishes to a stream.
fn nats_server(real_time: bool) -> Server {
    use std::io::{BufRead, BufReader};
    const INFO: &str = "INFO {\"server_id\":\"B\",\"version\":\"2.12.0\",\"go\":\"\",\"host\":\"127.0.0.1\",\
        \"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\"client_id\":1,\
        \"server_name\":\"b\",\"client_ip\":\"127.0.0.1\"}\r\n";
    let (port, arrivals) = serve(real_time, |mut stream, arrived| {
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
    let target = Messenger::nats(&form, sender_class(real_time));
    let target = target.expect("the messenger can be started");
    let (name, message) = (name("nats", real_time), message.into());
    let greeting = b"CONNECT {}\r\nPING\r\n";
    Server { name, real_time, port, arrivals, greeting, message, target }
}

fn report(servers: &[Server], seen: &[Seen]) -> Bars {
    println!(
        "| receiver | way | messages | rounds spoilt | p50 us | p99 us | p50 ratio | p99 ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let (mut bars, mut verdicts) = (Bars::default(), Vec::new());
    for (Server { name, .. }, seen) in servers.iter().zip(seen.chunks(WAYS.len())) {
        for (number, (way, Seen { late, spoilt, early })) in WAYS.iter().zip(seen).enumerate() {
            let others: Vec<&Rounds> =
                (0..2).filter(|bare| *bare != number).map(|bare| &seen[bare].late).collect();
            let ratios = [0.5, 0.99].map(|share| late.ratio(share, &others));
            let [p50_ratio, p99_ratio] =
                ratios.map(|ratio| ratio.map_or("".to_owned(), |ratio| ratio.to_string()));
            let sorted = late.sorted();
            let [p50, p99] =
                [0.5, 0.99].map(|share| percentile(&sorted, share).unwrap_or(f64::NAN) / 1_000.0);
            let n = sorted.len();
            println!(
                "| {name} | {way} | {n} | {spoilt} | {p50:.1} | {p99:.1} | {p50_ratio} | {p99_ratio} |"
            );
            if *early > 0 {
                let bar = format!("{name}, {way}: {early} messages left before their instants");
                verdicts.push(bars.note(Verdict::NotHeld, bar));
            }
            if number == 2
                && let Some(ratio) = ratios[0]
            {
                let bar = format!("{name}, p50, {ratio} of bare; at most {RATIO_MAX} is asked");
                verdicts.push(bars.note(ratio.verdict(RATIO_MAX), bar));
            }
        }
    }
    println!("\nratios: medians of the rounds', with intervals of 95 % confidence");
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    bars
}
