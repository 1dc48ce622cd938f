//! Kafka.

use crate::house::{House, block_on};
use crate::servers::{
    Server, certificate, count_of, free_port, lose_and_find_before_an_instant,
    lose_before_an_instant, peer, tls,
};
use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const CLUSTER: &str = "dGltZWJhbGwtdGVzdHMtMQ";

fn java(libraries: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(libraries.join("*")).arg(class);
    command
}

/// The broker, and its port that wants TLS and SCRAM.
fn start() -> Option<(Server, u16)> {
    let libraries = peer("kafka/libs")?;
    let (controller, secure) = (free_port(), free_port());
    let server = Server::start(move |home, port| {
        let (log, file) = (home.join("log"), home.join("server.properties"));
        let settings = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure},\
                 CONTROLLER://127.0.0.1:{controller}"
            ),
            format!(
                "advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure}"
            ),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,\
             CONTROLLER:PLAINTEXT"
                .to_owned(),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
            "sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            "listener.name.secure.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
                .to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", home.join("both.pem").display()),
            "controller.listener.names=CONTROLLER".to_owned(),
            "offsets.topic.replication.factor=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "auto.create.topics.enable=false".to_owned(),
            format!("log.dirs={}", log.display()),
        ];
        if !file.exists() {
            let part = |name| fs::read_to_string(certificate(name)).unwrap();
            let both = part("server.key.pem") + &part("server.pem");
            fs::write(home.join("both.pem"), both).unwrap();
            fs::write(&file, settings.join("\n")).unwrap();
            let mut format = java(&libraries, "kafka.tools.StorageTool");
            format.args(["format", "--cluster-id", CLUSTER, "--config"]).arg(&file);
            format.args(["--add-scram", "SCRAM-SHA-512=[name=ada,password=s3cret]"]);
            let formatted = format.output().unwrap();
            assert!(formatted.status.success(), "{formatted:?}");
        }
        let mut server = java(&libraries, "kafka.Kafka");
        server.arg(&file);
        vec![server]
    });
    Some((server, secure))
}

async fn client(server: &Server) -> Client {
    ClientBuilder::new(vec![format!("127.0.0.1:{}", server.port)]).build().await.unwrap()
}

/// The keys of all records of the topic; each is as it should be.
async fn keys(server: &Server) -> Vec<String> {
    let client = client(server).await;
    let partition = client.partition_client("fires", 0, UnknownTopicHandling::Retry).await.unwrap();
    let end = partition.get_offset(OffsetAt::Latest).await.unwrap();
    let (mut keys, mut next) = (Vec::new(), 0);
    while next < end {
        let (records, _) = partition.fetch_records(next, 1..1_000_000, 1_000).await.unwrap();
        for found in records {
            next = found.offset + 1;
            let record = found.record;
            let key = String::from_utf8(record.key.unwrap()).unwrap();
            assert_eq!(record.headers["ce_id"], key.as_bytes());
            let body: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            assert_eq!(body["fireId"], key.as_str());
            keys.push(key);
        }
    }
    keys
}

fn spec(server: &Server) -> String {
    let target = format!(
        "{{ kafka: {{ brokers: ['127.0.0.1:{}'], topic: fires, timeoutSeconds: 5 }} }}",
        server.port
    );
    format!("  schedule: '@every 100ms'\n  target: {target}")
}

/// One test, since the broker takes seconds to start.
#[test]
fn fires_are_records_once_each_and_go_on_after_the_broker_was_gone() {
    let Some((mut server, secure)) = start() else { return };
    let house = House::start(&spec(&server));
    let refused = house.wait("failures", |schedule| schedule.counts.failed >= 2);
    let last = refused.last.unwrap();
    assert!(last.message.contains("there is no topic `fires`"), "{last:?}");
    block_on(async {
        let controller = client(&server).await.controller_client().unwrap();
        controller.create_topic("fires", 1, 1, 5_000).await.unwrap();
    });
    house.wait("fires", |schedule| schedule.counts.fired >= 10);
    server.kill();
    let before = house.schedule().counts.failed;
    let failing = house.wait("failures", |schedule| schedule.counts.failed >= before + 5);
    assert_eq!(failing.last.unwrap().result, "failed");
    server.restart();
    let before = house.schedule().counts.fired;
    house.wait("fires again", |schedule| schedule.counts.fired >= before + 10);
    let counts = house.stop().counts;
    let keys = block_on(keys(&server));
    let unique: HashSet<&String> = keys.iter().collect();
    assert_eq!(unique.len(), keys.len(), "none twice");
    let (stored, sent) = (keys.len() as u64, counts.fired + counts.failed);
    assert!((counts.fired..=sent).contains(&stored), "{stored} of {counts:?}");
    one_that_goes_away_in_the_last_second_costs_that_fire_or_delays_it(&mut server);
    tls_and_a_password_are_taken(&server, secure);
}

fn one_that_goes_away_in_the_last_second_costs_that_fire_or_delays_it(server: &mut Server) {
    let once = spec(server);
    let failed = lose_before_an_instant(server, &once);
    let again = once.replace("timeoutSeconds: 5", "timeoutSeconds: 5, retries: { limit: 10 }");
    let at_ns = lose_and_find_before_an_instant(server, &again);
    let keys = block_on(keys(server));
    // It says itself where it is not known whether the broker had it.
    let most = usize::from(failed.message.contains("not known"));
    assert!(count_of(&keys, failed.scheduled_ns) <= most, "{failed:?}");
    assert!(count_of(&keys, at_ns) >= 1, "what is recorded as fired is not in the topic");
}

fn tls_and_a_password_are_taken(server: &Server, secure: u16) {
    let password = server.home.path().join("password");
    fs::write(&password, "s3cret\n").unwrap();
    let spec = format!(
        "  schedule: '@every 100ms'\n  target: {{ kafka: {{ brokers: ['127.0.0.1:{secure}'], \
         topic: fires, timeoutSeconds: 5, {}, auth: {{ mechanism: SCRAM-SHA-512, username: ada, \
         passwordFile: '{}' }} }} }}",
        tls(false),
        password.display()
    );
    let house = House::start(&spec);
    house.wait("fires over TLS", |schedule| schedule.counts.fired >= 3);
    house.stop();
    fs::write(&password, "wrong\n").unwrap();
    let stranger = House::start(&spec);
    let refused = stranger.wait("refusals", |schedule| schedule.counts.failed >= 2);
    assert_eq!(refused.counts.fired, 0, "{:?}", refused.last);
}
