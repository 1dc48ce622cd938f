//! A time server on loopback that counts.

use anyhow::Result;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds from 1900 to 1970.
const UNIX_FROM_1900: u64 = 2_208_988_800;

/// Answers until the program ends.
pub(super) struct Server {
    port: u16,
    answered: Arc<AtomicU64>,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let port = socket.local_addr()?.port();
        let answered = Arc::new(AtomicU64::new(0));
        let count = answered.clone();
        std::thread::spawn(move || serve(&socket, &count));
        Ok(Self { port, answered })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many requests were answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

fn serve(socket: &UdpSocket, count: &AtomicU64) {
    let mut octets = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut octets) {
        let received = ntp_now();
        if length < 48 || octets[0] & 7 != 3 {
            continue;
        }
        if socket.send_to(&answer(&octets, received), from).is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// RFC 5905 section 7.3: of a stratum 1 server that reads this machine's clock.
fn answer(request: &[u8], received: [u8; 8]) -> [u8; 48] {
    let mut octets = [0; 48];
    octets[0] = 4 << 3 | 4;
    octets[1] = 1;
    octets[2] = request[2];
    octets[3] = (-23_i8).cast_unsigned();
    octets[12..16].copy_from_slice(b"LOCL");
    octets[16..24].copy_from_slice(&received);
    octets[24..32].copy_from_slice(&request[40..48]);
    octets[32..40].copy_from_slice(&received);
    octets[40..48].copy_from_slice(&ntp_now());
    octets
}

fn ntp_now() -> [u8; 8] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    ((now.as_secs() + UNIX_FROM_1900) << 32 | fraction).to_be_bytes()
}
