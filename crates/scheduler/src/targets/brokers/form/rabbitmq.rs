//! What is RabbitMQ's own.

use super::{Fields, Form, NAME_OCTETS_MAX, order, secret, template, trust};
use crate::targets::brokers::{Order, RabbitMq};
use crate::targets::form::FormError;
use crate::targets::secret::SecretFile;
use crate::targets::tls::server_name;
use hyper::Uri;
use timeball_api::targets::{RabbitMqTarget, UserAuth};

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

fn name(field: &'static str, text: &str) -> Result<String, FormError> {
    if text.len() > NAME_OCTETS_MAX || text.chars().any(char::is_control) {
        let value = text.escape_debug().take(64).collect();
        let problem = "has more than 255 octets, or control characters";
        return Err(FormError::Value { field, value, problem });
    }
    Ok(text.to_owned())
}

fn user(field: &'static str, form: &UserAuth) -> Result<(String, SecretFile), FormError> {
    Ok((form.username.clone(), secret(field, &form.password_file)?))
}
