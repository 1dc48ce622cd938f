//! NATS JetStream.

use crate::house::{House, block_on};
use crate::servers::{
    Server, certificate, count_of, lose_and_find_before_an_instant, lose_before_an_instant, peer,
    tls,
};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::{self, stream};
use std::collections::HashSet;
use std::fs;
use std::process::Command;

fn start(extra: &'static [&'static str]) -> Option<Server> {
    let program = peer("nats/nats-server")?;
    Some(Server::start(move |home, port| {
        let mut command = Command::new(&program);
        command.args(["-a", "127.0.0.1", "-js", "-p", &port.to_string(), "-sd"]).arg(home);
        command.args(extra);
        vec![command]
    }))
}

async fn context(server: &Server, token: Option<&str>) -> jetstream::Context {
    let mut options = async_nats::ConnectOptions::new();
    if let Some(token) = token {
        options = options.token(token.to_owned());
    }
    let client = options.connect(format!("127.0.0.1:{}", server.port)).await.unwrap();
    jetstream::new(client)
}

async fn make_stream(context: &jetstream::Context) {
    let config = stream::Config {
        name: "FIRES".to_owned(),
        subjects: vec!["fires.>".to_owned()],
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
}

/// All messages of the stream: headers by `name`, with the body.
async fn messages(context: &jetstream::Context) -> Vec<StreamMessage> {
    let stream = context.get_stream("FIRES").await.unwrap();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    let mut messages = Vec::new();
    for sequence in 1..=last {
        messages.push(stream.get_raw_message(sequence).await.unwrap());
    }
    messages
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
    block_on(async { make_stream(&context(&server, None).await).await });
    let house = House::start(&spec(&server, ", retries: { limit: 3 }"));
    house.wait("fires", |schedule| schedule.counts.fired >= 20);
    let schedule = house.stop();
    assert_eq!(schedule.counts.failed, 0, "{:?}", schedule.last);
    let messages = block_on(async { messages(&context(&server, None).await).await });
    let ids: HashSet<String> = messages
        .iter()
        .map(|message| message.headers.get("Nats-Msg-Id").unwrap().to_string())
        .collect();
    assert_eq!((ids.len(), ids.len() as u64), (messages.len(), schedule.counts.fired));
    let first = &messages[0];
    let header = |name| first.headers.get(name).unwrap().to_string();
    assert_eq!(header("ce-id"), header("Nats-Msg-Id"));
    assert_eq!(header("ce-source"), "/timeball/default/flush");
    let body: serde_json::Value = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!(body["fireId"], header("ce-id"));
}

#[test]
fn a_server_that_goes_away_fails_fires_with_a_reason_and_is_used_again_when_it_is_back() {
    let Some(mut server) = start(&[]) else { return };
    block_on(async { make_stream(&context(&server, None).await).await });
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
    let messages = block_on(async { messages(&context(&server, None).await).await });
    let ids: HashSet<String> = messages
        .iter()
        .map(|message| message.headers.get("Nats-Msg-Id").unwrap().to_string())
        .collect();
    assert_eq!(ids.len(), messages.len(), "none twice");
    // What was under way when the server went may be in its stream without our knowing.
    let (stored, sent) = (messages.len() as u64, counts.fired + counts.failed);
    assert!((counts.fired..=sent).contains(&stored), "{stored} of {counts:?}");
}

#[test]
fn a_server_that_goes_away_in_the_last_second_costs_that_fire_or_delays_it() {
    let Some(mut server) = start(&[]) else { return };
    block_on(async { make_stream(&context(&server, None).await).await });
    let once = spec(&server, "");
    let failed = lose_before_an_instant(&mut server, &once);
    assert_eq!(failed.reason.as_str(), "Unreachable");
    assert!(failed.message.contains(&server.port.to_string()), "{failed:?}");
    let again = spec(&server, ", retries: { limit: 10 }");
    let at_ns = lose_and_find_before_an_instant(&mut server, &again);
    let messages = block_on(async { messages(&context(&server, None).await).await });
    let key = |message: &StreamMessage| message.headers.get("Nats-Msg-Id").unwrap().to_string();
    let keys: Vec<String> = messages.iter().map(key).collect();
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
    block_on(async { make_stream(&context(&server, Some("s3cret")).await).await });
    house.wait("fires", |schedule| schedule.counts.fired >= 3);
    house.stop();
    fs::write(&token, "wrong\n").unwrap();
    let house = House::start(&spec(&server, &auth));
    let refused = house.wait("refusals", |schedule| schedule.counts.failed >= 2);
    let last = refused.last.unwrap();
    assert!(last.message.contains("authorization violation"), "{last:?}");
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
    let context = block_on(async {
        let options = async_nats::ConnectOptions::new()
            .add_root_certificates(certificate("authority.pem"))
            .add_client_certificate(certificate("client.pem"), certificate("client.key.pem"))
            .require_tls(true);
        let client = options.connect(format!("127.0.0.1:{}", server.port)).await.unwrap();
        let context = jetstream::new(client);
        make_stream(&context).await;
        context
    });
    drop(context);
    let house = House::start(&spec(&server, &format!(", {}", tls(true))));
    house.wait("fires", |schedule| schedule.counts.fired >= 3);
    house.stop();
    let stranger = House::start(&spec(&server, &format!(", {}", tls(false))));
    let refused = stranger.wait("refusals", |schedule| schedule.counts.failed >= 2);
    assert_eq!(refused.counts.fired, 0, "{:?}", refused.last);
}
