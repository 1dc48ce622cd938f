//! Constraints by HTTPS: against real TLS servers of the test, whose certificates are made for it.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use timeball_agent::{
    Agent, AgentConfig, AgentOptions, Constraint, ConstraintConfig, HttpsServer, ask_constraint,
};
use timeball_timebase::{Span, Timestamp};

/// An authority, and where its certificate can be read.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    root: TempDir,
}

/// What a server's certificate says.
struct Identity {
    name: &'static str,
    /// The years in which it is valid, the last one not included.
    years: (i32, i32),
}

const GOOD: Identity = Identity { name: "localhost", years: (2_025, 2_100) };

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Timeball's test authority");
        params.not_before = rcgen::date_time_ymd(2_020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2_200, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, root }
    }

    fn file(&self) -> PathBuf {
        self.root.path().join("ca.pem")
    }

    /// Starts a server that answers each request with this head; returns its port.
    fn serve(&self, identity: &Identity, head: impl Fn() -> String + Send + 'static) -> u16 {
        let mut params = CertificateParams::new([identity.name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(identity.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(identity.years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
        let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config));
        let port = listener.local_addr().unwrap().port();
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                let mut octets = [0; 4_096];
                // A client that does not like the server goes away.
                let Ok(length) = stream.read(&mut octets) else { continue };
                assert!(octets[..length].starts_with(b"HEAD / HTTP/1.1\r\nHost: localhost:"));
                let _ = stream.write_all(head().as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        port
    }

    fn ask(&self, ports: &[u16]) -> Option<Constraint> {
        ask_constraint(&settings(ports, &self.file())).unwrap()
    }
}

fn settings(ports: &[u16], authorities: &Path) -> ConstraintConfig {
    let server = |port: &u16| HttpsServer {
        host: "localhost".to_owned(),
        port: *port,
        path: "/".to_owned(),
    };
    ConstraintConfig {
        servers: ports.iter().map(server).collect(),
        within: Span::from_secs(5),
        required: false,
        authorities: Some(authorities.to_owned()),
    }
}

/// A head with this date.
fn dated(date: &'static str) -> impl Fn() -> String + Send + 'static {
    move || {
        format!(
            "HTTP/1.1 404 Not Found\r\nServer: test\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n"
        )
    }
}

/// A head with the date that this machine's clock has.
fn right() -> impl Fn() -> String + Send + 'static {
    || {
        let date = httpdate::fmt_http_date(SystemTime::now());
        format!("HTTP/1.1 200 OK\r\nDate: {date}\r\n\r\n")
    }
}

const IN_2026: &str = "Tue, 17 Nov 2026 12:26:40 GMT";
const SECONDS_2026: i64 = 1_794_918_400;
const IN_2030: &str = "Mon, 03 Jun 2030 00:00:00 GMT";

#[test]
fn a_server_with_a_good_certificate_bounds_the_time_by_its_date() {
    let authority = Authority::new();
    let port = authority.serve(&GOOD, dated(IN_2026));
    let told = authority.ask(&[port]).unwrap();
    let date = Timestamp::from_unix(SECONDS_2026, 0);
    assert_eq!(told.earliest, date - Span::from_secs(5));
    assert!(told.latest >= date + Span::from_secs(6), "{told:?}");
    assert!(told.latest <= date + Span::from_secs(20), "{told:?}");
}

#[test]
fn an_answer_that_a_cache_has_kept_is_of_when_it_was_made_or_of_now() {
    let authority = Authority::new();
    let kept = || format!("HTTP/1.1 200 OK\r\nDate: {IN_2026}\r\nAge: 3600\r\n\r\n");
    let told = authority.ask(&[authority.serve(&GOOD, kept)]).unwrap();
    let date = Timestamp::from_unix(SECONDS_2026, 0);
    assert_eq!(told.earliest, date - Span::from_secs(5));
    assert!(told.latest >= date + Span::from_secs(3_606), "{told:?}");
    assert!(told.latest <= date + Span::from_secs(3_620), "{told:?}");
}

#[test]
fn a_certificate_is_judged_at_the_date_that_its_server_tells_and_not_at_ours() {
    let authority = Authority::new();
    let judge = |years, date| {
        let identity = Identity { years, ..GOOD };
        authority.ask(&[authority.serve(&identity, dated(date))]).is_some()
    };
    assert!(judge((2_026, 2_027), IN_2026));
    assert!(!judge((2_025, 2_026), IN_2026), "expired");
    assert!(!judge((2_027, 2_028), IN_2026), "not yet valid");
    assert!(judge((2_030, 2_031), IN_2030), "what our clock says does not matter");
    assert!(!judge((2_010, 2_100), "Mon, 01 Jun 2015 00:00:00 GMT"), "before there was Timeball");
}

#[test]
fn a_server_that_cannot_prove_who_it_is_says_nothing() {
    let authority = Authority::new();
    let other = authority.serve(&Identity { name: "elsewhere.test", ..GOOD }, dated(IN_2026));
    assert_eq!(authority.ask(&[other]), None, "another name");
    let unknown = Authority::new().serve(&GOOD, dated(IN_2026));
    assert_eq!(authority.ask(&[unknown]), None, "an authority that is not trusted");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(dated(IN_2026)().as_bytes()).unwrap();
    });
    assert_eq!(authority.ask(&[plain]), None, "no TLS");
}

#[test]
fn answers_that_are_none_say_nothing() {
    let authority = Authority::new();
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nDate: soon\r\n\r\n".to_owned(),
        "220 smtp.test ESMTP\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nDate: {IN_2026}\r\n\r\n", "x".repeat(40_000)),
        String::new(),
    ] {
        let port = authority.serve(&GOOD, move || head.clone());
        assert_eq!(authority.ask(&[port]), None);
    }
}

#[test]
fn a_minority_of_servers_neither_moves_nor_silences_the_others() {
    let authority = Authority::new();
    let good = [authority.serve(&GOOD, dated(IN_2026)), authority.serve(&GOOD, dated(IN_2026))];
    let liar = authority.serve(&GOOD, dated(IN_2030));
    let told = authority.ask(&[good[0], liar, good[1]]).unwrap();
    // The first answer is carried to the moment of the last.
    let earliest = Timestamp::from_unix(SECONDS_2026 - 5, 0);
    assert!(told.earliest >= earliest && told.earliest < earliest + Span::from_secs(30));
    assert!(told.latest < Timestamp::from_unix(SECONDS_2026 + 60, 0), "{told:?}");
    assert_eq!(authority.ask(&[good[0], 1, 1]), None, "one of three is no majority");
}

#[test]
fn an_agent_refuses_a_source_that_contradicts_the_dates_and_says_so() {
    let authority = Authority::new();
    let port = authority.serve(&GOOD, right());
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("clock.sock");
    let text = format!(
        "[[source]]\nsock = \"{}\"\nerror_s = 0.01\n[constraints]\nhttps = [\"https://localhost:{port}\"]\n\
         authorities = \"{}\"\nrequired = true\n",
        socket.display(),
        authority.file().display()
    );
    let config = AgentConfig::parse(&text, "test.toml").unwrap();
    let agent = Agent::start(config, AgentOptions::default()).unwrap();
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    let mut ahead_s = 3_600.0;
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut sample = Vec::new();
        sample.extend(now.as_secs().to_ne_bytes());
        sample.extend(u64::from(now.subsec_micros()).to_ne_bytes());
        sample.extend(f64::to_ne_bytes(ahead_s));
        [0_u32, 0, 0, 0x534f_434b].iter().for_each(|word| sample.extend(word.to_ne_bytes()));
        let _ = sender.send_to(&sample, &socket);
        let status = agent.status().read();
        let selection = status.sources.first().map_or("", |source| &source.selection);
        match selection {
            "constrained" if ahead_s > 0.0 => {
                assert_eq!(status.clock.bound_ns, None);
                let problem = status.sources[0].problem.as_deref().unwrap();
                assert!(problem.contains("contradicts the dates"), "{problem}");
                ahead_s = 0.0;
            }
            "chief" => {
                assert_eq!(ahead_s, 0.0, "an hour ahead and believed: {status:#?}");
                break;
            }
            _ => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{status:#?}");
        thread::sleep(Duration::from_millis(60));
    }
    agent.shutdown();
}

#[test]
fn an_agent_does_not_start_without_the_certificates_that_it_is_to_trust() {
    let root = tempfile::tempdir().unwrap();
    let missing = settings(&[443], &root.path().join("none.pem"));
    let config = AgentConfig { constraints: Some(missing), ..AgentConfig::default() };
    let error = Agent::start(config, AgentOptions::default()).unwrap_err().to_string();
    assert!(error.contains("none.pem") && error.contains("PEM certificates"), "{error}");
}
