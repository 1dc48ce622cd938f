//! The local HTTP server: small limits, strict headers, and no name but ours.
//!
//! It serves people's browsers on loopback, so it must not be a way in for web pages from
//! elsewhere: a request that names another host is refused (DNS rebinding), no header allows
//! another origin to read an answer, and the Content-Security-Policy admits nothing that is not
//! ours.

mod connections;
mod guard;
mod unix;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Notify;

pub use axum::Router;
pub use guard::CONTENT_SECURITY_POLICY;
pub use unix::LocalUser;

use connections::Listener;

/// Limits and names of a [`Server`].
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Names that a request may give as its host, beside loopback's (lower case, without port).
    pub host_names: Vec<String>,
    /// Connections served at once; more wait to be accepted (1+).
    pub connections_max: usize,
    /// Octets of a request's header (8,192+); a longer one is answered with 431.
    pub header_octets_max: usize,
    /// Octets of a request's body; a longer one is answered with 413.
    pub body_octets_max: usize,
    /// How long a client may take to send a request's header, idle time between requests included.
    pub header_timeout: Duration,
    /// How long an answer may take to begin; after that it is 504. An event stream may last.
    pub request_timeout: Duration,
    /// How long answers under way may take to end after [`Server::stop`].
    pub stop_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            host_names: Vec::new(),
            connections_max: 64,
            header_octets_max: 16 * 1024,
            body_octets_max: 256 * 1024,
            header_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_millis(500),
        }
    }
}

/// A running HTTP server on a thread of its own; ends when stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The UNIX socket's file, which goes with the server.
    socket: Option<PathBuf>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `router` on `listener` until stopped.
    ///
    /// # Errors
    /// Where the listener cannot be used or no thread can be made.
    pub fn start(listener: TcpListener, router: Router, options: HttpOptions) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let made = move || tokio::net::TcpListener::from_std(listener).map(Listener::Tcp);
        Self::spawn("http", address, made, router, options)
    }

    /// Serves `router` on a UNIX socket at `path` that only this user (and root) can use, until
    /// stopped; each request has the [`LocalUser`] as an extension. A socket that a process before
    /// this one has left there is replaced.
    ///
    /// # Errors
    /// Where the socket cannot be made (a path has at most 107 octets), or no thread.
    pub fn start_local(path: &Path, router: Router, options: HttpOptions) -> io::Result<Self> {
        let listener = unix::bind(path)?;
        let made = move || tokio::net::UnixListener::from_std(listener).map(Listener::Unix);
        // Clients of it name loopback as their host.
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let mut server = Self::spawn("http-local", address, made, router, options)?;
        server.socket = Some(path.to_owned());
        Ok(server)
    }

    fn spawn(
        name: &str,
        address: SocketAddr,
        made: impl FnOnce() -> io::Result<Listener> + Send + 'static,
        router: Router,
        options: HttpOptions,
    ) -> io::Result<Self> {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let started = runtime.and_then(|runtime| {
                let _inside = runtime.enter();
                let listener = made()?;
                drop(_inside);
                Ok((runtime, listener))
            });
            match started {
                Ok((runtime, listener)) => {
                    let router = guard::wrap(router, address, &options);
                    // The one who waits may be gone only if it panicked: nothing to do then.
                    let _ = ready.send(Ok(()));
                    runtime.block_on(connections::serve(listener, router, options, stopped));
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        })?;
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the HTTP thread died")))?;
        Ok(Self { address, socket: None, stop, thread: Some(thread) })
    }

    /// Where it listens; without meaning for a UNIX socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets answers under way end for a moment, and joins the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.notify_one();
        if let Some(path) = self.socket.take() {
            // Where it is gone already, somebody else saw to it.
            let _ = std::fs::remove_file(path);
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP server ended by a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
