//! The targets `nats`, `rabbitmq` and `kafka`: give a message to a broker, and have it confirmed.
//!
//! Shortly before T a connection to the broker is looked for, logged in and proved to answer; at T
//! the message goes over it: written by the firing thread where the protocol is ours (NATS), by the
//! couriers' thread where it is a library's. One connection serves all fires that name the same
//! broker in the same way, and is closed when none has used it for a while. A message is done when
//! the broker says that it has it.

mod form;
#[cfg(feature = "brokers")]
mod kafka;
mod links;
pub(crate) mod nats;
#[cfg(feature = "brokers")]
mod rabbitmq;

#[cfg(feature = "brokers")]
pub(crate) use kafka::Kafka;
pub(crate) use nats::Nats;
#[cfg(feature = "brokers")]
pub(crate) use rabbitmq::RabbitMq;

use super::couriers::{self, Beginning, Couriers};
use super::event::{Event, EventMode, Payload, Template};
use super::secret::{SecretError, SecretFile};
use super::trigger::{Load, Trigger};
use super::{ScheduleName, back_off};
use crate::timer::Release;
use hyper::body::Bytes;
use links::{Link, Links};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use timeball_schedule::planner::ArmedFire;
use timeball_schedule::{Outcome, Reason};
use timeball_timebase::Span;

/// How messages reach one kind of broker.
pub(crate) trait Protocol: fmt::Display + Send + Sync + 'static {
    /// An open connection, logged in.
    type Connection: Send + Sync + 'static;
    /// A message that is complete and leaves when the firing thread releases it; `Unloadable`
    /// where a library writes it.
    type Parcel: Parcel;

    /// By what connections are told apart.
    fn place(&self) -> String;

    /// Opens a connection and logs in.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Does over the connection what can be done ahead of this message, such as to see that the
    /// broker answers.
    fn prepare(
        &self,
        connection: &Self::Connection,
        message: &Message,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Whether nothing can be sent over the connection any more, as far as is known.
    fn is_closed(connection: &Self::Connection) -> bool;

    /// Has the message lie ready for the firing thread; `None` where it cannot, and
    /// [`publish`](Self::publish) then sends it or says why not.
    fn load(&self, _: &Self::Connection, _: &Message) -> Option<Self::Parcel> {
        None
    }

    /// Sends the message once, and returns when the broker has it.
    fn publish(
        &self,
        connection: &Self::Connection,
        message: &Message,
    ) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// A message that lies ready on its connection.
pub(crate) trait Parcel: Load {
    /// Sends it, where the firing thread has not, and returns when the broker has it.
    fn confirmed(&self) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// The parcel of a library that keeps its socket for itself: there is none.
#[cfg(feature = "brokers")]
pub(crate) enum Unloadable {}

#[cfg(feature = "brokers")]
impl Load for Unloadable {
    fn release(&self) {
        match *self {}
    }
}

#[cfg(feature = "brokers")]
impl Parcel for Unloadable {
    async fn confirmed(&self) -> Result<(), PublishError> {
        match *self {}
    }
}

/// A message to a broker as its file asks for it, parsed.
#[derive(Debug)]
pub(crate) struct Order<P> {
    pub(crate) protocol: P,
    /// The headers of the file.
    pub(crate) headers: Vec<Header>,
    pub(crate) payload: Payload,
    /// How long one try may take; above zero.
    pub(crate) timeout: Duration,
    /// How often it is sent again after a failure.
    pub(crate) retries: u32,
}

/// One header of the file.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    name: String,
    text: HeaderText,
}

#[derive(Clone, Debug)]
enum HeaderText {
    Plain(Template),
    Secret(SecretFile),
}

/// What is sent, the same at every try.
#[derive(Debug)]
pub(crate) struct Message {
    event: Event,
    /// Whether the event's attributes are sent beside the body.
    has_attributes: bool,
    headers: Vec<(String, String)>,
    content_type: Option<String>,
    body: Bytes,
}

/// Why a broker has not taken a message, or is not known to have.
#[derive(Debug, Error)]
pub(crate) enum PublishError {
    /// It was certainly not sent.
    #[error("{0}")]
    NotSent(String),
    /// The broker does not want it.
    #[error("{0}")]
    Refused(String),
    /// It was sent, or may have been, and no confirmation came.
    #[error("no confirmation came, so whether the broker has it is not known: {0}")]
    Lost(String),
}

/// Why a try came to nothing.
#[derive(Debug, Error)]
enum TryError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{place} cannot be reached: {problem}")]
    Connect { place: String, problem: String },
    #[error("no confirmation within {} s; whether the broker has it is not known", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("{place}: {source}")]
    Publish { place: String, source: PublishError },
}

/// A message to a broker of one of the kinds.
#[derive(Clone, Debug)]
pub(crate) enum Errand {
    Nats(Arc<Order<Nats>>),
    #[cfg(feature = "brokers")]
    RabbitMq(Arc<Order<RabbitMq>>),
    #[cfg(feature = "brokers")]
    Kafka(Arc<Order<Kafka>>),
}

impl Errand {
    /// How often it is sent again after a failure.
    pub(crate) fn retries(&self) -> u32 {
        match self {
            Self::Nats(order) => order.retries,
            #[cfg(feature = "brokers")]
            Self::RabbitMq(order) => order.retries,
            #[cfg(feature = "brokers")]
            Self::Kafka(order) => order.retries,
        }
    }
}

impl fmt::Display for Errand {
    /// Writes the kind, the broker and where in it the message goes, for eyes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nats(order) => write!(f, "nats {}", order.protocol),
            #[cfg(feature = "brokers")]
            Self::RabbitMq(order) => write!(f, "rabbitmq {}", order.protocol),
            #[cfg(feature = "brokers")]
            Self::Kafka(order) => write!(f, "kafka {}", order.protocol),
        }
    }
}

/// Sends messages to brokers, by the couriers' thread.
#[derive(Default)]
pub(crate) struct Posts {
    nats: Arc<Links<nats::Session>>,
    #[cfg(feature = "brokers")]
    rabbitmq: Arc<Links<rabbitmq::Connection>>,
    #[cfg(feature = "brokers")]
    kafka: Arc<Links<kafka::Connection>>,
}

impl Posts {
    /// Has a connection looked for; the release sends the message.
    pub(crate) fn prepare(
        &self,
        couriers: &Couriers,
        armed: &ArmedFire,
        due_in: Span,
        name: &ScheduleName,
        errand: &Errand,
    ) -> Release {
        let errand = Errand::clone(errand);
        match errand {
            Errand::Nats(order) => fly(couriers, armed, due_in, name, order, &self.nats),
            #[cfg(feature = "brokers")]
            Errand::RabbitMq(order) => fly(couriers, armed, due_in, name, order, &self.rabbitmq),
            #[cfg(feature = "brokers")]
            Errand::Kafka(order) => fly(couriers, armed, due_in, name, order, &self.kafka),
        }
    }
}

fn fly<P: Protocol>(
    couriers: &Couriers,
    armed: &ArmedFire,
    due_in: Span,
    name: &ScheduleName,
    order: Arc<Order<P>>,
    links: &Arc<Links<P::Connection>>,
) -> Release {
    let beginning = couriers.beginning(armed, due_in);
    let flight = Flight {
        order,
        event: Event::new(armed.fire, name),
        links: Arc::clone(links),
        beginning: Arc::clone(&beginning),
        trigger: Arc::default(),
        message: None,
        link: None,
        parcel: None,
    };
    let trigger = Arc::clone(&flight.trigger);
    couriers.prepare(beginning, flight, move || trigger.pull())
}

/// How long connecting ahead of T may take before it is left to T itself.
const AHEAD_MAX: Duration = Duration::from_secs(10);
/// How often a connection is looked at before T.
const REVIEW_EVERY: Duration = Duration::from_millis(50);

struct Flight<P: Protocol> {
    order: Arc<Order<P>>,
    event: Event,
    links: Arc<Links<P::Connection>>,
    beginning: Arc<Beginning>,
    trigger: Arc<Trigger<P::Parcel>>,
    message: Option<Message>,
    link: Option<Arc<Link<P::Connection>>>,
    /// What lies ready on `link`.
    parcel: Option<Arc<P::Parcel>>,
}

impl<P: Protocol> Flight<P> {
    /// Has the message lie ready on the connection, where that can be done.
    fn load(&mut self) {
        let (Some(message), Some(link)) = (&self.message, &self.link) else { return };
        let parcel = self.order.protocol.load(link.connection(), message);
        let Some(parcel) = parcel.map(Arc::new) else { return };
        // From here on the firing thread can let it leave.
        if self.beginning.note().is_ok() {
            self.trigger.aim(&parcel);
            self.parcel = Some(parcel);
        }
    }

    async fn connect(&self, message: &Message) -> Result<Arc<Link<P::Connection>>, String> {
        let protocol = &self.order.protocol;
        let link = self.links.link(protocol).await?;
        protocol.prepare(link.connection(), message).await?;
        Ok(link)
    }

    async fn try_once(&mut self) -> Result<(), TryError> {
        let message = match self.message.take() {
            Some(message) => message,
            None => Message::new(&self.event, &self.order).await?,
        };
        let tried = self.publish(&message).await;
        self.message = Some(message);
        tried
    }

    async fn publish(&mut self, message: &Message) -> Result<(), TryError> {
        let protocol = &self.order.protocol;
        let (link, parcel) = (self.link.take(), self.parcel.take());
        let open = |link: &Arc<Link<P::Connection>>| !P::is_closed(link.connection());
        let done = match (link, parcel) {
            // It may have left before the connection was closed.
            (Some(_link), Some(parcel)) => Some(parcel.confirmed().await),
            (Some(link), None) if open(&link) => {
                Some(protocol.publish(link.connection(), message).await)
            }
            _ => None,
        };
        match done {
            None => {}
            // Another connection is no repeat.
            Some(Err(PublishError::NotSent(_))) => self.links.forget(protocol),
            Some(done) => return done.map_err(|source| self.failed(source)),
        }
        let place = || protocol.place();
        let link = self.connect(message).await;
        let link = link.map_err(|problem| TryError::Connect { place: place(), problem })?;
        let done = protocol.publish(link.connection(), message).await;
        done.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: PublishError) -> TryError {
        if !matches!(source, PublishError::Refused(_)) {
            self.links.forget(&self.order.protocol);
        }
        TryError::Publish { place: self.order.protocol.place(), source }
    }
}

impl<P: Protocol> couriers::Flight for Flight<P> {
    async fn make_ready(&mut self) {
        // A file that cannot be read now may be there at T, which says so if it is not.
        self.message = Message::new(&self.event, &self.order).await.ok();
        let Some(message) = &self.message else { return };
        let connected = tokio::time::timeout(AHEAD_MAX, self.connect(message)).await;
        self.link = connected.ok().and_then(Result::ok);
    }

    async fn keep_ready(&mut self) {
        let load_at = self.beginning.load_at();
        loop {
            let Some(message) = &self.message else { return };
            if self.link.as_ref().is_none_or(|link| P::is_closed(link.connection())) {
                if !self.trigger.lower() {
                    // The release is on its way here.
                    return;
                }
                self.parcel = None;
                self.link = self.connect(message).await.ok();
            }
            let load_in = load_at.map(|at| at.saturating_duration_since(Instant::now()));
            let load_in = load_in.unwrap_or(Duration::MAX);
            if load_in.is_zero() && self.parcel.is_none() {
                self.load();
            }
            let is_loaded = load_in.is_zero();
            tokio::time::sleep(if is_loaded { REVIEW_EVERY } else { load_in.min(REVIEW_EVERY) })
                .await;
        }
    }

    fn stand_down(&mut self) -> bool {
        let stands_down = self.trigger.lower();
        if stands_down {
            (self.link, self.parcel) = (None, None);
        }
        stands_down
    }

    async fn send(&mut self) -> (Outcome, String) {
        let mut retry = 0;
        loop {
            let timeout = self.order.timeout;
            let tried = tokio::time::timeout(timeout, self.try_once()).await;
            let error = match tried.unwrap_or(Err(TryError::TimedOut(timeout))) {
                Ok(()) => return (Outcome::Fired, String::new()),
                Err(error) => error,
            };
            if retry >= self.order.retries {
                return (Outcome::Failed(error.reason()), error.to_string());
            }
            retry += 1;
            tokio::time::sleep(back_off(self.event.fire, retry)).await;
        }
    }
}

impl Message {
    /// Writes the message of one fire; reads the files with its secrets.
    async fn new<P>(event: &Event, order: &Order<P>) -> Result<Self, SecretError> {
        let mut headers = Vec::with_capacity(order.headers.len());
        for header in &order.headers {
            let text = match &header.text {
                HeaderText::Plain(text) => text.expand(event),
                HeaderText::Secret(file) => file.read().await?,
            };
            headers.push((header.name.clone(), text));
        }
        let (body, content_type) = order.payload.encode(event);
        let has_attributes = order.payload.mode == EventMode::Binary;
        Ok(Self { event: event.clone(), has_attributes, headers, content_type, body })
    }

    /// The event's attributes, where they are sent beside the body, with their names begun by
    /// `prefix`; and the headers of the file.
    fn headers(&self, prefix: &str) -> Vec<(String, String)> {
        let attributes = self.has_attributes.then(|| self.event.attributes());
        let attributes = attributes.into_iter().flatten();
        let named = attributes.map(|(name, value)| (format!("{prefix}{name}"), value.to_owned()));
        named.chain(self.headers.iter().cloned()).collect()
    }
}

impl TryError {
    fn reason(&self) -> Reason {
        match self {
            Self::TimedOut(_) => Reason::TimedOut,
            Self::Publish { source: PublishError::Refused(_), .. } => Reason::Refused,
            Self::Secret(_) | Self::Connect { .. } | Self::Publish { .. } => Reason::Unreachable,
        }
    }
}
