//! A request and its answer, tried as often as the file allows.

use super::connections::{ConnectError, Connection, Connections, Held};
use super::{Message, Request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use std::sync::Arc;
use thiserror::Error;
use timeball_schedule::{Outcome, Reason};

/// A request ready to be sent.
pub(super) struct Flight {
    pub(super) message: Message,
    pub(super) request: Arc<Request>,
}

/// Why a try came to nothing.
#[derive(Debug, Error)]
enum TryError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(std::time::Duration),
    #[error("the connection broke before an answer came: {0}")]
    Broken(hyper::Error),
    #[error("answered {status}{}{body}", if body.is_empty() { "" } else { ": " })]
    Refused { status: StatusCode, body: String },
}

/// How much of an answer is read; a longer one costs the connection.
const ANSWER_OCTETS_MAX: usize = 64 * 1024;
/// How much of a refusal is kept.
const REFUSAL_CHARS_MAX: usize = 300;

impl Flight {
    /// Sends the request, over `held` first, and says how that ended.
    pub(super) async fn send(
        &self,
        connections: &Connections,
        held: Option<Held<'_>>,
    ) -> (Outcome, String) {
        let mut ready = held.and_then(Held::take);
        let mut retry = 0;
        loop {
            let timeout = self.request.timeout;
            let tried = tokio::time::timeout(timeout, self.attempt(connections, ready.take()));
            let error = match tried.await.unwrap_or(Err(TryError::TimedOut(timeout))) {
                Ok(()) => return (Outcome::Fired, String::new()),
                Err(error) => error,
            };
            if retry >= self.request.retries || !error.may_pass() {
                return (Outcome::Failed(error.reason()), error.to_string());
            }
            retry += 1;
            tokio::time::sleep(crate::targets::back_off(retry)).await;
        }
    }

    async fn attempt(
        &self,
        connections: &Connections,
        ready: Option<Connection>,
    ) -> Result<(), TryError> {
        let mut connection = match ready {
            Some(connection) => connection,
            None => connections.take(&self.request).await?,
        };
        let sent = connection.try_send_request(self.message.encode()).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(mut failed) => {
                if failed.take_message().is_none() {
                    return Err(TryError::Broken(failed.into_error()));
                }
                // The server had closed the connection and has not seen the request: a new one.
                connection = connections.take(&self.request).await?;
                let sent = connection.try_send_request(self.message.encode()).await;
                sent.map_err(|failed| TryError::Broken(failed.into_error()))?
            }
        };
        let status = answer.status();
        let body = read(answer).await;
        if body.is_some() {
            connections.give_back(&self.request, connection);
        }
        if status.is_success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(body.as_deref().unwrap_or_default()).into_owned();
        let text = if status.is_redirection() { "redirects are not followed".into() } else { text };
        Err(TryError::Refused {
            status,
            body: text.trim().chars().take(REFUSAL_CHARS_MAX).collect(),
        })
    }
}

/// Reads the answer's body; `None` where it is too long or breaks off.
async fn read(answer: Response<Incoming>) -> Option<Vec<u8>> {
    let body = Limited::new(answer.into_body(), ANSWER_OCTETS_MAX).collect().await.ok()?;
    Some(body.to_bytes().to_vec())
}

impl TryError {
    fn reason(&self) -> Reason {
        match self {
            Self::Connect(_) | Self::Broken(_) => Reason::Unreachable,
            Self::TimedOut(_) => Reason::TimedOut,
            Self::Refused { .. } => Reason::Refused,
        }
    }

    /// Whether the same request may fare better later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT
                            | StatusCode::TOO_EARLY
                            | StatusCode::TOO_MANY_REQUESTS
                    )
            }
        }
    }
}
