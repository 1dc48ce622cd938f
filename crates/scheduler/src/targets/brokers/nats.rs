//! NATS JetStream: publishes with `Nats-Msg-Id`, and waits for the stream's acknowledgement.
//!
//! A stream drops a message whose id it has seen within its duplicate window (2 minutes unless it
//! is told otherwise), so within that a repeat has no second effect.

use super::{Message, Protocol, PublishError};
use crate::targets::secret::SecretFile;
use crate::targets::tls::{Trust, TrustFiles};
use async_nats::jetstream::{self, context::PublishErrorKind};
use async_nats::{ConnectOptions, Event, HeaderMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where a message goes.
#[derive(Debug)]
pub(crate) struct Nats {
    /// `nats://host:port`, tried in this order.
    pub(super) servers: Vec<String>,
    pub(super) subject: String,
    pub(super) auth: Option<NatsAuth>,
    pub(super) trust: Option<Arc<Trust>>,
}

/// Who we are to the servers.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum NatsAuth {
    Token(SecretFile),
    User { username: String, password: SecretFile },
}

pub(crate) struct Connection {
    stream: jetstream::Context,
    closed: watch::Receiver<bool>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl fmt::Display for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.servers.join(","), self.subject)
    }
}

impl Protocol for Nats {
    type Connection = Connection;

    fn place(&self) -> String {
        let files: Option<&TrustFiles> = self.trust.as_ref().map(|trust| trust.files());
        let who = (&self.auth, files);
        match who {
            (None, None) => self.servers.join(","),
            who => format!("{} as {who:?}", self.servers.join(",")),
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let (close, closed) = watch::channel(false);
        let mut options = ConnectOptions::new()
            .name("timeball")
            .retain_servers_order()
            .connection_timeout(CONNECT_TIMEOUT)
            // A message that waits for a connection would leave late: we make a new one instead.
            .max_reconnects(1)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    close.send_replace(true);
                }
                std::future::ready(())
            });
        match &self.auth {
            None => {}
            Some(NatsAuth::Token(token)) => {
                options = options.token(token.read().await.map_err(|error| error.to_string())?);
            }
            Some(NatsAuth::User { username, password }) => {
                let password = password.read().await.map_err(|error| error.to_string())?;
                options = options.user_and_password(username.clone(), password);
            }
        }
        if let Some(trust) = &self.trust {
            let config = trust.config().map_err(|error| error.to_string())?;
            options = options.require_tls(true).tls_client_config((*config).clone());
        }
        let client = options.connect(&self.servers[..]).await.map_err(|error| error.to_string())?;
        Ok(Connection { stream: jetstream::new(client), closed })
    }

    async fn prepare(&self, connection: &Connection, _: &Message) -> Result<(), String> {
        // A ping and its answer.
        connection.stream.client().flush().await.map_err(|error| error.to_string())
    }

    fn is_closed(connection: &Connection) -> bool {
        *connection.closed.borrow()
    }

    async fn publish(
        &self,
        connection: &Connection,
        message: &Message,
    ) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers("ce-") {
            headers.insert(name, value);
        }
        if let Some(kind) = &message.content_type {
            headers.insert("content-type", kind.as_str());
        }
        headers.insert("Nats-Msg-Id", message.event.key.as_str());
        let (subject, body) = (self.subject.clone(), message.body.clone());
        let sent = connection.stream.publish_with_headers(subject, headers, body).await;
        let acknowledged = sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => PublishError::Refused(error.to_string()),
            _ => PublishError::NotSent(error.to_string()),
        })?;
        let mut closed = connection.closed.clone();
        tokio::select! {
            acknowledged = async { acknowledged.await } => match acknowledged {
                Ok(_) => Ok(()),
                Err(error) => Err(match error.kind() {
                    PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
                        PublishError::Lost(error.to_string())
                    }
                    _ => PublishError::Refused(error.to_string()),
                }),
            },
            _ = closed.wait_for(|closed| *closed) => {
                Err(PublishError::Lost("the connection broke".to_owned()))
            }
        }
    }
}
