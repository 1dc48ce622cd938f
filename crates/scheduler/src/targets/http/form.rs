//! From a file's form of a request to one that can be sent.

use super::address::Address;
use super::{Auth, Header, HeaderText, Request};
use crate::targets::event::{Payload, Template};
use crate::targets::form::{FormError, range, retries, timeout};
use crate::targets::secret::{SecretError, SecretFile};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use timeball_api::targets::{HttpAuth, HttpTarget};

const BODY_OCTETS_MAX: usize = 256 * 1024;
const HEADERS_MAX: usize = 64;
const HEADER_OCTETS_MAX: usize = 16 * 1024;
const HEADERS: &str = "http.headers";
/// What the scheduler or HTTP itself sets.
const RESERVED_HEADERS: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "idempotency-key",
];

impl Request {
    /// Checks the form, and reads the files that it names once.
    ///
    /// # Errors
    /// Where something in it cannot be sent.
    pub(crate) fn parse(form: &HttpTarget) -> Result<Self, FormError> {
        let (method, (headers, content_type)) = (method(&form.method)?, headers(form)?);
        let body = form.body.as_deref().map(body).transpose()?;
        let payload = Payload {
            mode: form.event,
            body,
            content_type,
            describes: !matches!(method, Method::GET | Method::HEAD),
        };
        let accepted = form.accept_statuses.iter().map(|status| {
            let value = range("http.acceptStatuses", i64::from(*status), 200, 599)?;
            let value = u16::try_from(value).expect("the range was checked");
            Ok(StatusCode::from_u16(value).expect("all from 100 to 999 are"))
        });
        Ok(Self {
            address: Address::parse(form)?,
            method,
            headers,
            payload,
            auth: form.auth.as_ref().map(auth).transpose()?,
            accepted: accepted.collect::<Result<_, FormError>>()?,
            timeout: timeout("http.timeoutSeconds", form.timeout_seconds)?,
            retries: retries("http.retries.limit", form.retries.limit)?,
        })
    }
}

fn method(method: &str) -> Result<Method, FormError> {
    let parsed = Method::from_bytes(method.as_bytes());
    match parsed {
        Ok(parsed)
            if parsed != Method::CONNECT && method.bytes().all(|c| c.is_ascii_uppercase()) =>
        {
            Ok(parsed)
        }
        _ => Err(FormError::Method { method: method.escape_debug().to_string() }),
    }
}

fn body(text: &str) -> Result<Template, FormError> {
    if text.len() > BODY_OCTETS_MAX {
        let (octets, octets_max) = (text.len(), BODY_OCTETS_MAX);
        return Err(FormError::Long { field: "http.body", octets, octets_max });
    }
    template("http.body", text)
}

fn template(field: &'static str, text: &str) -> Result<Template, FormError> {
    Template::parse(text).map_err(|name| FormError::Variable { field, name })
}

/// The headers, and what they say of the body.
fn headers(form: &HttpTarget) -> Result<(Vec<Header>, Option<String>), FormError> {
    let (count, field) = (form.headers.len(), HEADERS);
    if count > HEADERS_MAX {
        return Err(FormError::Headers { field, count, count_max: HEADERS_MAX });
    }
    let (mut headers, mut content_type) = (Vec::new(), None);
    for given in &form.headers {
        let wrong = || FormError::Header { field, name: given.name.escape_debug().to_string() };
        let name = HeaderName::from_bytes(given.name.as_bytes()).map_err(|_| wrong())?;
        if RESERVED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("ce-") {
            return Err(FormError::ReservedHeader { field, name: given.name.clone() });
        }
        if name == "authorization" && form.auth.is_some() {
            return Err(FormError::ReservedHeader { field, name: given.name.clone() });
        }
        let text = match (&given.value, &given.value_file) {
            (Some(value), None) => {
                HeaderValue::from_str(value).map_err(|_| wrong())?;
                if value.len() > HEADER_OCTETS_MAX {
                    let (octets, octets_max) = (value.len(), HEADER_OCTETS_MAX);
                    return Err(FormError::Long { field, octets, octets_max });
                }
                if name == "content-type" {
                    content_type = Some(value.clone());
                    continue;
                }
                HeaderText::Plain(template(field, value)?)
            }
            (None, Some(path)) => HeaderText::Secret(secret(field, path)?),
            _ => return Err(FormError::HeaderValue { field, name: given.name.clone() }),
        };
        headers.push(Header { name, text });
    }
    Ok((headers, content_type))
}

fn auth(form: &HttpAuth) -> Result<Auth, FormError> {
    match (&form.bearer_token_file, &form.username, &form.password_file) {
        (Some(path), None, None) => Ok(Auth::Bearer(secret("http.auth.bearerTokenFile", path)?)),
        (None, Some(username), Some(path)) => {
            // The colon ends the name (RFC 7617 section 2).
            if username.contains(':') || username.chars().any(char::is_control) {
                let problem = "a user's name has no `:` and no control characters";
                return Err(FormError::Username { field: "http.auth.username", problem });
            }
            let password = secret("http.auth.passwordFile", path)?;
            Ok(Auth::Basic { username: username.clone(), password })
        }
        _ => Err(FormError::HttpAuth),
    }
}

fn secret(field: &'static str, path: &str) -> Result<SecretFile, FormError> {
    SecretFile::new(path).map_err(|source: SecretError| FormError::Secret { field, source })
}
