//! The responder, asked as clients and others ask it.

use super::*;
use crate::mac::MacAlgorithm;
use crate::packet::HEADER_OCTETS;
use proptest::prelude::*;
use timeball_timebase::{Bound, Frequency, LeapSecond, MonoTime, SyncState};

fn now() -> Now {
    Now::exact(MonoTime::from_nanos(9), Timestamp::from_unix(1_795_000_000, 0))
}

fn synchronized() -> ClockState {
    ClockState {
        state: SyncState::Synchronized,
        as_of: now().raw,
        system: now().system,
        offset: Some(Span::from_millis(250)),
        bound: Some(Bound {
            as_of: now().raw,
            half_width: Span::from_millis(3),
            growth: Frequency::from_ppm(1),
        }),
        stratum: 2,
        root_delay: Span::from_millis(2),
        ..ClockState::default()
    }
}

fn ask(server: &mut Server, state: &ClockState, octets: &[u8]) -> Option<Header> {
    let from = "127.0.0.1:4000".parse().unwrap();
    let mut response = server.handle(now(), state, octets, from, now().system)?;
    response.stamp(now().system + Span::from_micros(10));
    Some(Header::parse(response.octets().first_chunk().unwrap()))
}

#[test]
fn the_estimate_is_served_with_the_bound() {
    let mut server = Server::new(ServerConfig::default());
    let nonce = NtpTime::from_bits(42);
    let request = Header::request(4, nonce).encode();
    let told = ask(&mut server, &synchronized(), &request).unwrap();
    assert_eq!((told.origin, told.mode, told.stratum), (nonce, Mode::Server, 2));
    let truth = now().system + Span::from_millis(250);
    assert_eq!(told.receive, NtpTime::from_timestamp(truth));
    assert_eq!(told.transmit, NtpTime::from_timestamp(truth + Span::from_micros(10)));
    let distance = told.root_delay.to_span() / 2 + told.root_dispersion.to_span();
    assert!(distance >= Span::from_millis(3) && distance < Span::from_micros(3_050));
    assert_eq!(server.counters().answered, 1);
}

#[test]
fn the_reference_is_the_same_for_all_who_ask_and_tells_nothing_of_when_we_measured() {
    let set_at = |second| Timestamp::from_unix(second, 987_654_321);
    let asked = |server: &mut Server, reference_time| {
        let state = ClockState { reference_time, ..synchronized() };
        let request = Header::request(4, NtpTime::from_bits(42)).encode();
        ask(server, &state, &request).unwrap().reference
    };
    let config = ServerConfig { rate_limit: None, ..ServerConfig::default() };
    let seeded = |seed| Server::new(ServerConfig { seed: [seed; 32], ..config.clone() });
    let (mut server, mut other) = (seeded(1), seeded(2));
    let told = asked(&mut server, set_at(1_794_999_900));
    assert_eq!(asked(&mut server, set_at(1_794_999_900)), told);
    assert_ne!(asked(&mut other, set_at(1_794_999_900)), told, "the same moment, two servers");
    let early = set_at(1_794_999_900) - told.nearest_to(now().system);
    assert!(early > Span::ZERO && early <= Span::from_secs(2), "{early}");
    for second in 1_794_999_901..1_795_000_000 {
        let told = asked(&mut server, set_at(second)).to_bits();
        assert_ne!(told & 0xffff_ffff, 0, "whole seconds are told by many");
    }
}

#[test]
fn ignorance_is_said() {
    let mut server = Server::new(ServerConfig::default());
    let request = Header::request(3, NtpTime::from_bits(1)).encode();
    let told = ask(&mut server, &ClockState::default(), &request).unwrap();
    assert_eq!((told.leap, told.stratum), (LeapIndicator::Unsynchronized, 16));
    assert_eq!(told.version, 3);
}

#[test]
fn only_requests_are_answered() {
    let mut server = Server::new(ServerConfig::default());
    for first in 0..=255_u8 {
        let mut octets = [0; HEADER_OCTETS];
        octets[0] = first;
        let request = first & 7 == 3 && [3, 4].contains(&(first >> 3 & 7));
        assert_eq!(ask(&mut server, &synchronized(), &octets).is_some(), request, "{first}");
    }
    assert_eq!(ask(&mut server, &synchronized(), &[0; 3]), None);
    let counters = server.counters();
    assert_eq!((counters.malformed, counters.not_a_request), (1, 248));
    assert_eq!(counters.answered, 8);
}

#[test]
fn strangers_are_not_answered() {
    let allowed = vec!["10.0.0.0/8".parse().unwrap()];
    let mut server = Server::new(ServerConfig { allowed, ..ServerConfig::default() });
    let request = Header::request(4, NtpTime::from_bits(1)).encode();
    assert_eq!(ask(&mut server, &synchronized(), &request), None);
    assert_eq!(server.counters().denied, 1);
}

fn sealed(key: &Key, version: u8) -> Vec<u8> {
    let mut octets = Header::request(version, NtpTime::from_bits(7)).encode().to_vec();
    key.seal(version, &mut octets);
    octets
}

#[test]
fn a_request_with_a_key_is_answered_with_it_and_with_a_wrong_one_not_at_all() {
    let from = "127.0.0.1:4000".parse().unwrap();
    for (algorithm, secret) in [(MacAlgorithm::AesCmac128, 16), (MacAlgorithm::Sha512, 20)] {
        let key = Key::new(5, algorithm, &vec![1; secret]).unwrap();
        let keys = KeyRing::from_iter([key.clone()]);
        let mut server = Server::new(ServerConfig { keys, ..ServerConfig::default() });
        for version in [3, 4] {
            let request = sealed(&key, version);
            let answer = server.handle(now(), &synchronized(), &request, from, now().system);
            let mut answer = answer.unwrap();
            answer.stamp(now().system + Span::from_micros(10));
            assert_eq!(answer.octets().len(), request.len());
            let (message, mac) = answer.octets().split_at(HEADER_OCTETS);
            assert!(key.verify(version, message, mac), "{algorithm:?}");
            let wrong = sealed(&Key::new(5, algorithm, &vec![2; secret]).unwrap(), version);
            let unknown = sealed(&Key::new(6, algorithm, &vec![1; secret]).unwrap(), version);
            for octets in [&wrong, &unknown, &[&request[..48], &[0; 4]].concat()] {
                assert_eq!(ask(&mut server, &synchronized(), octets), None);
            }
        }
        assert_eq!((server.counters().answered, server.counters().unauthenticated), (2, 6));
    }
}

#[test]
fn a_client_of_the_interleaved_mode_is_told_when_the_former_answer_left() {
    let mut server = Server::new(ServerConfig::default());
    let from = "127.0.0.1:4000".parse().unwrap();
    let mut request = Header::request(4, NtpTime::from_bits(11));
    let mut former = NtpTime::ZERO;
    let offset = Span::from_millis(250);
    for round in 0..4_i64 {
        let at = now().system + Span::from_secs(round);
        request.origin = former;
        let octets = request.encode();
        let mut response = server.handle(now(), &synchronized(), &octets, from, at).unwrap();
        response.stamp(at + Span::from_micros(10));
        let told = Header::parse(response.octets().first_chunk().unwrap());
        assert_eq!(told.receive, NtpTime::from_timestamp(at + offset));
        if round < 2 {
            // The first request tells nothing of the mode; the second is the first to be
            // remembered.
            assert_eq!(told.origin, request.transmit, "round {round}");
            assert_eq!(response.departure().is_some(), round == 1);
        } else {
            let left = at - Span::from_secs(1) + Span::from_micros(50);
            assert_eq!(told.origin, request.receive, "round {round}");
            assert_eq!(told.transmit, NtpTime::from_timestamp(left + offset));
        }
        if let Some(departure) = response.departure() {
            server.departed(departure, at + Span::from_micros(50));
        }
        former = told.receive;
        request.receive = NtpTime::from_bits(100 + round as u64);
        request.transmit = NtpTime::from_bits(200 + round as u64);
    }
}

#[test]
fn extension_fields_that_are_not_known_are_passed_over() {
    let mut server = Server::new(ServerConfig::default());
    let mut request = Header::request(4, NtpTime::from_bits(1)).encode().to_vec();
    request.extend_from_slice(&[0xfe, 0xdc, 0, 28]);
    request.extend_from_slice(&[0; 24]);
    assert!(ask(&mut server, &synchronized(), &request).is_some());
}

#[test]
fn a_precision_is_never_promised_finer_than_it_is() {
    for (nanos, exponent) in [(1, -29), (100, -23), (1_000, -19), (2_000_000_000, 0)] {
        assert_eq!(exponent_of_precision(Span::from_nanos(nanos)), exponent);
    }
}

proptest! {
    #[test]
    fn no_datagram_makes_it_panic_or_amplify(
        octets in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut server = Server::new(ServerConfig::default());
        let from = "[2001:db8::1]:5".parse().unwrap();
        let response = server.handle(now(), &synchronized(), &octets, from, now().system);
        prop_assert!(response.is_none_or(|r| r.octets().len() <= octets.len()));
    }
}

#[test]
fn a_client_that_asks_too_often_is_told_so_now_and_then_and_never_at_length() {
    let mut server = Server::new(ServerConfig::default());
    let request = Header::request(4, NtpTime::from_bits(7));
    let mut kisses = 0;
    for _ in 0..2_000 {
        let Some(told) = ask(&mut server, &synchronized(), &request.encode()) else { continue };
        assert_eq!(told.origin, request.transmit, "the client knows it for an answer");
        if told.stratum == 0 {
            assert_eq!((told.leap, told.reference_id), (LeapIndicator::Unsynchronized, *b"RATE"));
            kisses += 1;
        }
    }
    let counters = server.counters();
    assert_eq!((counters.kisses, counters.received), (kisses, 2_000));
    // Of some 1,936 over the limit a quarter is answered, and of the others an eighth told.
    assert!((100..270).contains(&kisses), "{kisses}");
    assert_eq!(counters.answered + counters.rate_limited, 2_000);
}

#[test]
fn a_leap_second_is_announced_or_smeared_but_never_both() {
    let leap_second = LeapSecond { at: now().system + Span::from_secs(3_600), is_inserted: true };
    let awaiting = ClockState {
        leap: Leap::Insert,
        leap_second: Some(leap_second),
        offset: Some(Span::ZERO),
        ..synchronized()
    };
    let over = ClockState { leap: Leap::None, ..awaiting };
    let over = ClockState {
        leap_second: Some(LeapSecond { at: now().system - Span::from_secs(3_600), ..leap_second }),
        ..over
    };
    let request = Header::request(4, NtpTime::from_bits(7)).encode();
    let mut leaping = Server::new(ServerConfig::default());
    let mut smearing = Server::new(ServerConfig { smears: true, ..ServerConfig::default() });
    for (state, leap, ahead_ms) in
        [(awaiting, LeapIndicator::Insert, -458), (over, LeapIndicator::None, 458)]
    {
        let plain = ask(&mut leaping, &state, &request).unwrap();
        assert_eq!((plain.leap, plain.receive), (leap, NtpTime::from_timestamp(now().system)));
        let smeared = ask(&mut smearing, &state, &request).unwrap();
        assert_eq!(smeared.leap, LeapIndicator::None);
        let ahead = smeared.receive.nearest_to(now().system) - now().system;
        assert!((ahead - Span::from_millis(ahead_ms)).abs() < Span::from_millis(1), "{ahead}");
    }
}

#[test]
fn a_leap_second_is_announced_on_its_day_only() {
    let mut server = Server::new(ServerConfig::default());
    let request = Header::request(4, NtpTime::from_bits(7)).encode();
    for (ahead_s, is_inserted, expected) in [
        (2_592_000, true, LeapIndicator::None),
        (86_401, true, LeapIndicator::None),
        (86_399, true, LeapIndicator::Insert),
        (1, false, LeapIndicator::Delete),
    ] {
        let at = now().system + Span::from_secs(ahead_s);
        let leap_second = LeapSecond { at, is_inserted };
        let state = ClockState {
            leap: leap_second.leap(),
            leap_second: Some(leap_second),
            offset: Some(Span::ZERO),
            ..synchronized()
        };
        let told = ask(&mut server, &state, &request).unwrap();
        assert_eq!(told.leap, expected, "{ahead_s} s before");
    }
}
