//! Accepting connections, a bounded number at a time, and ending them in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::{HttpOptions, unix};

/// Header fields of one request; more are answered with 431.
const HEADER_FIELDS_MAX: usize = 64;
/// Pause after a failure to accept, which is most likely the limit on open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(super) enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A UNIX socket.
    Unix(UnixListener),
}

/// A connection of either kind, with what its requests carry.
type Accepted = (Box<dyn Stream>, Router);

/// What octets go to and fro on.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Serves connections until `stop` is notified, then lets those under way end.
pub(super) async fn serve(
    listener: Listener,
    router: Router,
    options: HttpOptions,
    stop: Arc<Notify>,
) {
    let slots = Arc::new(Semaphore::new(options.connections_max));
    let (ending, is_ending) = watch::channel(false);
    loop {
        let (accepted, slot) = tokio::select! {
            () = stop.notified() => break,
            accepted = accept(&listener, &router, &slots) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        // A stranger at the UNIX socket is hung up on.
        let Some((stream, router)) = accepted else { continue };
        let is_ending = is_ending.clone();
        let connection = connection(stream, router, options.clone(), is_ending);
        tokio::spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    ending.send_replace(true);
    let all = u32::try_from(options.connections_max).unwrap_or(u32::MAX);
    // Event streams never end by themselves; after the grace they are cut with the runtime.
    let _ = tokio::time::timeout(options.stop_timeout, slots.acquire_many(all)).await;
}

async fn accept(
    listener: &Listener,
    router: &Router,
    slots: &Arc<Semaphore>,
) -> io::Result<(Option<Accepted>, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    let accepted: Option<Accepted> = match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Small answers should leave at once.
            stream.set_nodelay(true)?;
            Some((Box::new(stream), router.clone()))
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let user = unix::user_of(&stream)?;
            user.map(|user| -> Accepted {
                (Box::new(stream), router.clone().layer(Extension(user)))
            })
        }
    };
    Ok((accepted, slot))
}

async fn connection(
    stream: Box<dyn Stream>,
    router: Router,
    options: HttpOptions,
    mut is_ending: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(options.header_octets_max)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = is_ending.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "HTTP connection ended early");
    }
}
