//! The settings as a person writes them, right and wrong.

use super::*;

fn parse(text: &str) -> Result<AgentConfig, ConfigError> {
    AgentConfig::parse(text, "timeball.toml")
}

#[test]
fn a_file_with_everything_is_read() {
    let config = parse(
        r#"
        [clock]
        mode = "discipline"
        step = { threshold_s = 2.0, updates = 4, backward_s = 60, after_pause = false }
        panic_limit_s = inf
        leap = "slew"
        leap_file = "/usr/share/zoneinfo/leap-seconds.list"
        rtc = "never"
        min_sources = 1
        [[source]]
        address = "192.168.123.1"
        poll = { min = 6, max = 6 }
        [[source]]
        address = "[2001:db8::1]:1123"
        iburst = false
        prefer = true
        burst = true
        trust = true
        interleaved = true
        key = 7
        [keys]
        file = "/etc/timeball/keys"
        [server]
        listen = ["127.0.0.1:11123", "[::1]:11123"]
        allow = ["192.0.2.0/24", "::1"]
        smear = true
        rate_limit = { interval_s = 2, burst = 5, leak = 1, kiss = 0, clients = 64 }
        [admin]
        listen = "127.0.0.1:9133"
        [state]
        directory = "/var/lib/timeball"
        [clockbound]
        segment = "/run/clockbound/shm0"
        "#,
    )
    .unwrap();
    assert_eq!(config.mode, ClockMode::Discipline);
    let backward = Some(Span::from_secs(60));
    let threshold = Span::from_secs(2);
    let step = StepPolicy { threshold, updates: 4, backward, panic: None, after_pause: false };
    assert_eq!(config.step, step);
    assert_eq!((config.leap, config.rtc), (LeapPolicy::Slew, RtcPolicy::Never));
    assert!(config.server_smears);
    assert_eq!(config.server_allowed, ["192.0.2.0/24", "::1"].map(|text| text.parse().unwrap()));
    let limit = RateLimit { interval: Span::from_secs(2), burst: 5, leak: 1, kiss: 0 };
    assert_eq!((config.server_rate_limit, config.server_clients_max), (limit, 64));
    assert!(config.leap_file.unwrap().ends_with("leap-seconds.list"));
    assert_eq!(config.min_sources, 1);
    assert_eq!(config.sources[0].poll, PollRange { min: 6, max: 6 });
    assert!(config.sources[0].options.iburst);
    assert_eq!((config.sources[1].host.as_str(), config.sources[1].port), ("2001:db8::1", 1_123));
    assert!(config.sources[1].options.trust && !config.sources[0].options.trust);
    assert!(config.sources[1].options.burst && !config.sources[0].options.burst);
    assert!(config.sources[1].options.prefer && !config.sources[1].options.iburst);
    assert!(config.sources[1].options.interleaved && !config.sources[0].options.interleaved);
    assert_eq!((config.sources[0].key, config.sources[1].key), (None, Some(7)));
    assert_eq!(config.key_file, Some(PathBuf::from("/etc/timeball/keys")));
    assert_eq!(config.server_listen.len(), 2);
    assert_eq!(config.admin_listen, Some("127.0.0.1:9133".parse().unwrap()));
    assert_eq!(config.state_directory, Some(PathBuf::from("/var/lib/timeball")));
    assert_eq!(config.segment, Some(PathBuf::from("/run/clockbound/shm0")));
    assert_eq!(parse("").unwrap(), AgentConfig::default());
}

#[test]
fn each_mistake_is_named_with_its_place_and_the_fix() {
    for (text, expected) in [
        ("[clok]", "timeball.toml:1:2: clok: unknown key `clok`; did you mean `clock`?"),
        ("[clock]\nmodee = 1", ":2:1: clock.modee: unknown key `modee`; did you mean `mode`?"),
        (
            "[clock]\nmode = \"observ\"",
            ":2:8: clock.mode: `observ` means nothing here; did you mean `observe`?",
        ),
        (
            "[clock]\nrtc = \"nevr\"",
            ":2:7: clock.rtc: `nevr` means nothing here; did you mean `never`?",
        ),
        ("[clock]\nmode = 3", "`3` is of type integer, but a string in quotes is needed"),
        ("[clock]\nstep = { threshold_s = -1 }", "clock.step.threshold_s: -1 is out of range"),
        ("[clock]\nstep = { updates = 1.5 }", "clock.step.updates: `1.5` is of type float"),
        ("[clock]\nmin_sources = 2", "2 sources must agree, but only 0 can be selected"),
        (
            "[[source]]\nadress = \"x\"",
            "source[0].adress: unknown key `adress`; did you mean `address`?",
        ),
        ("[[source]]\niburst = true", "source[0]: `address` is missing; add for example"),
        ("[[source]]\naddress = \"a b\"", "`a b` is neither a host name nor an address"),
        (
            "[[source]]\naddress = \"a\"\npoll = { min = 20 }",
            "source[0].poll.min: 20 is out of range; write a number from -4 to 17",
        ),
        ("[[source]]\naddress = \"a\"\npoll = { min = 9, max = 4 }", "min = 9 is above max = 4"),
        (
            "[[source]]\naddress = \"a\"\n[[source]]\naddress = \"A:123\"",
            "source[1].address: `A:123` is given twice",
        ),
        ("source = 3", "source: `3` is of type integer, but a list is needed"),
        (
            "[source]\naddress = \"a\"",
            "but a list, whose items have double brackets as `[[source]]`, is needed",
        ),
        (
            "[server]\nlisten = [\"11123\"]",
            "server.listen[0]: `11123` is not an address to listen on; write it as `127.0.0.1:11123`",
        ),
        ("[admin]\n", "admin: `listen` is missing"),
        ("[state]\ndirectory = \"state\"", "is not absolute"),
        ("[keys]\nfile = \"keys\"", "keys.file: `\"keys\"` is not absolute"),
        ("[[source]]\naddress = \"a\"\nkey = 0", "0 is out of range"),
        (
            "[[source]]\naddress = \"a\"\nkey = 1",
            "source[0].key: key 1 is named, but no file of keys; add `[keys]`",
        ),
        ("[clockbound]\nsegment = \"shm0\"", "is not absolute"),
        ("[[source]]\naddress = \"a\"\ncount = 17", "write a number from 1 to 16"),
        ("[clock\n", "timeball.toml:1:"),
        (
            "[telemetry]",
            "known here: `clock`, `source`, `keys`, `constraints`, `server`, `admin`, `state`, `clockbound`",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}\n  gave {error}\n  not  {expected}");
        assert!(error.starts_with("timeball.toml:"), "{error}");
    }
}

#[test]
fn mistakes_in_the_servers_limits_are_named_too() {
    for (text, expected) in [
        (
            "[server]\nlisten = []\nallow = [\"192.0.2.0/33\"]",
            "server.allow[0]: `192.0.2.0/33`: the prefix length must be a number from 0 to 32",
        ),
        (
            "[server]\nlisten = []\nallow = []",
            "nobody would be answered; name one, or remove `allow`",
        ),
        (
            "[server]\nlisten = []\nrate_limit = { interval_s = 0 }",
            "server.rate_limit.interval_s: 0 is out of range; write a number from 0.000001 to 86400",
        ),
        (
            "[server]\nlisten = []\nrate_limit = { leak = 0 }",
            "server.rate_limit.leak: 0 is out of range; write a number from 1 to 65535",
        ),
        (
            "[server]\nlisten = []\nrate_limit = { bursts = 4 }",
            "unknown key `bursts`; did you mean `burst`?",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}\n  gave {error}\n  not  {expected}");
    }
}

#[test]
fn one_end_of_the_polling_range_moves_the_other_along() {
    let poll = |text: &str| {
        let config = parse(&format!("[[source]]\naddress = \"a\"\npoll = {{ {text} }}"));
        let PollRange { min, max } = config.unwrap().sources[0].poll;
        (min, max)
    };
    assert_eq!(poll("min = 12"), (12, 12));
    assert_eq!(poll("max = 2"), (2, 2));
    assert_eq!(poll("min = -4"), (-4, 10));
    assert_eq!(poll(""), (6, 10));
}

#[test]
fn an_end_of_the_polling_range_that_is_missing_is_the_sources_own() {
    let poll = |source: &str, text: &str| {
        let config = parse(&format!("[[source]]\n{source}\npoll = {{ {text} }}"));
        let PollRange { min, max } = config.unwrap().sources[0].poll;
        (min, max)
    };
    let (aws, phc) = ("preset = \"aws\"", "phc = \"/dev/ptp0\"\nerror_s = 1");
    for (source, text, expected) in [
        (aws, "min = 3", (3, 4)),
        (aws, "max = 6", (4, 6)),
        (aws, "min = 5", (5, 5)),
        (phc, "min = -2", (-2, 0)),
        (phc, "max = 3", (0, 3)),
        (phc, "max = -3", (-3, -3)),
        (phc, "", (0, 0)),
    ] {
        assert_eq!(poll(source, text), expected, "{source}, {text}");
    }
}

#[test]
fn a_preset_stands_for_the_time_service_of_a_cloud() {
    let config = parse("[[source]]\npreset = \"aws\"").unwrap();
    assert_eq!(config.sources[0].host, "169.254.169.123");
    assert_eq!(config.sources[0].poll, PollRange { min: 4, max: 4 });
    let error = parse("[[source]]\npreset = \"gogle\"").unwrap_err().to_string();
    assert!(error.contains("`gogle` means nothing here; did you mean `google`?"), "{error}");
    let twice = parse("[[source]]\npreset = \"aws\"\n[[source]]\npreset = \"aws\"");
    assert!(twice.unwrap_err().to_string().contains("given twice"));
    assert_eq!(source("preset:google").unwrap().host, "metadata.google.internal");
    let unknown = source("preset:ibm").unwrap_err().to_string();
    assert_eq!(unknown, "there is no preset `ibm`; there are: aws, google, azure");
}

#[test]
fn the_options_of_a_preset_are_honoured_or_refused() {
    let aws = |text: &str| parse(&format!("[[source]]\npreset = \"aws\"\n{text}"));
    let source = |text: &str| aws(text).unwrap().sources.remove(0);
    let plain = source("");
    assert!(plain.options.prefer && plain.options.iburst);
    let told = source("poll = { min = 2, max = 5 }\nprefer = false\nnoselect = true\ntrust = true");
    assert_eq!((told.host, told.poll), (plain.host, PollRange { min: 2, max: 5 }));
    let expected =
        SourceOptions { prefer: false, noselect: true, trust: true, ..SourceOptions::default() };
    assert_eq!(told.options, expected);
    assert_eq!(source("iburst = false\ninterleaved = true").poll, plain.poll);
    for (text, expected) in [
        ("phc = \"/dev/ptp0\"", "source[0].phc: a source is one thing, and `preset` is given"),
        ("shm = 0\nerror_s = 1", "and `preset` is given already; remove `shm`"),
        ("sock = \"/run/s\"", "and `preset` is given already; remove `sock`"),
        ("address = \"a\"", "and `address` is given already; remove `preset`"),
        ("count = 2", "source[0].count: `count` means nothing for this kind of source; remove it"),
        ("key = 1", "`key` means nothing for this kind of source"),
        ("error_s = 1", "`error_s` means nothing for this kind of source"),
        ("tai_offset_s = 37", "`tai_offset_s` means nothing for this kind of source"),
        ("poll = { min = 20 }", "source[0].poll.min: 20 is out of range"),
        ("[[source]]\naddress = \"169.254.169.123\"", "source[1].address: `169.254.169.123` is"),
    ] {
        let error = aws(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}\n  gave {error}\n  not  {expected}");
    }
}

#[test]
fn a_pool_is_as_many_sources_as_are_asked_for() {
    let pool = |name| format!("[[source]]\naddress = \"{name}\"\ncount = 16\n");
    let config = parse(&pool("a")).unwrap();
    assert_eq!(config.sources, vec![SourceConfig::new("a".to_owned(), 123); 16]);
    let many: String = ["a", "b", "c", "d", "e"].map(pool).concat();
    assert!(parse(&many).unwrap_err().to_string().contains("80 entries, but at most 64"));
}

#[test]
fn a_list_that_is_too_long_is_refused() {
    let sources: String =
        (0..=SOURCES_MAX).map(|i| format!("[[source]]\naddress = \"host{i}\"\n")).collect();
    assert!(parse(&sources).unwrap_err().to_string().contains("65 entries, but at most 64"));
}
