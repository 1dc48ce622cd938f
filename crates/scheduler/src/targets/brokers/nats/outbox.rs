//! What is on its way to a server: a TCP connection's sending side, encrypted or not, on which
//! whole messages are put by several threads, and of which it is known what has left.

use rustls::ClientConnection;
use std::io::{self, Read, Write};
use tokio::net::TcpStream;

/// The most that waits for the system to take it: many messages of the largest kind.
const PENDING_OCTETS_MAX: usize = 8 * 1024 * 1024;
/// As much as goes into one record of TLS: the first leaves before the second is encrypted.
const RECORD_OCTETS: usize = 16 * 1024;

/// The sending side.
pub(super) struct Outbox {
    seal: Option<ClientConnection>,
    /// What the system has not taken yet, encrypted where that is asked for.
    pending: Vec<u8>,
    /// How much of `pending` has left.
    head: usize,
    /// How many octets have left since the connection was opened.
    sent: u64,
    /// Whether nothing is sent any more.
    is_closed: bool,
}

/// Where in all that is sent over a connection a message begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u64);

impl Outbox {
    /// The sending side of a connection; with `seal`, which has shaken hands, all is encrypted.
    pub(super) fn new(seal: Option<ClientConnection>) -> Self {
        Self { seal, pending: Vec::new(), head: 0, sent: 0, is_closed: false }
    }

    /// Sends as much of this as the system takes now, behind all that waits; the rest waits for
    /// [`flush`](Self::flush), where an error shows. `None` where too much waits already, or the
    /// outbox is closed: nothing of it is sent then.
    pub(super) fn push(&mut self, tcp: &TcpStream, octets: &[u8]) -> Option<Place> {
        let waiting = self.pending.len() - self.head;
        if self.is_closed || waiting + octets.len() > PENDING_OCTETS_MAX {
            return None;
        }
        let place = Place(self.sent + waiting as u64);
        match &mut self.seal {
            None if waiting == 0 => {
                // Not copied: this is what happens at T.
                let taken = tcp.try_write(octets).unwrap_or(0);
                self.sent += taken as u64;
                self.pending.extend_from_slice(&octets[taken..]);
            }
            None => self.pending.extend_from_slice(octets),
            Some(_) => {
                for record in octets.chunks(RECORD_OCTETS) {
                    self.is_closed |= self.encrypt(record).is_err();
                    let _ = self.flush(tcp);
                }
            }
        }
        Some(place)
    }

    /// Sends what waits, as far as the system takes it now.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub(super) fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
        if self.is_closed {
            return Err(io::Error::other("nothing can be sent any more"));
        }
        while self.head < self.pending.len() {
            match tcp.try_write(&self.pending[self.head..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.head += n;
                    self.sent += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pending.drain(..self.head);
                    self.head = 0;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        (self.pending, self.head) = (Vec::new(), 0);
        Ok(())
    }

    /// Whether something waits that the system has not taken, or an error to be met.
    pub(super) fn is_clogged(&self) -> bool {
        self.is_closed || !self.pending.is_empty()
    }

    /// Whether anything of the message at this place has left.
    pub(super) fn has_left(&self, place: Place) -> bool {
        self.sent > place.0
    }

    /// Drops what waits: what has not left by now never will.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        (self.pending, self.head) = (Vec::new(), 0);
    }

    /// Decrypts what has arrived; answers what TLS itself wants answered.
    ///
    /// # Errors
    /// Where it is not what the server encrypted, or the server has ended the connection.
    pub(super) fn decrypt(&mut self, tcp: &TcpStream, mut arrived: &[u8]) -> io::Result<Vec<u8>> {
        let Some(seal) = &mut self.seal else { return Ok(arrived.to_vec()) };
        let mut plain = Vec::new();
        loop {
            let taken = if arrived.is_empty() { 0 } else { seal.read_tls(&mut arrived)? };
            let state = seal.process_new_packets().map_err(io::Error::other)?;
            let (octets, is_over) = (state.plaintext_bytes_to_read(), state.peer_has_closed());
            seal.reader().take(octets as u64).read_to_end(&mut plain)?;
            if is_over && plain.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if taken == 0 || arrived.is_empty() {
                break;
            }
        }
        while seal.wants_write() {
            seal.write_tls(&mut self.pending)?;
        }
        self.flush(tcp)?;
        Ok(plain)
    }

    /// Puts one record behind what waits.
    fn encrypt(&mut self, record: &[u8]) -> io::Result<()> {
        let Some(seal) = &mut self.seal else { return Ok(()) };
        seal.writer().write_all(record)?;
        while seal.wants_write() {
            seal.write_tls(&mut self.pending)?;
        }
        Ok(())
    }
}
