//! A request and its answer, tried as often as the file allows.

use super::connections::{ConnectError, Connection, Connections, Held};
use super::{Event, Message, MessageError, Request};
use crate::targets::couriers::{self, BeginError};
use crate::targets::latch::Latch;
use crate::targets::trigger::Trigger;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::TrySendError;
use hyper::{Response, StatusCode};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use timeball_schedule::{Outcome, Reason};

/// How much of an answer is read; a longer one costs the connection.
const ANSWER_OCTETS_MAX: usize = 64 * 1024;
/// How much of a refusal is kept.
const REFUSAL_CHARS_MAX: usize = 300;
/// How long is waited after a connection that was lost before T, or could not be had.
const RELOAD_PAUSE: Duration = Duration::from_millis(50);

/// A request on its way.
pub(super) struct Flight {
    request: Arc<Request>,
    event: Event,
    connections: Arc<Connections>,
    beginning: Arc<couriers::Beginning>,
    trigger: Arc<Trigger<Latch>>,
    message: Option<Message>,
    held: Option<Held>,
    loaded: Option<Loaded>,
    /// Whether this try has begun to send.
    is_sending: bool,
    /// Whether a try before may have reached the server.
    has_sent: bool,
}

/// A request that lies in the latch of its connection.
struct Loaded {
    connection: Connection,
    answer: Answer,
    /// What came before the release was known of here.
    early: Option<Answered>,
}

type Answer = Pin<Box<dyn Future<Output = Answered> + Send>>;
type Answered = Result<Response<Incoming>, TrySendError<hyper::Request<Full<Bytes>>>>;

/// Why a try came to nothing.
#[derive(Debug, Error)]
enum TryError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{address} was not reached within {} s, so this try sent nothing", timeout.as_secs_f64())]
    Late { address: String, timeout: Duration },
    #[error("no answer within {} s; whether it arrived is not known", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("the connection broke before an answer came; whether it arrived is not known: {0}")]
    Broken(hyper::Error),
    #[error("answered {status}{}{body}", if body.is_empty() { "" } else { ": " })]
    Refused { status: StatusCode, body: String },
}

impl Flight {
    pub(super) fn new(
        request: Arc<Request>,
        event: Event,
        connections: Arc<Connections>,
        beginning: Arc<couriers::Beginning>,
    ) -> Self {
        Self {
            request,
            event,
            connections,
            beginning,
            trigger: Arc::default(),
            message: None,
            held: None,
            loaded: None,
            is_sending: false,
            has_sent: false,
        }
    }

    pub(super) fn trigger(&self) -> Arc<Trigger<Latch>> {
        Arc::clone(&self.trigger)
    }

    /// Writes the request into the latch of a connection; `false` where there is none to be had.
    ///
    /// # Errors
    /// Where it must not leave as things are; the release asks again.
    async fn load(&mut self, message: &Message) -> Result<bool, BeginError> {
        // First of all, since a connection that is opened for nothing costs the server, too.
        self.beginning.take_place()?;
        let server = &message.destination.server;
        let (warm, held) = (self.connections.warm(server), self.held.take());
        let connection = match warm.or_else(|| held.and_then(Held::take)) {
            Some(connection) => connection,
            None => match self.connections.take(server).await {
                Ok(connection) => connection,
                Err(_) => return Ok(false),
            },
        };
        let Connection { mut sender, latch } = connection;
        latch.hold();
        let mut answer: Answer = Box::pin(sender.try_send_request(message.encode()));
        tokio::select! {
            // The connection was closed at this very moment.
            _ = &mut answer => return Ok(false),
            () = latch.complete() => {}
        }
        // From here on the firing thread can let it leave.
        self.beginning.note()?;
        self.trigger.aim(&latch);
        let connection = Connection { sender, latch };
        self.loaded = Some(Loaded { connection, answer, early: None });
        Ok(true)
    }

    /// Returns where the loaded connection is of no use any more.
    async fn watch(&mut self) {
        let Some(loaded) = &mut self.loaded else { return };
        let early = (&mut loaded.answer).await;
        if self.trigger.lower() {
            self.loaded = None;
        } else {
            loaded.early = Some(early);
            // The release is on its way here.
            std::future::pending::<()>().await;
        }
    }

    async fn attempt(&mut self, message: &Message) -> Result<(), TryError> {
        let (connection, answer) = match self.loaded.take() {
            Some(loaded) => self.finish(loaded, message).await?,
            None => {
                let held = self.held.take().and_then(Held::take);
                let connection = match held {
                    Some(connection) => connection,
                    None => self.connect(message).await?,
                };
                self.begin(connection, message).await?
            }
        };
        let status = answer.status();
        let body = read(answer).await;
        if body.is_some() {
            self.connections.give_back(&message.destination.server, connection);
        }
        if status.is_success() || self.request.accepted.contains(&status) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(body.as_deref().unwrap_or_default()).into_owned();
        let text = if status.is_redirection() { "redirects are not followed".into() } else { text };
        Err(TryError::Refused {
            status,
            body: text.trim().chars().take(REFUSAL_CHARS_MAX).collect(),
        })
    }

    /// A connection for what has not been sent.
    async fn connect(&mut self, message: &Message) -> Result<Connection, ConnectError> {
        self.is_sending = false;
        self.connections.take(&message.destination.server).await
    }

    /// Waits for the answer to what left at T.
    async fn finish(
        &mut self,
        mut loaded: Loaded,
        message: &Message,
    ) -> Result<(Connection, Response<Incoming>), TryError> {
        self.is_sending = true;
        let Loaded { connection, answer, early } = &mut loaded;
        connection.latch.open();
        let answered = match early.take() {
            Some(early) => early,
            None => tokio::select! {
                answered = answer => answered,
                // An error shows in the answer.
                () = drained(&connection.latch) => unreachable!("it waits for the answer"),
            },
        };
        match answered {
            Ok(answer) => Ok((loaded.connection, answer)),
            // Not one octet left, so another connection is no repeat.
            Err(_) if !connection.latch.has_sent() => {
                let connection = self.connect(message).await?;
                self.begin(connection, message).await
            }
            Err(failed) => Err(TryError::Broken(failed.into_error())),
        }
    }

    /// Sends the message over an open latch, and waits for the answer.
    async fn begin(
        &mut self,
        mut connection: Connection,
        message: &Message,
    ) -> Result<(Connection, Response<Incoming>), TryError> {
        self.is_sending = true;
        let mut failed = match connection.sender.try_send_request(message.encode()).await {
            Ok(answer) => return Ok((connection, answer)),
            Err(failed) => failed,
        };
        if failed.take_message().is_none() {
            return Err(TryError::Broken(failed.into_error()));
        }
        // The server had closed the connection and has not seen the request: a new one.
        connection = self.connect(message).await?;
        self.is_sending = true;
        let sent = connection.sender.try_send_request(message.encode()).await;
        let answer = sent.map_err(|failed| TryError::Broken(failed.into_error()))?;
        Ok((connection, answer))
    }

    async fn try_until(&mut self, deadline: Instant) -> Result<(), TryError> {
        // Where all of the time went into getting ready, nothing is begun any more.
        if deadline > Instant::now()
            && let Ok(tried) = tokio::time::timeout_at(deadline.into(), self.try_once()).await
        {
            return tried;
        }
        Err(self.timed_out())
    }

    async fn try_once(&mut self) -> Result<(), TryError> {
        self.is_sending = false;
        let message = match self.message.take() {
            Some(message) => message,
            None => Message::new(&self.event, &self.request).await?,
        };
        let tried = self.attempt(&message).await;
        self.message = Some(message);
        tried
    }

    /// What a try that took too long came to.
    fn timed_out(&self) -> TryError {
        let timeout = self.request.timeout;
        if self.is_sending {
            return TryError::TimedOut(timeout);
        }
        TryError::Late { address: self.request.to_string(), timeout }
    }
}

impl couriers::Flight for Flight {
    async fn make_ready(&mut self) {
        // A file that cannot be read now may be there at T, which says so if it is not.
        self.message = Message::new(&self.event, &self.request).await.ok();
        if let Some(message) = &self.message {
            self.held = self.connections.hold(&message.destination.server).await;
        }
    }

    async fn keep_ready(&mut self) {
        let Some(load_at) = self.beginning.load_at() else { return };
        tokio::time::sleep_until(load_at.into()).await;
        loop {
            // Whoever drops this in between finds it gone, and writes it again.
            let Some(message) = self.message.take() else { return };
            let loaded = self.load(&message).await;
            self.message = Some(message);
            match loaded {
                Ok(true) => self.watch().await,
                Ok(false) => {}
                Err(_) => return,
            }
            tokio::time::sleep(RELOAD_PAUSE).await;
        }
    }

    fn stand_down(&mut self) -> bool {
        let stands_down = self.trigger.lower();
        if stands_down {
            (self.held, self.loaded) = (None, None);
        }
        stands_down
    }

    fn may_have_left(&self) -> bool {
        self.has_sent || self.is_sending || self.loaded.is_some()
    }

    fn timeout(&self) -> Duration {
        self.request.timeout
    }

    async fn send(&mut self, released_at: Instant) -> (Outcome, String) {
        let (mut retry, mut deadline) = (0, released_at + self.request.timeout);
        loop {
            let error = match self.try_until(deadline).await {
                Ok(()) => return (Outcome::Fired, String::new()),
                Err(error) => error,
            };
            self.has_sent |= self.is_sending;
            if retry >= self.request.retries || !error.may_pass() {
                return (Outcome::Failed(error.reason()), error.to_string());
            }
            retry += 1;
            tokio::time::sleep(crate::targets::back_off(self.event.fire, retry)).await;
            deadline = Instant::now() + self.request.timeout;
        }
    }
}

/// Sends what the system did not take at T; never returns, for the answer is waited for.
async fn drained(latch: &Latch) {
    // An error shows where the answer is read.
    let _ = latch.drain().await;
    std::future::pending().await
}

/// Reads the answer's body; `None` where it is too long or breaks off.
async fn read(answer: Response<Incoming>) -> Option<Vec<u8>> {
    let body = Limited::new(answer.into_body(), ANSWER_OCTETS_MAX).collect().await.ok()?;
    Some(body.to_bytes().to_vec())
}

impl TryError {
    fn reason(&self) -> Reason {
        match self {
            Self::Message(_) | Self::Connect(_) | Self::Late { .. } | Self::Broken(_) => {
                Reason::Unreachable
            }
            Self::TimedOut(_) => Reason::TimedOut,
            Self::Refused { .. } => Reason::Refused,
        }
    }

    /// Whether the same request may fare better later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT
                            | StatusCode::TOO_EARLY
                            | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            _ => true,
        }
    }
}
