//! NATS JetStream.

use crate::house::House;
use crate::jetstream::{Client, Message};
use crate::servers::{
    Server, certificate, count_of, lose_and_find_before_an_instant, lose_before_an_instant, peer,
    tls,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;

fn start(extra: &'static [&'static str]) -> Option<Server> {
    let program = peer("nats/nats-server")?;
    Some(Server::start(move |home, port| {
        let mut command = Command::new(&program);
        command.args(["-a", "127.0.0.1", "-js", "-p", &port.to_string(), "-sd"]).arg(home);
        command.args(extra);
        vec![command]
    }))
}

fn client(server: &Server, token: Option<&str>) -> Client {
    Client::connect(server.port, token, None)
}

fn key(message: &Message) -> &str {
    message.header("Nats-Msg-Id")
}

/// Believes our authority, and shows our certificate.
fn tls_config() -> ClientConfig {
    let certificates = |name| CertificateDer::pem_file_iter(certificate(name)).unwrap();
    let mut roots = RootCertStore::empty();
    certificates("authority.pem").for_each(|root| roots.add(root.unwrap()).unwrap());
    let key = PrivateKeyDer::from_pem_file(certificate("client.key.pem")).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("client.pem").map(Result::unwrap).collect(), key)
        .unwrap()
}

fn spec(server: &Server, rest: &str) -> String {
    let target = format!(
        "{{ nats: {{ servers: ['nats://127.0.0.1:{}'], subject: fires.flush, timeoutSeconds: 2{rest} }} }}",
        server.port
    );
    format!("  schedule: '@every 100ms'\n  target: {target}")
}

#[test]
fn each_fire_is_in_the_stream_once_under_its_key() {
    let Some(server) = start(&[]) else { return };
    client(&server, None).make_stream();
    let house = House::start(&spec(&server, ", retries: { limit: 3 }"));
    house.wait("fires", |schedule| schedule.counts.fired >= 20);
    let schedule = house.stop();
    assert_eq!(schedule.counts.failed, 0, "{:?}", schedule.last);
    let messages = client(&server, None).messages();
    let ids: HashSet<&str> = messages.iter().map(key).collect();
    assert_eq!((ids.len(), ids.len() as u64), (messages.len(), schedule.counts.fired));
    let first = &messages[0];
    assert_eq!(first.header("ce-id"), key(first));
    assert_eq!(first.header("ce-source"), "/timeball/default/flush");
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(body["fireId"], key(first));
}

#[test]
fn a_server_that_goes_away_fails_fires_with_a_reason_and_is_used_again_when_it_is_back() {
    let Some(mut server) = start(&[]) else { return };
    client(&server, None).make_stream();
    let house = House::start(&spec(&server, ""));
    house.wait("fires", |schedule| schedule.counts.fired >= 5);
    server.kill();
    let failing = house.wait("failures", |schedule| schedule.counts.failed >= 5);
    let last = failing.last.unwrap();
    assert_eq!((last.result.as_str(), last.reason.as_str()), ("failed", "Unreachable"), "{last:?}");
    server.restart();
    let before = house.schedule().counts.fired;
    house.wait("fires again", |schedule| schedule.counts.fired >= before + 10);
    let counts = house.stop().counts;
    let messages = client(&server, None).messages();
    let ids: HashSet<&str> = messages.iter().map(key).collect();
    assert_eq!(ids.len(), messages.len(), "none twice");
    // What was under way when the server went may be in its stream without our knowing.
    let (stored, sent) = (messages.len() as u64, counts.fired + counts.failed);
    assert!((counts.fired..=sent).contains(&stored), "{stored} of {counts:?}");
}

#[test]
fn a_server_that_goes_away_in_the_last_second_costs_that_fire_or_delays_it() {
    let Some(mut server) = start(&[]) else { return };
    client(&server, None).make_stream();
    let once = spec(&server, "");
    let failed = lose_before_an_instant(&mut server, &once);
    assert_eq!(failed.reason.as_str(), "Unreachable");
    assert!(failed.message.contains(&server.port.to_string()), "{failed:?}");
    let again = spec(&server, ", retries: { limit: 10 }");
    let at_ns = lose_and_find_before_an_instant(&mut server, &again);
    let messages = client(&server, None).messages();
    let keys: Vec<String> = messages.iter().map(|message| key(message).to_owned()).collect();
    assert_eq!(count_of(&keys, failed.scheduled_ns), 0, "what is recorded as not sent is there");
    assert_eq!(count_of(&keys, at_ns), 1, "the stream drops repeats");
}

#[test]
fn what_no_stream_takes_and_a_token_that_is_wrong_are_said() {
    let Some(server) = start(&["--auth", "s3cret"]) else { return };
    let token = server.home.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    let auth = format!(", auth: {{ tokenFile: '{}' }}", token.display());
    let house = House::start(&spec(&server, &auth));
    let refused = house.wait("refusals", |schedule| schedule.counts.failed >= 2);
    let last = refused.last.unwrap();
    assert_eq!(last.reason.as_str(), "Refused", "{last:?}");
    assert!(last.message.contains("no stream found"), "{last:?}");
    client(&server, Some("s3cret")).make_stream();
    house.wait("fires", |schedule| schedule.counts.fired >= 3);
    house.stop();
    fs::write(&token, "wrong\n").unwrap();
    let house = House::start(&spec(&server, &auth));
    let refused = house.wait("refusals", |schedule| schedule.counts.failed >= 2);
    let last = refused.last.unwrap();
    assert!(last.message.contains("Authorization Violation"), "{last:?}");
    assert!(!last.message.contains("wrong"), "{last:?}");
}

#[test]
fn a_server_that_asks_for_tls_and_our_certificate_gets_both() {
    let Some(program) = peer("nats/nats-server") else { return };
    let server = Server::start(move |home, port| {
        let mut command = Command::new(&program);
        command.args(["-a", "127.0.0.1", "-js", "-p", &port.to_string(), "-sd"]).arg(home);
        command.arg("--tlsverify").arg("--tlscacert").arg(certificate("authority.pem"));
        command.arg("--tlscert").arg(certificate("server.pem"));
        command.arg("--tlskey").arg(certificate("server.key.pem"));
        vec![command]
    });
    Client::connect(server.port, None, Some(tls_config())).make_stream();
    let house = House::start(&spec(&server, &format!(", {}", tls(true))));
    house.wait("fires", |schedule| schedule.counts.fired >= 3);
    house.stop();
    // Where only the server asks for TLS, this machine's authorities are believed: not ours.
    let unasked = House::start(&spec(&server, ""));
    let refused = unasked.wait("refusals", |schedule| schedule.counts.failed >= 2);
    let last = refused.last.unwrap();
    assert!(last.message.contains("no TLS connection"), "{last:?}");
    unasked.stop();
    let stranger = House::start(&spec(&server, &format!(", {}", tls(false))));
    let refused = stranger.wait("refusals", |schedule| schedule.counts.failed >= 2);
    assert_eq!(refused.counts.fired, 0, "{:?}", refused.last);
}

#[test]
fn what_a_user_may_not_publish_is_refused_by_the_server() {
    let Some(program) = peer("nats/nats-server") else { return };
    let server = Server::start(move |home, port| {
        let file = home.join("server.conf");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {:?} }}\nauthorization {{ users: [\n\
            {{ user: ada, password: hush, permissions: {{ publish: {{ deny: [\"fires.>\"] }} }} }}\n\
            ] }}\n",
            home.join("store")
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(&program);
        command.arg("-c").arg(file);
        vec![command]
    });
    let password = server.home.path().join("password");
    fs::write(&password, "hush\n").unwrap();
    let auth = format!(", auth: {{ username: ada, passwordFile: '{}' }}", password.display());
    let house = House::start(&spec(&server, &auth));
    let refused = house.wait("refusals", |schedule| schedule.counts.failed >= 3);
    let last = refused.last.unwrap();
    assert_eq!((last.reason.as_str(), refused.counts.fired), ("Refused", 0), "{last:?}");
    assert!(last.message.contains("Permissions Violation for Publish"), "{last:?}");
}
