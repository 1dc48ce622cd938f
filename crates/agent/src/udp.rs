//! UDP with kernel timestamps: the sockets that ask servers, and those that answer clients.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use timeball_ntp::engine::SendError;
use timeball_timebase::Timestamp;

use crate::control::{self, Told};
use crate::sys::{self, CONTROL_OCTETS, Control};

/// Octets of a datagram that are kept; an NTP packet is far shorter, and a longer one is refused
/// whatever its rest says.
pub(crate) const DATAGRAM_OCTETS: usize = 2_048;

/// A datagram that came in.
pub(crate) struct Datagram<'a> {
    /// Where it claims to come from.
    pub(crate) from: SocketAddr,
    /// Its payload, at most [`DATAGRAM_OCTETS`].
    pub(crate) octets: &'a [u8],
    /// The kernel's stamp of its arrival; `None` where the kernel made none.
    pub(crate) stamp: Option<Timestamp>,
    /// The address of ours that it was sent to, where that is asked for.
    pub(crate) local: Option<(IpAddr, u32)>,
}

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReceiveError {
    /// The network refused what was sent before, as it was told once.
    Network {
        /// The error number.
        errno: i32,
    },
    /// The system refuses to hand anything over, and would again: `poll` does not wait meanwhile.
    System {
        /// The error number.
        errno: i32,
    },
}

/// Room for one datagram, used again and again.
pub(crate) struct Buffer {
    octets: Box<[u8; DATAGRAM_OCTETS]>,
    control: Control,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { octets: Box::new([0; DATAGRAM_OCTETS]), control: Control([0; CONTROL_OCTETS]) }
    }
}

/// A socket for one request: connected, so that the kernel hands over only what the server's
/// address sent, with a port of the kernel's choice (RFC 9109).
pub(crate) struct RequestSocket {
    socket: OwnedFd,
    /// Whether a transmit stamp is still to come. The error queue is read only then: the simulator
    /// would hand out an ordinary datagram instead.
    awaits_stamp: bool,
    stamps_departures: bool,
    is_ipv4: bool,
    /// Why the system does not hand over what `poll` says is there, as an error number.
    refused: Option<i32>,
}

/// A socket between two requests: without a port, so that nothing reaches it. To use it again costs
/// a quarter of what a new one does.
pub(crate) struct RestingSocket(RequestSocket);

impl RestingSocket {
    /// Makes it talk with `to`, from another port of the kernel's choice; `None` where that needs a
    /// new socket.
    pub(crate) fn connect(self, to: &SocketAddr) -> Option<RequestSocket> {
        let Self(mut request) = self;
        if request.is_ipv4 != to.is_ipv4() {
            return None;
        }
        sys::connect(request.socket.as_fd(), to).ok()?;
        request.awaits_stamp = request.stamps_departures;
        Some(request)
    }
}

impl RequestSocket {
    /// Makes a socket that talks with `to`.
    pub(crate) fn connect(to: &SocketAddr) -> Result<Self, SendError> {
        let socket = sys::udp_socket(to).map_err(|e| SendError::NoSocket { errno: errno(&e) })?;
        let stamps_departures = enable_stamps(&socket, Departures::All);
        sys::connect(socket.as_fd(), to).map_err(|e| SendError::NotSent { errno: errno(&e) })?;
        let awaits_stamp = stamps_departures;
        let (is_ipv4, refused) = (to.is_ipv4(), None);
        Ok(Self { socket, awaits_stamp, stamps_departures, is_ipv4, refused })
    }

    /// Gives up peer and port; `None` where something of this request may still come, or the
    /// system cannot do it.
    pub(crate) fn rest(self) -> Option<RestingSocket> {
        let is_done = !self.awaits_stamp && sys::disconnect(self.socket.as_fd()).is_ok();
        is_done.then_some(RestingSocket(self))
    }

    /// The address of ours that it sends from.
    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        sys::local_address(self.socket.as_fd()).ok().map(|address| address.ip())
    }

    /// Sends the request.
    pub(crate) fn send(&self, octets: &[u8]) -> Result<(), SendError> {
        sys::send(self.socket.as_fd(), octets, None, &[])
            .map_err(|error| SendError::NotSent { errno: errno(&error) })
    }

    /// The kernel's stamp of the request's departure, once, when it is there.
    pub(crate) fn transmit_stamp(&mut self, buffer: &mut Buffer) -> Option<Timestamp> {
        if !self.awaits_stamp {
            return None;
        }
        let Buffer { octets, control } = buffer;
        let fd = self.socket.as_fd();
        let message = match sys::receive(fd, &mut octets[..], control, libc::MSG_ERRQUEUE) {
            Ok(message) => message,
            Err(error) => {
                self.refused = Some(&error).filter(|error| !is_nothing(error)).map(errno);
                return None;
            }
        };
        let stamp = control::parse(&control.0[..message.control_length]).stamp;
        self.awaits_stamp = stamp.is_none();
        stamp
    }

    /// Why the system did not hand over a stamp that `poll` says is there: it never will, and the
    /// socket is of no use.
    pub(crate) fn refused(&self) -> Option<i32> {
        self.refused
    }

    /// Takes one datagram, if one is there.
    pub(crate) fn receive<'a>(
        &self,
        buffer: &'a mut Buffer,
    ) -> Result<Option<Datagram<'a>>, ReceiveError> {
        receive(&self.socket, buffer)
    }

    /// Takes the pending error, such as that nobody listens there; without this, `poll` reports it
    /// for ever.
    pub(crate) fn take_error(&self) -> Option<i32> {
        sys::take_error(self.socket.as_fd()).ok().filter(|&errno| errno != 0)
    }

    /// What to poll for.
    pub(crate) fn interest(&self) -> libc::pollfd {
        // The error queue shows as POLLERR, always reported; the simulator knows it as POLLPRI.
        sys::interest(self.socket.as_raw_fd(), libc::POLLIN | libc::POLLPRI)
    }
}

/// A socket that answers clients on one address.
pub(crate) struct ServerSocket(OwnedFd);

impl ServerSocket {
    /// Binds to `address`; one of IPv6 does not take IPv4 along.
    pub(crate) fn bind(address: &SocketAddr) -> io::Result<Self> {
        let socket = sys::udp_socket(address)?;
        let fd = socket.as_fd();
        enable_stamps(&socket, Departures::Asked);
        if address.is_ipv4() {
            sys::set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        } else {
            sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
            sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        }
        sys::bind(fd, address)?;
        Ok(Self(socket))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        sys::local_address(self.0.as_fd())
    }

    /// Takes one datagram, if one is there.
    pub(crate) fn receive<'a>(
        &self,
        buffer: &'a mut Buffer,
    ) -> Result<Option<Datagram<'a>>, ReceiveError> {
        receive(&self.0, buffer)
    }

    /// One of which the system hands over nothing, though something is there.
    #[cfg(test)]
    pub(crate) fn refusing() -> (Self, io::PipeWriter) {
        let (socket, something) = unreadable();
        (Self(socket), something)
    }

    /// Sends an answer from the address that the request was sent to. Where `stamped`, the kernel
    /// counts it and, if it can, tells later when it left: [`ServerSocket::departure`].
    pub(crate) fn answer(
        &self,
        octets: &[u8],
        to: &SocketAddr,
        local: Option<(IpAddr, u32)>,
        stamped: bool,
    ) -> io::Result<()> {
        let mut control = local.map(control::from_local).unwrap_or_default();
        if stamped {
            control.extend(control::stamp_departure());
        }
        sys::send(self.0.as_fd(), octets, Some(to), &control)
    }

    /// The kernel's stamp of a departure, with its count among those asked for, if one is there.
    pub(crate) fn departure(&self, buffer: &mut Buffer) -> Option<(u32, Timestamp)> {
        let Buffer { octets, control } = buffer;
        loop {
            let fd = self.0.as_fd();
            let message = sys::receive(fd, &mut octets[..], control, libc::MSG_ERRQUEUE).ok()?;
            let told = control::parse(&control.0[..message.control_length]);
            if let Some(departure) = told.departure.zip(told.stamp) {
                return Some(departure);
            }
        }
    }

    /// Begins to count departures from 0 again.
    pub(crate) fn restart_count(&self) {
        enable_stamps(&self.0, Departures::None);
        enable_stamps(&self.0, Departures::Asked);
    }

    /// The descriptor, for `poll`.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A socket that keeps the kernel's stamping switched on.
///
/// The kernel stamps arrivals only while some socket wants it and switches lazily, so that the
/// first answer to a fresh socket might come unstamped.
pub(crate) fn keep_stamping() -> io::Result<OwnedFd> {
    let socket = sys::udp_socket(&SocketAddr::from(([127, 0, 0, 1], 0)))?;
    enable_stamps(&socket, Departures::None);
    Ok(socket)
}

/// Which departures the kernel is to stamp.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Departures {
    None,
    /// Those that are sent with [`control::stamp_departure`].
    Asked,
    All,
}

/// Asks for the best stamps that there are; where there are none, readings must do. Returns whether
/// departures are stamped.
fn enable_stamps(socket: &OwnedFd, departures: Departures) -> bool {
    let received = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;
    let counted = libc::SOF_TIMESTAMPING_OPT_ID | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    let fd = socket.as_fd();
    let set =
        |name, value: u32| sys::set_option(fd, libc::SOL_SOCKET, name, value.cast_signed()).is_ok();
    let sent = match departures {
        Departures::None => 0,
        Departures::Asked => counted,
        Departures::All => counted | libc::SOF_TIMESTAMPING_TX_SOFTWARE,
    };
    if sent != 0 && set(libc::SO_TIMESTAMPING, received | sent) {
        return true;
    }
    if !set(libc::SO_TIMESTAMPING, received) && !set(libc::SO_TIMESTAMPNS, 1) {
        tracing::debug!("the kernel stamps no datagrams; readings of the clock are used");
    }
    false
}

fn receive<'a>(
    socket: &OwnedFd,
    buffer: &'a mut Buffer,
) -> Result<Option<Datagram<'a>>, ReceiveError> {
    let Buffer { octets, control } = buffer;
    let message = match sys::receive(socket.as_fd(), &mut octets[..], control, 0) {
        Ok(message) => message,
        Err(error) if is_nothing(&error) => return Ok(None),
        Err(error) => {
            let errno = errno(&error);
            // What the network said is told once; what the system refuses, it refuses again.
            let again = sys::receive(socket.as_fd(), &mut octets[..], control, libc::MSG_PEEK);
            return Err(match again {
                Err(error) if !is_nothing(&error) => ReceiveError::System { errno },
                _ => ReceiveError::Network { errno },
            });
        }
    };
    let Some(from) = message.from else { return Ok(None) };
    let Told { stamp, local, .. } = control::parse(&control.0[..message.control_length]);
    let octets = &octets[..message.length.min(DATAGRAM_OCTETS)];
    Ok(Some(Datagram { from, octets, stamp, local }))
}

/// Whether the system merely says that nothing is there now.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A descriptor that `poll` finds readable and from which no message can be received, as if that
/// system call were forbidden.
#[cfg(test)]
fn unreadable() -> (OwnedFd, io::PipeWriter) {
    use std::io::Write;
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&[0]).unwrap();
    (reader.into(), writer)
}

/// The error number of a failed system call.
pub(crate) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests;
