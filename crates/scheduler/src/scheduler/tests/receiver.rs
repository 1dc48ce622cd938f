//! An HTTP server that remembers the keys of what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server on loopback, until the end of the test.
pub(super) struct Receiver {
    pub(super) port: u16,
    /// Path and key of each request.
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let heard = Arc::clone(&all);
                std::thread::spawn(move || while answer(stream.as_ref().unwrap(), &heard) {});
            }
        });
        Self { port, heard }
    }

    /// The keys of all requests for a path, as often as they came.
    pub(super) fn heard(&self, path: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let of_it = heard.iter().filter(|(of, _)| of == path);
        of_it.map(|(_, key)| key.clone()).collect()
    }
}

/// Answers one request; `false` where the connection ends.
fn answer(mut stream: &TcpStream, heard: &Mutex<Vec<(String, String)>>) -> bool {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).is_ok_and(|octets| octets > 0) {
            continue;
        }
        return false;
    }
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let length = field("content-length: ").map_or(0, |length| length.parse().unwrap());
    if reader.read_exact(&mut vec![0; length]).is_err() {
        return false;
    }
    let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    let key = field("idempotency-key: ").unwrap().to_owned();
    heard.lock().unwrap().push((path, key));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok()
}
