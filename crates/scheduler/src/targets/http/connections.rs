//! Connections that are open before they are needed.

use super::Request;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::TcpStream;

/// A connection that can take a request.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// Open connections that nobody uses, by server.
#[derive(Default)]
pub(super) struct Connections {
    servers: Mutex<HashMap<(String, u16), Server>>,
}

#[derive(Default)]
struct Server {
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
/// Connections to one server that are held for fires to come. Fires beyond take at T what is idle.
const HELD_MAX: usize = 16;
/// Connections to one server that are kept idle.
const IDLE_PER_SERVER_MAX: usize = 32;
/// How long connecting ahead of T may take before it is left to T itself.
const AHEAD_MAX: Duration = Duration::from_secs(10);

/// A connection held for one fire.
pub(super) struct Held<'a> {
    connections: &'a Connections,
    server: (String, u16),
    connection: Option<Connection>,
}

impl Connections {
    /// Holds a connection for a fire to come; `None` where there is none to be had, and the fire
    /// then tries again when it is due.
    pub(super) async fn hold(&self, request: &Request) -> Option<Held<'_>> {
        let server = (request.host.clone(), request.port);
        {
            let mut servers = self.lock();
            let known = servers.entry(server.clone()).or_default();
            if known.held >= HELD_MAX {
                return None;
            }
            known.held += 1;
        }
        let mut held = Held { connections: self, server, connection: None };
        held.connection = match self.idle(request) {
            Some(connection) => Some(connection),
            None => {
                let opened = tokio::time::timeout(AHEAD_MAX, open(&request.host, request.port));
                opened.await.ok()?.ok()
            }
        };
        Some(held)
    }

    /// A connection for a request that is due now.
    pub(super) async fn take(&self, request: &Request) -> Result<Connection, ConnectError> {
        match self.idle(request) {
            Some(connection) => Ok(connection),
            None => open(&request.host, request.port).await,
        }
    }

    /// Takes back a connection that has answered in full.
    pub(super) fn give_back(&self, request: &Request, connection: Connection) {
        let mut servers = self.lock();
        let server = servers.entry((request.host.clone(), request.port)).or_default();
        if server.idle.len() < IDLE_PER_SERVER_MAX && !connection.is_closed() {
            server.idle.push((connection, Instant::now()));
        }
    }

    fn idle(&self, request: &Request) -> Option<Connection> {
        let mut servers = self.lock();
        let server = servers.get_mut(&(request.host.clone(), request.port))?;
        server
            .idle
            .retain(|(connection, since)| !connection.is_closed() && since.elapsed() < IDLE_MAX);
        let ready = server.idle.iter().rposition(|(connection, _)| connection.is_ready())?;
        Some(server.idle.remove(ready).0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u16), Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// The connection, unless the server has closed it meanwhile.
    pub(super) fn take(mut self) -> Option<Connection> {
        self.connection.take().filter(|connection| !connection.is_closed())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut servers = self.connections.lock();
        let Some(server) = servers.get_mut(&self.server) else { return };
        server.held -= 1;
        // A fire that was revoked leaves its connection to the next one.
        if let Some(connection) = self.connection.take() {
            server.idle.push((connection, Instant::now()));
        }
        let forgotten = server.held == 0 && server.idle.is_empty();
        if forgotten {
            servers.remove(&self.server);
        }
    }
}

async fn open(host: &str, port: u16) -> Result<Connection, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { host: host.to_owned(), port, source };
    let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|source| ConnectError::Handshake { host: host.to_owned(), port, source })?;
    // Its end is seen by whoever uses the sender.
    tokio::spawn(connection);
    Ok(sender)
}
