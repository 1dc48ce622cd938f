use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use timeball_schedule::ScheduleUid;
use timeball_timebase::Timestamp;

const PATIENCE: Duration = Duration::from_secs(20);

fn client() -> (Client, Receiver<Ended>) {
    let (sender, receiver) = mpsc::channel();
    let on_end: OnEnd = Arc::new(move |ended| sender.send(ended).unwrap());
    (Client::start(TargetLimits::default(), on_end).unwrap(), receiver)
}

fn request(port: u16) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_str(&format!("127.0.0.1:{port}")).unwrap());
    Request {
        url: format!("http://127.0.0.1:{port}/hook?a=b"),
        host: "127.0.0.1".to_owned(),
        port,
        path: Uri::from_static("/hook?a=b"),
        method: Method::POST,
        headers,
        body: None,
        timeout: Duration::from_secs(5),
        retries: 0,
    }
}

fn fire(second: i64) -> FireId {
    let scheduled_at = Timestamp::from_unix(1_795_000_000 + second, 250_000_000);
    FireId { schedule: ScheduleUid([7; 16]), scheduled_at }
}

fn prepare(client: &Client, second: i64, request: Request) -> Release {
    let name = ScheduleName { namespace: "default".to_owned(), name: "flush".to_owned() };
    client.prepare(fire(second), Span::ZERO, &name, &Arc::new(request))
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
    let (client, ended) = client();
    prepare(&client, 0, request(port))();
    let end = ended.recv_timeout(PATIENCE).unwrap();
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
    let (client, ended) = client();
    for second in 0..3 {
        let release = prepare(&client, second, request(port));
        if second == 0 {
            connections.recv_timeout(PATIENCE).expect("a connection before the release");
        }
        assert!(heard.try_recv().is_err(), "nothing is sent before the release");
        std::thread::sleep(Duration::from_millis(20));
        release();
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap().outcome, Outcome::Fired);
        heard.recv_timeout(PATIENCE).unwrap();
    }
    assert!(connections.try_recv().is_err(), "one connection is enough");
}

#[test]
fn a_revoked_request_is_never_sent() {
    let (port, heard) = server(|_, stream, heard| answer_all(stream, heard, OK));
    let (client, ended) = client();
    drop(prepare(&client, 0, request(port)));
    prepare(&client, 1, request(port))();
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap().fire, fire(1));
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
    let moved = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n";
    let (moving, _moving_heard) = server(move |_, stream, heard| answer_all(stream, heard, moved));
    let (gibbering, _) = server(|_, stream, _| {
        read_request(stream);
        stream.write_all(b"220 smtp ready\r\n").unwrap();
    });
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let timeout = Duration::from_millis(300);
    for (port, reason, message) in [
        (refusing, Reason::Refused, "answered 500 Internal Server Error: no table"),
        (moving, Reason::Refused, "answered 302 Found: redirects are not followed"),
        (hanging, Reason::TimedOut, "no answer within 0.3 s"),
        (closing, Reason::Unreachable, "the connection broke before an answer came: "),
        (gibbering, Reason::Unreachable, "the connection broke before an answer came: "),
        (nobody, Reason::Unreachable, "127.0.0.1:"),
    ] {
        let (client, ended) = client();
        prepare(&client, 0, Request { timeout, ..request(port) })();
        let end = ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!(end.outcome, Outcome::Failed(reason), "{}", end.message);
        assert!(end.message.starts_with(message), "{}", end.message);
    }
}

#[test]
fn a_failure_is_tried_again_with_the_same_key_and_a_refusal_of_ours_is_not() {
    let (port, heard) = server(|n, stream, heard| match n {
        0 => drop(read_request(stream)),
        1 => answer_all(stream, heard, "HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\n"),
        _ => answer_all(stream, heard, OK),
    });
    let (client, ended) = client();
    prepare(&client, 0, Request { retries: 3, ..request(port) })();
    let end = ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!(end.outcome, Outcome::Fired, "{}", end.message);
    let key = fire(0).to_string();
    assert!(heard.iter().take(2).all(|text| text.contains(&key)));
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let (port, heard) = server(move |_, stream, heard| answer_all(stream, heard, answer));
    prepare(&client, 1, Request { retries: 3, ..request(port) })();
    let end = ended.recv_timeout(PATIENCE).unwrap();
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
    let (client, ended) = client();
    prepare(&client, 0, request(port))();
    std::thread::sleep(Duration::from_millis(50));
    client.stop(fire(0), Reason::Replaced);
    let end = ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!(end.outcome, Outcome::Failed(Reason::Replaced));
    assert!(end.duration < Span::from_secs(3));
}
