use super::super::{Errand, Order, Posts};
use super::*;
use crate::store::JournalError;
use crate::targets::couriers::Couriers;
use crate::targets::{Ended, Report, ScheduleName, TargetLimits, armed};
use crate::timer::Release;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;
use timeball_api::targets::NatsTarget;
use timeball_schedule::planner::{ArmedFire, ClockPolicy, OnExceeded};
use timeball_schedule::{FireId, Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

mod session;
mod trouble;

const PATIENCE: Duration = Duration::from_secs(20);
const INFO: &str = "INFO {\"headers\":true,\"max_payload\":1048576}\r\n";
const ACKNOWLEDGED: &str = "{\"stream\":\"S\",\"seq\":1}";

struct House {
    couriers: Couriers,
    posts: Posts,
    begun: Receiver<FireId>,
    ended: Receiver<Ended>,
}

struct Book(Sender<FireId>, Sender<Ended>);

impl Report for Book {
    fn begin(&self, fire: FireId) -> Result<(), JournalError> {
        self.0.send(fire).unwrap();
        Ok(())
    }

    fn end(&self, ended: Ended) {
        self.1.send(ended).unwrap();
    }
}

impl House {
    fn new() -> Self {
        Self::with_limits(TargetLimits::default())
    }

    fn with_limits(limits: TargetLimits) -> Self {
        let ((begins, begun), (ends, ended)) = (mpsc::channel(), mpsc::channel());
        let couriers = Couriers::start(limits, Arc::new(Book(begins, ends))).unwrap();
        Self { couriers, posts: Posts::default(), begun, ended }
    }

    fn prepare_in(&self, second: i64, due_in: Span, form: &str) -> Release {
        self.prepare(&armed(fire(second)), due_in, form)
    }

    fn prepare(&self, armed: &ArmedFire, due_in: Span, form: &str) -> Release {
        let form: NatsTarget = serde_saphyr::from_str(form).unwrap();
        let errand = Errand::Nats(Arc::new(Order::<Nats>::parse(&form).unwrap()));
        let name = ScheduleName { namespace: "default".to_owned(), name: "flush".to_owned() };
        self.posts.prepare(&self.couriers, armed, due_in, &name, &errand)
    }

    /// Fires now; returns how it ended.
    fn fire(&self, second: i64, form: &str) -> Ended {
        self.prepare_in(second, Span::ZERO, form)();
        self.end()
    }

    fn end(&self) -> Ended {
        self.ended.recv_timeout(PATIENCE).unwrap()
    }
}

fn fire(second: i64) -> FireId {
    let scheduled_at = Timestamp::from_unix(1_795_000_000 + second, 250_000_000);
    FireId { schedule: ScheduleUid([7; 16]), scheduled_at }
}

fn form(port: u16, rest: &str) -> String {
    format!("{{ servers: ['nats://127.0.0.1:{port}'], subject: fires.a, timeoutSeconds: 2{rest} }}")
}

/// A message as a server reads it.
#[derive(Clone)]
struct Published {
    /// Of which connection, counted from zero.
    connection: usize,
    reply: String,
    text: String,
}

/// A server that does with each message what `answer` says, and tells what it has read. It drops
/// the connection where that is `false`.
fn server(
    info: &'static str,
    answer: impl Fn(&Published, &mut TcpStream) -> bool + Clone + Send + 'static,
) -> (u16, Receiver<Published>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let (answer, sender, mut stream) = (answer.clone(), sender.clone(), stream.unwrap());
            std::thread::spawn(move || {
                stream.write_all(info.as_bytes()).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                serve(connection, &mut reader, &mut stream, &answer, &sender);
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (port, heard)
}

fn serve<W: Write>(
    connection: usize,
    reader: &mut impl BufRead,
    stream: &mut W,
    answer: &impl Fn(&Published, &mut W) -> bool,
    heard: &Sender<Published>,
) {
    let mut line = String::new();
    while matches!(reader.read_line(&mut line), Ok(n) if n > 0) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["PING"] => stream.write_all(b"PONG\r\n").unwrap(),
            ["HPUB", "fires.a", reply, _, octets] => {
                let mut octets = vec![0; octets.parse::<usize>().unwrap() + 2];
                if reader.read_exact(&mut octets).is_err() {
                    return;
                }
                let text = String::from_utf8(octets).unwrap();
                let published = Published { connection, reply: (*reply).to_owned(), text };
                if heard.send(published.clone()).is_err() || !answer(&published, stream) {
                    return;
                }
            }
            [first, ..] => assert!(["CONNECT", "SUB", "PONG"].contains(first), "{line}"),
            [] => panic!("an empty line"),
        }
        line.clear();
    }
}

/// Sends an answer to a message.
fn reply(published: &Published, stream: &mut impl Write, body: &str) -> bool {
    let text = format!("MSG {} 1 {}\r\n{body}\r\n", published.reply, body.len());
    stream.write_all(text.as_bytes()).is_ok()
}

fn taking() -> (u16, Receiver<Published>) {
    server(INFO, |published, stream| reply(published, stream, ACKNOWLEDGED))
}

#[test]
fn a_message_says_which_fire_it_is_and_is_done_when_the_stream_has_it() {
    let (port, heard) = taking();
    let house = House::new();
    let end = house.fire(0, &form(port, ", headers: [{ name: X-A, value: b }], body: hello"));
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
    let text = heard.recv_timeout(PATIENCE).unwrap().text;
    let key = "07070707-0707-0707-0707-070707070707.1795000000250000";
    for line in [
        "NATS/1.0",
        &format!("Nats-Msg-Id: {key}"),
        &format!("ce-id: {key}"),
        "ce-source: /timeball/default/flush",
        "X-A: b",
        "",
        "hello",
    ] {
        assert!(text.split("\r\n").any(|found| found == line), "{line} is missing in {text}");
    }
}

#[test]
fn messages_share_a_connection_and_one_that_is_revoked_is_never_sent() {
    let (port, heard) = taking();
    let house = House::new();
    let due_in = Span::from_millis(60);
    for second in 0..4 {
        let release = house.prepare_in(second, due_in, &form(port, ""));
        std::thread::sleep(Duration::from_millis(100));
        assert!(heard.try_recv().is_err(), "nothing is sent before the release");
        if second == 1 {
            drop(release);
            continue;
        }
        release();
        assert_eq!(house.end().outcome, Outcome::Fired);
        let published = heard.recv_timeout(PATIENCE).unwrap();
        assert!(published.text.contains(&fire(second).to_string()), "{}", published.text);
        assert_eq!(published.connection, 0);
    }
}

#[test]
fn whatever_a_server_answers_has_its_reason() {
    let refusing = "{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum \
        messages exceeded\"},\"stream\":\"S\",\"seq\":0}";
    let duplicate = "{\"stream\":\"S\",\"seq\":1,\"duplicate\":true}";
    let permissions = "-ERR 'Permissions Violation for Publish to \"fires.a\"'\r\n";
    let fatal = "-ERR 'Maximum Payload Violation'\r\n";
    let refused = Outcome::Failed(Reason::Refused);
    let lost = Outcome::Failed(Reason::Unreachable);
    let late = Outcome::Failed(Reason::TimedOut);
    for (text, body, outcome, said) in [
        ("", duplicate, Outcome::Fired, ""),
        ("", refusing, refused, "the stream refused it: maximum messages exceeded (503, 10077)"),
        (
            "",
            "hello",
            late,
            "is not known (it was answered by something that is no stream: `hello`",
        ),
        ("", "{\"error\":{\"text\":\"no\"}}", late, "by something that is no stream: `{\"error\""),
        ("", "", late, "by something that is no stream: ``"),
        (permissions, "", refused, "Permissions Violation for Publish"),
        (fatal, "", lost, "is not known: Maximum Payload Violation"),
        ("HTTP/1.1 400 Bad Request\r\n", "", lost, "it says the line `HTTP/1.1 400 Bad Request`"),
    ] {
        let (port, _heard) = server(INFO, move |published, stream| match text {
            "" => reply(published, stream, body),
            text => stream.write_all(text.as_bytes()).is_ok(),
        });
        let end = House::new().fire(0, &form(port, ""));
        assert_eq!(end.outcome, outcome, "{text}{body}: {}", end.message);
        assert!(end.message.contains(said), "{}", end.message);
    }
}

#[test]
fn a_subject_without_a_stream_is_refused_and_the_connection_is_kept() {
    let (port, heard) = server(INFO, |published, stream| {
        let reply = &published.reply;
        let text = format!("HMSG {reply} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
        stream.write_all(text.as_bytes()).is_ok()
    });
    let house = House::new();
    for second in 0..2 {
        let end = house.fire(second, &form(port, ""));
        assert_eq!(end.outcome, Outcome::Failed(Reason::Refused));
        assert!(end.message.contains("no stream found that takes `fires.a`"), "{}", end.message);
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap().connection, 0);
    }
}

#[test]
fn a_message_that_is_longer_than_the_server_takes_is_not_sent() {
    let info = "INFO {\"headers\":true,\"max_payload\":500}\r\n";
    let (port, heard) = server(info, |_, _| false);
    let house = House::new();
    let end = house.fire(0, &form(port, &format!(", body: '{}'", "x".repeat(500))));
    assert_eq!(end.outcome, Outcome::Failed(Reason::Refused), "{}", end.message);
    assert!(end.message.contains("the server's max_payload is 500"), "{}", end.message);
    assert!(heard.try_recv().is_err());
}

#[test]
fn an_acknowledgement_that_is_lost_is_said_and_a_repeat_has_the_same_key() {
    // Of the first nothing is said, after the second the connection is closed; then all is well.
    let count = Arc::new(AtomicUsize::new(0));
    let (port, heard) =
        server(INFO, move |published, stream| match count.fetch_add(1, Ordering::Relaxed) {
            0 => true,
            1 => false,
            _ => reply(published, stream, ACKNOWLEDGED),
        });
    let house = House::new();
    let end = house.fire(0, &form(port, ""));
    assert_eq!(end.outcome, Outcome::Failed(Reason::TimedOut));
    assert!(end.message.contains("whether the broker has it is not known"), "{}", end.message);
    let end = house.fire(1, &form(port, ""));
    assert_eq!(end.outcome, Outcome::Failed(Reason::Unreachable));
    assert!(end.message.contains("not known: the server closed the connection"), "{}", end.message);
    let end = house.fire(2, &form(port, ""));
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
    let sent: Vec<Published> = heard.try_iter().collect();
    // One over which no answer came is not used again, nor is one that was closed.
    assert_eq!(sent.iter().map(|sent| sent.connection).collect::<Vec<_>>(), [0, 1, 2]);

    let (port, heard) = server(INFO, |published, stream| {
        published.connection > 0 && reply(published, stream, ACKNOWLEDGED)
    });
    let end = house.fire(3, &form(port, ", retries: { limit: 1 }"));
    assert_eq!(end.outcome, Outcome::Fired, "{}", end.message);
    let sent: Vec<String> = heard.try_iter().map(|sent| sent.text).collect();
    assert!(sent.len() == 2 && sent[0] == sent[1], "{sent:?}");
}

#[test]
fn a_server_that_goes_away_before_the_instant_costs_no_message_and_repeats_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (accepted, connections) = mpsc::channel();
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let (mut stream, sender) = (stream.unwrap(), sender.clone());
            accepted.send(stream.try_clone().unwrap()).unwrap();
            std::thread::spawn(move || {
                stream.write_all(INFO.as_bytes()).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let answer =
                    |sent: &Published, stream: &mut TcpStream| reply(sent, stream, ACKNOWLEDGED);
                serve(n, &mut reader, &mut stream, &answer, &sender);
            });
        }
    });
    let house = House::new();
    let release = house.prepare_in(0, Span::from_millis(50), &form(port, ""));
    let first = connections.recv_timeout(PATIENCE).unwrap();
    // Long enough for the message to lie ready, and not needed for anything else.
    std::thread::sleep(Duration::from_millis(100));
    first.shutdown(std::net::Shutdown::Both).unwrap();
    connections.recv_timeout(PATIENCE).expect("another connection before the release");
    assert!(heard.try_recv().is_err(), "nothing is sent before the release");
    release();
    let end = house.end();
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
    assert!(heard.recv_timeout(PATIENCE).unwrap().connection > 0);
    assert!(heard.try_recv().is_err(), "once");
}

#[test]
fn the_next_server_is_asked_where_one_is_not_there_or_will_not_have_us() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (refusing, _) = server("-ERR 'Authorization Violation'\r\n", |_, _| false);
    let (old, _) = server("INFO {\"headers\":false}\r\n", |_, _| false);
    let (other, _) = server("220 smtp ready\r\n", |_, _| false);
    let (port, heard) = taking();
    let servers = |ports: &[u16]| {
        let urls: Vec<String> = ports.iter().map(|p| format!("'nats://127.0.0.1:{p}'")).collect();
        format!("{{ servers: [{}], subject: fires.a }}", urls.join(","))
    };
    let house = House::new();
    let end = house.fire(0, &servers(&[nobody, refusing, old, other, port]));
    assert_eq!(end.outcome, Outcome::Fired, "{}", end.message);
    heard.recv_timeout(PATIENCE).unwrap();
    let end = house.fire(1, &servers(&[nobody, refusing, old, other]));
    assert_eq!(end.outcome, Outcome::Failed(Reason::Unreachable));
    for said in ["refused", "Authorization Violation", "2.2 or later", "`220 smtp ready`"] {
        assert!(end.message.contains(said), "{said} is not in {}", end.message);
    }
    let secure = format!("{{ servers: ['tls://127.0.0.1:{port}'], subject: fires.a }}");
    let end = house.fire(2, &secure);
    assert!(end.message.contains("the server does not offer TLS"), "{}", end.message);
}

#[test]
fn a_server_that_is_about_to_leave_gets_no_further_message() {
    let (port, heard) = server(INFO, |published, stream| {
        let leaving = "INFO {\"headers\":true,\"max_payload\":1048576,\"ldm\":true}\r\n";
        let told = published.connection > 0 || stream.write_all(leaving.as_bytes()).is_ok();
        told && reply(published, stream, ACKNOWLEDGED)
    });
    let house = House::new();
    for second in 0..2 {
        assert_eq!(house.fire(second, &form(port, "")).outcome, Outcome::Fired);
        let published = heard.recv_timeout(PATIENCE).unwrap();
        assert_eq!(published.connection, usize::try_from(second).unwrap());
    }
}

#[test]
fn more_messages_than_may_be_under_way_are_not_sent_although_they_lie_ready() {
    let (port, heard) = server(INFO, |_, _| true);
    let house = House::with_limits(TargetLimits { messages_max: 1, ..TargetLimits::default() });
    let form = form(port, "");
    let due_in = Span::from_millis(60);
    let releases = [house.prepare_in(0, due_in, &form), house.prepare_in(1, due_in, &form)];
    std::thread::sleep(Duration::from_millis(100));
    releases.into_iter().for_each(|release| release());
    let said = [house.end().message, house.end().message];
    assert_eq!(said[0], "1 messages are under way; this one was not sent");
    assert!(said[1].contains("no confirmation within 2 s"), "{}", said[1]);
    heard.recv_timeout(PATIENCE).unwrap();
    assert!(heard.try_recv().is_err(), "the other one was not sent");
    // The place of one that has ended is free.
    let release = house.prepare_in(2, Span::ZERO, &form);
    release();
    heard.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn fires_that_wait_for_a_better_clock_take_no_place_from_others_and_have_not_begun() {
    let (port, heard) = taking();
    let (house, form, due_in) = (House::new(), form(port, ""), Span::from_millis(300));
    let clock = ClockPolicy {
        max_error: Some(Span::from_millis(1)),
        on_exceeded: OnExceeded::Delay,
        ..ClockPolicy::default()
    };
    let waiting = i64::try_from(TargetLimits::default().messages_max).unwrap();
    let prepare =
        |second| house.prepare(&ArmedFire { clock, ..armed(fire(second)) }, due_in, &form);
    let releases: Vec<Release> = (0..waiting).map(prepare).collect();
    let other = house.prepare_in(waiting, due_in, &form);
    std::thread::sleep(Duration::from_millis(400));
    other();
    let end = house.end();
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
    assert_eq!(house.begun.try_iter().collect::<Vec<_>>(), [fire(waiting)]);
    assert!(heard.recv_timeout(PATIENCE).unwrap().text.contains(&fire(waiting).to_string()));
    for release in releases {
        release();
        assert_eq!(house.end().outcome, Outcome::Fired);
    }
    assert_eq!(heard.try_iter().count(), house.begun.try_iter().count());
}

#[test]
fn a_message_that_is_not_released_leaves_its_place_to_others_and_is_sent_once_it_is() {
    let (port, heard) = taking();
    let house = House::with_limits(TargetLimits { messages_max: 1, ..TargetLimits::default() });
    let waiting = house.prepare_in(0, Span::from_millis(50), &form(port, ""));
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(house.fire(1, &form(port, "")).outcome, Outcome::Fired);
    assert!(heard.recv_timeout(PATIENCE).unwrap().text.contains(&fire(1).to_string()));
    waiting();
    assert_eq!(house.end().outcome, Outcome::Fired);
    assert!(heard.recv_timeout(PATIENCE).unwrap().text.contains(&fire(0).to_string()));
    // It was noted when it lay ready, and not again.
    assert_eq!(house.begun.try_iter().collect::<Vec<_>>(), [fire(0), fire(1)]);
}
