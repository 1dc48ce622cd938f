//! What is Kafka's own.

use super::super::kafka::KafkaAuth;
use super::{Fields, Form, order, secret, servers, template, trust};
use crate::targets::brokers::{Kafka, Order};
use crate::targets::form::FormError;
use timeball_api::targets::KafkaTarget;

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
