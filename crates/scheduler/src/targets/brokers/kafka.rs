//! Kafka: produces one record, and waits until all in-sync replicas have it (`acks=all`).
//!
//! The record's key is the fire's key unless the file says otherwise, so a compacted topic keeps
//! each instant once; consumers find it in the header `ce_id`, too. The client is not an idempotent
//! producer in Kafka's sense: a repeat is a second record under the same key.

use super::{Message, Protocol, PublishError, Unloadable};
use crate::targets::event::Template;
use crate::targets::secret::SecretFile;
use crate::targets::tls::Trust;
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// Where a message goes.
#[derive(Debug)]
pub(crate) struct Kafka {
    /// `host:port`, of any brokers of the cluster.
    pub(super) brokers: Vec<String>,
    pub(super) topic: String,
    /// By the record's key, as Kafka's own clients choose it, where absent.
    pub(super) partition: Option<i32>,
    /// The record's key; the fire's key where absent.
    pub(super) key: Option<Template>,
    pub(super) auth: Option<KafkaAuth>,
    pub(super) trust: Option<Arc<Trust>>,
}

/// Who we are to the brokers (SASL).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct KafkaAuth {
    pub(super) mechanism: timeball_api::targets::SaslMechanism,
    pub(super) username: String,
    pub(super) password: SecretFile,
}

pub(crate) struct Connection {
    client: Client,
    /// How many partitions the topic has.
    partitions: i32,
    leaders: Mutex<BTreeMap<i32, Arc<PartitionClient>>>,
}

/// The most partitions of a topic whose leaders are kept connected.
const LEADERS_MAX: usize = 64;

impl fmt::Display for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.brokers.join(","), self.topic)
    }
}

impl Protocol for Kafka {
    type Connection = Connection;
    type Parcel = Unloadable;

    fn place(&self) -> String {
        format!("{}, topic `{}`", self.brokers.join(","), self.topic)
    }

    fn key(&self) -> String {
        let trust = self.trust.as_ref().map(|trust| trust.files());
        format!("{} {:?} {trust:?}", self.place(), self.auth)
    }

    async fn connect(&self) -> Result<Connection, String> {
        // One try: when to try again is our own matter.
        let backoff = BackoffConfig { deadline: Some(Duration::ZERO), ..BackoffConfig::default() };
        let mut builder =
            ClientBuilder::new(self.brokers.clone()).client_id("timeball").backoff_config(backoff);
        if let Some(auth) = &self.auth {
            builder = builder.sasl_config(auth.sasl().await?);
        }
        if let Some(trust) = &self.trust {
            builder = builder.tls_config(trust.config().map_err(|error| error.to_string())?);
        }
        let client = builder.build().await.map_err(explain)?;
        let topics = client.list_topics().await.map_err(explain)?;
        let topic = topics.iter().find(|topic| topic.name == self.topic);
        let topic = topic.ok_or_else(|| format!("there is no topic `{}`", self.topic))?;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Ok(Connection { client, partitions, leaders: Mutex::default() })
    }

    async fn prepare(&self, connection: &Connection, message: &Message) -> Result<(), String> {
        let leader = self.leader(connection, message).await.map_err(explain)?;
        // An answer shows that the leader is there and takes us.
        leader.get_offset(OffsetAt::Latest).await.map(drop).map_err(explain)
    }

    fn is_closed(_: &Connection) -> bool {
        // The client does not say; what was lost shows when it is used.
        false
    }

    async fn publish(
        &self,
        connection: &Connection,
        message: &Message,
    ) -> Result<(), PublishError> {
        let leader = self.leader(connection, message).await;
        let leader = leader.map_err(|error| PublishError::NotSent(explain(error)))?;
        let record = self.record(message);
        leader.produce(vec![record], Compression::NoCompression).await.map(drop).map_err(judge)
    }
}

impl Kafka {
    async fn leader(
        &self,
        connection: &Connection,
        message: &Message,
    ) -> Result<Arc<PartitionClient>, Error> {
        let partition = match self.partition {
            Some(partition) => partition,
            None => partition_of(self.key(message).as_bytes(), connection.partitions),
        };
        let mut leaders = connection.leaders.lock().await;
        if let Some(leader) = leaders.get(&partition) {
            return Ok(Arc::clone(leader));
        }
        if leaders.len() >= LEADERS_MAX {
            leaders.clear();
        }
        let handling = UnknownTopicHandling::Error;
        let leader = connection.client.partition_client(&self.topic, partition, handling).await?;
        let leader = Arc::new(leader);
        leaders.insert(partition, Arc::clone(&leader));
        Ok(leader)
    }

    fn key(&self, message: &Message) -> String {
        match &self.key {
            Some(key) => key.expand(&message.event),
            None => message.event.key.clone(),
        }
    }

    fn record(&self, message: &Message) -> Record {
        let mut headers: BTreeMap<String, Vec<u8>> = message
            .headers("ce_")
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect();
        headers.insert("ce_id".to_owned(), message.event.key.clone().into_bytes());
        if let Some(kind) = &message.content_type {
            headers.insert("content-type".to_owned(), kind.clone().into_bytes());
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Record {
            key: Some(self.key(message).into_bytes()),
            value: Some(message.body.to_vec()),
            headers,
            timestamp: DateTime::from_timestamp_millis(millis).unwrap_or_default(),
        }
    }
}

impl KafkaAuth {
    async fn sasl(&self) -> Result<SaslConfig, String> {
        use timeball_api::targets::SaslMechanism;
        let password = self.password.read().await.map_err(|error| error.to_string())?;
        let credentials = Credentials::new(self.username.clone(), password);
        Ok(match self.mechanism {
            SaslMechanism::Plain => SaslConfig::Plain(credentials),
            SaslMechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
            SaslMechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
        })
    }
}

/// What an error says of whether the record was stored.
fn judge(error: Error) -> PublishError {
    match &error {
        Error::ServerError { protocol_error, .. } => match protocol_error {
            // It is told to somebody who may not store it, so it was not.
            ProtocolError::NotLeaderOrFollower
            | ProtocolError::LeaderNotAvailable
            | ProtocolError::UnknownTopicOrPartition => PublishError::NotSent(explain(error)),
            ProtocolError::RequestTimedOut | ProtocolError::NotEnoughReplicasAfterAppend => {
                PublishError::Lost(explain(error))
            }
            _ => PublishError::Refused(explain(error)),
        },
        Error::Connection(_) => PublishError::NotSent(explain(error)),
        _ => PublishError::Lost(explain(error)),
    }
}

fn explain(error: Error) -> String {
    error.to_string()
}

/// The partition that Kafka's own clients give a record with this key: murmur2, without its sign.
fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive % partitions.max(1).unsigned_abs()).expect("it is below `partitions`")
}

/// Austin Appleby's MurmurHash2 of 32 bits, with Kafka's seed.
fn murmur2(octets: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = octets.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (i, octet) in rest.iter().enumerate() {
            hash ^= u32::from(*octet) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_that_kafkas_own_clients_choose() {
        // The vectors of Kafka's own test of its hash.
        for (text, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash.cast_unsigned(), "{text}");
        }
        assert!((0..7).contains(&partition_of(b"foobar", 7)));
        assert_eq!(partition_of(b"x", 1), 0);
    }
}
