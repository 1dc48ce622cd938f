//! The NTP server's thread: takes requests with the kernel's stamps, has the core answer them,
//! sends.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use timeball_ntp::server::{Departure, Server, ServerConfig, ServerCounters};
use timeball_runtime::{ClockCell, read_clocks};

use crate::patience::Patience;
use crate::sys;
use crate::udp::{Buffer, Datagram, ReceiveError, ServerSocket, errno};

/// Datagrams taken from one socket before the next gets its turn.
const BATCH: u32 = 32;

/// Addresses of ours that are remembered; a machine has fewer.
const REACHED_MAX: usize = 64;

/// Departures whose stamp is waited for; the oldest must do with the reading taken after sending.
const AWAITED_MAX: usize = 64;

/// The counts of a server, for those who report them; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ServerTally {
    /// Where it listens.
    pub(crate) addresses: Arc<[SocketAddr]>,
    /// Where requests have reached it, in the order in which that was found out.
    reached: Arc<Mutex<Vec<SocketAddr>>>,
    counters: Arc<Mutex<ServerCounters>>,
    refusals: Arc<Mutex<Refusals>>,
}

/// What the system refused to the server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Refusals {
    /// How often a request could not be taken, or an answer not be sent.
    pub(crate) count: u64,
    /// Why, as an error number, if nothing of that kind has succeeded since.
    pub(crate) errno: Option<i32>,
}

impl ServerTally {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        let is_one = |address: &&SocketAddr| !address.ip().is_unspecified();
        let reached = addresses.iter().filter(is_one).copied().collect();
        let reached = Arc::new(Mutex::new(reached));
        let (counters, refusals) = (Arc::default(), Arc::default());
        Self { addresses: addresses.into(), reached, counters, refusals }
    }

    /// The addresses and ports that requests have reached it at, but for the first `known`.
    pub(crate) fn reached_after(&self, known: usize) -> Vec<SocketAddr> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.get(known..).unwrap_or_default().to_vec()
    }

    fn was_reached_at(&self, address: SocketAddr) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.len() < REACHED_MAX && !reached.contains(&address) {
            reached.push(address);
        }
    }

    pub(crate) fn read(&self) -> ServerCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn refusals(&self) -> Refusals {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what the system refused.
    fn was_refused(&self, errno: i32) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals = Refusals { count: refusals.count.saturating_add(1), errno: Some(errno) };
    }

    fn has_answered(&self) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).errno = None;
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
            let ports = sockets.into_iter().map(Port::new).collect();
            serve(ports, server, &clock, &tally, &woken);
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
    mut ports: Vec<Port>,
    mut server: Server,
    clock: &ClockCell,
    tally: &ServerTally,
    woken: &PipeReader,
) {
    let mut buffer = Buffer::new();
    let mut patience = Patience::default();
    let mut fds: Vec<_> =
        ports.iter().map(|port| sys::interest(port.socket.fd(), libc::POLLIN)).collect();
    fds.push(sys::interest(woken.as_raw_fd(), libc::POLLIN));
    loop {
        if !patience.poll(&mut fds, -1) {
            continue;
        }
        if fds.last().is_some_and(|fd| fd.revents != 0) {
            return;
        }
        for (port, _) in ports.iter_mut().zip(&fds).filter(|(_, fd)| fd.revents != 0) {
            // Stamps that come late, which `poll` reports until they are taken.
            port.take_departures(&mut server, &mut buffer);
            for _ in 0..BATCH {
                match port.answer_one(&mut server, clock, tally, &mut buffer) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // It is there still, and `poll` would not wait.
                    Err(error) => {
                        patience.rest(&error);
                        break;
                    }
                }
            }
            if let Some(address) = port.found.take() {
                tally.was_reached_at(address);
            }
        }
        tally.write(server.counters());
    }
}

/// A socket with the departures from it that clients of the interleaved mode will ask for.
struct Port {
    socket: ServerSocket,
    /// How many departures the kernel was asked to stamp, as it counts them.
    asked: u32,
    awaited: VecDeque<(u32, Departure)>,
    /// Where a request reached it last.
    reached_at: Option<IpAddr>,
    /// The same with its port, where that was another than before and nobody was told.
    found: Option<SocketAddr>,
    /// Whether the system has refused something since it sent an answer.
    was_refused: bool,
}

impl Port {
    fn new(socket: ServerSocket) -> Self {
        let (awaited, reached_at, found) = (VecDeque::new(), None, None);
        Self { socket, asked: 0, awaited, reached_at, found, was_refused: false }
    }

    fn note_reached(&mut self, at: IpAddr) {
        if self.reached_at.replace(at) != Some(at) {
            self.found = self.socket.address().ok().map(|own| SocketAddr::new(at, own.port()));
        }
    }

    /// Handles one datagram; returns whether there was one.
    ///
    /// # Errors
    /// Where the system does not hand it over.
    fn answer_one(
        &mut self,
        server: &mut Server,
        clock: &ClockCell,
        tally: &ServerTally,
        buffer: &mut Buffer,
    ) -> io::Result<bool> {
        let Datagram { from, octets, stamp, local } = match self.socket.receive(buffer) {
            Ok(Some(datagram)) => datagram,
            // Refusals of earlier answers by the network concern nobody.
            Ok(None) | Err(ReceiveError::Network { .. }) => return Ok(false),
            Err(ReceiveError::System { errno }) => {
                self.was_refused = true;
                tally.was_refused(errno);
                return Err(io::Error::from_raw_os_error(errno));
            }
        };
        let now = read_clocks();
        let received_at = stamp.unwrap_or(now.system);
        let Some(mut response) =
            server.handle(now, &clock.read_at(now.raw), octets, from, received_at)
        else {
            return Ok(true);
        };
        if let Some((address, _)) = local {
            self.note_reached(address);
        }
        let departure = response.departure();
        response.stamp(read_clocks().system);
        let sent = self.socket.answer(response.octets(), &from, local, departure.is_some());
        match &sent {
            Ok(()) if self.was_refused => {
                self.was_refused = false;
                tally.has_answered();
            }
            Ok(()) => {}
            Err(error) => {
                self.was_refused = true;
                tracing::debug!(%error, %from, "an answer could not be sent");
                tally.was_refused(errno(error));
            }
        }
        match (departure, sent) {
            (None, _) => {}
            (Some(departure), Ok(())) => {
                // Until the stamp comes, if it comes.
                server.departed(departure, read_clocks().system);
                self.await_stamp(departure);
                self.take_departures(server, buffer);
            }
            (Some(_), Err(_)) => {
                // Whether the kernel counted it is not known.
                self.socket.restart_count();
                self.asked = 0;
                self.awaited.clear();
            }
        }
        Ok(true)
    }

    fn await_stamp(&mut self, departure: Departure) {
        if self.awaited.len() == AWAITED_MAX {
            self.awaited.pop_front();
        }
        self.awaited.push_back((self.asked, departure));
        self.asked = self.asked.wrapping_add(1);
    }

    fn take_departures(&mut self, server: &mut Server, buffer: &mut Buffer) {
        while let Some((count, sent_at)) = self.socket.departure(buffer) {
            let found = self.awaited.iter().position(|(awaited, _)| *awaited == count);
            if let Some((_, departure)) = found.and_then(|at| self.awaited.remove(at)) {
                server.departed(departure, sent_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};
    use timeball_timebase::{Bound, ClockState, Frequency, Span, SyncState};

    /// Sends a request and waits for its answer.
    fn ask(client: &crate::udp::RequestSocket, request: &[u8]) -> Vec<u8> {
        client.send(request).unwrap();
        let mut buffer = Buffer::new();
        let mut fds = [client.interest()];
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(5), "no answer");
            sys::poll(&mut fds, 100).unwrap();
            if let Ok(Some(answer)) = client.receive(&mut buffer) {
                return answer.octets.to_vec();
            }
        }
    }

    #[test]
    fn an_interleaved_answer_tells_when_the_former_really_left() {
        let socket = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.address().unwrap();
        let tally = ServerTally::new(vec![address]);
        let clock = Arc::new(ClockCell::new());
        clock.publish(ClockState {
            state: SyncState::Synchronized,
            as_of: read_clocks().raw,
            system: read_clocks().system,
            offset: Some(Span::ZERO),
            bound: Some(Bound {
                as_of: read_clocks().raw,
                half_width: Span::from_millis(1),
                growth: Frequency::ZERO,
            }),
            stratum: 1,
            ..ClockState::default()
        });
        let config = ServerConfig::default();
        let server = NtpServer::start(vec![socket], config, clock, tally).unwrap();
        let client = crate::udp::RequestSocket::connect(&address).unwrap();
        let mut request = [0_u8; 48];
        request[0] = 4 << 3 | 3;
        let (mut former, mut written) = ([0; 8], 0);
        for round in 1..=4 {
            // Origin: the former answer's receive timestamp. Receive and transmit: random.
            request[24..32].copy_from_slice(&former);
            request[32..40].copy_from_slice(&[if round == 1 { 0 } else { round }; 8]);
            request[40..48].copy_from_slice(&[round + 100; 8]);
            let answer = ask(&client, &request);
            let time = |at: usize| u64::from_be_bytes(answer[at..at + 8].try_into().unwrap());
            if round <= 2 {
                assert_eq!(answer[24..32], request[40..48], "round {round} is basic");
            } else {
                assert_eq!(answer[24..32], request[32..40], "round {round} is interleaved");
                assert!(time(40) < time(32), "it left before this request came");
            }
            if round == 3 {
                // What the answer of round 2 said of its own departure was written before it left.
                assert!(time(40) > written, "{} after {written}", time(40));
            }
            former.copy_from_slice(&answer[32..40]);
            written = time(40);
        }
        server.stop();
    }

    #[test]
    fn requests_that_the_system_does_not_hand_over_are_counted_and_waited_for() {
        let (socket, something) = ServerSocket::refusing();
        let tally = ServerTally::new(Vec::new());
        let (clock, config) = (Arc::new(ClockCell::new()), ServerConfig::default());
        let server = NtpServer::start(vec![socket], config, clock, tally.clone()).unwrap();
        let begun = Instant::now();
        while tally.refusals().count < 2 {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", tally.refusals());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(begun.elapsed() >= Duration::from_millis(900), "never as a busy loop");
        assert_eq!(tally.refusals(), Refusals { count: 2, errno: Some(libc::ENOTSOCK) });
        drop(something);
        server.stop();
    }

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
        let begun = Instant::now();
        let answer = ask(&client, &request);
        client.send(&[0; 7]).unwrap();
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
