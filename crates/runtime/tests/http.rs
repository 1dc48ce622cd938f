//! The HTTP server as a client on the wire sees it: raw sockets, no HTTP library.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::{get, post};
use axum::{Router, middleware};
use timeball_runtime::health::Heartbeat;
use timeball_runtime::http::{HttpOptions, Server};
use timeball_runtime::metrics::Metrics;
use timeball_runtime::token::{self, Token};
use timeball_runtime::{ClockCell, health};

fn start(router: Router, options: HttpOptions) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    Server::start(listener, router, options).unwrap()
}

/// Sends `request` as it stands and returns all that comes back until the server closes.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn fetch(address: SocketAddr, path: &str, host: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

#[test]
fn every_answer_carries_strict_headers_and_none_for_other_origins() {
    let server = start(Router::new().route("/", get(async || "ours")), HttpOptions::default());
    for path in ["/", "/missing"] {
        let answer = fetch(server.address(), path, "localhost").to_ascii_lowercase();
        for needle in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(needle), "{path} lacks {needle}:\n{answer}");
        }
        assert!(!answer.contains("access-control-"), "{answer}");
    }
    server.stop();
}

#[test]
fn a_page_that_rebinds_its_name_to_us_is_refused() {
    let server = start(Router::new().route("/", get(async || "ours")), HttpOptions::default());
    let status = |host: &str| fetch(server.address(), "/", host)[9..12].to_owned();
    assert_eq!(status("localhost:9133"), "200");
    assert_eq!(status("[::1]"), "200");
    assert_eq!(status("evil.example"), "421");
    let without = exchange(server.address(), "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(&without[9..12], "400");
}

#[test]
fn too_much_is_refused_and_too_slow_is_dropped() {
    let options = HttpOptions {
        header_timeout: Duration::from_millis(200),
        request_timeout: Duration::from_millis(100),
        body_octets_max: 10,
        header_octets_max: 8_192,
        ..HttpOptions::default()
    };
    let router = Router::new()
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await))
        .route("/body", post(async |body: String| body));
    let server = start(router, options);
    let address = server.address();
    assert_eq!(&fetch(address, "/slow", "localhost")[9..12], "504");
    let long = "x".repeat(20_000);
    let header = format!("GET / HTTP/1.1\r\nHost: localhost\r\nLong: {long}\r\n\r\n");
    assert_eq!(&exchange(address, &header)[9..12], "431");
    let body = |octets: usize| {
        let body = "x".repeat(octets);
        exchange(
            address,
            &format!(
                "POST /body HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Length: {octets}\r\n\r\n{body}"
            ),
        )[9..12]
            .to_owned()
    };
    assert_eq!(body(10), "200");
    assert_eq!(body(11), "413");
    let begun = Instant::now();
    exchange(address, "GET / HTTP/1.1\r\nHost: loc");
    assert!(begun.elapsed() < Duration::from_secs(2), "a half header holds a connection");
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    let options = HttpOptions {
        connections_max: 2,
        header_timeout: Duration::from_millis(300),
        ..HttpOptions::default()
    };
    let server = start(Router::new().route("/", get(async || "ours")), options);
    let idle: Vec<_> = (0..2).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let begun = Instant::now();
    assert_eq!(&fetch(server.address(), "/", "localhost")[9..12], "200");
    assert!(begun.elapsed() > Duration::from_millis(100), "more than two were served at once");
    drop(idle);
}

#[test]
fn stopping_cuts_what_does_not_end_and_frees_the_port() {
    let router = Router::new()
        .route("/forever", get(async || tokio::time::sleep(Duration::from_secs(60)).await));
    let server = start(router, HttpOptions::default());
    let address = server.address();
    let mut waiting = TcpStream::connect(address).unwrap();
    waiting.write_all(b"GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(3));
    TcpListener::bind(address).unwrap();
}

#[test]
fn what_is_guarded_needs_the_token_to_be_read_or_changed_and_the_rest_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let token = Token::load_or_create(&directory.path().join("token")).unwrap();
    let router = Router::new()
        .route("/", get(async || "read").post(async || "changed"))
        .layer(middleware::from_fn_with_state(token.clone(), token::require))
        .route("/open", get(async || "read"));
    let server = start(router, HttpOptions::default());
    let ask = |method: &str, authorization: &str| {
        exchange(
            server.address(),
            &format!(
                "{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Length: 0\r\n{authorization}\r\n"
            ),
        )[9..12]
            .to_owned()
    };
    for method in ["GET", "POST"] {
        assert_eq!(ask(method, ""), "401", "{method}");
        assert_eq!(ask(method, "Authorization: Bearer 00\r\n"), "403", "{method}");
        let shown = format!("Authorization: Bearer {}\r\n", token.secret());
        assert_eq!(ask(method, &shown), "200", "{method}");
    }
    assert_eq!(&fetch(server.address(), "/open", "localhost")[9..12], "200");
}

#[test]
fn health_readiness_and_metrics_answer() {
    let router =
        health::router(Heartbeat::new(), Arc::new(ClockCell::new())).merge(Metrics::new().router());
    let server = start(router, HttpOptions::default());
    let get = |path: &str| fetch(server.address(), path, "localhost");
    assert_eq!(&get("/healthz")[9..12], "200");
    let unready = get("/readyz");
    assert_eq!(&unready[9..12], "503");
    assert!(unready.contains("\"ready\":false,\"reason\":\"ClockUnsynchronized\""), "{unready}");
    for wrong in ["-1", "0", "NaN", "x", ""] {
        assert_eq!(&get(&format!("/readyz?max_error_ms={wrong}"))[9..12], "400", "{wrong:?}");
    }
    assert!(get("/metrics").contains("application/openmetrics-text"));
}

#[test]
fn a_port_in_use_is_an_error_of_the_listener_and_not_of_the_server() {
    let server = start(Router::new(), HttpOptions::default());
    assert!(TcpListener::bind(server.address()).is_err());
}
