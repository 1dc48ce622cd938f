//! The system calls that need `unsafe`, each behind a safe function.
//!
//! All go through libc symbols, so that a simulator that replaces those symbols sees every one; for
//! the same reason only `poll` waits, and sockets get their flags afterwards where they cannot be
//! made with them.
#![allow(unsafe_code)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("only 64-bit Linux is supported: kernel structures are read in their 64-bit layout");

pub(crate) mod reference;

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::mem::{self, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Octets of control data that a message may carry; what the kernel sends of stamps, packet
/// information and errors fits several times.
pub(crate) const CONTROL_OCTETS: usize = 512;

/// Addresses of one host that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Makes a UDP socket of the family of `address` that closes on exec and never blocks.
pub(crate) fn udp_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    datagram_socket(family, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).or_else(|error| {
        match error.raw_os_error() {
            Some(libc::EINVAL) => plain_datagram_socket(family),
            _ => Err(error),
        }
    })
}

fn datagram_socket(family: c_int, flags: c_int) -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes no pointers.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_DGRAM | flags, 0) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// As the simulator wants it, which knows no flags.
fn plain_datagram_socket(family: c_int) -> io::Result<OwnedFd> {
    let socket = datagram_socket(family, 0)?;
    // SAFETY: neither command takes a pointer.
    unsafe {
        check(libc::fcntl(socket.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC))?;
        check(libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK))?;
    }
    Ok(socket)
}

/// Sets an integer option of a socket.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> io::Result<()> {
    let length = size_of::<c_int>() as libc::socklen_t;
    let value = (&raw const value).cast();
    // SAFETY: `value` points to a c_int, whose length is given.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) }).map(drop)
}

/// Takes the error that is pending on a socket, such as an ICMP refusal; 0 for none.
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> io::Result<i32> {
    let mut error: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: both pointers point to live values; `length` is that of the value.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut length,
        )
    })?;
    Ok(error)
}

/// Connects a socket to the only address it is to talk with.
pub(crate) fn connect(socket: BorrowedFd<'_>, to: &SocketAddr) -> io::Result<()> {
    let (storage, length) = to_storage(to);
    // SAFETY: `storage` holds a socket address of `length` octets.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const storage).cast(), length) })
        .map(drop)
}

/// Takes a datagram socket's peer from it, and with that the port that the kernel chose for it.
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an all-zero sockaddr is a valid value.
    let mut nobody: libc::sockaddr = unsafe { mem::zeroed() };
    nobody.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: `nobody` is a live socket address of `length` octets.
    check(unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, length) }).map(drop)
}

/// Binds a socket to a local address.
pub(crate) fn bind(socket: BorrowedFd<'_>, to: &SocketAddr) -> io::Result<()> {
    let (storage, length) = to_storage(to);
    // SAFETY: `storage` holds a socket address of `length` octets.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const storage).cast(), length) }).map(drop)
}

/// The address that a socket is bound to.
pub(crate) fn local_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    // SAFETY: an all-zero sockaddr_storage is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let address = (&raw mut storage).cast();
    // SAFETY: `storage` has room for every address, and `length` says how much.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), address, &raw mut length) })?;
    from_storage(&storage).ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

/// Sends a datagram: to the connected address, or to `to` with control data.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    octets: &[u8],
    to: Option<&SocketAddr>,
    control: &[u8],
) -> io::Result<()> {
    let (mut storage, length) = match to {
        Some(to) => to_storage(to),
        // SAFETY: an all-zero sockaddr_storage is a valid value.
        None => (unsafe { mem::zeroed() }, 0),
    };
    let mut part =
        libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
    // SAFETY: an all-zero msghdr is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    if length > 0 {
        message.msg_name = (&raw mut storage).cast();
        message.msg_namelen = length;
    }
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !control.is_empty() {
        message.msg_control = control.as_ptr().cast_mut().cast();
        message.msg_controllen = control.len();
    }
    // SAFETY: all pointers point to live values of the lengths given; the kernel only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Control data as the kernel fills it, aligned for its headers.
#[repr(C, align(8))]
pub(crate) struct Control(pub(crate) [u8; CONTROL_OCTETS]);

/// What [`receive`] found.
pub(crate) struct Message {
    /// Octets of the datagram as it came in; more than the buffer where it was cut.
    pub(crate) length: usize,
    /// Where it claims to come from; `None` for what the error queue holds.
    pub(crate) from: Option<SocketAddr>,
    /// Octets of control data.
    pub(crate) control_length: usize,
}

/// Receives one datagram, or, with `MSG_ERRQUEUE` in `flags`, one entry of the error queue.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: &mut Control,
    flags: c_int,
) -> io::Result<Message> {
    // SAFETY: an all-zero sockaddr_storage is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is a valid value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = (&raw mut storage).cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    let flags = flags | libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    // SAFETY: all pointers point to live values of the lengths given, exclusively borrowed.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Message {
        length: length as usize,
        from: from_storage(&storage),
        control_length: message.msg_controllen.min(CONTROL_OCTETS),
    })
}

/// Waits until one of the descriptors is ready, at most `timeout_ms` (−1: without end); returns
/// false where a signal came in between.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout_ms: c_int) -> io::Result<bool> {
    // SAFETY: the pointer and the length are those of a live slice.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
    match check(ready) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads and, by `modes`, writes the kernel's clock; the structure holds afterwards how it stands.
pub(crate) fn adjust_clock(clock: &mut libc::timex) -> Result<(), i32> {
    // SAFETY: `clock` is a live timex, exclusively borrowed.
    let result = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &raw mut *clock) };
    if result < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    }
    Ok(())
}

/// A timex that reads only.
pub(crate) fn empty_timex() -> libc::timex {
    // SAFETY: a timex is integers only, for all of which zero is a valid value.
    unsafe { mem::zeroed() }
}

/// Makes a timer that becomes readable when somebody sets the system clock.
pub(crate) fn clock_set_timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: the call takes no pointers.
    let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let timer = unsafe { OwnedFd::from_raw_fd(fd) };
    arm_clock_set_timer(&timer)?;
    Ok(timer)
}

/// Arms the timer of [`clock_set_timer`] again after it became readable.
pub(crate) fn arm_clock_set_timer(timer: &OwnedFd) -> io::Result<()> {
    const NEVER_S: libc::time_t = libc::time_t::MAX / 1_000_000_000;
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let never = libc::timespec { tv_sec: NEVER_S, tv_nsec: 0 };
    let setting = libc::itimerspec { it_interval: zero, it_value: never };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    // SAFETY: `setting` is a live itimerspec, and no old setting is asked for.
    let armed = unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const setting, ptr::null_mut())
    };
    match check(armed) {
        // The kernel says once more that the clock was set since the timer was armed last; this
        // time it is armed all the same.
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Fills a seed with randomness that nobody can guess.
pub(crate) fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0_u8; 32];
    // SAFETY: the pointer and the length are those of a live array.
    let filled = unsafe { libc::getrandom(seed.as_mut_ptr().cast::<c_void>(), seed.len(), 0) };
    // Up to 256 octets come whole or not at all.
    if filled == seed.len() as isize { Ok(seed) } else { Err(io::Error::last_os_error()) }
}

/// Asks the system's resolver for the addresses of `host`; the error is that of `getaddrinfo`.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, c_int> {
    let Ok(host) = CString::new(host) else { return Err(libc::EAI_NONAME) };
    // SAFETY: an all-zero addrinfo is a valid value for hints.
    let mut hints: libc::addrinfo = unsafe { mem::zeroed() };
    hints.ai_socktype = libc::SOCK_DGRAM;
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: `host` is terminated by zero, `hints` is live, `list` receives a list to be freed.
    let error =
        unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if error != 0 {
        return Err(error);
    }
    let mut addresses = Vec::new();
    let mut next = list;
    while !next.is_null() && addresses.len() < ADDRESSES_MAX {
        // SAFETY: `next` is an entry of the list that was returned, not yet freed.
        let entry = unsafe { &*next };
        if let Some(mut address) = from_entry(entry) {
            address.set_port(port);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        next = entry.ai_next;
    }
    if !list.is_null() {
        // SAFETY: the list came from getaddrinfo and is not used any more.
        unsafe { libc::freeaddrinfo(list) };
    }
    Ok(addresses)
}

fn from_entry(entry: &libc::addrinfo) -> Option<SocketAddr> {
    // SAFETY: an all-zero sockaddr_storage is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let length = (entry.ai_addrlen as usize).min(size_of::<libc::sockaddr_storage>());
    if entry.ai_addr.is_null() {
        return None;
    }
    // SAFETY: the entry's address has `ai_addrlen` octets, and `storage` has room for `length`.
    unsafe {
        ptr::copy_nonoverlapping(
            entry.ai_addr.cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            length,
        );
    }
    from_storage(&storage)
}

fn to_storage(address: &SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: an all-zero sockaddr_storage is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let length = match address {
        SocketAddr::V4(v4) => {
            let plain = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage has room and alignment for every socket address.
            unsafe { ptr::write((&raw mut storage).cast(), plain) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let plain = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: a sockaddr_storage has room and alignment for every socket address.
            unsafe { ptr::write((&raw mut storage).cast(), plain) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

fn from_storage(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in.
            let plain: libc::sockaddr_in = unsafe { ptr::read(ptr::from_ref(storage).cast()) };
            let ip = Ipv4Addr::from(plain.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(plain.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage holds a sockaddr_in6.
            let plain: libc::sockaddr_in6 = unsafe { ptr::read(ptr::from_ref(storage).cast()) };
            let ip = Ipv6Addr::from(plain.sin6_addr.s6_addr);
            let port = u16::from_be(plain.sin6_port);
            Some(SocketAddrV6::new(ip, port, plain.sin6_flowinfo, plain.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// A descriptor to be polled for `events`.
pub(crate) fn interest(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for address in ["192.0.2.7:123", "[2001:db8::7]:65535", "[fe80::1%3]:11123"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(from_storage(&to_storage(&address).0), Some(address));
        }
    }

    #[test]
    fn literals_resolve_and_nonsense_does_not() {
        assert_eq!(resolve("127.0.0.1", 123), Ok(vec!["127.0.0.1:123".parse().unwrap()]));
        assert_eq!(resolve("::1", 123), Ok(vec!["[::1]:123".parse().unwrap()]));
        assert_eq!(resolve("with\0zero", 123), Err(libc::EAI_NONAME));
        assert!(resolve("name.invalid", 123).is_err());
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(random_seed().unwrap(), random_seed().unwrap());
    }

    #[test]
    fn a_datagram_comes_through_with_its_length_and_sender() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let (a, b) = (udp_socket(&loopback).unwrap(), udp_socket(&loopback).unwrap());
        use std::os::fd::AsFd;
        bind(a.as_fd(), &loopback).unwrap();
        bind(b.as_fd(), &loopback).unwrap();
        let (to, from) = (local_address(b.as_fd()).unwrap(), local_address(a.as_fd()).unwrap());
        send(a.as_fd(), &[7; 100], Some(&to), &[]).unwrap();
        let mut fds = [interest(b.as_raw_fd(), libc::POLLIN)];
        assert!(poll(&mut fds, 1_000).unwrap());
        let mut buffer = [0; 48];
        let mut control = Control([0; CONTROL_OCTETS]);
        let message = receive(b.as_fd(), &mut buffer, &mut control, 0).unwrap();
        assert_eq!((message.length, message.from), (100, Some(from)));
        assert_eq!(buffer, [7; 48]);
        let empty = receive(b.as_fd(), &mut buffer, &mut control, 0);
        assert!(empty.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    }
}
