//! The target `http`: sends a request at T.
//!
//! A connection is opened shortly before T and held, so that at T only the request has to leave.
//! The request is a CloudEvent in binary mode (CloudEvents 1.0, HTTP binding) and carries the
//! fire's key as `Idempotency-Key` and `ce-id`, the same for every try. Without `retries` a request
//! is sent at most once; with them it is sent again after a failure, and after a crash of ours.

mod connections;
mod exchange;

use super::{Ended, OnEnd, ScheduleName, TargetLimits};
use crate::timer::Release;
use connections::Connections;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use timeball_schedule::{FireId, Outcome, Reason};
use timeball_timebase::Span;
use tokio::sync::{Semaphore, oneshot};

/// A request as its file asks for it, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The address as written.
    pub(crate) url: String,
    /// Name or address of the server, without the brackets of IPv6.
    pub(crate) host: String,
    /// Its TCP port.
    pub(crate) port: u16,
    /// What is asked for: path and query.
    pub(crate) path: Uri,
    /// The method.
    pub(crate) method: Method,
    /// `Host` and the headers of the file.
    pub(crate) headers: HeaderMap,
    /// The body of the file; a description of the fire in JSON where absent.
    pub(crate) body: Option<Bytes>,
    /// How long one try may take; above zero.
    pub(crate) timeout: Duration,
    /// How often it is sent again after a failure.
    pub(crate) retries: u32,
}

impl fmt::Display for Request {
    /// Writes the address as it was written in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Sends requests, on a thread of its own.
pub(crate) struct Client {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    on_end: OnEnd,
    connections: Connections,
    requests_max: usize,
    under_way: Semaphore,
    /// Where a released request is told to stop.
    released: Mutex<HashMap<FireId, oneshot::Sender<Reason>>>,
}

/// How long before T a connection is looked for.
const CONNECT_AHEAD: Duration = Duration::from_millis(500);

impl Client {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the process has no thread or descriptor left.
    pub(crate) fn start(limits: TargetLimits, on_end: OnEnd) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let thread =
            std::thread::Builder::new().name("http-targets".to_owned()).spawn(move || {
                // An error means that the client is gone, which is as good a reason to end.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?;
        let requests_max = limits.requests_max;
        let shared = Arc::new(Shared {
            on_end,
            connections: Connections::default(),
            requests_max,
            under_way: Semaphore::new(requests_max),
            released: Mutex::new(HashMap::new()),
        });
        Ok(Self { shared, runtime: handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Encodes the request and has a connection looked for; the release sends it.
    pub(crate) fn prepare(
        &self,
        fire: FireId,
        due_in: Span,
        name: &ScheduleName,
        request: &Arc<Request>,
    ) -> Release {
        let message = Message::new(fire, name, request);
        let (release, released) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let wait = Duration::from_nanos(due_in.as_nanos().max(0).unsigned_abs());
        let flight = exchange::Flight { message, request: Arc::clone(request) };
        let wait = wait.saturating_sub(CONNECT_AHEAD);
        self.runtime.spawn(Arc::clone(&shared).fly(fire, flight, wait, released));
        Box::new(move || {
            let (stop, stopped) = oneshot::channel();
            shared.lock().insert(fire, stop);
            // The receiver is gone only when the thread is, at the end of the process.
            let _ = release.send(Released { at: Instant::now(), stopped });
        })
    }

    pub(crate) fn stop(&self, fire: FireId, reason: Reason) {
        if let Some(stop) = self.shared.lock().remove(&fire) {
            // Where nobody hears, the request has just ended.
            let _ = stop.send(reason);
        }
    }

    pub(crate) fn stop_all(&self, reason: Reason) {
        for (_, stop) in self.shared.lock().drain() {
            let _ = stop.send(reason);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of HTTP targets panicked");
        }
    }
}

/// Word from the firing thread that a request is to leave.
struct Released {
    at: Instant,
    stopped: oneshot::Receiver<Reason>,
}

impl Shared {
    /// The whole flight of one request, from its preparation to its end. A flight whose fire is
    /// revoked ends without a word.
    async fn fly(
        self: Arc<Self>,
        fire: FireId,
        flight: exchange::Flight,
        wait: Duration,
        released: oneshot::Receiver<Released>,
    ) {
        let mut released = released;
        let mut early = None;
        tokio::select! {
            word = &mut released => early = Some(word),
            () = tokio::time::sleep(wait) => {}
        }
        // While it is looked for, the word may come; the request then leaves as soon as it can.
        let held = match early {
            None => self.connections.hold(&flight.request).await,
            Some(_) => None,
        };
        let word = match early {
            Some(word) => word,
            None => released.await,
        };
        let Ok(Released { at, stopped }) = word else { return };
        let (outcome, message) = match self.under_way.try_acquire() {
            Ok(_permit) => tokio::select! {
                ended = flight.send(&self.connections, held) => ended,
                Ok(reason) = stopped => {
                    (Outcome::Failed(reason), "stopped before an answer came".to_owned())
                }
            },
            Err(_) => {
                let max = self.requests_max;
                let message = format!("{max} requests are under way; this one was not sent");
                (Outcome::Failed(Reason::Unreachable), message)
            }
        };
        self.lock().remove(&fire);
        let nanos = i64::try_from(at.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let message = super::shorten(message);
        (self.on_end)(Ended { fire, outcome, duration: Span::from_nanos(nanos), message });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FireId, oneshot::Sender<Reason>>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is sent, the same at every try.
struct Message {
    method: Method,
    path: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// The type of the events that fires are.
const EVENT_TYPE: &str = "dev.timeball.fire.v1";

impl Message {
    fn new(fire: FireId, name: &ScheduleName, request: &Request) -> Self {
        let key = fire.to_string();
        let at = fire.scheduled_at.to_string();
        let mut headers = request.headers.clone();
        let mut set = |name: &'static str, value: &str| {
            // All of them are made of letters, digits and a few signs; names were checked.
            headers.insert(name, HeaderValue::from_str(value).expect("the value is plain ASCII"));
        };
        set("idempotency-key", &key);
        set("ce-specversion", "1.0");
        set("ce-id", &key);
        set("ce-source", &format!("/timeball/{name}"));
        set("ce-type", EVENT_TYPE);
        set("ce-time", &at);
        let body = request.body.clone().unwrap_or_else(|| {
            let (namespace, name) = (&name.namespace, &name.name);
            let uid = fire.schedule.to_string();
            let data = serde_json::json!({
                "fireId": key,
                "scheduledAt": at,
                "schedule": { "namespace": namespace, "name": name, "uid": uid },
            });
            Bytes::from(data.to_string())
        });
        if request.body.is_none() {
            headers.entry("content-type").or_insert(HeaderValue::from_static("application/json"));
        }
        Self { method: request.method.clone(), path: request.path.clone(), headers, body }
    }

    fn encode(&self) -> hyper::Request<Full<Bytes>> {
        let mut request = hyper::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

#[cfg(test)]
mod tests;
