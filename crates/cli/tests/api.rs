//! The local API of a real `up` is what its OpenAPI document says: routes, answers and refusals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking and says so")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Liar, Lie, Scratch, Up, YEARLY, schema};
use timeball_api::routes;

/// A running `up` and what its document says.
struct Api {
    up: Up,
    document: Value,
    token: String,
    /// Its schedule files.
    files: String,
}

/// One answer.
struct Answer {
    status: String,
    media_type: String,
    body: String,
}

impl Api {
    fn start(scratch: &Scratch, source: &Liar) -> Self {
        let (state, files) = (scratch.join("state"), scratch.join("files"));
        let up = Up::start(&state, &["--source", &source.address(), "--schedules", &files]);
        let token = std::fs::read_to_string(format!("{state}/token")).unwrap().trim().to_owned();
        let mut api = Self { up, document: Value::Null, token, files };
        api.document =
            serde_json::from_str(&api.send("get", routes::OPENAPI, "", "").body).unwrap();
        api
    }

    /// Sends a request whose connection ends with the answer.
    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut socket = self.open(method, path, &format!("Connection: close\r\n{headers}"), body);
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        Answer::parse(&text)
    }

    fn open(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let host = self.up.page().trim_start_matches("http://").trim_end_matches('/');
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A request names one host: whoever gives another leaves ours out.
        let host =
            if headers.contains("Host:") { String::new() } else { format!("Host: {host}\r\n") };
        let (method, octets) = (method.to_uppercase(), body.len());
        let head =
            format!("{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {octets}\r\n");
        // In one piece: what came after a refusal would reset the connection that carries it.
        socket.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        socket
    }

    /// Asks for a change with the token.
    fn change(&self, path: &str, body: &str) -> Answer {
        self.ask("post", path, body)
    }

    /// Asks with the token.
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = &self.token;
        let headers =
            format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        self.send(method, path, &headers, body)
    }

    /// What the document says of an answer, references followed.
    fn documented(&self, method: &str, route: &str, status: &str) -> &Value {
        let responses = &self.document["paths"][route][method]["responses"];
        let response = &responses[status];
        assert!(response.is_object(), "{method} {route} answers {status}, which is not documented");
        match response["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
            None => response,
        }
    }

    /// An answer has this status, is documented with it, and has the form that is documented.
    fn expect(&self, method: &str, route: &str, status: &str, answer: &Answer) -> Value {
        let what = format!("{method} {route}: {}", answer.body);
        assert_eq!(answer.status, status, "{what}");
        let response = self.documented(method, route, status);
        let content = &response["content"][&answer.media_type];
        assert!(content.is_object(), "{what}: {} is not documented", answer.media_type);
        if answer.media_type != "application/json" {
            assert_eq!(content["schema"], json!({ "type": "string" }));
            return Value::Null;
        }
        let body = serde_json::from_str(&answer.body).unwrap();
        if route != routes::OPENAPI {
            let faults = schema::faults(&self.document, &content["schema"], &body);
            assert!(faults.is_empty(), "{what}: {faults:#?}");
        }
        body
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let media_type = lines
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map_or("", |(_, value)| value.split(';').next().unwrap())
            .to_owned();
        Self { status, media_type, body: body.to_owned() }
    }
}

/// A route with its schedule named.
fn of(route: &str, name: &str) -> String {
    route.replace("{namespace}", "default").replace("{name}", name)
}

/// A running `up` with one yearly schedule.
fn start(scratch: &Scratch, source: &Liar) -> Api {
    std::fs::create_dir_all(scratch.join("files")).unwrap();
    std::fs::write(scratch.path().join("files/yearly.yaml"), YEARLY).unwrap();
    Api::start(scratch, source)
}

#[test]
fn every_route_is_documented_and_every_documented_route_is_there() {
    let (scratch, source) = (Scratch::new("api-routes"), Liar::start(Lie::default()));
    let api = start(&scratch, &source);
    let documented: Vec<(String, String)> = api.document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let mut known = routes::ALL.map(|(method, path)| (method.to_owned(), path.to_owned()));
    known.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(documented, known);

    let token = format!("Authorization: Bearer {}\r\n", api.token);
    for (method, path) in routes::ALL {
        for other in ["get", "post", "put", "patch", "delete"] {
            if other == method {
                continue;
            }
            // Only a path that is there knows that the method is wrong.
            let status = api.send(other, &of(path, "yearly"), &token, "").status;
            assert_eq!(status, "405", "{other} {path}");
        }
    }
    assert_eq!(api.send("get", "/v1/nothing", "", "").status, "404");
}

#[test]
fn routers_take_their_paths_from_the_list_that_the_document_is_made_of() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut routed = 0;
    for name in ["agent", "page", "runtime", "scheduler", "cli"] {
        for file in sources(&crates.join(name).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            for call in text.split(".route(").skip(1) {
                let path = call.trim_start();
                // The page's files are no API, and have one list of their own.
                let listed = path.starts_with("routes::") || path.starts_with("asset.path");
                assert!(listed, "{}: {}", file.display(), path.lines().next().unwrap());
                routed += 1;
            }
        }
    }
    assert_eq!(routed, routes::ALL.len(), "the document itself is among the page's files");
}

/// All Rust files under a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    directories.iter().flat_map(|path| sources(path)).chain(rust).collect()
}

#[test]
fn every_answer_has_its_documented_form() {
    let (scratch, source) = (Scratch::new("api-answers"), Liar::start(Lie::default()));
    let api = start(&scratch, &source);
    let start = Instant::now();
    while api.send("get", routes::READYZ, "", "").status != "200" {
        assert!(start.elapsed() < Duration::from_secs(20), "the clock is never ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    // So that the histories have something to show.
    let run = api.change(&of(routes::RUN, "yearly"), r#"{"why":"a test"}"#);
    api.expect("post", routes::RUN, "200", &run);
    let range = json!({ "from_ns": 1_400_000_000_000_000_000_i64, "until_ns": 1_600_000_000_000_000_000_i64 });
    let backfill = api.change(&of(routes::BACKFILL, "yearly"), &range.to_string());
    let accepted = api.expect("post", routes::BACKFILL, "200", &backfill);
    assert_eq!(accepted["instants_ns"].as_array().unwrap().len(), 6);
    let ended = |history: &Value| history["outcomes"].as_array().is_some_and(|all| all.len() >= 7);
    let history = || api.send("get", &of(routes::HISTORY, "yearly"), "", "");
    while !ended(&api.expect("get", routes::HISTORY, "200", &history())) {
        assert!(start.elapsed() < Duration::from_secs(40), "{}", history().body);
        std::thread::sleep(Duration::from_millis(100));
    }
    let pause = api.change(&of(routes::PAUSE, "yearly"), r#"{"why":"a test"}"#);
    api.expect("post", routes::PAUSE, "200", &pause);
    let schedules = api.send("get", routes::SCHEDULES, "", "");
    let schedules = api.expect("get", routes::SCHEDULES, "200", &schedules);
    assert_eq!(schedules["schedules"][0]["paused"]["why"], "a test");
    let resume = api.change(&of(routes::RESUME, "yearly"), "{}");
    api.expect("post", routes::RESUME, "200", &resume);

    for (method, route) in routes::ALL {
        if method == "get" && route != routes::EVENTS {
            let answer = api.ask(method, &of(route, "yearly"), "");
            api.expect(method, route, "200", &answer);
        }
    }
    // A changed field and a broken file, as a diff and as a reload tell them.
    std::fs::write(format!("{}/yearly.yaml", api.files), YEARLY.replace("1 1 *", "x 1 *")).unwrap();
    let changes = api.ask("get", routes::FILE_CHANGES, "");
    let changes = api.expect("get", routes::FILE_CHANGES, "200", &changes);
    assert_eq!(changes["problems"].as_array().unwrap().len(), 1);
    std::fs::write(format!("{}/yearly.yaml", api.files), YEARLY.replace("1 1 *", "2 1 *")).unwrap();
    let reload = api.change(routes::RELOAD, "");
    assert_eq!(api.expect("post", routes::RELOAD, "200", &reload)["applied"], true);
}

#[test]
fn the_stream_brings_what_is_documented() {
    let (scratch, source) = (Scratch::new("api-events"), Liar::start(Lie::default()));
    let api = start(&scratch, &source);
    let mut socket = api.open("get", routes::EVENTS, "", "");
    let (mut text, mut octets) = (String::new(), [0; 4096]);
    let events = ["backlog", "status", "schedules", "clock"];
    let whole = |text: &str, event: &str| {
        let (_, rest) = text.split_once(&format!("event: {event}\n"))?;
        let (line, _) = rest.strip_prefix("data: ")?.split_once("\n\n")?;
        Some(line.to_owned())
    };
    while !events.iter().all(|event| whole(&text, event).is_some()) {
        let count = socket.read(&mut octets).unwrap();
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&octets[..count]));
    }
    let answer = Answer::parse(&text);
    assert_eq!((&*answer.status, &*answer.media_type), ("200", "text/event-stream"));
    let stream = &api.documented("get", routes::EVENTS, "200")["content"][&answer.media_type];
    let documented = api.documented("get", routes::EVENTS, "200")["x-events"].as_object().unwrap();
    assert!(stream.is_object() && documented.len() == events.len());
    for event in events {
        let value = serde_json::from_str(&whole(&text, event).unwrap()).unwrap();
        let faults = schema::faults(&api.document, &documented[event], &value);
        assert!(faults.is_empty(), "{event}: {faults:#?}");
    }
}

#[test]
fn what_is_refused_is_refused_in_the_documented_form() {
    let (scratch, source) = (Scratch::new("api-refusals"), Liar::start(Lie::default()));
    let api = start(&scratch, &source);
    let json = "Content-Type: application/json\r\n";
    for (method, route) in routes::ALL {
        let path = of(route, "yearly");
        let foreign = api.send(method, &path, "Host: clock.example\r\n", "");
        api.expect(method, route, "421", &foreign);
        if routes::is_guarded(method, route) {
            let refused =
                |headers: &str| api.send(method, &path, &format!("{json}{headers}"), "{}");
            api.expect(method, route, "401", &refused(""));
            let wrong = refused(&format!("Authorization: Bearer {}\r\n", "0".repeat(64)));
            api.expect(method, route, "403", &wrong);
            let right = format!("Authorization: Bearer {}\r\n", api.token);
            let elsewhere = refused(&format!("{right}Origin: http://clock.example\r\n"));
            api.expect(method, route, "403", &elsewhere);
        }
    }
    let refusals = [
        (routes::PAUSE, "nobody", "{}".to_owned(), "404", "NoSuchSchedule"),
        (routes::RESUME, "yearly", "{}".to_owned(), "409", "NotPaused"),
        (routes::RUN, "yearly", json!({ "why": "x".repeat(501) }).to_string(), "422", "WhyTooLong"),
        (routes::RUN, "yearly", json!({ "wy": "" }).to_string(), "422", "BadRequest"),
        (routes::RUN, "yearly", "{".to_owned(), "400", "BadRequest"),
        (routes::BACKFILL, "yearly", json!({ "from_ns": 0 }).to_string(), "422", "BadRequest"),
        (
            routes::BACKFILL,
            "yearly",
            json!({ "from_ns": 0, "until_ns": 9_000_000_000_000_000_000_i64 }).to_string(),
            "422",
            "NotPast",
        ),
        (
            routes::BACKFILL,
            "yearly",
            json!({ "from_ns": 0, "until_ns": 1, "limit": 1001 }).to_string(),
            "422",
            "OutOfRange",
        ),
    ];
    for (route, name, body, status, reason) in refusals {
        let refused = api.expect("post", route, status, &api.change(&of(route, name), &body));
        assert_eq!(refused["reason"], reason, "{route}");
    }
    let plain = format!("Authorization: Bearer {}\r\nContent-Type: text/plain\r\n", api.token);
    let plain = api.send("post", &of(routes::RUN, "yearly"), &plain, "{}");
    api.expect("post", routes::RUN, "415", &plain);
    for (route, path, status) in [
        (routes::HISTORY, of(routes::HISTORY, "nobody"), "404"),
        (routes::HISTORY, of(routes::HISTORY, "yearly") + "?limit=x", "400"),
        (routes::READYZ, format!("{}?max_error_ms=0.000001", routes::READYZ), "503"),
        (routes::READYZ, format!("{}?max_error_ms=-1", routes::READYZ), "400"),
    ] {
        api.expect("get", route, status, &api.send("get", &path, "", ""));
    }
}

#[test]
fn what_an_address_may_keep_secret_is_told_only_to_those_who_may_change_it() {
    let (scratch, source) = (Scratch::new("api-secrets"), Liar::start(Lie::default()));
    let api = start(&scratch, &source);
    let file = scratch.path().join("files/hook.yaml");
    let hook = |query: &str| {
        let url = format!("http://127.0.0.1:1/hook?{query}");
        let target = format!("target: {{ http: {{ url: '{url}' }} }}");
        YEARLY.replace("yearly", "hook").replace("target: { exec: { command: ['true'] } }", &target)
    };
    std::fs::write(&file, hook("token=hush1&hush2")).unwrap();
    let seen = |texts: &mut Vec<String>| {
        for route in [routes::SCHEDULES, routes::METRICS] {
            texts.push(api.send("get", route, "", "").body);
        }
        let history = of(routes::HISTORY, "hook");
        texts.push(api.send("get", &history, "", "").body);
    };
    let accepted = api.change(routes::RELOAD, "{}");
    assert_eq!(accepted.status, "200", "{}", accepted.body);
    assert_eq!(api.change(&of(routes::RUN, "hook"), "{}").status, "200");
    let mut texts = Vec::new();
    seen(&mut texts);
    assert!(texts[0].contains("http http://127.0.0.1:1/hook?token=…&…"), "{}", texts[0]);
    // A file that is wrong is told to everybody, too.
    std::fs::write(&file, hook("token=hush3#").replace(":1/", "x/")).unwrap();
    api.change(routes::RELOAD, "{}");
    seen(&mut texts);
    assert!(texts[3].contains("x/hook?token=…"), "{}", texts[3]);
    for text in &texts {
        assert!(!text.contains("hush"), "{text}");
    }
    std::fs::write(&file, hook("token=hush4")).unwrap();
    let changes = api.ask("get", routes::FILE_CHANGES, "");
    assert!(changes.body.contains("hush4"), "{}", changes.body);
}
