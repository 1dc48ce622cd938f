//! RabbitMQ.

use crate::house::{House, block_on};
use crate::servers::{Server, free_port, peer};
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Erlang's programs and RabbitMQ's scripts, unpacked.
fn start() -> Option<Server> {
    let root = peer("rabbitmq")?;
    let distribution = free_port().to_string();
    let names = free_port().to_string();
    Some(Server::start(move |home, port| {
        let erlang = root.join("usr/lib/erlang");
        let environment = |mut command: Command| {
            let path = format!("{}:/usr/bin:/bin", erlang.join("bin").display());
            command.env_clear().env("PATH", path).env("ERL_ROOTDIR", &erlang).env("HOME", home);
            // Without its own port the name server would be shared, and outlive us.
            command.env("ERL_EPMD_ADDRESS", "127.0.0.1").env("ERL_EPMD_PORT", &names);
            command
        };
        let epmd = environment(Command::new(erlang.join("bin/epmd")));
        let mut server = environment(Command::new(script(&root)));
        fs::write(home.join("plugins"), "[].").unwrap();
        for (name, value) in [
            ("NODENAME", "timeball@localhost"),
            ("NODE_IP_ADDRESS", "127.0.0.1"),
            ("NODE_PORT", &port.to_string()),
            ("DIST_PORT", &distribution),
            ("LOGS", "-"),
            ("CONF_ENV_FILE", "/dev/null"),
            ("SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
        ] {
            server.env(format!("RABBITMQ_{name}"), value);
        }
        for (name, file) in [
            ("MNESIA_BASE", "mnesia"),
            ("LOG_BASE", "log"),
            ("ENABLED_PLUGINS_FILE", "plugins"),
            ("PID_FILE", "pid"),
            ("CONFIG_FILE", "none"),
        ] {
            server.env(format!("RABBITMQ_{name}"), home.join(file));
        }
        vec![epmd, server]
    }))
}

fn script(root: &Path) -> std::path::PathBuf {
    let versions = root.join("usr/lib/rabbitmq/lib");
    let version = fs::read_dir(versions).unwrap().next().expect("one version").unwrap();
    version.path().join("sbin/rabbitmq-server")
}

struct Reader {
    _connection: Connection,
    channel: Channel,
}

impl Reader {
    async fn open(server: &Server) -> Self {
        let address = format!("amqp://127.0.0.1:{}/%2f", server.port);
        let connection = Connection::connect(&address, ConnectionProperties::default());
        let connection = connection.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("fires".into(), options, FieldTable::default()).await.unwrap();
        Self { _connection: connection, channel }
    }

    /// The keys of all messages in the queue; each is as it should be.
    async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get("fires".into(), options).await.unwrap() {
            let properties = &message.delivery.properties;
            let key = properties.message_id().as_ref().unwrap().to_string();
            assert_eq!(*properties.delivery_mode(), Some(2), "it is kept on disk");
            let headers = properties.headers().as_ref().unwrap().inner();
            let expected = AMQPValue::LongString(key.as_str().into());
            assert_eq!(headers.get("cloudEvents_id"), Some(&expected));
            let body: serde_json::Value = serde_json::from_slice(&message.delivery.data).unwrap();
            assert_eq!(body["fireId"], key.as_str());
            keys.push(key);
        }
        keys
    }
}

fn spec(server: &Server, key: &str) -> String {
    let url = format!("amqp://127.0.0.1:{}", server.port);
    let target =
        format!("{{ rabbitmq: {{ url: '{url}', routingKey: {key}, timeoutSeconds: 5 }} }}");
    format!("  schedule: '@every 100ms'\n  target: {target}")
}

/// One test, since the broker takes seconds to start.
#[test]
fn fires_are_confirmed_once_each_and_go_on_after_the_broker_was_gone() {
    let Some(mut server) = start() else { return };
    let nowhere = House::start(&spec(&server, "fires"));
    let refused = nowhere.wait("refusals", |schedule| schedule.counts.failed >= 2);
    let last = refused.last.unwrap();
    assert_eq!(last.reason.as_str(), "Refused", "{last:?}");
    assert!(last.message.contains("no queue took it: NO_ROUTE"), "{last:?}");
    nowhere.stop();

    let reader = block_on(Reader::open(&server));
    drop(reader);
    let house = House::start(&spec(&server, "fires"));
    house.wait("fires", |schedule| schedule.counts.fired >= 10);
    server.kill();
    let failing = house.wait("failures", |schedule| schedule.counts.failed >= 5);
    let last = failing.last.unwrap();
    assert_eq!((last.result.as_str(), last.reason.as_str()), ("failed", "Unreachable"), "{last:?}");
    server.restart();
    let before = house.schedule().counts.fired;
    house.wait("fires again", |schedule| schedule.counts.fired >= before + 10);
    let counts = house.stop().counts;
    let keys = block_on(async { Reader::open(&server).await.keys().await });
    let unique: HashSet<&String> = keys.iter().collect();
    assert_eq!(unique.len(), keys.len(), "none twice");
    let (stored, sent) = (keys.len() as u64, counts.fired + counts.failed);
    assert!((counts.fired..=sent).contains(&stored), "{stored} of {counts:?}");
}
