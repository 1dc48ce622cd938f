//! From a file's form of a request to one that can be sent.

use super::{Auth, Header, HeaderText, Request, Server};
use crate::targets::event::{Payload, Template};
use crate::targets::form::{FormError, range, retries, timeout};
use crate::targets::secret::{SecretError, SecretFile};
use crate::targets::tls::{Trust, server_name};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use std::sync::Arc;
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
        let (server, path) = address(form)?;
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
            url: form.url.clone(),
            server: Arc::new(server),
            path,
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

fn address(form: &HttpTarget) -> Result<(Server, Uri), FormError> {
    let wrong = |problem| FormError::Url { url: form.url.clone(), problem };
    let uri: Uri = form.url.parse().map_err(|_| wrong("is no address"))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("must begin with http:// or https://")),
    };
    if form.url.contains('#') {
        return Err(wrong("has a fragment (`#`), which a server never sees; leave it out"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("names no server"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("has a user in it; give `auth` instead"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(wrong("names no server"));
    }
    if authority.port_u16().is_none() && authority.as_str().ends_with(':') {
        return Err(wrong("has no port after `:`"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path: Uri = path.parse().map_err(|_| wrong("is no address"))?;
    let tls = |source| FormError::Tls { field: "http", source };
    let trust = match (secure, &form.tls) {
        (false, None) => None,
        (false, Some(_)) => return Err(FormError::TlsWithoutHttps),
        (true, files) => {
            server_name(&host).map_err(tls)?;
            Some(Arc::new(Trust::new(files.as_ref(), &[b"http/1.1"]).map_err(tls)?))
        }
    };
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let name = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("is no address"))?;
    Ok((Server { host, port, name, trust }, path))
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
