//! Where a request goes: as the schedule's file has it, or a file of its own that holds it as a
//! secret.

use super::Server;
use crate::targets::form::{FormError, without_values};
use crate::targets::secret::{SecretError, SecretFile};
use crate::targets::tls::{TlsError, Trust, server_name};
use hyper::Uri;
use hyper::header::HeaderValue;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use timeball_api::targets::HttpTarget;

/// What is offered to an `https://` server (ALPN, RFC 7301).
const PROTOCOLS: [&[u8]; 1] = [b"http/1.1"];

/// Where requests go.
#[derive(Debug)]
pub(crate) enum Address {
    /// What the schedule's file says.
    Written { url: String, destination: Destination },
    /// What another file says, read for each fire.
    Secret(Secret),
}

/// A file that holds an address.
#[derive(Debug)]
pub(crate) struct Secret {
    file: SecretFile,
    /// Whether the schedule's file says anything of TLS.
    has_tls: bool,
    trust: Arc<Trust>,
}

/// Whom a request is sent to, and what is asked for there.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) server: Arc<Server>,
    /// Path and query.
    pub(crate) path: Uri,
}

/// Why a text is no address that a request can be sent to; says nothing of the text but its host.
#[derive(Debug, Error)]
pub(super) enum AddressError {
    #[error("{0}")]
    Text(&'static str),
    #[error("begins with http://, but http.tls is given; make it https://")]
    TlsWithoutHttps,
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a file has no address that can be used.
#[derive(Debug, Error)]
pub(super) enum ResolveError {
    #[error(transparent)]
    Unreadable(#[from] SecretError),
    #[error("what {file} holds {source}")]
    Wrong { file: SecretFile, source: AddressError },
}

impl Address {
    /// Takes the address of a form; one in a file is read once.
    ///
    /// # Errors
    /// Where it is none, or there is not exactly one.
    pub(super) fn parse(form: &HttpTarget) -> Result<Self, FormError> {
        let tls = |source| FormError::Tls { field: "http", source };
        let (has_tls, trust) = (form.tls.is_some(), || Trust::new(form.tls.as_ref(), &PROTOCOLS));
        match (&form.url, &form.url_file) {
            (Some(url), None) => {
                let destination = Destination::parse(url, has_tls, || Ok(Arc::new(trust()?)));
                let destination = destination.map_err(|error| match error {
                    AddressError::Text(problem) => FormError::Url { url: url.clone(), problem },
                    AddressError::TlsWithoutHttps => FormError::TlsWithoutHttps,
                    AddressError::Tls(source) => tls(source),
                })?;
                Ok(Self::Written { url: url.clone(), destination })
            }
            (None, Some(path)) => {
                let file = SecretFile::new(path);
                let wrong = |source| FormError::Secret { field: "http.urlFile", source };
                let file = file.map_err(wrong)?;
                let url = file.read_now().map_err(wrong)?;
                // One that is not needed now may be by what the file says later.
                let secret = Secret { file, has_tls, trust: Arc::new(trust().map_err(tls)?) };
                let resolved = secret.parse(&url);
                resolved.map_err(|error| FormError::AddressFile(error.to_string()))?;
                Ok(Self::Secret(secret))
            }
            _ => Err(FormError::HttpAddress),
        }
    }

    /// Where the request of a fire goes.
    ///
    /// # Errors
    /// Where the file that holds it cannot be read, or holds none any more.
    pub(super) async fn resolve(&self) -> Result<Destination, ResolveError> {
        match self {
            Self::Written { destination, .. } => Ok(destination.clone()),
            Self::Secret(secret) => secret.parse(&secret.file.read().await?),
        }
    }
}

impl fmt::Display for Address {
    /// Writes it as anybody may read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { url, .. } => f.write_str(&without_values(url)),
            Self::Secret(secret) => write!(f, "(the address in {})", secret.file),
        }
    }
}

impl Secret {
    fn parse(&self, url: &str) -> Result<Destination, ResolveError> {
        let parsed = Destination::parse(url, self.has_tls, || Ok(Arc::clone(&self.trust)));
        parsed.map_err(|source| ResolveError::Wrong { file: self.file.clone(), source })
    }
}

impl Destination {
    fn parse(
        url: &str,
        has_tls: bool,
        trust: impl FnOnce() -> Result<Arc<Trust>, TlsError>,
    ) -> Result<Self, AddressError> {
        let wrong = AddressError::Text;
        let uri: Uri = url.parse().map_err(|_| wrong("is no address"))?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("must begin with http:// or https://")),
        };
        if url.contains('#') {
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
        if has_tls && !is_secure {
            return Err(AddressError::TlsWithoutHttps);
        }
        if is_secure {
            server_name(&host)?;
        }
        let trust = is_secure.then(trust).transpose()?;
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let name = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("is no address"))?;
        Ok(Self { server: Arc::new(Server { host, port, name, trust }), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_server_and_what_is_asked_for_there() {
        for (url, host, port, path) in [
            ("http://[::1]:8080/x?y", "::1", 8080, "/x?y"),
            ("http://example.org", "example.org", 80, "/"),
            ("https://example.org/a", "example.org", 443, "/a"),
        ] {
            let trust = || Trust::new(None, &PROTOCOLS).map(Arc::new);
            let Destination { server, path: found } =
                Destination::parse(url, false, trust).unwrap();
            assert_eq!((&*server.host, server.port, &*found.to_string()), (host, port, path));
            assert_eq!(server.trust.is_some(), url.starts_with("https"));
        }
    }
}
