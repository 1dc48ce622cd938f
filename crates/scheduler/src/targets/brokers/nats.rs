//! NATS JetStream: publishes with `Nats-Msg-Id`, and waits for the stream's acknowledgement.
//!
//! A stream drops a message whose id it has seen within its duplicate window (2 minutes unless it
//! is told otherwise), so within that a repeat has no second effect. The protocol is spoken here
//! and not by a library, so that the firing thread itself can write a message at T.

mod answer;
mod opening;
mod outbox;
mod session;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use super::{Message, Parcel as _, Protocol, PublishError};
use crate::targets::secret::SecretFile;
use crate::targets::tls::Trust;
use session::Parcel;
pub(crate) use session::Session;
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

/// How long one server has to let us in before the next one is asked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
        self.servers()
    }

    fn key(&self) -> String {
        let trust = self.trust.as_ref().map(|trust| trust.files());
        format!("{} {:?} {trust:?}", self.servers(), self.auth)
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
        self.answered().await
    }

    fn noise(&self) -> Option<String> {
        Self::noise(self)
    }
}
