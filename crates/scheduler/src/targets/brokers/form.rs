//! From a file's form of a message to a broker to one that can be sent.

#[cfg(feature = "brokers")]
mod kafka;
mod nats;
#[cfg(feature = "brokers")]
mod rabbitmq;

use super::{Header, HeaderText, Order};
use crate::targets::event::{Payload, Template};
use crate::targets::form::{FormError, retries, timeout};
use crate::targets::secret::SecretFile;
use crate::targets::tls::Trust;
use std::sync::Arc;
use timeball_api::targets::{self, EventMode, Retries, Tls};

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

fn template(field: &'static str, text: &str) -> Result<Template, FormError> {
    Template::parse(text).map_err(|name| FormError::Variable { field, name })
}

fn trust(field: &'static str, form: Option<&Tls>) -> Result<Option<Arc<Trust>>, FormError> {
    let trust = form.map(|form| Trust::new(Some(form), &[]).map(Arc::new));
    trust.transpose().map_err(|source| FormError::Tls { field, source })
}

fn secret(field: &'static str, path: &str) -> Result<SecretFile, FormError> {
    SecretFile::new(path).map_err(|source| FormError::Secret { field, source })
}
