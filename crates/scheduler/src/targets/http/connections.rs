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
use std::net::SocketAddr;
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
/// A connection that was used within this time is as likely to be open still as one that was opened
/// for the fire.
const WARM_MAX: Duration = Duration::from_millis(500);
/// Connections to one server that are held for fires to come. Each fire beyond takes what is idle
/// shortly before T, or opens one of its own then.
const HELD_MAX: usize = 16;
/// Connections to one server that are kept idle.
const IDLE_PER_SERVER_MAX: usize = 32;
/// How long connecting ahead of T may take before it is left to T itself.
const AHEAD_MAX: Duration = Duration::from_secs(10);

/// How long one address of a server has to take a connection before the next one is tried.
const CONNECT_MAX: Duration = Duration::from_secs(5);

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
        held.connection = match self.pick(server, |idle| idle.position(is_ready)) {
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
        match self.pick(server, |idle| idle.rposition(is_ready)) {
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

    /// The connection that was used last, if that was just now: whoever serves it, here and there,
    /// has its work at hand still, which a connection that was only opened has not.
    pub(super) fn warm(&self, server: &Server) -> Option<Connection> {
        self.pick(server, |idle| {
            idle.rposition(|idle| is_ready(idle) && idle.1.elapsed() < WARM_MAX)
        })
    }

    /// Takes one of the connections that are used by nobody and open still, the longest unused of
    /// which comes first.
    fn pick(
        &self,
        server: &Server,
        position: impl FnOnce(&mut std::slice::Iter<'_, (Connection, Instant)>) -> Option<usize>,
    ) -> Option<Connection> {
        let mut servers = self.lock();
        let known = servers.get_mut(&place(server))?;
        known.idle.retain(|(connection, since)| connection.is_open() && since.elapsed() < IDLE_MAX);
        let position = position(&mut known.idle.iter())?;
        Some(known.idle.remove(position).0)
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
        // A fire that was revoked, or had a warmer one, leaves its connection to the next one.
        if let Some(connection) = self.connection.take() {
            server.idle.insert(0, (connection, Instant::now()));
        }
        let forgotten = server.held == 0 && server.idle.is_empty();
        if forgotten {
            servers.remove(&self.place);
        }
    }
}

fn is_ready((connection, _): &(Connection, Instant)) -> bool {
    connection.sender.is_ready()
}

fn place(server: &Server) -> Place {
    let trust = server.trust.as_ref().map(|trust| trust.files().clone());
    (server.host.clone(), server.port, trust)
}

async fn open(server: &Server) -> Result<Connection, ConnectError> {
    let (host, port) = (server.host.as_str(), server.port);
    let unreachable = |source| ConnectError::Unreachable { host: host.to_owned(), port, source };
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(unreachable)?;
    let stream = first_to_answer(addresses, TcpStream::connect).await.map_err(unreachable)?;
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

/// Connects to the first of these addresses that takes it in time.
async fn first_to_answer<S, C: Future<Output = io::Result<S>>>(
    addresses: impl Iterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> C,
) -> io::Result<S> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        failure = match tokio::time::timeout(CONNECT_MAX, connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => {
                let said = format!("{address} does not answer within {} s", CONNECT_MAX.as_secs());
                io::Error::new(io::ErrorKind::TimedOut, said)
            }
        };
    }
    Err(failure)
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

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use std::net::TcpListener;

    #[test]
    fn a_connection_that_was_just_used_comes_before_one_that_was_held_for_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let name = HeaderValue::from_static("localhost");
        let server = Server { host: "127.0.0.1".to_owned(), port, name, trust: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connections = Arc::<Connections>::default();
            let mut held = Vec::new();
            for _ in 0..2 {
                let mut one = connections.hold(&server).await.unwrap();
                one.connection.as_mut().unwrap().sender.ready().await.unwrap();
                held.push(one);
            }
            let used = held.remove(0).take().unwrap();
            let latch = Arc::clone(&used.latch);
            connections.give_back(&server, used);
            drop(held);
            let next = connections.hold(&server).await.unwrap().take().unwrap();
            assert!(!Arc::ptr_eq(&next.latch, &latch), "the warm one is left to who is due");
            let warm = connections.warm(&server).unwrap();
            assert!(Arc::ptr_eq(&warm.latch, &latch));
            assert!(connections.warm(&server).is_none());
        });
    }

    #[test]
    fn an_address_that_does_not_answer_keeps_nobody_from_the_next_one() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let [dark, shut, open] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let connect = |address: SocketAddr| async move {
            match address.port() {
                1 => std::future::pending().await,
                2 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                port => Ok(port),
            }
        };
        let of = |addresses: Vec<SocketAddr>| {
            runtime.block_on(first_to_answer(addresses.into_iter(), connect))
        };
        assert_eq!(of(vec![shut, dark, open]).unwrap(), 3);
        assert_eq!(of(vec![shut]).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(of(vec![]).unwrap_err().to_string(), "the name has no address");
    }
}
