//! The targets `nats`, `rabbitmq` and `kafka`: give a message to a broker, and have it confirmed.
//!
//! Shortly before T a connection to the broker is looked for, logged in and proved to answer; at T
//! the message goes over it: written by the firing thread where the protocol is ours (NATS), by the
//! couriers' thread where it is a library's. One connection serves all fires that name the same
//! broker in the same way, and is closed when none has used it for a while. A message is done when
//! the broker says that it has it.

mod flight;
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

use super::ScheduleName;
use super::couriers::Couriers;
use super::event::{Event, EventMode, Payload, Template};
use super::secret::{SecretError, SecretFile};
use super::trigger::Load;
use crate::timer::Release;
use flight::Flight;
use hyper::body::Bytes;
use links::Links;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use timeball_schedule::planner::ArmedFire;
use timeball_timebase::Span;

/// How messages reach one kind of broker.
pub(crate) trait Protocol: fmt::Display + Send + Sync + 'static {
    /// An open connection, logged in.
    type Connection: Send + Sync + 'static;
    /// A message that is complete and leaves when the firing thread releases it; `Unloadable`
    /// where a library writes it.
    type Parcel: Parcel;

    /// The broker, for people.
    fn place(&self) -> String;

    /// By what connections are told apart; nobody is shown it.
    fn key(&self) -> String;

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

    /// What answered it that is not the broker, for people.
    fn noise(&self) -> Option<String>;
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

    fn noise(&self) -> Option<String> {
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
    let (event, links) = (Event::new(armed.fire, name), Arc::clone(links));
    let flight = Flight::new(order, event, links, Arc::clone(&beginning));
    let trigger = flight.trigger();
    couriers.prepare(beginning, flight, move || trigger.pull())
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
