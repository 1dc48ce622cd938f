//! What is NATS' own.

use super::super::nats::{NatsAuth, Server};
use super::{Fields, Form, NAME_OCTETS_MAX, order, secret, servers, trust};
use crate::targets::brokers::{Nats, Order};
use crate::targets::form::FormError;
use crate::targets::tls::server_name;
use hyper::Uri;
use timeball_api::targets::NatsTarget;

/// Where a server listens whose address names no port.
const PORT: u16 = 4222;

impl Order<Nats> {
    /// Checks the form, and reads the files that it names once.
    ///
    /// # Errors
    /// Where something in it cannot be sent.
    pub(crate) fn parse(form: &NatsTarget) -> Result<Self, FormError> {
        let field = "nats.servers";
        let wrong = |value: &str, problem| FormError::Value { field, value: value.into(), problem };
        let given = servers(field, &form.servers)?;
        let servers: Result<Vec<Server>, FormError> = (given.iter())
            .map(|url| {
                let uri: Uri = url.parse().map_err(|_| wrong(url, "is no address"))?;
                let scheme = uri.scheme_str().filter(|scheme| ["nats", "tls"].contains(scheme));
                let host = uri.host().filter(|host| !host.is_empty());
                let is_server = uri.path().len() <= 1 && uri.query().is_none();
                let (Some(scheme), Some(host), true) = (scheme, host, is_server) else {
                    return Err(wrong(url, "must be nats://host:port or tls://host:port"));
                };
                let is_secure = scheme == "tls";
                if url.contains('@') {
                    return Err(wrong(url, "has a user in it; give `auth` instead"));
                }
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                if is_secure || form.tls.is_some() {
                    let name = |source| FormError::Tls { field: "nats", source };
                    server_name(&host).map_err(name)?;
                }
                let port = uri.port_u16().unwrap_or(PORT);
                Ok(Server { url: url.clone(), host, port, is_secure })
            })
            .collect();
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
            servers: servers?,
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
