//! A time source on loopback for whatever needs one without a network: it tells this machine's own
//! time.

use anyhow::{Context, Result};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From 1900, where NTP begins, to 1970.
const UNIX_EPOCH_S: u64 = 2_208_988_800;
const HEADER_OCTETS: usize = 48;

/// A running source; ended when dropped.
pub(crate) struct TimeSource {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TimeSource {
    pub(crate) fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("loopback has no free UDP port")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Some(thread::spawn(move || serve(&socket, &stopped)));
        Ok(Self { address, stop, thread })
    }
}

impl Drop for TimeSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, stop: &AtomicBool) {
    let mut request = [0_u8; 1_024];
    while !stop.load(Ordering::Relaxed) {
        let Ok((octets, from)) = socket.recv_from(&mut request) else { continue };
        let received = ntp_now();
        if octets >= HEADER_OCTETS {
            // Who asked may be gone already; that is its own affair.
            let _ = socket.send_to(&answer(&request, received), from);
        }
    }
}

/// An answer of stratum 1 (RFC 5905 figure 8).
fn answer(request: &[u8], received: u64) -> [u8; HEADER_OCTETS] {
    const LEAP_0_VERSION_4_MODE_4: u8 = 0x24;
    const STRATUM: u8 = 1;
    const PRECISION_LOG2_S: u8 = (-20_i8).cast_unsigned();
    let mut answer = [0; HEADER_OCTETS];
    answer[..4].copy_from_slice(&[LEAP_0_VERSION_4_MODE_4, STRATUM, request[2], PRECISION_LOG2_S]);
    answer[12..16].copy_from_slice(b"TEST");
    answer[16..24].copy_from_slice(&received.to_be_bytes());
    answer[24..32].copy_from_slice(&request[40..48]);
    answer[32..40].copy_from_slice(&received.to_be_bytes());
    answer[40..48].copy_from_slice(&ntp_now().to_be_bytes());
    answer
}

/// The system clock in 2^-32 s since 1900, in the era that it is in.
fn ntp_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    now.as_secs().wrapping_add(UNIX_EPOCH_S) << 32 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_with_the_request_s_random_number_and_the_time() {
        let source = TimeSource::start().expect("a port");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let mut request = [7_u8; HEADER_OCTETS];
        request[0] = 0x23;
        let before = ntp_now();
        socket.send_to(&request, source.address).expect("sent");
        let mut answer = [0_u8; 64];
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        assert_eq!(socket.recv(&mut answer).expect("an answer"), HEADER_OCTETS);
        assert_eq!(answer[24..32], [7; 8]);
        let sent = u64::from_be_bytes(answer[40..48].try_into().expect("eight octets"));
        assert!((before..=ntp_now()).contains(&sent));
    }
}
