//! NATS JetStream: publishes with `Nats-Msg-Id`, and waits for the stream's acknowledgement.
//!
//! A stream drops a message whose id it has seen within its duplicate window (2 minutes unless it
//! is told otherwise), so within that a repeat has no second effect. The protocol is spoken here
//! and not by a library, so that the firing thread itself can write a message at T.

mod opening;
mod outbox;
mod session;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use super::{Message, Parcel as _, Protocol, PublishError};
use crate::targets::secret::SecretFile;
use crate::targets::tls::{Trust, TrustFiles};
use serde::Deserialize;
pub(crate) use session::Session;
use session::{Answer, Parcel};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where a message goes.
#[derive(Debug)]
pub(crate) struct Nats {
    /// Tried in this order.
    pub(super) servers: Vec<Server>,
    pub(super) subject: String,
    pub(super) auth: Option<NatsAuth>,
    /// Where absent, TLS is spoken only with servers that ask for it.
    pub(super) trust: Option<Arc<Trust>>,
}

/// A server, as its file names it.
#[derive(Debug)]
pub(super) struct Server {
    /// `nats://host:port`, or `tls://`.
    pub(super) url: String,
    /// Name or address, without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether its address asks for TLS.
    pub(super) is_secure: bool,
}

/// Who we are to the servers.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum NatsAuth {
    Token(SecretFile),
    User { username: String, password: SecretFile },
}

/// What a stream says of a message.
#[derive(Deserialize)]
struct Acknowledgement {
    stream: Option<String>,
    error: Option<StreamError>,
}

/// Why a stream did not take a message.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamError {
    code: i64,
    err_code: i64,
    description: String,
}

/// How long one server has to let us in before the next one is asked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The status of a message to which nobody listens.
const NO_RESPONDERS: u16 = 503;

impl Nats {
    fn servers(&self) -> String {
        let urls: Vec<&str> = self.servers.iter().map(|server| server.url.as_str()).collect();
        urls.join(",")
    }

    fn parcel(&self, session: &Session, message: &Message) -> Result<Parcel, PublishError> {
        let mut headers = message.headers("ce-");
        if let Some(kind) = &message.content_type {
            headers.push(("content-type".to_owned(), kind.clone()));
        }
        headers.push(("Nats-Msg-Id".to_owned(), message.event.key.clone()));
        session.parcel(&self.subject, &headers, &message.body)
    }
}

impl fmt::Display for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.servers(), self.subject)
    }
}

impl Protocol for Nats {
    type Connection = Session;
    type Parcel = Parcel;

    fn place(&self) -> String {
        let files: Option<&TrustFiles> = self.trust.as_ref().map(|trust| trust.files());
        let who = (&self.auth, files);
        match who {
            (None, None) => self.servers(),
            who => format!("{} as {who:?}", self.servers()),
        }
    }

    async fn connect(&self) -> Result<Session, String> {
        let mut problems = Vec::new();
        for server in &self.servers {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open(server)).await;
            let late = || Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()));
            match opened.unwrap_or_else(|_| late()) {
                Ok(session) => return Ok(session),
                // Whoever tells of the problem names the server, unless there are more.
                Err(problem) if self.servers.len() == 1 => return Err(problem),
                Err(problem) => problems.push(format!("{}: {problem}", server.url)),
            }
        }
        Err(problems.join("; "))
    }

    async fn prepare(&self, session: &Session, _: &Message) -> Result<(), String> {
        session.ping().await
    }

    fn is_closed(session: &Session) -> bool {
        session.is_over()
    }

    fn load(&self, session: &Session, message: &Message) -> Option<Parcel> {
        self.parcel(session, message).ok()
    }

    async fn publish(&self, session: &Session, message: &Message) -> Result<(), PublishError> {
        self.parcel(session, message)?.confirmed().await
    }
}

impl super::Parcel for Parcel {
    async fn confirmed(&self) -> Result<(), PublishError> {
        let message = match self.answered().await? {
            Answer::Refused(problem) => return Err(PublishError::Refused(problem)),
            Answer::Message(message) => message,
        };
        let refused = |problem| Err(PublishError::Refused(problem));
        if message.status == Some(NO_RESPONDERS) {
            return refused(format!("no stream found that takes `{}`", self.subject()));
        }
        match serde_json::from_slice(&message.body) {
            Ok(Acknowledgement { error: Some(error), .. }) => {
                let StreamError { code, err_code, description } = error;
                refused(format!("the stream refused it: {description} ({code}, {err_code})"))
            }
            // A repeat that the stream has dropped is as good: it has the message.
            Ok(Acknowledgement { stream: Some(_), error: None }) => Ok(()),
            _ => refused("it was answered by something that is no stream".to_owned()),
        }
    }
}
