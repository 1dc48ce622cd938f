//! One question to an HTTPS server: what date does it write?

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustls::pki_types::{InvalidDnsNameError, ServerName, UnixTime};
use rustls::{ClientConnection, Stream};
use thiserror::Error;
use timeball_ntp::engine::Constraint;
use timeball_runtime::read_clocks;
use timeball_timebase::{Span, Timestamp};

use super::HttpsServer;
use super::trust::{Roots, UntrustedError};
use crate::resolver;

/// How long the whole exchange may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets of an answer's head, and its fields.
const HEAD_MAX: usize = 16_384;
const FIELDS_MAX: usize = 64;
/// A date is of whole seconds, and servers make it once a second: so long after it the answer may
/// have been written.
const DATE_AGE: Span = Span::from_secs(2);
/// An answer that a cache has kept for longer than this (a day) tells nothing that is of use.
const AGE_MAX_S: u32 = 86_400;
/// Before this there was no Timeball (2026-01-01): whoever says so is wrong, or has an old key.
const EARLIEST_S: u64 = 1_767_225_600;

/// Why a server's date is not used.
#[derive(Debug, Error)]
pub enum HttpsError {
    /// The name has no address.
    #[error("its name cannot be looked up")]
    Unresolved,
    /// It cannot be reached, or not in time.
    #[error("it cannot be asked: {0}")]
    Connection(#[from] io::Error),
    /// The name is none that a certificate can be for.
    #[error("its name is none that a certificate can be for: {0}")]
    Name(#[from] InvalidDnsNameError),
    /// The connection could not be secured.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Its answer is none, or longer than ours may be.
    #[error("its answer is no HTTP response of at most {HEAD_MAX} octets")]
    Malformed,
    /// Its answer has no date, or several.
    #[error("its answer has no `Date`, or more than one")]
    NoDate,
    /// A cache has kept its answer for too long, or for how long is not told as it should be.
    #[error("its answer has an `Age` that is no number of seconds up to {AGE_MAX_S}")]
    Age,
    /// It says that it is before 2026.
    #[error("it tells a date before 2026")]
    Date,
    /// Its certificate was not good at the date that it tells.
    #[error("at the date that it tells, {0}")]
    Untrusted(#[from] UntrustedError),
}

/// Asks one server.
pub(super) fn ask(server: &HttpsServer, roots: &Roots) -> Result<Constraint, HttpsError> {
    let name = ServerName::try_from(server.host.clone())?;
    let until = Instant::now() + PATIENCE;
    let mut tcp = connect(server, until)?;
    let (config, witness) = roots.client()?;
    let mut tls = ClientConnection::new(config, name.clone())?;
    while tls.is_handshaking() {
        limit(&tcp, until)?;
        tls.complete_io(&mut tcp)?;
    }
    let asked = read_clocks().raw;
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let HttpsServer { host, port, path } = server;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let request = format!(
        "HEAD {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: timeball\r\n\
         Cache-Control: no-cache\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let Dated { date_s, age } = read_date(&mut stream, until)?;
    let answered = read_clocks().raw;
    if date_s < EARLIEST_S {
        return Err(HttpsError::Date);
    }
    // Only now is there a date to judge the certificate by, and nothing was believed before.
    witness.verify(&name, UnixTime::since_unix_epoch(Duration::from_secs(date_s)))?;
    let date_s = i64::try_from(date_s).map_err(|_| HttpsError::Date)?;
    let earliest = Timestamp::from_unix(date_s, 0);
    let latest = earliest + DATE_AGE + age + (answered - asked);
    Ok(Constraint { at: answered, earliest, latest })
}

fn connect(server: &HttpsServer, until: Instant) -> Result<TcpStream, HttpsError> {
    let addresses = resolver::resolve(&server.host, server.port);
    let addresses = addresses.map_err(|_| HttpsError::Unresolved)?;
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused.into())
}

/// What an answer says of the time.
#[derive(Debug, Eq, PartialEq)]
struct Dated {
    /// Its one `Date`, in seconds since 1970 (RFC 9110 section 6.6.1).
    date_s: u64,
    /// For how long a cache on the way has kept it (RFC 9111 section 5.1). Some caches leave the
    /// date as it was, some renew it, so it is either of then or of now.
    age: Span,
}

fn read_date(
    stream: &mut Stream<'_, ClientConnection, TcpStream>,
    until: Instant,
) -> Result<Dated, HttpsError> {
    let mut head = Vec::new();
    let mut part = [0; 1_024];
    loop {
        limit(stream.sock, until)?;
        let length = match stream.read(&mut part) {
            Ok(length) => length,
            // Many servers end a connection without a word.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error.into()),
        };
        head.extend_from_slice(&part[..length]);
        if let Some(dated) = parse_date(&head)? {
            return Ok(dated);
        }
        if length == 0 || head.len() > HEAD_MAX {
            return Err(HttpsError::Malformed);
        }
    }
}

/// `None` while the head is not complete.
fn parse_date(head: &[u8]) -> Result<Option<Dated>, HttpsError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let status = response.parse(head).map_err(|_| HttpsError::Malformed)?;
    if status.is_partial() {
        return Ok(None);
    }
    let values = |name: &'static str| {
        let named = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let mut values = named.map(|field| core::str::from_utf8(field.value).unwrap_or_default());
        (values.next(), values.next())
    };
    let (Some(text), None) = values("date") else { return Err(HttpsError::NoDate) };
    let date = httpdate::parse_http_date(text).map_err(|_| HttpsError::NoDate)?;
    let since = date.duration_since(UNIX_EPOCH).map_err(|_| HttpsError::Date)?;
    let age_s = match values("age") {
        (None, _) => 0,
        (Some(text), None) => text.trim().parse::<u32>().map_err(|_| HttpsError::Age)?,
        (Some(_), Some(_)) => return Err(HttpsError::Age),
    };
    if age_s > AGE_MAX_S {
        return Err(HttpsError::Age);
    }
    Ok(Some(Dated { date_s: since.as_secs(), age: Span::from_secs(age_s.into()) }))
}

/// Bounds the next read and write by what is left of the time.
fn limit(stream: &TcpStream, until: Instant) -> io::Result<()> {
    let left = left(until)?;
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_read_from_a_complete_head_with_one_date() {
        let head =
            b"HTTP/1.1 301 Moved\r\nServer: x\r\ndate: Tue, 17 Nov 2026 12:26:40 GMT\r\n\r\n";
        let dated = |age_s| Some(Dated { date_s: 1_794_918_400, age: Span::from_secs(age_s) });
        assert_eq!(parse_date(head).unwrap(), dated(0));
        let kept = b"HTTP/1.1 200 OK\r\nAge: 90\r\nDate: Tue, 17 Nov 2026 12:26:40 GMT\r\n\r\n";
        assert_eq!(parse_date(kept).unwrap(), dated(90));
        assert_eq!(parse_date(&head[..head.len() - 1]).unwrap(), None);
        for bad in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: Tue, 17 Nov 2026 12:26:40 GMT\r\nDate: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: Tue, 17 Nov 2026 12:26:40 GMT\r\nAge: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: Tue, 17 Nov 2026 12:26:40 GMT\r\nAge: 86401\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nAge: 1\r\nDate: Tue, 17 Nov 2026 12:26:40 GMT\r\nAge: 2\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(parse_date(bad).is_err());
        }
    }
}
