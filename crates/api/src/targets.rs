//! The targets of a schedule that are messages: what is sent, to whom, and with which credentials
//! (docs: docs/targets.md).
//!
//! Secrets are never in a schedule file: it names the files that hold them, which are read anew for
//! each fire.

use serde::{Deserialize, Serialize};

/// Send an HTTP request.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpTarget {
    /// `http://` or `https://` address.
    pub url: String,
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
