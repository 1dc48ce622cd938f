//! From a file's form of a message to a broker to one that can be sent.

use super::kafka::KafkaAuth;
use super::nats::NatsAuth;
use super::{Header, HeaderText, Kafka, Nats, Order, RabbitMq};
use crate::targets::event::{Payload, Template};
use crate::targets::form::{FormError, retries, timeout};
use crate::targets::secret::SecretFile;
use crate::targets::tls::{Trust, server_name};
use hyper::Uri;
use std::sync::Arc;
use timeball_api::targets::{
    self, EventMode, KafkaTarget, NatsTarget, RabbitMqTarget, Retries, Tls, UserAuth,
};

/// Less than what any broker takes without being told to.
const BODY_OCTETS_MAX: usize = 256 * 1024;
const HEADERS_MAX: usize = 64;
const SERVERS_MAX: usize = 16;
/// AMQP's limit for names and keys, which does for all.
const NAME_OCTETS_MAX: usize = 255;
/// What the scheduler sets.
const RESERVED_HEADERS: [&str; 1] = ["nats-msg-id"];

/// The fields of one kind's form, for messages.
struct Fields {
    headers: &'static str,
    body: &'static str,
    timeout: &'static str,
    retries: &'static str,
}

/// What is alike in the three forms.
struct Form<'a> {
    event: EventMode,
    headers: &'a [targets::Header],
    body: Option<&'a str>,
    timeout_seconds: i64,
    retries: &'a Retries,
}

impl Order<Nats> {
    /// Checks the form, and reads the files that it names once.
    ///
    /// # Errors
    /// Where something in it cannot be sent.
    pub(crate) fn parse(form: &NatsTarget) -> Result<Self, FormError> {
        let field = "nats.servers";
        let wrong = |value: &str, problem| FormError::Value { field, value: value.into(), problem };
        let servers = servers(field, &form.servers)?;
        for server in servers {
            let uri: Uri = server.parse().map_err(|_| wrong(server, "is no address"))?;
            let is_server = uri.path().len() <= 1 && uri.query().is_none() && uri.host().is_some();
            if !matches!(uri.scheme_str(), Some("nats" | "tls")) || !is_server {
                return Err(wrong(server, "must be nats://host:port or tls://host:port"));
            }
            if server.contains('@') {
                return Err(wrong(server, "has a user in it; give `auth` instead"));
            }
        }
        let subject = &form.subject;
        let whole = |token: &str| !token.is_empty() && !token.contains(['*', '>']);
        if subject.len() > NAME_OCTETS_MAX
            || subject.contains(|c: char| c.is_whitespace() || c.is_control())
            || !subject.split('.').all(whole)
        {
            let (field, value) = ("nats.subject", subject.escape_debug().to_string());
            let problem = "is no subject that can be published to: no spaces, no empty part \
                between dots, no `*` or `>`";
            return Err(FormError::Value { field, value, problem });
        }
        let auth = form.auth.as_ref().map(|auth| {
            match (&auth.token_file, &auth.username, &auth.password_file) {
                (Some(path), None, None) => {
                    Ok(NatsAuth::Token(secret("nats.auth.tokenFile", path)?))
                }
                (None, Some(username), Some(path)) => {
                    let password = secret("nats.auth.passwordFile", path)?;
                    Ok(NatsAuth::User { username: username.clone(), password })
                }
                _ => Err(FormError::NatsAuth),
            }
        });
        let protocol = Nats {
            servers: servers.to_vec(),
            subject: subject.clone(),
            auth: auth.transpose()?,
            trust: trust("nats", form.tls.as_ref())?,
        };
        let fields = Fields {
            headers: "nats.headers",
            body: "nats.body",
            timeout: "nats.timeoutSeconds",
            retries: "nats.retries.limit",
        };
        let NatsTarget { event, headers, body, timeout_seconds, retries, .. } = form;
        let (event, timeout_seconds, body) = (*event, *timeout_seconds, body.as_deref());
        order(protocol, &fields, &Form { event, headers, body, timeout_seconds, retries })
    }
}

impl Order<RabbitMq> {
    /// Checks the form, and reads the files that it names once.
    ///
    /// # Errors
    /// Where something in it cannot be sent.
    pub(crate) fn parse(form: &RabbitMqTarget) -> Result<Self, FormError> {
        let field = "rabbitmq.url";
        let wrong = |problem| FormError::Value { field, value: form.url.clone(), problem };
        let uri: Uri = form.url.parse().map_err(|_| wrong("is no address"))?;
        let secure = match uri.scheme_str() {
            Some("amqp") => false,
            Some("amqps") => true,
            _ => return Err(wrong("must begin with amqp:// or amqps://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no server"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("has a user in it; give `auth` instead"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || uri.path().len() > 1 || uri.query().is_some() {
            return Err(wrong("is not just a server; give `virtualHost` for what follows it"));
        }
        let files = match (secure, &form.tls) {
            (true, tls) => Some(tls.clone().unwrap_or_default()),
            (false, None) => None,
            (false, Some(_)) => return Err(wrong("begins with amqp://, but `tls` is given")),
        };
        if secure {
            let name = |source| FormError::Tls { field: "rabbitmq", source };
            server_name(&host).map_err(name)?;
        }
        let correlation_id = form.correlation_id.as_deref();
        let protocol = RabbitMq {
            port: authority.port_u16().unwrap_or(if secure { 5671 } else { 5672 }),
            host,
            virtual_host: name("rabbitmq.virtualHost", &form.virtual_host)?,
            exchange: name("rabbitmq.exchange", &form.exchange)?,
            routing_key: name("rabbitmq.routingKey", &form.routing_key)?,
            correlation_id: correlation_id
                .map(|id| template("rabbitmq.correlationId", &name("rabbitmq.correlationId", id)?))
                .transpose()?,
            auth: form
                .auth
                .as_ref()
                .map(|auth| user("rabbitmq.auth.passwordFile", auth))
                .transpose()?,
            trust: trust("rabbitmq", files.as_ref())?,
        };
        let fields = Fields {
            headers: "rabbitmq.headers",
            body: "rabbitmq.body",
            timeout: "rabbitmq.timeoutSeconds",
            retries: "rabbitmq.retries.limit",
        };
        let RabbitMqTarget { event, headers, body, timeout_seconds, retries, .. } = form;
        let (event, timeout_seconds, body) = (*event, *timeout_seconds, body.as_deref());
        order(protocol, &fields, &Form { event, headers, body, timeout_seconds, retries })
    }
}

impl Order<Kafka> {
    /// Checks the form, and reads the files that it names once.
    ///
    /// # Errors
    /// Where something in it cannot be sent.
    pub(crate) fn parse(form: &KafkaTarget) -> Result<Self, FormError> {
        let field = "kafka.brokers";
        let brokers = servers(field, &form.brokers)?;
        for broker in brokers {
            let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
                let problem = "must be host:port";
                return Err(FormError::Value { field, value: broker.clone(), problem });
            }
        }
        if form.partition.is_some_and(|partition| partition < 0) {
            let value = form.partition.unwrap_or_default().to_string();
            let problem = "must be 0 or above";
            return Err(FormError::Value { field: "kafka.partition", value, problem });
        }
        let auth = form.auth.as_ref().map(|auth| {
            let password = secret("kafka.auth.passwordFile", &auth.password_file)?;
            let (mechanism, username) = (auth.mechanism, auth.username.clone());
            Ok::<_, FormError>(KafkaAuth { mechanism, username, password })
        });
        let key = form.key.as_deref();
        let protocol = Kafka {
            brokers: brokers.to_vec(),
            topic: topic(&form.topic)?,
            partition: form.partition,
            key: key.map(|key| template("kafka.key", key)).transpose()?,
            auth: auth.transpose()?,
            trust: trust("kafka", form.tls.as_ref())?,
        };
        let fields = Fields {
            headers: "kafka.headers",
            body: "kafka.body",
            timeout: "kafka.timeoutSeconds",
            retries: "kafka.retries.limit",
        };
        let KafkaTarget { event, headers, body, timeout_seconds, retries, .. } = form;
        let (event, timeout_seconds, body) = (*event, *timeout_seconds, body.as_deref());
        order(protocol, &fields, &Form { event, headers, body, timeout_seconds, retries })
    }
}

fn order<P>(protocol: P, fields: &Fields, form: &Form<'_>) -> Result<Order<P>, FormError> {
    let (field, count) = (fields.headers, form.headers.len());
    if count > HEADERS_MAX {
        return Err(FormError::Headers { field, count, count_max: HEADERS_MAX });
    }
    let (mut headers, mut content_type) = (Vec::new(), None);
    for given in form.headers {
        let name = given.name.to_ascii_lowercase();
        // A token, as in HTTP: all of the three take it.
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        if name.is_empty() || name.len() > NAME_OCTETS_MAX || !name.bytes().all(is_token) {
            let name = given.name.escape_debug().to_string();
            return Err(FormError::Header { field, name });
        }
        let is_event = ["ce-", "ce_", "cloudevents"].iter().any(|begin| name.starts_with(begin));
        if is_event || RESERVED_HEADERS.contains(&name.as_str()) {
            return Err(FormError::ReservedHeader { field, name: given.name.clone() });
        }
        let text = match (&given.value, &given.value_file) {
            (Some(value), None) if value.chars().any(char::is_control) => {
                return Err(FormError::Header { field, name: given.name.clone() });
            }
            (Some(value), None) if name == "content-type" => {
                content_type = Some(value.clone());
                continue;
            }
            (Some(value), None) => HeaderText::Plain(template(field, value)?),
            (None, Some(path)) => HeaderText::Secret(secret(field, path)?),
            _ => return Err(FormError::HeaderValue { field, name: given.name.clone() }),
        };
        headers.push(Header { name: given.name.clone(), text });
    }
    if let Some(octets) = form.body.map(str::len).filter(|octets| *octets > BODY_OCTETS_MAX) {
        let (field, octets_max) = (fields.body, BODY_OCTETS_MAX);
        return Err(FormError::Long { field, octets, octets_max });
    }
    let body = form.body.map(|body| template(fields.body, body)).transpose()?;
    Ok(Order {
        protocol,
        headers,
        payload: Payload { mode: form.event, body, content_type, describes: true },
        timeout: timeout(fields.timeout, form.timeout_seconds)?,
        retries: retries(fields.retries, form.retries.limit)?,
    })
}

fn servers<'a>(field: &'static str, given: &'a [String]) -> Result<&'a [String], FormError> {
    if given.is_empty() || given.len() > SERVERS_MAX {
        let (count, count_max) = (given.len(), SERVERS_MAX);
        return Err(FormError::Servers { field, count, count_max });
    }
    Ok(given)
}

fn name(field: &'static str, text: &str) -> Result<String, FormError> {
    if text.len() > NAME_OCTETS_MAX || text.chars().any(char::is_control) {
        let value = text.escape_debug().take(64).collect();
        let problem = "has more than 255 octets, or control characters";
        return Err(FormError::Value { field, value, problem });
    }
    Ok(text.to_owned())
}

fn topic(text: &str) -> Result<String, FormError> {
    let known = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    let sound = (1..=249).contains(&text.len()) && text.bytes().all(known);
    if sound && text != "." && text != ".." {
        return Ok(text.to_owned());
    }
    let value = text.escape_debug().take(64).collect();
    let problem = "is no topic: 1 to 249 letters, digits, `.`, `_` or `-`";
    Err(FormError::Value { field: "kafka.topic", value, problem })
}

fn template(field: &'static str, text: &str) -> Result<Template, FormError> {
    Template::parse(text).map_err(|name| FormError::Variable { field, name })
}

fn trust(field: &'static str, form: Option<&Tls>) -> Result<Option<Arc<Trust>>, FormError> {
    let trust = form.map(|form| Trust::new(Some(form), &[]).map(Arc::new));
    trust.transpose().map_err(|source| FormError::Tls { field, source })
}

fn user(field: &'static str, form: &UserAuth) -> Result<(String, SecretFile), FormError> {
    Ok((form.username.clone(), secret(field, &form.password_file)?))
}

fn secret(field: &'static str, path: &str) -> Result<SecretFile, FormError> {
    SecretFile::new(path).map_err(|source| FormError::Secret { field, source })
}
