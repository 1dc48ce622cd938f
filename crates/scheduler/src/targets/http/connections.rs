//! Connections that are open before they are needed.

use super::Server;
use crate::targets::latch::Latch;
use crate::targets::tls::{TlsError, TrustFiles, server_name};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection that can take a request, with its latch.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) latch: Arc<Latch>,
}

/// Open connections that nobody uses, by server.
#[derive(Default)]
pub(super) struct Connections {
    servers: Mutex<HashMap<Place, Idle>>,
}

/// By what connections are told apart: host, port, and whom TLS believes.
type Place = (String, u16, Option<TrustFiles>);

#[derive(Default)]
struct Idle {
    idle: Vec<(Connection, Instant)>,
    /// How many are held for fires that are not due yet.
    held: usize,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// The name is unknown, or nobody answers there.
    #[error("{host}:{port} cannot be reached: {source}")]
    Unreachable {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// TLS could not begin: the certificate is not believed, or there is no TLS.
    #[error("no TLS connection with {host}:{port}: {source}")]
    Tls {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// Our own certificates cannot be read.
    #[error(transparent)]
    Trust(#[from] TlsError),
    /// HTTP could not begin.
    #[error("{host}:{port} does not speak HTTP: {source}")]
    Handshake {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        source: hyper::Error,
    },
}

/// Many servers close a connection after a few idle seconds; one that has been idle for longer than
/// this may be closed at the very moment it is used.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// Connections to one server that are held for fires to come. Each fire beyond takes what is idle
/// shortly before T, or opens one of its own then.
const HELD_MAX: usize = 16;
/// Connections to one server that are kept idle.
const IDLE_PER_SERVER_MAX: usize = 32;
/// How long connecting ahead of T may take before it is left to T itself.
const AHEAD_MAX: Duration = Duration::from_secs(10);

/// A connection held for one fire.
pub(super) struct Held {
    connections: Arc<Connections>,
    place: Place,
    connection: Option<Connection>,
}

impl Connections {
    /// Holds a connection for a fire to come; `None` where there is none to be had, and the fire
    /// then tries again when it is due.
    pub(super) async fn hold(self: &Arc<Self>, server: &Server) -> Option<Held> {
        let place = place(server);
        {
            let mut servers = self.lock();
            let known = servers.entry(place.clone()).or_default();
            if known.held >= HELD_MAX {
                return None;
            }
            known.held += 1;
        }
        let mut held = Held { connections: Arc::clone(self), place, connection: None };
        held.connection = match self.idle(server) {
            Some(connection) => Some(connection),
            None => {
                let opened = tokio::time::timeout(AHEAD_MAX, open(server));
                opened.await.ok()?.ok()
            }
        };
        Some(held)
    }

    /// A connection for a request that is due now.
    pub(super) async fn take(&self, server: &Server) -> Result<Connection, ConnectError> {
        match self.idle(server) {
            Some(connection) => Ok(connection),
            None => open(server).await,
        }
    }

    /// Takes back a connection that has answered in full.
    pub(super) fn give_back(&self, server: &Server, connection: Connection) {
        let mut servers = self.lock();
        let known = servers.entry(place(server)).or_default();
        if known.idle.len() < IDLE_PER_SERVER_MAX && connection.is_open() {
            known.idle.push((connection, Instant::now()));
        }
    }

    /// A connection that was used and is open still.
    pub(super) fn idle(&self, server: &Server) -> Option<Connection> {
        let mut servers = self.lock();
        let known = servers.get_mut(&place(server))?;
        known.idle.retain(|(connection, since)| connection.is_open() && since.elapsed() < IDLE_MAX);
        let ready = |(connection, _): &(Connection, Instant)| connection.sender.is_ready();
        let ready = known.idle.iter().rposition(ready)?;
        Some(known.idle.remove(ready).0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Idle>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn is_open(&self) -> bool {
        !self.sender.is_closed() && self.latch.is_drained()
    }
}

impl Held {
    /// The connection, unless the server has closed it meanwhile.
    pub(super) fn take(mut self) -> Option<Connection> {
        self.connection.take().filter(Connection::is_open)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut servers = self.connections.lock();
        let Some(server) = servers.get_mut(&self.place) else { return };
        server.held -= 1;
        // A fire that was revoked leaves its connection to the next one.
        if let Some(connection) = self.connection.take() {
            server.idle.push((connection, Instant::now()));
        }
        let forgotten = server.held == 0 && server.idle.is_empty();
        if forgotten {
            servers.remove(&self.place);
        }
    }
}

fn place(server: &Server) -> Place {
    let trust = server.trust.as_ref().map(|trust| trust.files().clone());
    (server.host.clone(), server.port, trust)
}

async fn open(server: &Server) -> Result<Connection, ConnectError> {
    let (host, port) = (server.host.as_str(), server.port);
    let unreachable = |source| ConnectError::Unreachable { host: host.to_owned(), port, source };
    let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (latch, latched) = Latch::new(stream);
    let sender = match &server.trust {
        None => speak(server, latched).await?,
        Some(trust) => {
            let trust = Arc::clone(trust);
            // It may read files, which may be behind a network.
            let config = tokio::task::spawn_blocking(move || trust.config()).await;
            let config = config.map_err(|error| unreachable(io::Error::other(error)))??;
            let connector = TlsConnector::from(config);
            let secured = connector.connect(server_name(host)?, latched).await;
            let failed = |source| ConnectError::Tls { host: host.to_owned(), port, source };
            speak(server, secured.map_err(failed)?).await?
        }
    };
    Ok(Connection { sender, latch })
}

/// Begins HTTP on a connection.
async fn speak<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    server: &Server,
    stream: S,
) -> Result<SendRequest<Full<Bytes>>, ConnectError> {
    let (host, port) = (server.host.clone(), server.port);
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|source| ConnectError::Handshake { host, port, source })?;
    // Its end is seen by whoever uses the sender.
    tokio::spawn(connection);
    Ok(sender)
}
