use super::*;
use crate::targets::{Ended, TargetLimits, armed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};

use timeball_api::targets::{HttpTarget, Retries};
use timeball_schedule::{FireId, Outcome, Reason, ScheduleUid};
use timeball_timebase::Timestamp;

const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    couriers: Couriers,
    client: Client,
    ended: Receiver<Ended>,
}

impl House {
    fn new() -> Self {
        Self::with_limits(TargetLimits::default())
    }

    fn with_limits(limits: TargetLimits) -> Self {
        let (sender, ended) = mpsc::channel();
        let report = Arc::new(move |ended: Ended| sender.send(ended).unwrap());
        let couriers = Couriers::start(limits, report).unwrap();
        Self { couriers, client: Client::default(), ended }
    }

    fn prepare_in(&self, second: i64, due_in: Span, form: &HttpTarget) -> Release {
        let name = ScheduleName { namespace: "default".to_owned(), name: "flush".to_owned() };
        let request = Arc::new(Request::parse(form).unwrap());
        self.client.prepare(&self.couriers, &armed(fire(second)), due_in, &name, &request)
    }

    fn prepare(&self, second: i64, form: &HttpTarget) -> Release {
        self.prepare_in(second, Span::ZERO, form)
    }

    fn end(&self) -> Ended {
        self.ended.recv_timeout(PATIENCE).unwrap()
    }
}

fn form(yaml: &str) -> HttpTarget {
    serde_saphyr::from_str(yaml).unwrap()
}

fn request(port: u16) -> HttpTarget {
    form(&format!("{{ url: 'http://127.0.0.1:{port}/hook?a=b', timeoutSeconds: 5 }}"))
}

fn fire(second: i64) -> FireId {
    let scheduled_at = Timestamp::from_unix(1_795_000_000 + second, 250_000_000);
    FireId { schedule: ScheduleUid([7; 16]), scheduled_at }
}

/// A server that does to each connection what `answer` says and tells what it has read.
fn server(
    answer: impl Fn(usize, &mut TcpStream, &Sender<String>) + Send + 'static,
) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            answer(n, &mut stream.unwrap(), &sender);
        }
    });
    (port, heard)
}

/// Reads one request; `None` where the connection ends.
fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        if reader.read_line(&mut text).ok()? == 0 {
            return None;
        }
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(text + std::str::from_utf8(&body).unwrap())
}

fn answer_all(stream: &mut TcpStream, heard: &Sender<String>, answer: &str) {
    while let Some(request) = read_request(stream) {
        if heard.send(request).is_err() || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn a_request_is_a_cloud_event_with_a_key() {
    let (port, heard) = server(|_, stream, heard| answer_all(stream, heard, OK));
    let house = House::new();
    house.prepare(0, &request(port))();
    let end = house.end();
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
    let text = heard.recv_timeout(PATIENCE).unwrap();
    assert!(text.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{text}");
    let key = "07070707-0707-0707-0707-070707070707.1795000000250000";
    for line in [
        &format!("idempotency-key: {key}"),
        &format!("ce-id: {key}"),
        "ce-specversion: 1.0",
        "ce-source: /timeball/default/flush",
        "ce-type: dev.timeball.fire.v1",
        "ce-time: 2026-11-18T11:06:40.250Z",
        "content-type: application/json",
        &format!("host: 127.0.0.1:{port}"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    let body: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(body["schedule"]["name"], "flush");
    assert_eq!(body["fireId"], key);
}

#[test]
fn a_connection_is_open_before_the_release_and_used_again() {
    let (accepted, connections) = mpsc::channel();
    let (port, heard) = server(move |n, stream, heard| {
        accepted.send(n).unwrap();
        answer_all(stream, heard, OK);
    });
    let house = House::new();
    for second in 0..3 {
        let release = house.prepare(second, &request(port));
        if second == 0 {
            connections.recv_timeout(PATIENCE).expect("a connection before the release");
        }
        assert!(heard.try_recv().is_err(), "nothing is sent before the release");
        std::thread::sleep(Duration::from_millis(20));
        release();
        assert_eq!(house.end().outcome, Outcome::Fired);
        heard.recv_timeout(PATIENCE).unwrap();
    }
    assert!(connections.try_recv().is_err(), "one connection is enough");
}

#[test]
fn a_revoked_request_is_never_sent() {
    let (port, heard) = server(|_, stream, heard| answer_all(stream, heard, OK));
    let house = House::new();
    drop(house.prepare(0, &request(port)));
    house.prepare(1, &request(port))();
    assert_eq!(house.end().fire, fire(1));
    assert!(heard.recv_timeout(PATIENCE).unwrap().contains(&fire(1).to_string()));
    assert!(heard.try_recv().is_err());
}

#[test]
fn whatever_a_server_does_wrong_has_its_reason() {
    let refusal = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 8\r\n\r\nno table";
    let (refusing, _heard) = server(move |_, stream, heard| answer_all(stream, heard, refusal));
    let (hanging, _hanging_heard) = server(|_, stream, _| {
        read_request(stream);
        std::thread::sleep(PATIENCE);
    });
    let (closing, _closing_heard) = server(|_, stream, _| drop(read_request(stream)));
    // A connection that is closed with something unread in it is reset.
    let (resetting, _resetting_heard) = server(|_, stream, _| drop(stream.peek(&mut [0])));
    let moved = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n";
    let (moving, _moving_heard) = server(move |_, stream, heard| answer_all(stream, heard, moved));
    let (gibbering, _) = server(|_, stream, _| {
        read_request(stream);
        stream.write_all(b"220 smtp ready\r\n").unwrap();
    });
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, reason, message) in [
        (refusing, Reason::Refused, "answered 500 Internal Server Error: no table"),
        (moving, Reason::Refused, "answered 302 Found: redirects are not followed"),
        (hanging, Reason::TimedOut, "no answer within 1 s; whether it arrived is not known"),
        (closing, Reason::Unreachable, "the connection broke before an answer came; "),
        (resetting, Reason::Unreachable, "the connection broke before an answer came; "),
        (gibbering, Reason::Unreachable, "the connection broke before an answer came; "),
        (nobody, Reason::Unreachable, "127.0.0.1:"),
    ] {
        let house = House::new();
        house.prepare(0, &HttpTarget { timeout_seconds: 1, ..request(port) })();
        let end = house.end();
        assert_eq!(end.outcome, Outcome::Failed(reason), "{}", end.message);
        assert!(end.message.starts_with(message), "{}", end.message);
    }
}

#[test]
fn a_server_with_which_no_connection_comes_about_in_time_has_got_nothing() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let house = House::new();
    let form = form(&format!("{{ url: 'https://localhost:{port}/', timeoutSeconds: 1 }}"));
    let said =
        format!("https://localhost:{port}/ was not reached within 1 s, so this try sent nothing");
    // So far away that nothing is made ready, and so near that this has begun.
    for (second, due_in) in [(0, Span::from_secs(60)), (1, Span::from_millis(300))] {
        let release = house.prepare_in(second, due_in, &form);
        std::thread::sleep(Duration::from_millis(200));
        release();
        let end = house.end();
        assert_eq!(end.outcome, Outcome::Failed(Reason::Unreachable));
        assert_eq!(end.message, said);
        assert!(end.duration < Span::from_secs(8), "a try takes no longer: {}", end.duration);
    }
}

#[test]
fn a_failure_is_tried_again_with_the_same_key_and_a_refusal_of_ours_is_not() {
    let (port, heard) = server(|n, stream, heard| match n {
        0 => drop(read_request(stream)),
        1 => answer_all(stream, heard, "HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\n"),
        _ => answer_all(stream, heard, OK),
    });
    let house = House::new();
    house.prepare(0, &HttpTarget { retries: Retries { limit: 3 }, ..request(port) })();
    let end = house.end();
    assert_eq!(end.outcome, Outcome::Fired, "{}", end.message);
    let key = fire(0).to_string();
    assert!(heard.iter().take(2).all(|text| text.contains(&key)));
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let (port, heard) = server(move |_, stream, heard| answer_all(stream, heard, answer));
    house.prepare(1, &HttpTarget { retries: Retries { limit: 3 }, ..request(port) })();
    let end = house.end();
    assert_eq!(
        (end.outcome, end.message.as_str()),
        (Outcome::Failed(Reason::Refused), "answered 404 Not Found")
    );
    assert_eq!(heard.try_iter().count(), 1);
}

#[test]
fn a_hanging_request_can_be_stopped() {
    let (port, _heard) = server(|_, stream, _| {
        read_request(stream);
        std::thread::sleep(PATIENCE);
    });
    let house = House::new();
    house.prepare(0, &request(port))();
    std::thread::sleep(Duration::from_millis(50));
    house.couriers.stop(fire(0), Reason::Replaced);
    let end = house.end();
    assert_eq!(end.outcome, Outcome::Failed(Reason::Replaced));
    assert!(end.duration < Span::from_secs(3));
}

#[test]
fn the_first_octet_leaves_with_the_release_and_not_before() {
    let (port, heard) = server(|_, stream, heard| {
        let mut first = [0];
        while matches!(stream.read(&mut first), Ok(1)) {
            heard.send(format!("{:?}", first[0])).unwrap();
            stream.set_nonblocking(false).unwrap();
            // The rest of the request, so that the next octet is one of the next request.
            let _ = read_request(stream);
            stream.write_all(OK.as_bytes()).unwrap();
        }
    });
    let house = House::new();
    for second in 0..3 {
        // Long enough ahead for the request to lie in the connection's latch.
        let release = house.prepare_in(second, Span::from_millis(100), &request(port));
        std::thread::sleep(Duration::from_millis(120));
        assert!(heard.try_recv().is_err(), "nothing before the release");
        release();
        assert_eq!(house.end().outcome, Outcome::Fired);
        heard.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn a_connection_that_is_closed_before_t_is_replaced_and_the_request_sent_once() {
    let (port, heard) = server(|n, stream, heard| {
        if n < 2 {
            // Longer than it takes until the request lies in the latch.
            std::thread::sleep(Duration::from_millis(60));
        } else {
            answer_all(stream, heard, OK);
        }
    });
    let house = House::new();
    let release = house.prepare_in(0, Span::from_millis(10), &request(port));
    std::thread::sleep(Duration::from_millis(400));
    release();
    let end = house.end();
    assert_eq!(end.outcome, Outcome::Fired, "{}", end.message);
    heard.recv_timeout(PATIENCE).unwrap();
    assert!(heard.try_recv().is_err(), "sent once");
}

#[test]
fn a_fire_that_is_revoked_while_it_lies_in_the_latch_is_never_sent() {
    let (port, heard) = server(|_, stream, heard| answer_all(stream, heard, OK));
    let house = House::new();
    let release = house.prepare_in(0, Span::from_millis(10), &request(port));
    std::thread::sleep(Duration::from_millis(100));
    drop(release);
    house.prepare(1, &request(port))();
    assert_eq!(house.end().fire, fire(1));
    assert!(heard.recv_timeout(PATIENCE).unwrap().contains(&fire(1).to_string()));
    assert!(heard.try_recv().is_err());
}

#[test]
fn a_request_that_finds_no_place_opens_no_connection_after_the_other_and_is_sent_where_one_is_free()
{
    let (accepted, connections) = mpsc::channel();
    let (port, heard) = server(move |n, stream, heard| {
        accepted.send(n).unwrap();
        let (mut stream, heard) = (stream.try_clone().unwrap(), heard.clone());
        std::thread::spawn(move || answer_all(&mut stream, &heard, OK));
    });
    let house = House::with_limits(TargetLimits { messages_max: 1, ..TargetLimits::default() });
    let due_in = Span::from_millis(50);
    let first = house.prepare_in(0, due_in, &request(port));
    let second = house.prepare_in(1, due_in, &request(port));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(connections.try_iter().count(), 2, "one for each");
    for (n, release) in [first, second].into_iter().enumerate() {
        release();
        assert_eq!(house.end().outcome, Outcome::Fired);
        assert!(heard.recv_timeout(PATIENCE).unwrap().contains(&fire(n as i64).to_string()));
    }
}

#[test]
fn a_request_that_is_not_released_leaves_its_place_to_others_and_is_sent_once_it_is() {
    let (port, heard) = server(|_, stream, heard| {
        let (mut stream, heard) = (stream.try_clone().unwrap(), heard.clone());
        std::thread::spawn(move || answer_all(&mut stream, &heard, OK));
    });
    let house = House::with_limits(TargetLimits { messages_max: 1, ..TargetLimits::default() });
    let waiting = house.prepare_in(0, Span::from_millis(50), &request(port));
    std::thread::sleep(Duration::from_millis(200));
    house.prepare(1, &request(port))();
    let end = house.end();
    assert_eq!(end.message, "1 messages are under way; this one was not sent");
    std::thread::sleep(Duration::from_millis(1_300));
    house.prepare(2, &request(port))();
    assert_eq!(house.end().outcome, Outcome::Fired);
    assert!(heard.recv_timeout(PATIENCE).unwrap().contains(&fire(2).to_string()));
    assert!(heard.try_recv().is_err(), "nothing before its release");
    waiting();
    assert_eq!(house.end().outcome, Outcome::Fired);
    assert!(heard.recv_timeout(PATIENCE).unwrap().contains(&fire(0).to_string()));
}

#[test]
fn credentials_are_read_anew_for_each_fire_and_never_shown() {
    let (port, heard) = server(|_, stream, heard| answer_all(stream, heard, OK));
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let house = House::new();
    let path = secret.display();
    for (n, (auth, header)) in [
        (format!("auth: {{ bearerTokenFile: '{path}' }}"), "authorization: Bearer s3cret-0"),
        (
            format!("auth: {{ username: ada, passwordFile: '{path}' }}"),
            "authorization: Basic YWRhOnMzY3JldC0x",
        ),
        (format!("headers: [{{ name: X-Key, valueFile: '{path}' }}]"), "x-key: s3cret-2"),
    ]
    .iter()
    .enumerate()
    {
        std::fs::write(&secret, "too early\n").unwrap();
        let form = form(&format!("{{ url: 'http://127.0.0.1:{port}/', {auth} }}"));
        let request = Request::parse(&form).unwrap();
        std::fs::write(&secret, format!("s3cret-{n}\n")).unwrap();
        house.prepare(n as i64, &form)();
        assert_eq!(house.end().outcome, Outcome::Fired);
        let text = heard.recv_timeout(PATIENCE).unwrap();
        assert!(text.lines().any(|line| line == *header), "{header} is missing in {text}");
        assert!(!format!("{request:?} {request}").contains("s3cret"));
    }
    let gone = form(&format!(
        "{{ url: 'http://127.0.0.1:{port}/', auth: {{ bearerTokenFile: '{path}' }} }}"
    ));
    let release = house.prepare_in(9, Span::from_secs(1), &gone);
    std::fs::remove_file(&secret).unwrap();
    release();
    let end = house.end();
    assert_eq!(end.outcome, Outcome::Failed(Reason::Unreachable));
    assert!(end.message.contains("secret cannot be read: No such file"), "{}", end.message);
    assert!(heard.try_recv().is_err(), "nothing is sent without its credentials");
}

#[test]
fn an_address_in_a_file_is_read_anew_for_each_fire_and_never_shown() {
    let (port, heard) = server(|_, stream, heard| answer_all(stream, heard, OK));
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    let form = form(&format!("{{ urlFile: '{path}' }}"));
    let house = House::new();
    for second in 0..2 {
        std::fs::write(&file, "http://early.invalid/hush").unwrap();
        let release = house.prepare_in(second, Span::from_millis(700), &form);
        let request = Request::parse(&form).unwrap();
        let shown = format!("{request} {request:?}");
        assert!(shown.contains(&path.to_string()) && !shown.contains("hush"), "{shown}");
        std::fs::write(&file, format!("http://127.0.0.1:{port}/hush-{second}?t=hush\n")).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        release();
        assert_eq!(house.end().outcome, Outcome::Fired);
        let text = heard.recv_timeout(PATIENCE).unwrap();
        assert!(text.starts_with(&format!("POST /hush-{second}?t=hush HTTP/1.1\r\n")), "{text}");
    }
    let release = house.prepare_in(2, Span::from_secs(60), &form);
    std::fs::write(&file, "hush").unwrap();
    release();
    let end = house.end();
    assert_eq!(end.outcome, Outcome::Failed(Reason::Unreachable));
    assert_eq!(end.message, format!("what {path} holds must begin with http:// or https://"));
    assert!(heard.try_recv().is_err());
}

#[test]
fn bodies_headers_and_modes_are_as_the_file_says() {
    let (port, heard) = server(|_, stream, heard| answer_all(stream, heard, OK));
    let house = House::new();
    let key = fire(0).to_string();
    let sent = |rest: &str| {
        house.prepare(0, &form(&format!("{{ url: 'http://127.0.0.1:{port}/', {rest} }}")))();
        assert_eq!(house.end().outcome, Outcome::Fired);
        heard.recv_timeout(PATIENCE).unwrap()
    };
    let structured = sent("event: Structured, body: '{\"a\": 7}'");
    assert!(structured.contains("content-type: application/cloudevents+json"), "{structured}");
    assert!(!structured.contains("ce-id"), "{structured}");
    let envelope: serde_json::Value =
        serde_json::from_str(structured.lines().last().unwrap()).unwrap();
    assert_eq!((&envelope["id"], &envelope["data"]["a"]), (&key.as_str().into(), &7.into()));
    let none = sent(
        "event: None, method: PUT, body: 'run=$(TIMEBALL_FIRE_ID)', headers: \
        [{ name: Content-Type, value: text/plain }, { name: X-At, value: '$(TIMEBALL_SCHEDULE)' }]",
    );
    assert!(!none.contains("ce-"), "{none}");
    for line in [
        "PUT / HTTP/1.1",
        &format!("idempotency-key: {key}"),
        "content-type: text/plain",
        "x-at: default/flush",
    ] {
        assert!(none.lines().any(|found| found == line), "{line} is missing in {none}");
    }
    assert!(none.ends_with(&format!("run={key}")), "{none}");
}

#[test]
fn a_status_that_is_accepted_is_as_good_as_success() {
    let seen = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n";
    let (port, _heard) = server(move |_, stream, heard| answer_all(stream, heard, seen));
    let house = House::new();
    house.prepare(0, &HttpTarget { accept_statuses: vec![409], ..request(port) })();
    assert_eq!(house.end().outcome, Outcome::Fired);
    house.prepare(1, &request(port))();
    assert_eq!(house.end().outcome, Outcome::Failed(Reason::Refused));
}

#[test]
fn base_64_is_that_of_the_rfc() {
    for (octets, text) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
    {
        assert_eq!(base64(octets.as_bytes()), text);
    }
}

pub(crate) mod tls;
