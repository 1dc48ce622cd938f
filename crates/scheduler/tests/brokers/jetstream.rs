//! As much of a client of NATS JetStream as it takes to make a stream and to read what is in it.

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// A connection to a server.
pub(crate) struct Client(BufReader<Box<dyn Connection>>);

/// A message of a stream.
#[derive(Debug)]
pub(crate) struct Message {
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) trait Connection: Read + Write {}

impl<C: Read + Write> Connection for C {}

impl Message {
    /// The header of this name, which it has.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

impl Client {
    /// Logs in to a server of this machine; by TLS where that is given.
    pub(crate) fn connect(port: u16, token: Option<&str>, tls: Option<ClientConfig>) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut info, mut octet) = (Vec::new(), [0]);
        while !info.ends_with(b"\n") {
            stream.read_exact(&mut octet).unwrap();
            info.push(octet[0]);
        }
        let connection: Box<dyn Connection> = match tls {
            None => Box::new(stream),
            Some(config) => {
                let name = "127.0.0.1".try_into().unwrap();
                let tls = ClientConnection::new(Arc::new(config), name).unwrap();
                Box::new(StreamOwned::new(tls, stream))
            }
        };
        let mut client = Self(BufReader::new(connection));
        let connect = json!({
            "verbose": false, "headers": true, "no_responders": true, "auth_token": token,
        });
        client.say(&format!("CONNECT {connect}\r\nSUB answers 1\r\n"));
        client
    }

    /// Makes the stream that takes all subjects below `fires`.
    pub(crate) fn make_stream(&mut self) {
        let stream = json!({ "name": "FIRES", "subjects": ["fires.>"], "allow_direct": true });
        let made = self.ask("$JS.API.STREAM.CREATE.FIRES", &stream);
        let made: Value = serde_json::from_slice(&made.body).unwrap();
        assert!(made.get("error").is_none(), "{made}");
    }

    /// All messages of that stream.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        let info = self.ask("$JS.API.STREAM.INFO.FIRES", &json!({}));
        let info: Value = serde_json::from_slice(&info.body).unwrap();
        let last = info["state"]["last_seq"].as_u64().unwrap_or_else(|| panic!("{info}"));
        (1..=last).map(|n| self.ask("$JS.API.DIRECT.GET.FIRES", &json!({ "seq": n }))).collect()
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        self.0.get_mut().flush().unwrap();
    }

    fn ask(&mut self, subject: &str, question: &Value) -> Message {
        let question = question.to_string();
        self.say(&format!("PUB {subject} answers {}\r\n{question}\r\n", question.len()));
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the server is gone");
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |word: &str| word.parse::<usize>().unwrap();
            match words.as_slice() {
                ["MSG", .., octets] => return self.message(0, number(octets)),
                ["HMSG", .., head, octets] => return self.message(number(head), number(octets)),
                ["PING"] => self.say("PONG\r\n"),
                ["-ERR", ..] => panic!("{line}"),
                _ => {}
            }
        }
    }

    fn message(&mut self, headers: usize, octets: usize) -> Message {
        let mut message = vec![0; octets + 2];
        self.0.read_exact(&mut message).unwrap();
        message.truncate(octets);
        let body = message.split_off(headers);
        let text = String::from_utf8(message).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Message { headers, body }
    }
}
