//! Kafka.

use crate::house::{House, block_on};
use crate::servers::{Server, free_port, peer};
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

fn start() -> Option<Server> {
    let libraries = peer("kafka/libs")?;
    let controller = free_port();
    Some(Server::start(move |home, port| {
        let (log, file) = (home.join("log"), home.join("server.properties"));
        let settings = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "offsets.topic.replication.factor=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "auto.create.topics.enable=false".to_owned(),
            format!("log.dirs={}", log.display()),
        ];
        if !file.exists() {
            fs::write(&file, settings.join("\n")).unwrap();
            let mut format = java(&libraries, "kafka.tools.StorageTool");
            format.args(["format", "--cluster-id", CLUSTER, "--config"]).arg(&file);
            let formatted = format.output().unwrap();
            assert!(formatted.status.success(), "{formatted:?}");
        }
        let mut server = java(&libraries, "kafka.Kafka");
        server.arg(&file);
        vec![server]
    }))
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
    let Some(mut server) = start() else { return };
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
}
