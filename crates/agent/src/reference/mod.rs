//! Reference clocks: PTP hardware clocks, shared memory and sockets, read when the engine asks.

mod phc;
mod shared_memory;
mod socket;

use std::io;
use std::os::fd::RawFd;

use timeball_ntp::engine::{ReferenceDevice, ReferenceError, ReferenceReading};
use timeball_timebase::MonoTime;

use phc::Phc;
use shared_memory::SharedMemory;
use socket::SampleSocket;

pub use shared_memory::{SHARED_MEMORY_OCTETS, SharedSample, parse_shared_memory};
pub use socket::{SOCKET_SAMPLE_OCTETS, parse_socket_sample};

/// A reference clock of the settings. It is opened when it is first needed, and again after it
/// failed: devices and their drivers come and go.
pub(crate) struct Reference {
    device: ReferenceDevice,
    opened: Option<Opened>,
}

enum Opened {
    Phc(Phc),
    SharedMemory(SharedMemory),
    Socket(SampleSocket),
}

impl Reference {
    pub(crate) fn new(device: ReferenceDevice) -> Self {
        let mut reference = Self { device, opened: None };
        // A socket must be there before anybody can send to it; why it is not is told when read.
        let _ = reference.open();
        reference
    }

    /// Reads the clock; `None` where it has nothing new to tell.
    pub(crate) fn read(
        &mut self,
        now: MonoTime,
    ) -> Option<Result<ReferenceReading, ReferenceError>> {
        let outcome = match self.open() {
            Err(error) => return Some(Err(system_error(&error))),
            Ok(Opened::Phc(phc)) => phc.read().map(Some),
            Ok(Opened::SharedMemory(memory)) => memory.read(),
            Ok(Opened::Socket(socket)) => socket.read(now),
        };
        if let Err(ReferenceError::System { .. }) = outcome {
            self.opened = None;
        }
        outcome.transpose()
    }

    /// What becomes readable when the clock has something to tell by itself, and is to be waited
    /// for at `now`.
    pub(crate) fn fd(&self, now: MonoTime) -> Option<RawFd> {
        match &self.opened {
            Some(Opened::Socket(socket)) => socket.fd(now),
            _ => None,
        }
    }

    fn open(&mut self) -> io::Result<&mut Opened> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => match &self.device {
                ReferenceDevice::Phc { path, ahead } => Opened::Phc(Phc::open(path, *ahead)?),
                ReferenceDevice::SharedMemory { unit, mode } => {
                    Opened::SharedMemory(SharedMemory::attach(*unit, *mode)?)
                }
                ReferenceDevice::Socket { path } => Opened::Socket(SampleSocket::bind(path)?),
            },
        };
        Ok(self.opened.insert(opened))
    }
}

fn system_error(error: &io::Error) -> ReferenceError {
    ReferenceError::System { errno: error.raw_os_error().unwrap_or(libc::EIO) }
}
