//! What stands before every handler: whose host name a request may give, and what every answer
//! says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use super::HttpOptions;

/// The policy of every page: only our own scripts, styles, images and connections.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Puts host check, time limit, body limit and headers before all routes, the fallback included.
pub(super) fn wrap(router: Router, address: SocketAddr, options: &HttpOptions) -> Router {
    let hosts = Hosts {
        listens_on_loopback: address.ip().is_loopback(),
        names: options.host_names.iter().map(|name| name.to_ascii_lowercase()).collect(),
    };
    let limit = options.request_timeout;
    // The layer added last is the outermost: even a refusal carries the headers.
    router
        .layer(DefaultBodyLimit::max(options.body_octets_max))
        .layer(middleware::from_fn(move |request: Request, next: Next| async move {
            match tokio::time::timeout(limit, next.run(request)).await {
                Ok(response) => response,
                Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
            }
        }))
        .layer(middleware::from_fn_with_state(Arc::new(hosts), refuse_foreign_hosts))
        .layer(middleware::map_response(add_headers))
}

/// Which hosts a request may name.
#[derive(Debug)]
struct Hosts {
    listens_on_loopback: bool,
    names: Vec<String>,
}

impl Hosts {
    /// Whether `host` (without port and brackets) is this machine as far as we can know.
    ///
    /// A web page that rebinds its name to our address sends that name; it can never send an
    /// address of ours unless the user opened it. So names are matched, and addresses are allowed:
    /// all where we listen beyond loopback, else loopback's.
    fn allow(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return address.is_loopback() || !self.listens_on_loopback;
        }
        let name = bare.to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.names.contains(&name)
    }
}

async fn refuse_foreign_hosts(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    match host_of(request.uri(), request.headers()) {
        Some(authority) if hosts.allow(authority.host()) => next.run(request).await,
        Some(_) => {
            let hint = "this server answers only to localhost and its own addresses\n";
            (StatusCode::MISDIRECTED_REQUEST, hint).into_response()
        }
        None => (StatusCode::BAD_REQUEST, "one valid Host header is needed\n").into_response(),
    }
}

/// The host that a request names; `None` where it names none, several, or two different ones.
fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut named = headers.get_all(header::HOST).iter();
    let header = named.next()?.to_str().ok()?.parse::<Authority>().ok()?;
    let is_plain = named.next().is_none() && !header.as_str().contains('@');
    let agrees = uri.authority().is_none_or(|target| *target == header);
    (is_plain && agrees).then_some(header)
}

async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What we tell is true for a moment; a handler that knows better has said so.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_listener_answers_to_loopback_names_only() {
        let hosts = Hosts { listens_on_loopback: true, names: vec!["clock.test".to_owned()] };
        for host in [
            "localhost",
            "LOCALHOST",
            "up.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "clock.test",
            "Clock.Test",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "192.0.2.1",
            "[2001:db8::1]",
            "",
            "127.0.0.1.nip.io",
            "0.0.0.0",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn a_listener_beyond_loopback_answers_to_every_address_but_no_foreign_name() {
        let hosts = Hosts { listens_on_loopback: false, names: Vec::new() };
        assert!(hosts.allow("192.0.2.1"));
        assert!(hosts.allow("[2001:db8::1]"));
        assert!(!hosts.allow("evil.example"));
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let host = |uri: &str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::HOST, HeaderValue::from_str(value).unwrap());
            }
            host_of(&uri.parse().unwrap(), &headers).map(|a| a.host().to_owned())
        };
        assert_eq!(host("/", &["localhost:9133"]).as_deref(), Some("localhost"));
        assert_eq!(host("/", &["[::1]:9133"]).as_deref(), Some("[::1]"));
        assert_eq!(host("http://localhost/", &["localhost"]).as_deref(), Some("localhost"));
        assert_eq!(host("/", &[]), None);
        assert_eq!(host("/", &["localhost", "evil.example"]), None);
        assert_eq!(host("http://evil.example/", &["localhost"]), None);
        assert_eq!(host("/", &["user@localhost"]), None);
        assert_eq!(host("/", &["not a host"]), None);
    }
}
