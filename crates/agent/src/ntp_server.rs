//! The NTP server's thread: takes requests with the kernel's stamps, has the core answer them,
//! sends.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use timeball_ntp::server::{Server, ServerConfig, ServerCounters};
use timeball_runtime::{ClockCell, read_clocks};

use crate::sys;
use crate::udp::{Buffer, Datagram, ServerSocket};

/// Datagrams taken from one socket before the next gets its turn.
const BATCH: u32 = 32;

/// The counts of a server, for those who report them; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ServerTally {
    /// Where it listens.
    pub(crate) addresses: Arc<[SocketAddr]>,
    counters: Arc<Mutex<ServerCounters>>,
}

impl ServerTally {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses: addresses.into(), counters: Arc::default() }
    }

    pub(crate) fn read(&self) -> ServerCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, counters: ServerCounters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

/// A running server thread.
#[derive(Debug)]
pub(crate) struct NtpServer {
    wake: PipeWriter,
    thread: JoinHandle<()>,
}

impl NtpServer {
    /// Answers on `sockets` from what `clock` holds.
    pub(crate) fn start(
        sockets: Vec<ServerSocket>,
        config: ServerConfig,
        clock: Arc<ClockCell>,
        tally: ServerTally,
    ) -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        let server = Server::new(config);
        let run = move || {
            if let Err(error) = serve(&sockets, server, &clock, &tally, &woken) {
                tracing::error!(%error, "the NTP server has ended");
            }
        };
        let thread = thread::Builder::new().name("ntp-server".to_owned()).spawn(run)?;
        Ok(Self { wake, thread })
    }

    /// Ends the thread and frees its ports.
    pub(crate) fn stop(mut self) {
        // An error means that the thread has ended already.
        let _ = self.wake.write(&[0]);
        if self.thread.join().is_err() {
            tracing::error!("the NTP server ended by a panic");
        }
    }
}

fn serve(
    sockets: &[ServerSocket],
    mut server: Server,
    clock: &ClockCell,
    tally: &ServerTally,
    woken: &PipeReader,
) -> io::Result<()> {
    let mut buffer = Buffer::new();
    let mut fds: Vec<_> = sockets.iter().map(|s| sys::interest(s.fd(), libc::POLLIN)).collect();
    fds.push(sys::interest(woken.as_raw_fd(), libc::POLLIN));
    loop {
        if !sys::poll(&mut fds, -1)? {
            continue;
        }
        if fds.last().is_some_and(|fd| fd.revents != 0) {
            return Ok(());
        }
        for (socket, _) in sockets.iter().zip(&fds).filter(|(_, fd)| fd.revents != 0) {
            for _ in 0..BATCH {
                if !answer_one(socket, &mut server, clock, &mut buffer) {
                    break;
                }
            }
        }
        tally.write(server.counters());
    }
}

/// Handles one datagram; returns whether there was one.
fn answer_one(
    socket: &ServerSocket,
    server: &mut Server,
    clock: &ClockCell,
    buffer: &mut Buffer,
) -> bool {
    let Datagram { from, octets, stamp, local } = match socket.receive(buffer) {
        Ok(Some(datagram)) => datagram,
        Ok(None) => return false,
        Err(error) => {
            // Refusals of earlier answers show here; they concern nobody.
            tracing::debug!(%error, "no request received");
            return false;
        }
    };
    let now = read_clocks();
    let received_at = stamp.unwrap_or(now.system);
    if let Some(mut response) = server.handle(now, &clock.read(), octets, from, received_at) {
        response.stamp(read_clocks().system);
        if let Err(error) = socket.answer(response.octets(), &from, local) {
            tracing::debug!(%error, %from, "an answer could not be sent");
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn it_answers_counts_and_ends() {
        let socket = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.address().unwrap();
        let tally = ServerTally::new(vec![address]);
        let clock = Arc::new(ClockCell::new());
        let config = ServerConfig::default();
        let server = NtpServer::start(vec![socket], config, clock, tally.clone()).unwrap();
        let client = crate::udp::RequestSocket::connect(&address).unwrap();
        let mut request = [0_u8; 48];
        request[0] = 4 << 3 | 3;
        request[40..].copy_from_slice(&[9; 8]);
        client.send(&request).unwrap();
        client.send(&[0; 7]).unwrap();
        let mut buffer = Buffer::new();
        let mut fds = [client.interest()];
        let begun = Instant::now();
        let answer = loop {
            assert!(begun.elapsed() < Duration::from_secs(5), "no answer");
            sys::poll(&mut fds, 100).unwrap();
            if let Ok(Some(answer)) = client.receive(&mut buffer) {
                break answer.octets.to_vec();
            }
        };
        assert_eq!(answer.len(), 48);
        // Leap 3 (unknown), version 4, mode 4, stratum 16, and our transmit time as origin.
        assert_eq!((answer[0], answer[1]), (3 << 6 | 4 << 3 | 4, 16));
        assert_eq!(answer[24..32], [9; 8]);
        while tally.read().received < 2 {
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", tally.read());
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(tally.read().malformed, 1);
        server.stop();
        ServerSocket::bind(&address).expect("the port is free again");
    }
}
