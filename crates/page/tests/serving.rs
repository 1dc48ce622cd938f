//! The page as the runtime's server serves it: files, headers, the stream and its limits. The
//! client is a plain socket, so that what is on the wire is what is judged.
// The helpers here are test code too, though clippy takes only the `#[test]` functions for that.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use timeball_api::events::ClockPoint;
use timeball_api::schedules::Schedules;
use timeball_api::status::Status;
use timeball_page::{MAX_STREAMS, PageSources};
use timeball_runtime::Shutdown;
use timeball_runtime::http::{CONTENT_SECURITY_POLICY, HttpOptions, Server};

const PATIENCE: Duration = Duration::from_secs(10);

/// A served page over made-up figures.
struct Page {
    server: Server,
    shutdown: Shutdown,
}

impl Page {
    fn serve() -> Self {
        let shutdown = Shutdown::new();
        let point = ClockPoint { offset_ns: Some(-12_300), ..ClockPoint::default() };
        let router = timeball_page::router(PageSources {
            clock: Box::new(move || point.clone()),
            status: Box::new(|| Arc::new(Status { version: "v\n1".into(), ..Status::default() })),
            schedules: Box::new(Schedules::default),
            shutdown: shutdown.clone(),
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { server: Server::start(listener, router, HttpOptions::default()).unwrap(), shutdown }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn send(&self, path: &str, headers: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = self.address();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").unwrap();
        socket
    }

    /// One whole answer: its head in lower case, and its body.
    fn fetch(&self, path: &str, headers: &str) -> (String, Vec<u8>) {
        let mut answer = Vec::new();
        let mut socket = self.send(path, &format!("Connection: close\r\n{headers}"));
        socket.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        (head, answer[end + 4..].to_vec())
    }

    fn open_stream(&self) -> Stream {
        Stream { socket: self.send("/v1/events", ""), text: String::new() }
    }
}

/// An event stream as it arrives, chunk marks and all.
struct Stream {
    socket: TcpStream,
    text: String,
}

impl Stream {
    /// Reads until `wanted` has come; panics when it does not.
    fn expect(&mut self, wanted: &str) {
        while !self.text.contains(wanted) {
            assert!(self.read() > 0, "the stream ended before `{wanted}`:\n{}", self.text);
        }
    }

    fn read(&mut self) -> usize {
        let mut octets = [0; 4096];
        let count = self.socket.read(&mut octets).unwrap();
        self.text.push_str(&String::from_utf8_lossy(&octets[..count]));
        count
    }
}

#[test]
fn vendored_files_are_those_that_were_published() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor/uplot");
    let sums = fs::read_to_string(directory.join("SHA256SUMS")).unwrap();
    let mut named = Vec::new();
    for line in sums.lines() {
        let (sum, file) = line.split_once("  ").unwrap();
        let digest = Sha256::digest(fs::read(directory.join(file)).unwrap());
        let found: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(found, sum, "{file} was changed");
        named.push(file.to_owned());
    }
    let mut present: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "SHA256SUMS" && name != "README.md")
        .collect();
    present.sort();
    assert_eq!(named, present, "each vendored file has a sum, and each sum a file");
}

#[test]
fn every_file_of_the_page_is_served_as_it_is() {
    let page = Page::serve();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let mut directories = vec![root.clone()];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                directories.push(file);
                continue;
            }
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
            // What tells developers about the vendored files is not part of the page.
            if name.ends_with("README.md") || name.ends_with("SHA256SUMS") {
                continue;
            }
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            let (head, body) = page.fetch(&path, "");
            assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
            assert!(body == fs::read(&file).unwrap(), "{path} differs from its file");
            files += 1;
        }
    }
    assert!(files > 20);
}

#[test]
fn the_page_names_its_type_and_runs_under_the_strict_policy() {
    let page = Page::serve();
    let (head, _) = page.fetch("/", "");
    assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
    assert!(head.contains(&CONTENT_SECURITY_POLICY.to_lowercase()), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(!head.contains("access-control-allow"), "{head}");
    let (head, _) = page.fetch("/js/main.js", "");
    assert!(head.contains("content-type: text/javascript; charset=utf-8"), "{head}");
}

#[test]
fn the_markup_has_nothing_inline_and_nothing_from_elsewhere() {
    let page = Page::serve();
    let (_, body) = page.fetch("/", "");
    let markup = String::from_utf8(body).unwrap();
    for forbidden in [" style=", "<style", "onclick", "onload", "://", "src=\"//", "href=\"//"] {
        assert!(!markup.contains(forbidden), "the markup has `{forbidden}`");
    }
    assert_eq!(markup.matches("<script").count(), markup.matches("<script src=").count());
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let page = Page::serve();
    let (head, _) = page.fetch("/css/base.css", "");
    assert!(head.contains("cache-control: no-cache"), "{head}");
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    for known in [etag.to_owned(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".into()] {
        let (head, body) = page.fetch("/css/base.css", &format!("If-None-Match: {known}\r\n"));
        assert!(head.starts_with("http/1.1 304") && body.is_empty(), "{known}: {head}");
    }
    let (head, _) = page.fetch("/css/base.css", "If-None-Match: \"other\"\r\n");
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[test]
fn a_request_that_names_another_host_gets_no_page() {
    let page = Page::serve();
    let mut socket = TcpStream::connect(page.address()).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(
        !answer.starts_with("HTTP/1.1 200") && !answer.contains("Timeball</title>"),
        "{answer}"
    );
}

#[test]
fn a_stream_opens_with_all_that_is_known_and_then_follows_the_clock() {
    let page = Page::serve();
    let mut stream = page.open_stream();
    stream.expect("event: clock\ndata: {");
    let head = stream.text.to_lowercase();
    assert!(head.contains("content-type: text/event-stream; charset=utf-8"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let events: Vec<&str> =
        stream.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(events[..4], ["backlog", "status", "schedules", "clock"], "{}", stream.text);
    assert!(stream.text.contains("event: backlog\ndata: ["), "{}", stream.text);
    assert!(stream.text.contains("\"offset_ns\":-12300"), "{}", stream.text);
    // A line end within the data would end the event early.
    assert!(stream.text.contains("\"version\":\"v\\n1\""), "{}", stream.text);
}

#[test]
fn only_so_many_streams_are_open_at_once_and_a_place_left_is_free_again() {
    let page = Page::serve();
    let mut open: Vec<Stream> = (0..MAX_STREAMS).map(|_| page.open_stream()).collect();
    open.iter_mut().for_each(|stream| stream.expect("event: backlog"));
    let (head, body) = page.fetch("/v1/events", "");
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: "), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("close one"));

    open.pop();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = page.open_stream();
        stream.read();
        if stream.text.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < deadline, "the place was not given back");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn streams_end_when_the_program_does() {
    let page = Page::serve();
    let mut stream = page.open_stream();
    stream.expect("event: schedules");
    page.shutdown.request();
    let deadline = Instant::now() + PATIENCE;
    while !stream.text.ends_with("0\r\n\r\n") {
        assert!(stream.read() > 0 && Instant::now() < deadline, "no orderly end:\n{}", stream.text);
    }
    // One that comes later is ended at once, too.
    let mut late = page.open_stream();
    while !late.text.ends_with("0\r\n\r\n") {
        assert!(late.read() > 0, "no orderly end:\n{}", late.text);
    }
}
