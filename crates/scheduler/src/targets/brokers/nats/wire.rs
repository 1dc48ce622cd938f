//! What NATS clients and servers say to each other (NATS client protocol: lines of text, some with
//! a message behind them): the server's words read piece by piece, ours as octets.

use serde::{Deserialize, Serialize};
use std::io::Write;
use thiserror::Error;

/// What a server says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    /// What it is and asks for; the first word, and again when something of it changes.
    Info(Info),
    /// A message for our subscription.
    Message(Message),
    /// One that is longer than anything that we ask for; it is not kept.
    LongMessage {
        /// What it was sent to.
        subject: String,
        /// Its headers and its body.
        octets: usize,
    },
    /// It wants to hear that we are there.
    Ping,
    /// It has read our `PING`, and all before it.
    Pong,
    /// It has taken what we said; only for clients that want to hear so.
    Ok,
    /// What it does not like of us, for a person.
    Error(String),
}

/// What a server tells of itself, as far as we ask.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub(crate) struct Info {
    /// Whether messages may have headers.
    pub(crate) headers: bool,
    /// The most octets that a message may have, headers and body together.
    pub(crate) max_payload: u64,
    /// Whether it talks to nobody without TLS.
    pub(crate) tls_required: bool,
    /// Whether it talks with TLS to who wants that.
    pub(crate) tls_available: bool,
    /// Whether it is about to end, and wants its clients to go elsewhere ("lame duck mode").
    #[serde(rename = "ldm")]
    pub(crate) is_leaving: bool,
}

/// A message for our subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Message {
    /// What it was sent to.
    pub(crate) subject: String,
    /// What a server says instead of an answer: 503 where nobody listens.
    pub(crate) status: Option<u16>,
    /// What follows the headers.
    pub(crate) body: Vec<u8>,
}

/// Who we are, and how we want to be talked to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Connect {
    pub(crate) verbose: bool,
    pub(crate) pedantic: bool,
    pub(crate) tls_required: bool,
    pub(crate) name: &'static str,
    pub(crate) lang: &'static str,
    pub(crate) version: &'static str,
    /// 1: we take further `INFO`s.
    pub(crate) protocol: u8,
    pub(crate) headers: bool,
    /// Whether we want to be told that nobody listens.
    pub(crate) no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pass: Option<String>,
}

/// Why what a server says is not understood.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error("a line of more than {LINE_OCTETS_MAX} octets")]
    LongLine,
    #[error("a message of {octets} octets to us; no server sends more than {SKIPPED_OCTETS_MAX}")]
    LongMessage { octets: usize },
    #[error("the line `{line}` is not of NATS")]
    Line { line: String },
    #[error("a message has not the length that its line says")]
    Length,
    #[error("what it says of itself is not understood: {0}")]
    Info(#[from] serde_json::Error),
}

/// A header with a line break, which cannot be sent.
#[derive(Debug, Error)]
#[error("the header `{name}` has a line break in its value; a header of NATS is one line")]
pub(crate) struct HeaderError {
    name: String,
}

/// The longest line: a server of a large cluster names all others in its `INFO`.
const LINE_OCTETS_MAX: usize = 64 * 1024;
/// Nobody tells us more than how a stream took a message.
const MESSAGE_OCTETS_MAX: usize = 64 * 1024;
/// The largest `max_payload` that a server can be given.
const SKIPPED_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// How much is kept of what a server does not like, or of a line that is none.
const QUOTED_CHARS_MAX: usize = 300;
/// What a block of headers begins with.
const HEADERS_VERSION: &str = "NATS/1.0";

/// Makes words of what arrives, however it was cut on its way.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    kept: Vec<u8>,
    /// How much of `kept` was read.
    read: usize,
    /// How much is to come of a message that is not kept.
    skipped: usize,
}

impl Default for Info {
    /// What a server is that does not say: one that predates all of this.
    fn default() -> Self {
        Self {
            headers: false,
            max_payload: 1024 * 1024,
            tls_required: false,
            tls_available: false,
            is_leaving: false,
        }
    }
}

impl Decoder {
    /// Adds what has arrived. All words must be taken before more is added: what is kept is then at
    /// most one incomplete word.
    pub(crate) fn feed(&mut self, octets: &[u8]) {
        self.kept.drain(..self.read);
        self.read = 0;
        self.kept.extend_from_slice(octets);
    }

    /// Whether everything that has arrived was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.kept.len()
    }

    /// Takes the next word; `None` where it is not complete.
    ///
    /// # Errors
    /// Where it is none, or too long. Nothing that follows can be understood then.
    pub(crate) fn word(&mut self) -> Result<Option<Word>, WireError> {
        if !self.skip() {
            return Ok(None);
        }
        let rest = &self.kept[self.read..];
        let end = rest.iter().position(|octet| *octet == b'\n');
        if end.unwrap_or(rest.len()) > LINE_OCTETS_MAX {
            return Err(WireError::LongLine);
        }
        let Some(end) = end else { return Ok(None) };
        let line = String::from_utf8_lossy(&rest[..end]);
        let line = line.strip_suffix('\r').unwrap_or(&line);
        let (name, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let after = &rest[end + 1..];
        let (word, octets) = match name.to_ascii_uppercase().as_str() {
            "PING" => (Word::Ping, 0),
            "PONG" => (Word::Pong, 0),
            "+OK" => (Word::Ok, 0),
            "-ERR" => (Word::Error(quote(arguments.trim().trim_matches('\''))), 0),
            "INFO" => (Word::Info(serde_json::from_str(arguments)?), 0),
            kind @ ("MSG" | "HMSG") => {
                let frame = Frame::parse(kind == "HMSG", arguments);
                let frame = frame.ok_or_else(|| WireError::Line { line: quote(line) })?;
                if frame.octets > MESSAGE_OCTETS_MAX {
                    self.read += end + 1;
                    return self.begin_to_skip(frame).map(Some);
                }
                let Some(message) = frame.message(after)? else { return Ok(None) };
                (Word::Message(message), frame.octets + LINE_END.len())
            }
            _ => return Err(WireError::Line { line: quote(line) }),
        };
        self.read += end + 1 + octets;
        Ok(Some(word))
    }

    fn begin_to_skip(&mut self, frame: Frame) -> Result<Word, WireError> {
        let Frame { subject, octets, .. } = frame;
        if octets > SKIPPED_OCTETS_MAX {
            return Err(WireError::LongMessage { octets });
        }
        self.skipped = octets + LINE_END.len();
        Ok(Word::LongMessage { subject, octets })
    }

    /// Drops what has arrived of a message that is not kept; `false` while there is more to come.
    fn skip(&mut self) -> bool {
        let arrived = self.skipped.min(self.kept.len() - self.read);
        self.read += arrived;
        self.skipped -= arrived;
        self.skipped == 0
    }
}

const LINE_END: &[u8; 2] = b"\r\n";

/// What a line says of the message behind it.
struct Frame {
    subject: String,
    /// The octets of its headers.
    headers: usize,
    /// Of headers and body.
    octets: usize,
}

impl Frame {
    /// Reads `subject sid [reply] [octets of headers] octets`.
    fn parse(has_headers: bool, arguments: &str) -> Option<Self> {
        let mut arguments: Vec<&str> = arguments.split_ascii_whitespace().collect();
        let octets = arguments.pop()?.parse().ok()?;
        let headers = if has_headers { arguments.pop()?.parse().ok()? } else { 0 };
        let subject = match arguments.as_slice() {
            [subject, _] | [subject, _, _] => (*subject).to_owned(),
            _ => return None,
        };
        (headers <= octets).then_some(Self { subject, headers, octets })
    }

    /// The message, if all of it is there.
    fn message(&self, after: &[u8]) -> Result<Option<Message>, WireError> {
        let octets = self.octets;
        let Some(end) = after.get(octets..octets + LINE_END.len()) else { return Ok(None) };
        if end != LINE_END {
            return Err(WireError::Length);
        }
        let (headers, body) = after[..octets].split_at(self.headers);
        let (subject, body) = (self.subject.clone(), body.to_vec());
        Ok(Some(Message { subject, status: status(headers), body }))
    }
}

/// The status in the first line of a block of headers: `NATS/1.0 503`.
fn status(headers: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(headers).ok()?;
    let rest = text.strip_prefix(HEADERS_VERSION)?.lines().next()?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// As much of what a server says as a person is shown.
pub(super) fn quote(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(QUOTED_CHARS_MAX).collect()
}

impl Connect {
    /// The line by which a client begins.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = b"CONNECT ".to_vec();
        serde_json::to_writer(&mut line, self).expect("texts and flags can be written as JSON");
        line.extend_from_slice(LINE_END);
        line
    }
}

/// A message to `subject` whose answer goes to `reply`, as it is sent.
///
/// # Errors
/// Where a header cannot be sent.
pub(crate) fn publication(
    subject: &str,
    reply: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Vec<u8>, HeaderError> {
    let mut block = format!("{HEADERS_VERSION}\r\n");
    for (name, value) in headers {
        if [name, value].iter().any(|text| text.contains(['\r', '\n'])) {
            return Err(HeaderError { name: quote(name) });
        }
        block.extend([name, ": ", value, "\r\n"]);
    }
    block.push_str("\r\n");
    let (headers, octets) = (block.len(), block.len() + body.len());
    let mut frame = Vec::with_capacity(octets + 128);
    write!(frame, "HPUB {subject} {reply} {headers} {octets}\r\n").expect("memory takes it");
    frame.extend_from_slice(block.as_bytes());
    frame.extend_from_slice(body);
    frame.extend_from_slice(LINE_END);
    Ok(frame)
}

/// How many octets of a publication count towards a server's `max_payload`: headers and body.
pub(crate) fn payload_octets(frame: &[u8]) -> u64 {
    let line = frame.iter().position(|octet| *octet == b'\n').map_or(0, |end| end + 1);
    frame.len().saturating_sub(line + LINE_END.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All words of `text`, fed in pieces of `size` octets.
    fn words(text: &[u8], size: usize) -> Result<Vec<Word>, WireError> {
        let (mut decoder, mut words) = (Decoder::default(), Vec::new());
        for piece in text.chunks(size) {
            decoder.feed(piece);
            while let Some(word) = decoder.word()? {
                words.push(word);
            }
        }
        Ok(words)
    }

    #[test]
    fn words_are_read_however_they_were_cut() {
        let text = b"INFO {\"headers\":true,\"max_payload\":9,\"ldm\":true,\"x\":[1]}\r\nPING\r\n\
            msg _INBOX.a.1 1 2\r\n{}\r\nMSG _INBOX.a.2 1 reply 4\r\n\r\n\r\n\r\n+OK\r\n\
            HMSG _INBOX.a.3\t1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n\
            HMSG _INBOX.a.4 1 r 21 22\r\nNATS/1.0\r\nname: x\r\n\r\n\r\r\n\
            -ERR 'Authorization Violation'\r\nPONG\r\n";
        let message = |n: u32, status, body: &[u8]| {
            let (subject, body) = (format!("_INBOX.a.{n}"), body.to_vec());
            Word::Message(Message { subject, status, body })
        };
        let info = Info { headers: true, max_payload: 9, is_leaving: true, ..Info::default() };
        let expected = [
            Word::Info(info),
            Word::Ping,
            message(1, None, b"{}"),
            message(2, None, b"\r\n\r\n"),
            Word::Ok,
            message(3, Some(503), b""),
            message(4, None, b"\r"),
            Word::Error("Authorization Violation".to_owned()),
            Word::Pong,
        ];
        for size in [1, 2, 7, 64, text.len()] {
            assert_eq!(words(text, size).unwrap(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_dropped_and_the_next_one_read() {
        let octets = MESSAGE_OCTETS_MAX + 1;
        let long = format!("HMSG _INBOX.a.1 1 12 {octets}\r\n{}\r\nPONG\r\n", "x".repeat(octets));
        let subject = "_INBOX.a.1".to_owned();
        for size in [1_000, long.len()] {
            let mut decoder = Decoder::default();
            let mut words = Vec::new();
            for piece in long.as_bytes().chunks(size) {
                decoder.feed(piece);
                assert!(decoder.kept.len() <= size + 64, "nothing of it is kept");
                while let Some(word) = decoder.word().unwrap() {
                    words.push(word);
                }
            }
            let expected = [Word::LongMessage { subject: subject.clone(), octets }, Word::Pong];
            assert_eq!(words, expected);
        }
    }

    #[test]
    fn what_is_not_of_nats_or_too_long_is_refused() {
        for (text, said) in [
            (&b"220 smtp ready\r\n"[..], "the line `220 smtp ready` is not of NATS"),
            (b"MSG a 1\r\n", "the line `MSG a 1` is not of NATS"),
            (b"MSG a 1 -2\r\n", "is not of NATS"),
            (b"HMSG a 1 9 8\r\n", "is not of NATS"),
            (b"MSG a 1 18446744073709551615\r\n", "a message of 18446744073709551615 octets"),
            (b"MSG a 1 2\r\nabcd", "has not the length"),
            (b"INFO {\r\n", "what it says of itself"),
            (&[b'x'; LINE_OCTETS_MAX + 1], "a line of more than 65536 octets"),
        ] {
            for size in [1, text.len()] {
                let error = words(text, size).unwrap_err().to_string();
                assert!(error.contains(said), "{error}");
            }
        }
        assert_eq!(words(&[b'x'; LINE_OCTETS_MAX], 4_096).unwrap(), []);
    }

    #[test]
    fn a_publication_says_how_long_it_is_and_has_no_foreign_lines() {
        let headers = [("Nats-Msg-Id".to_owned(), "k".to_owned())];
        let frame = publication("a.b", "_INBOX.x.1", &headers, b"body").unwrap();
        let text = "HPUB a.b _INBOX.x.1 28 32\r\nNATS/1.0\r\nNats-Msg-Id: k\r\n\r\nbody\r\n";
        assert_eq!(String::from_utf8(frame.clone()).unwrap(), text);
        assert_eq!(payload_octets(&frame), 32);
        let headers = [("x".to_owned(), "a\r\nNats-Msg-Id: other".to_owned())];
        assert!(publication("a", "r", &headers, b"").is_err());
        let connect = Connect { user: Some("ada \"x\"".to_owned()), ..Connect::default() };
        let line = String::from_utf8(connect.line()).unwrap();
        assert!(line.starts_with("CONNECT {") && line.ends_with("\"user\":\"ada \\\"x\\\"\"}\r\n"));
    }
}
