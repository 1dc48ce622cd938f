//! A TCP connection behind a latch: what is written while it is held is kept, and leaves at once
//! when it is opened.
//!
//! So everything that takes time (encoding, encryption) happens before T, with whatever protocol
//! stands on the connection; at T the firing thread makes one system call. Nobody has to trust that
//! an early message was not sent: while the latch is held, not one octet is.

use super::trigger::Load;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The most that is kept: the largest body and its headers, several times.
const KEPT_OCTETS_MAX: usize = 2 * 1024 * 1024;

/// The latch of one connection.
pub(super) struct Latch {
    tcp: TcpStream,
    state: Mutex<State>,
    /// Told when something is kept and its writer has no more for now.
    complete: Notify,
}

#[derive(Default)]
struct State {
    held: bool,
    kept: Vec<u8>,
    /// How much of `kept` has left.
    sent: usize,
    /// Whether anything has left since the latch was held last.
    has_sent: bool,
}

/// The connection as the protocol above it sees it.
pub(super) struct Latched(Arc<Latch>);

impl Latch {
    /// Puts a connection behind a latch that is open.
    pub(super) fn new(tcp: TcpStream) -> (Arc<Self>, Latched) {
        let (state, complete) = (Mutex::default(), Notify::new());
        let latch = Arc::new(Self { tcp, state, complete });
        (Arc::clone(&latch), Latched(latch))
    }

    /// Keeps what is written from now on.
    pub(super) fn hold(&self) {
        let mut state = self.lock();
        (state.held, state.has_sent) = (true, false);
    }

    /// Waits until something is kept and its writer has said that it is all.
    pub(super) async fn complete(&self) {
        self.complete.notified().await;
    }

    /// Lets go: what was kept leaves as far as the system takes it now, without waiting. An error
    /// shows where the connection is read.
    pub(super) fn open(&self) {
        let mut state = self.lock();
        state.held = false;
        // What the system does not take is left to `drain`.
        let _ = self.send_kept(&mut state);
    }

    /// Whether anything was sent since the latch was held.
    pub(super) fn has_sent(&self) -> bool {
        self.lock().has_sent
    }

    /// Whether nothing is kept any more.
    pub(super) fn is_drained(&self) -> bool {
        self.lock().kept.is_empty()
    }

    /// Sends what is still kept after the latch was opened, and returns when it has left.
    pub(super) async fn drain(&self) -> io::Result<()> {
        loop {
            let done = self.send_kept(&mut self.lock());
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            self.tcp.writable().await?;
        }
    }

    fn send_kept(&self, state: &mut State) -> io::Result<()> {
        while state.sent < state.kept.len() {
            match self.tcp.try_write(&state.kept[state.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    state.sent += n;
                    state.has_sent = true;
                }
                Err(error) => return Err(error),
            }
        }
        (state.kept, state.sent) = (Vec::new(), 0);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is kept; then nothing is, and the latch is open.
    fn poll_drain(&self, cx: &mut Context<'_>, state: &mut State) -> Poll<io::Result<()>> {
        loop {
            match self.send_kept(state) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

impl Load for Latch {
    fn release(&self) {
        self.open();
    }
}

impl AsyncRead for Latched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.tcp.poll_read_ready(cx))?;
            match self.0.tcp.try_read(buffer.initialize_unfilled()) {
                Ok(n) => {
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Latched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let latch = &self.0;
        let mut state = latch.lock();
        if state.held {
            if state.kept.len() + octets.len() > KEPT_OCTETS_MAX {
                let message = format!("more than {KEPT_OCTETS_MAX} octets for one fire");
                return Poll::Ready(Err(io::Error::other(message)));
            }
            state.kept.extend_from_slice(octets);
            return Poll::Ready(Ok(octets.len()));
        }
        ready!(latch.poll_drain(cx, &mut state))?;
        loop {
            match latch.tcp.try_write(octets) {
                Ok(n) => {
                    state.has_sent = true;
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(latch.tcp.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if !state.held {
            return self.0.poll_drain(cx, &mut state);
        }
        if !state.kept.is_empty() {
            self.0.complete.notify_one();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The system closes the connection when its last user lets go of it.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Arc<Latch>, Latched, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (latch, latched) = Latch::new(near);
        (latch, latched, listener.accept().await.unwrap().0)
    }

    fn block_on(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.unwrap() });
    }

    #[test]
    fn nothing_leaves_while_it_is_held_and_all_of_it_when_it_opens() {
        block_on(async {
            let (latch, mut near, mut far) = pair().await;
            near.write_all(b"before,").await.unwrap();
            latch.hold();
            near.write_all(b"kept,").await.unwrap();
            near.flush().await.unwrap();
            latch.complete().await;
            let mut octets = [0; 7];
            far.read_exact(&mut octets).await.unwrap();
            assert_eq!(&octets, b"before,");
            let mut one = [0];
            let early = tokio::time::timeout(Duration::from_millis(50), far.read(&mut one)).await;
            assert!(early.is_err() && !latch.has_sent());
            let opener = Arc::clone(&latch);
            std::thread::spawn(move || opener.open()).join().unwrap();
            assert!(latch.has_sent() && latch.is_drained());
            near.write_all(b"after").await.unwrap();
            let mut octets = [0; 10];
            far.read_exact(&mut octets).await.unwrap();
            assert_eq!(&octets, b"kept,after");
        });
    }

    #[test]
    fn what_the_system_does_not_take_at_once_follows_in_order() {
        block_on(async {
            let (latch, mut near, mut far) = pair().await;
            latch.hold();
            // More at a time than a socket's buffers take.
            let octets: Vec<u8> = (0..250_000_u32).flat_map(u32::to_be_bytes).collect();
            near.write_all(&octets).await.unwrap();
            near.write_all(&octets).await.unwrap();
            assert!(near.write_all(&octets).await.is_err(), "there is a limit");
            latch.open();
            let mut received = vec![0; 2 * octets.len()];
            let (drained, read) = tokio::join!(latch.drain(), far.read_exact(&mut received));
            drained.unwrap();
            read.unwrap();
            assert!(latch.is_drained() && received == [octets.clone(), octets].concat());
        });
    }

    #[test]
    fn a_connection_that_was_closed_shows_that_nothing_was_sent() {
        block_on(async {
            let (latch, mut near, far) = pair().await;
            latch.hold();
            near.write_all(b"kept").await.unwrap();
            drop(far);
            assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
            assert!(!latch.has_sent());
        });
    }
}
