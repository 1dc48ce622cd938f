//! A message to a broker and its confirmation, tried as often as the file allows.

use super::links::{Link, Links};
use super::{Message, Order, Parcel, Protocol, PublishError};
use crate::targets::back_off;
use crate::targets::couriers::{self, Beginning};
use crate::targets::event::Event;
use crate::targets::secret::SecretError;
use crate::targets::trigger::Trigger;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use timeball_schedule::{Outcome, Reason};

/// A message on its way.
pub(super) struct Flight<P: Protocol> {
    order: Arc<Order<P>>,
    event: Event,
    links: Arc<Links<P::Connection>>,
    beginning: Arc<Beginning>,
    trigger: Arc<Trigger<P::Parcel>>,
    message: Option<Message>,
    link: Option<Arc<Link<P::Connection>>>,
    /// What lies ready on `link`.
    parcel: Option<Arc<P::Parcel>>,
    /// What is being sent.
    sending: Option<Sending<P>>,
    /// Whether a try that has failed may have reached the broker.
    has_sent: bool,
}

/// A message of which nobody knows yet whether the broker has it.
struct Sending<P: Protocol> {
    link: Arc<Link<P::Connection>>,
    parcel: Option<Arc<P::Parcel>>,
}

/// Why a try came to nothing.
#[derive(Debug, Error)]
enum TryError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{place} cannot be reached: {problem}")]
    Connect { place: String, problem: String },
    #[error("{place} was not reached within {} s, so this try sent nothing", timeout.as_secs_f64())]
    Late { place: String, timeout: Duration },
    #[error(
        "no confirmation within {} s; whether the broker has it is not known{}",
        timeout.as_secs_f64(),
        noise.as_ref().map(|noise| format!(" ({noise})")).unwrap_or_default()
    )]
    TimedOut { timeout: Duration, noise: Option<String> },
    #[error("{place}: {source}")]
    Publish { place: String, source: PublishError },
}

/// How long connecting ahead of T may take before it is left to T itself.
const AHEAD_MAX: Duration = Duration::from_secs(10);
/// How often a connection is looked at before T.
const REVIEW_EVERY: Duration = Duration::from_millis(50);

impl<P: Protocol> Flight<P> {
    pub(super) fn new(
        order: Arc<Order<P>>,
        event: Event,
        links: Arc<Links<P::Connection>>,
        beginning: Arc<Beginning>,
    ) -> Self {
        Self {
            order,
            event,
            links,
            beginning,
            trigger: Arc::default(),
            message: None,
            link: None,
            parcel: None,
            sending: None,
            has_sent: false,
        }
    }

    pub(super) fn trigger(&self) -> Arc<Trigger<P::Parcel>> {
        Arc::clone(&self.trigger)
    }

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

    /// A connection that is ready for the message.
    async fn connect(&self, message: &Message) -> Result<Arc<Link<P::Connection>>, String> {
        let (protocol, asked_at) = (&self.order.protocol, Instant::now());
        let link = self.links.link(protocol).await?;
        if link.is_older_than(asked_at) {
            // It may have died without a word. Nothing of the message has left yet, so another one
            // is no repeat; half of a try is left for that.
            let prepared = protocol.prepare(link.connection(), message);
            if let Ok(Ok(())) = tokio::time::timeout(self.order.timeout / 2, prepared).await {
                return Ok(link);
            }
            link.forget();
        }
        let link = self.links.link(protocol).await?;
        protocol.prepare(link.connection(), message).await?;
        Ok(link)
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
        let message = match self.message.take() {
            Some(message) => message,
            None => Message::new(&self.event, &self.order).await?,
        };
        let tried = self.publish(&message).await;
        self.message = Some(message);
        tried
    }

    async fn publish(&mut self, message: &Message) -> Result<(), TryError> {
        if let Some(link) = self.link.take() {
            let parcel = self.parcel.take();
            // What lies ready may have left before its connection was closed.
            if parcel.is_some() || !P::is_closed(link.connection()) {
                match self.send_over(link, parcel, message).await {
                    // Another connection is no repeat.
                    Err(PublishError::NotSent(_)) => {}
                    done => return done.map_err(|source| self.failed(source)),
                }
            }
        }
        let link = self.connect(message).await;
        let place = || self.order.protocol.place();
        let link = link.map_err(|problem| TryError::Connect { place: place(), problem })?;
        let done = self.send_over(link, None, message).await;
        done.map_err(|source| self.failed(source))
    }

    /// Sends the message over this connection, and forgets that where it is of no use any more.
    async fn send_over(
        &mut self,
        link: Arc<Link<P::Connection>>,
        parcel: Option<Arc<P::Parcel>>,
        message: &Message,
    ) -> Result<(), PublishError> {
        let protocol = &self.order.protocol;
        let parcel = parcel.or_else(|| protocol.load(link.connection(), message).map(Arc::new));
        self.sending = Some(Sending { link: Arc::clone(&link), parcel: parcel.clone() });
        let done = match parcel {
            Some(parcel) => parcel.confirmed().await,
            None => protocol.publish(link.connection(), message).await,
        };
        self.sending = None;
        if matches!(done, Err(PublishError::NotSent(_) | PublishError::Lost(_))) {
            link.forget();
        }
        done
    }

    fn failed(&self, source: PublishError) -> TryError {
        TryError::Publish { place: self.order.protocol.place(), source }
    }

    /// What a try that took too long came to.
    fn timed_out(&mut self) -> TryError {
        let timeout = self.order.timeout;
        let Some(Sending { link, parcel }) = self.sending.take() else {
            return TryError::Late { place: self.order.protocol.place(), timeout };
        };
        link.forget();
        TryError::TimedOut { timeout, noise: parcel.and_then(|parcel| parcel.noise()) }
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

    fn may_have_left(&self) -> bool {
        self.has_sent || self.sending.is_some() || self.parcel.is_some()
    }

    fn timeout(&self) -> Duration {
        self.order.timeout
    }

    async fn send(&mut self, released_at: Instant) -> (Outcome, String) {
        let (mut retry, mut deadline) = (0, released_at + self.order.timeout);
        loop {
            let error = match self.try_until(deadline).await {
                Ok(()) => return (Outcome::Fired, String::new()),
                Err(error) => error,
            };
            self.has_sent |= error.may_have_arrived();
            if retry >= self.order.retries {
                return (Outcome::Failed(error.reason()), error.to_string());
            }
            retry += 1;
            tokio::time::sleep(back_off(self.event.fire, retry)).await;
            deadline = Instant::now() + self.order.timeout;
        }
    }
}

impl TryError {
    fn reason(&self) -> Reason {
        match self {
            Self::TimedOut { .. } => Reason::TimedOut,
            Self::Publish { source: PublishError::Refused(_), .. } => Reason::Refused,
            Self::Secret(_) | Self::Connect { .. } | Self::Late { .. } | Self::Publish { .. } => {
                Reason::Unreachable
            }
        }
    }

    /// Whether the broker may have the message although the try has failed.
    fn may_have_arrived(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Publish { source: PublishError::Lost(_), .. })
    }
}
