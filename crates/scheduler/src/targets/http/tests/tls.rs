//! `https`: against real TLS servers.

use super::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::path::PathBuf;

type Secured = StreamOwned<ServerConnection, TcpStream>;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

pub(crate) fn server_config(asks_for_certificate: bool) -> Arc<ServerConfig> {
    let certificates = |name| CertificateDer::pem_file_iter(file(name)).unwrap();
    let chain = certificates("server.pem").map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if asks_for_certificate {
        let mut roots = RootCertStore::empty();
        certificates("authority.pem").for_each(|root| roots.add(root.unwrap()).unwrap());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// A TLS server that answers each request of a connection with 204 and tells what it has read.
fn tls_server(asks_for_certificate: bool) -> (u16, Receiver<String>) {
    let config = server_config(asks_for_certificate);
    server(move |_, stream, heard| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut secured = StreamOwned::new(connection, stream.try_clone().unwrap());
        let heard = heard.clone();
        // Whoever is asked for a certificate anew makes a connection of its own.
        std::thread::spawn(move || {
            while let Some(request) = read_secured(&mut secured) {
                if heard.send(request).is_err() || secured.write_all(OK.as_bytes()).is_err() {
                    return;
                }
            }
        });
    })
}

/// Reads one request, which has no body.
fn read_secured(stream: &mut Secured) -> Option<String> {
    let (mut text, mut octet) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read(&mut octet) {
            Ok(1) => text.push(octet[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8(text).unwrap())
}

fn https(port: u16, tls: &str) -> HttpTarget {
    form(&format!("{{ url: 'https://localhost:{port}/', method: GET, tls: {tls} }}"))
}

pub(crate) fn trusting() -> String {
    format!("{{ caFile: '{}' }}", file("authority.pem").display())
}

#[test]
fn an_encrypted_request_lies_ready_and_leaves_with_the_release() {
    let (port, heard) = tls_server(false);
    let house = House::new();
    for second in 0..3 {
        let release = house.prepare_in(second, Span::from_millis(50), &https(port, &trusting()));
        std::thread::sleep(Duration::from_millis(120));
        assert!(heard.try_recv().is_err(), "nothing before the release");
        release();
        let end = house.end();
        assert_eq!((end.outcome, end.message.as_str()), (Outcome::Fired, ""));
        let text = heard.recv_timeout(PATIENCE).unwrap();
        assert!(text.contains(&format!("idempotency-key: {}", fire(second))), "{text}");
    }
}

#[test]
fn a_server_that_is_not_believed_gets_no_request_and_is_named() {
    let (port, heard) = tls_server(false);
    let (plain, _) = server(|_, stream, _| drop(stream.write_all(b"HTTP/1.1 400 No\r\n\r\n")));
    let wrong_authority = format!("{{ caFile: '{}' }}", file("client.pem").display());
    let ca = trusting();
    for (port, tls, message) in [
        (port, "{}", "UnknownIssuer"),
        (port, wrong_authority.as_str(), "invalid peer certificate"),
        (plain, ca.as_str(), "no TLS connection with localhost"),
    ] {
        let house = House::new();
        house.prepare(0, &https(port, tls))();
        let end = house.end();
        assert_eq!(end.outcome, Outcome::Failed(Reason::Unreachable));
        assert!(end.message.contains(message), "{}", end.message);
    }
    assert!(heard.try_recv().is_err());
}

#[test]
fn a_certificate_of_ours_is_shown_to_a_server_that_asks() {
    let (port, heard) = tls_server(true);
    let identity = |certificate: &str, key: &str| {
        let (ca, certificate, key) = (file("authority.pem"), file(certificate), file(key));
        let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
        format!("{{ caFile: '{ca}', certificateFile: '{certificate}', keyFile: '{key}' }}")
    };
    let house = House::new();
    house.prepare(0, &https(port, &identity("client.pem", "client.key.pem")))();
    let end = house.end();
    assert_eq!(end.outcome, Outcome::Fired, "{}", end.message);
    heard.recv_timeout(PATIENCE).unwrap();
    house.prepare(1, &https(port, &trusting()))();
    assert_eq!(house.end().outcome, Outcome::Failed(Reason::Unreachable));
    assert!(heard.try_recv().is_err());
    let mixed = https(port, &identity("client.pem", "server.key.pem"));
    let error = Request::parse(&mixed).unwrap_err().to_string();
    assert!(error.contains("client.pem cannot be used"), "{error}");
}

#[test]
fn certificates_that_are_replaced_are_taken_up() {
    let (port, _heard) = tls_server(false);
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::copy(file("client.pem"), &ca).unwrap();
    let form = https(port, &format!("{{ caFile: '{}' }}", ca.display()));
    let request = Arc::new(Request::parse(&form).unwrap());
    let house = House::new();
    let name = ScheduleName { namespace: "default".to_owned(), name: "flush".to_owned() };
    let send = |second| {
        house.client.prepare(&house.couriers, &armed(fire(second)), Span::ZERO, &name, &request)();
        house.end().outcome
    };
    assert_eq!(send(0), Outcome::Failed(Reason::Unreachable));
    std::fs::remove_file(&ca).unwrap();
    std::fs::copy(file("authority.pem"), &ca).unwrap();
    assert_eq!(send(1), Outcome::Fired);
}
