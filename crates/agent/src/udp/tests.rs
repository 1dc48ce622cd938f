//! Sockets on loopback: stamps, counts, and what the system and the network refuse.

use super::*;
use timeball_runtime::read_clocks;
use timeball_timebase::Span;

fn wait(fd: libc::pollfd) -> i16 {
    let mut fds = [fd];
    assert!(sys::poll(&mut fds, 2_000).unwrap());
    fds[0].revents
}

/// Waits until arrivals are stamped: the kernel switches that on a little after it is asked to.
fn wait_for_stamping() {
    let server = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let client = RequestSocket::connect(&server.address().unwrap()).unwrap();
    let mut buffer = Buffer::new();
    for _ in 0..500 {
        client.send(&[1; 48]).unwrap();
        wait(sys::interest(server.fd(), libc::POLLIN));
        if server.receive(&mut buffer).unwrap().is_some_and(|d| d.stamp.is_some()) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the kernel stamps no arrivals");
}

#[test]
fn departures_and_arrivals_carry_kernel_stamps() {
    let _stamping = keep_stamping().unwrap();
    wait_for_stamping();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = ServerSocket::bind(&address.parse().unwrap()).unwrap();
        let to = server.address().unwrap();
        let mut client = RequestSocket::connect(&to).unwrap();
        let mut buffer = Buffer::new();
        let before = read_clocks().system;
        client.send(&[1; 48]).unwrap();
        let after = read_clocks().system + Span::from_millis(50);
        wait(client.interest());
        let sent = client.transmit_stamp(&mut buffer).expect("a transmit stamp");
        assert!(before <= sent && sent <= after, "{sent} not in {before} … {after}");
        assert_eq!(client.transmit_stamp(&mut buffer), None);

        wait(sys::interest(server.fd(), libc::POLLIN));
        let request = server.receive(&mut buffer).unwrap().expect("a datagram");
        assert_eq!(request.octets, [1; 48]);
        assert!(request.stamp.is_some_and(|at| before <= at && at <= after));
        assert_eq!(request.local.map(|(ip, _)| ip), Some(to.ip()));
        let (from, local) = (request.from, request.local);
        server.answer(&[2; 60], &from, local, false).unwrap();
        wait(client.interest());
        let answer = client.receive(&mut buffer).unwrap().expect("an answer");
        assert_eq!((answer.from, answer.octets), (to, &[2; 60][..]));
        assert!(client.receive(&mut buffer).unwrap().is_none());
    }
}

#[test]
fn what_the_system_refuses_to_hand_over_is_told_from_what_the_network_refused() {
    let mut buffer = Buffer::new();
    let closed = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = closed.address().unwrap();
    drop(closed);
    let mut client = RequestSocket::connect(&nobody).unwrap();
    client.send(&[1; 48]).unwrap();
    let begun = std::time::Instant::now();
    let told = loop {
        wait(client.interest());
        let _ = client.transmit_stamp(&mut buffer);
        if let Err(error) = client.receive(&mut buffer) {
            break error;
        }
        assert!(begun.elapsed().as_secs() < 10, "nobody refuses");
    };
    assert_eq!(told, ReceiveError::Network { errno: libc::ECONNREFUSED });
    assert_eq!(client.refused(), None);

    let (socket, _something) = unreadable();
    let mut client = RequestSocket {
        socket,
        awaits_stamp: true,
        stamps_departures: true,
        is_ipv4: true,
        refused: None,
    };
    let told = client.receive(&mut buffer).err();
    assert_eq!(told, Some(ReceiveError::System { errno: libc::ENOTSOCK }));
    assert_eq!(client.transmit_stamp(&mut buffer), None);
    assert_eq!(client.refused(), Some(libc::ENOTSOCK));
}

#[test]
fn only_answers_that_ask_for_it_are_stamped_and_counted() {
    let _stamping = keep_stamping().unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = ServerSocket::bind(&address.parse().unwrap()).unwrap();
        let client = ServerSocket::bind(&address.parse().unwrap()).unwrap();
        let to = client.address().unwrap();
        let mut buffer = Buffer::new();
        let before = read_clocks().system;
        for stamped in [false, true, false, true] {
            server.answer(&[1; 48], &to, None, stamped).unwrap();
        }
        for count in [0, 1] {
            wait(sys::interest(server.fd(), 0));
            let (counted, at) = server.departure(&mut buffer).expect("a stamp");
            assert_eq!(counted, count);
            assert!(before <= at && at <= read_clocks().system + Span::from_millis(50));
        }
        assert_eq!(server.departure(&mut buffer), None);
        server.restart_count();
        server.answer(&[1; 48], &to, None, true).unwrap();
        wait(sys::interest(server.fd(), 0));
        assert_eq!(server.departure(&mut buffer).map(|(count, _)| count), Some(0));
    }
}

#[test]
fn a_datagram_from_elsewhere_never_reaches_a_request_socket() {
    let server = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let client = RequestSocket::connect(&server.address().unwrap()).unwrap();
    client.send(&[1; 48]).unwrap();
    let mut buffer = Buffer::new();
    wait(sys::interest(server.fd(), libc::POLLIN));
    let from = server.receive(&mut buffer).unwrap().unwrap().from;
    let stranger = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    stranger.answer(&[3; 48], &from, None, false).unwrap();
    assert!(client.receive(&mut buffer).unwrap().is_none());
}

#[test]
fn a_socket_that_rests_has_no_port_and_gets_another_one() {
    let _stamping = keep_stamping().unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = ServerSocket::bind(&address.parse().unwrap()).unwrap();
        let to = server.address().unwrap();
        let mut buffer = Buffer::new();
        let mut client = RequestSocket::connect(&to).unwrap();
        let mut ports = std::collections::BTreeSet::new();
        for _ in 0..8 {
            client.send(&[1; 48]).unwrap();
            wait(client.interest());
            assert!(client.transmit_stamp(&mut buffer).is_some(), "a stamp each time");
            wait(sys::interest(server.fd(), libc::POLLIN));
            let from = server.receive(&mut buffer).unwrap().unwrap().from;
            ports.insert(from.port());
            let resting = client.rest().unwrap();
            // Too late: nobody is there any more.
            server.answer(&[2; 48], &from, None, false).unwrap();
            client = resting.connect(&to).unwrap();
            assert!(client.receive(&mut buffer).unwrap().is_none());
        }
        assert!(ports.len() > 4, "{ports:?}");
        let other = if to.is_ipv4() { "[::1]:1" } else { "127.0.0.1:1" };
        let _ = (client.send(&[1; 48]), wait(client.interest()));
        client.transmit_stamp(&mut buffer);
        assert!(client.rest().unwrap().connect(&other.parse().unwrap()).is_none());
    }
}

#[test]
fn that_nobody_listens_is_told_once() {
    let unused = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = unused.address().unwrap();
    drop(unused);
    let client = RequestSocket::connect(&address).unwrap();
    client.send(&[1; 48]).unwrap();
    assert_ne!(wait(client.interest()) & libc::POLLERR, 0);
    assert_eq!(client.take_error(), Some(libc::ECONNREFUSED));
    assert_eq!(client.take_error(), None);
}

#[test]
fn a_port_in_use_is_an_error_and_an_oversized_datagram_is_cut() {
    let server = ServerSocket::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.address().unwrap();
    let again = ServerSocket::bind(&address).err().expect("the port is in use");
    assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    let client = RequestSocket::connect(&address).unwrap();
    client.send(&[1; 9_000]).unwrap();
    let mut buffer = Buffer::new();
    wait(sys::interest(server.fd(), libc::POLLIN));
    let cut = server.receive(&mut buffer).unwrap().unwrap();
    assert_eq!(cut.octets.len(), DATAGRAM_OCTETS);
}
