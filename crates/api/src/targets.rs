//! The targets of a schedule that are messages: what is sent, to whom, and with which credentials
//! (docs: docs/targets.md).
//!
//! Secrets are never in a schedule file: it names the files that hold them, which are read anew for
//! each fire.

use serde::{Deserialize, Serialize};

/// Send an HTTP request: to exactly one of `url` and `urlFile`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpTarget {
    /// `http://` or `https://` address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file with the address, as an absolute path, where that is a secret; a newline at its end
    /// is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<String>,
    /// `POST` where absent.
    #[serde(default = "default_method")]
    pub method: String,
    /// How the fire is described to the receiver.
    #[serde(default)]
    pub event: EventMode,
    /// Headers added to those of the fire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The body, in which `$(TIMEBALL_FIRE_ID)`, `$(TIMEBALL_SCHEDULED_AT)` and
    /// `$(TIMEBALL_SCHEDULE)` are replaced; a description of the fire in JSON where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<HttpAuth>,
    /// Whom an `https://` server is believed by, and our own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Statuses besides 200 to 299 that say that it is done, such as 409 of a server that has seen
    /// the key before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_statuses: Vec<i32>,
    /// Seconds after which the answer is given up; 60 where absent.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: i64,
    /// Repeats after a failure, with the same key.
    #[serde(default)]
    pub retries: Retries,
}

/// How a fire is described to the receiver: as a CloudEvent (version 1.0), or not at all.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventMode {
    /// A CloudEvent whose attributes are headers and whose data is the body.
    #[default]
    Binary,
    /// A CloudEvent that is the body as a whole, in JSON.
    Structured,
    /// No CloudEvent: the body as it stands, and the key in its own header.
    None,
}

/// One header: exactly one of `value` and `valueFile`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, in which the same is replaced as in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A file with its value, as an absolute path; a newline at its end is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_file: Option<String>,
}

/// Who we are to an HTTP server: a token, or a user with a password.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpAuth {
    /// A file with the token of `Authorization: Bearer` (RFC 6750), as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<String>,
    /// The user of `Authorization: Basic` (RFC 7617).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file with that user's password, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
}

/// Give a message to a stream of NATS JetStream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NatsTarget {
    /// `nats://host:port` of one or more servers of the cluster, tried in this order.
    pub servers: Vec<String>,
    /// A subject that a stream takes.
    pub subject: String,
    /// How the fire is described to the receiver.
    #[serde(default)]
    pub event: EventMode,
    /// Headers added to those of the fire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The body, as `http` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<NatsAuth>,
    /// Where present, even empty: TLS is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Seconds after which the acknowledgement is given up; 60 where absent.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: i64,
    /// Repeats after a failure, with the same `Nats-Msg-Id`.
    #[serde(default)]
    pub retries: Retries,
}

/// Who we are to NATS: a token, or a user with a password.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NatsAuth {
    /// A file with the token, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file with that user's password, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
}

/// Publish a message to RabbitMQ.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RabbitMqTarget {
    /// `amqp://host:port`, or `amqps://`; the ports are 5672 and 5671 where absent.
    pub url: String,
    /// The virtual host; `/` where absent.
    #[serde(default = "default_virtual_host")]
    pub virtual_host: String,
    /// The exchange; the default exchange where absent.
    #[serde(default)]
    pub exchange: String,
    /// The routing key; with the default exchange the name of a queue.
    pub routing_key: String,
    /// The property `correlation_id`, in which the same is replaced as in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// How the fire is described to the receiver.
    #[serde(default)]
    pub event: EventMode,
    /// Headers added to those of the fire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The body, as `http` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Who we are; `guest` where absent, whom RabbitMQ takes from its own machine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<UserAuth>,
    /// Whom an `amqps://` server is believed by, and our own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Seconds after which the confirm is given up; 60 where absent.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: i64,
    /// Repeats after a failure, with the same `message_id`.
    #[serde(default)]
    pub retries: Retries,
}

/// A user with a password.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserAuth {
    /// The user.
    pub username: String,
    /// A file with that user's password, as an absolute path.
    pub password_file: String,
}

/// Produce a record to Kafka.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaTarget {
    /// `host:port` of one or more brokers of the cluster.
    pub brokers: Vec<String>,
    /// A topic that exists.
    pub topic: String,
    /// The partition; by the key, as Kafka's own clients choose it, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// The record's key, in which the same is replaced as in the body; the fire's key where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How the fire is described to the receiver.
    #[serde(default)]
    pub event: EventMode,
    /// Headers added to those of the fire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The record's value, as `http` has its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<KafkaAuth>,
    /// Where present, even empty: TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Seconds after which the acknowledgement is given up; 60 where absent.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: i64,
    /// Repeats after a failure, under the same key.
    #[serde(default)]
    pub retries: Retries,
}

/// Who we are to Kafka (SASL).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaAuth {
    /// How the password is shown.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// A file with that user's password, as an absolute path.
    pub password_file: String,
}

/// How a password is shown to a Kafka broker.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SaslMechanism {
    /// As it is (RFC 4616); over TLS only, if it is worth keeping.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted and hashed (RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Certificates of a TLS connection, in PEM files named by absolute paths.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Certificates of the authorities that are believed, and no others. Where absent: this
    /// machine's, or Mozilla's where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Our own certificate and its chain, for a server that asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<String>,
    /// The certificate's private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

/// Repeats after a failure.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retries {
    /// At most how many after the first try.
    pub limit: i32,
}

pub(crate) fn default_timeout() -> i64 {
    60
}
fn default_method() -> String {
    "POST".to_owned()
}
fn default_virtual_host() -> String {
    "/".to_owned()
}
