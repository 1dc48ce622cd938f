//! The target `http`: sends a request at T.
//!
//! Shortly before T a connection is opened (and, for `https`, authenticated and encrypted), and the
//! request is written into its [latch](super::latch); at T the firing thread opens that, so that
//! one system call stands between the instant and the first octet. The request carries the fire's
//! key as `Idempotency-Key`, the same for every try, and is a CloudEvent (CloudEvents 1.0, HTTP
//! binding). Without `retries` a request is sent at most once; with them it is sent again after a
//! failure, and after a crash of ours.

mod address;
mod connections;
mod exchange;
mod form;

use super::ScheduleName;
use super::couriers::Couriers;
use super::event::{Event, EventMode, Payload, Template};
use super::secret::{SecretError, SecretFile};
use super::tls::Trust;
use crate::timer::Release;
use address::{Address, Destination, ResolveError};
use connections::Connections;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use timeball_schedule::planner::ArmedFire;
use timeball_timebase::Span;

/// A request as its file asks for it, parsed.
#[derive(Debug)]
pub(crate) struct Request {
    /// Where it is sent.
    pub(crate) address: Address,
    /// The method.
    pub(crate) method: Method,
    /// The headers of the file.
    pub(crate) headers: Vec<Header>,
    /// Its body.
    pub(crate) payload: Payload,
    /// Who we are.
    pub(crate) auth: Option<Auth>,
    /// Statuses besides 2xx that say that it is done.
    pub(crate) accepted: Vec<StatusCode>,
    /// How long one try may take; above zero.
    pub(crate) timeout: Duration,
    /// How often it is sent again after a failure.
    pub(crate) retries: u32,
}

/// A server, and how it is reached.
#[derive(Debug)]
pub(crate) struct Server {
    /// Name or address, without the brackets of IPv6.
    pub(crate) host: String,
    /// Its TCP port.
    pub(crate) port: u16,
    /// Both, as the header `Host` has them.
    pub(crate) name: HeaderValue,
    /// Whom it is believed by; `None` where there is no TLS.
    pub(crate) trust: Option<Arc<Trust>>,
}

/// One header of the file.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    name: HeaderName,
    text: HeaderText,
}

#[derive(Clone, Debug)]
enum HeaderText {
    Plain(Template),
    Secret(SecretFile),
}

/// Who we are to the server.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    /// RFC 6750.
    Bearer(SecretFile),
    /// RFC 7617.
    Basic { username: String, password: SecretFile },
}

impl fmt::Display for Request {
    /// Writes its address as anybody may read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Sends requests, by the couriers' thread.
#[derive(Default)]
pub(crate) struct Client {
    connections: Arc<Connections>,
}

impl Client {
    /// Has a connection looked for and the request written; the release sends it.
    pub(crate) fn prepare(
        &self,
        couriers: &Couriers,
        armed: &ArmedFire,
        due_in: Span,
        name: &ScheduleName,
        request: &Arc<Request>,
    ) -> Release {
        let event = Event::new(armed.fire, name);
        let connections = Arc::clone(&self.connections);
        let beginning = couriers.beginning(armed, due_in);
        let began = Arc::clone(&beginning);
        let flight = exchange::Flight::new(Arc::clone(request), event, connections, began);
        let trigger = flight.trigger();
        couriers.prepare(beginning, flight, move || trigger.pull())
    }
}

/// What is sent, the same at every try.
struct Message {
    destination: Destination,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

/// Why there is nothing to send.
#[derive(Debug, Error)]
enum MessageError {
    #[error(transparent)]
    Address(#[from] ResolveError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("what a file gives for the header `{name}` cannot be sent in one")]
    Header { name: HeaderName },
}

impl Message {
    /// Writes the message of one fire; reads the files with its secrets.
    async fn new(event: &Event, request: &Request) -> Result<Self, MessageError> {
        let mut headers = HeaderMap::new();
        let destination = request.address.resolve().await?;
        headers.insert("host", destination.server.name.clone());
        for header in &request.headers {
            let (text, is_secret) = match &header.text {
                HeaderText::Plain(text) => (text.expand(event), false),
                HeaderText::Secret(file) => (file.read().await?, true),
            };
            headers.append(&header.name, value(&header.name, &text, is_secret)?);
        }
        if let Some(auth) = &request.auth {
            let text = auth.credentials().await?;
            headers.insert(AUTHORIZATION, value(&AUTHORIZATION, &text, true)?);
        }
        let mut set = |name: &str, value: &str| {
            // All of them are made of letters, digits and a few signs; names were checked.
            let name = HeaderName::from_bytes(name.as_bytes()).expect("the name is plain ASCII");
            headers.insert(name, HeaderValue::from_str(value).expect("the value is plain ASCII"));
        };
        set("idempotency-key", &event.key);
        if request.payload.mode == EventMode::Binary {
            for (attribute, value) in event.attributes() {
                set(&format!("ce-{attribute}"), value);
            }
        }
        let (body, kind) = request.payload.encode(event);
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, value(&CONTENT_TYPE, &kind, false)?);
        }
        Ok(Self { destination, method: request.method.clone(), headers, body })
    }

    fn encode(&self) -> hyper::Request<Full<Bytes>> {
        let mut request = hyper::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.destination.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn value(name: &HeaderName, text: &str, is_secret: bool) -> Result<HeaderValue, MessageError> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| MessageError::Header { name: name.clone() })?;
    value.set_sensitive(is_secret);
    Ok(value)
}

impl Auth {
    async fn credentials(&self) -> Result<String, SecretError> {
        match self {
            Self::Bearer(token) => Ok(format!("Bearer {}", token.read().await?)),
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.read().await?);
                Ok(format!("Basic {}", base64(pair.as_bytes())))
            }
        }
    }
}

/// Base 64 with padding (RFC 4648 section 4).
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) & 0x3f;
            let sign = if digit > chunk.len() { b'=' } else { DIGITS[index as usize] };
            text.push(char::from(sign));
        }
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
