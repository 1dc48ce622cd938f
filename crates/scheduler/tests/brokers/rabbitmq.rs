//! RabbitMQ.

use crate::house::{House, block_on, wait_for};
use crate::servers::{
    Server, certificate, count_of, free_port, lose_and_find_before_an_instant,
    lose_before_an_instant, peer, tls,
};
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Erlang's programs and RabbitMQ's scripts, unpacked; and the port that wants TLS and a
/// certificate.
fn start() -> Option<(Server, u16)> {
    let root = peer("rabbitmq")?;
    let distribution = free_port().to_string();
    let names = free_port().to_string();
    let secure = free_port();
    let server = Server::start(move |home, port| {
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
        fs::write(home.join("broker.conf"), settings(secure)).unwrap();
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
            ("CONFIG_FILE", "broker"),
        ] {
            server.env(format!("RABBITMQ_{name}"), home.join(file));
        }
        vec![epmd, server]
    });
    Some((server, secure))
}

fn settings(secure: u16) -> String {
    let file = |name: &str| certificate(name).display().to_string();
    format!(
        "listeners.ssl.1 = 127.0.0.1:{secure}\nssl_options.cacertfile = {}\n\
         ssl_options.certfile = {}\nssl_options.keyfile = {}\n\
         ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
        file("authority.pem"),
        file("server.pem"),
        file("server.key.pem")
    )
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

/// The example of a Celery task, with a real worker.
fn celery_runs_each_fire_once(server: &Server) {
    let Some(python) = peer("celery/bin/python") else { return };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/celery");
    let log = server.home.path().join("flush.log");
    let mut worker = Command::new(python);
    worker.args(["-m", "celery", "-A", "tasks", "worker", "-P", "solo", "--without-gossip"]);
    worker.args(["--without-mingle", "--loglevel", "WARNING"]).current_dir(&example);
    let broker = format!("amqp://guest:guest@127.0.0.1:{}//", server.port);
    worker.env("BROKER_URL", broker).env("FLUSH_LOG", &log).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = fs::File::create(server.home.path().join("worker")).unwrap();
    worker.stdout(output.try_clone().unwrap()).stderr(output);
    let mut worker = Ended(worker.stdin(Stdio::null()).spawn().unwrap());
    let text = fs::read_to_string(example.join("flush.yaml")).unwrap();
    let text = text.replace("127.0.0.1:5672", &format!("127.0.0.1:{}", server.port));
    let house = House::with_file(&text);
    // Until the worker has made its queue, nobody takes the messages.
    house.wait("fires", |schedule| schedule.counts.fired >= 6);
    let fired = house.stop().counts.fired;
    let ran = wait_for("each task", || {
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker ended");
        let log = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        (lines.len() as u64 >= fired).then_some(lines)
    });
    let unique: HashSet<&String> = ran.iter().collect();
    assert_eq!((ran.len() as u64, unique.len()), (fired, ran.len()), "{ran:?}");
    let fields: Vec<&str> = ran[0].split(' ').collect();
    assert!(fields[0].contains('.') && fields[1].ends_with('Z'), "key and instant: {fields:?}");
}

/// A program that is ended with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One test, since the broker takes seconds to start.
#[test]
fn fires_are_confirmed_once_each_and_go_on_after_the_broker_was_gone() {
    let Some((mut server, secure)) = start() else { return };
    let nowhere = House::start(&spec(&server, "fires"));
    let refused = nowhere.wait("refusals", |schedule| schedule.counts.failed >= 2);
    let last = refused.last.unwrap();
    assert_eq!(last.reason.as_str(), "Refused", "{last:?}");
    assert!(last.message.contains("no queue took it: NO_ROUTE"), "{last:?}");
    nowhere.stop();
    celery_runs_each_fire_once(&server);

    let reader = block_on(Reader::open(&server));
    drop(reader);
    let house = House::start(&spec(&server, "fires"));
    // Erlang keeps what it writes about queues for up to two seconds before it is in a file.
    house.wait("fires", |schedule| schedule.counts.fired >= 40);
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
    one_that_goes_away_in_the_last_second_costs_that_fire_or_delays_it(&mut server);
    tls_and_a_password_are_taken(&server, secure);
}

fn one_that_goes_away_in_the_last_second_costs_that_fire_or_delays_it(server: &mut Server) {
    let once = spec(server, "fires");
    let failed = lose_before_an_instant(server, &once);
    let again = once.replace("timeoutSeconds: 5", "timeoutSeconds: 5, retries: { limit: 10 }");
    let at_ns = lose_and_find_before_an_instant(server, &again);
    let keys = block_on(async { Reader::open(server).await.keys().await });
    // It says itself where it is not known whether the broker had it.
    let most = usize::from(failed.message.contains("not known"));
    assert!(count_of(&keys, failed.scheduled_ns) <= most, "{failed:?}");
    assert!(count_of(&keys, at_ns) >= 1, "what is recorded as fired is not in the queue");
}

fn tls_and_a_password_are_taken(server: &Server, secure: u16) {
    let password = server.home.path().join("password");
    fs::write(&password, "guest\n").unwrap();
    let spec = |shows_certificate| {
        format!(
            "  schedule: '@every 100ms'\n  target: {{ rabbitmq: {{ url: 'amqps://127.0.0.1:{secure}', \
             routingKey: fires, timeoutSeconds: 5, {}, \
             auth: {{ username: guest, passwordFile: '{}' }} }} }}",
            tls(shows_certificate),
            password.display()
        )
    };
    let house = House::start(&spec(true));
    house.wait("fires over TLS", |schedule| schedule.counts.fired >= 3);
    house.stop();
    let stranger = House::start(&spec(false));
    let refused = stranger.wait("refusals", |schedule| schedule.counts.failed >= 2);
    assert_eq!(refused.counts.fired, 0, "{:?}", refused.last);
}
