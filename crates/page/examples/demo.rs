//! Serves the page with made-up but lifelike figures, for work on the page itself.
//!
//! `cargo run -p timeball-page --example demo -- [PORT] [SCENE]`: the scenes are `well` (the
//! default), `unknown` (no source answers), `holdover` and `trouble`. Nothing here measures or
//! fires anything.

use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timeball_api::events::ClockPoint;
use timeball_api::files::{FieldChange, FileChange, FileProblem, Reload};
use timeball_api::schedules::{
    Counts, Lateness, LatenessBucket, LeftOut, Outcome, Schedule, Schedules,
};
use timeball_api::status::{Clock, Counters, Kernel, Notice, Server, Source, Status};
use timeball_page::PageSources;
use timeball_runtime::Shutdown;
use timeball_runtime::http::{HttpOptions, Server as HttpServer};

const SECOND_NS: i64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let scene = Scene::parse(arguments.next().as_deref().unwrap_or("well"))?;
    let shutdown = Shutdown::new();
    let router = timeball_page::router(PageSources {
        clock: Box::new(move || scene.point()),
        status: Box::new(move || Arc::new(scene.status())),
        schedules: Box::new(move || scene.schedules()),
        shutdown: shutdown.clone(),
    })?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let server = HttpServer::start(listener, router, HttpOptions::default())?;
    #[allow(clippy::print_stdout)]
    {
        println!("http://{}/", server.address());
    }
    shutdown.wait();
    Ok(())
}

/// What the figures tell.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Scene {
    Well,
    Unknown,
    Holdover,
    Trouble,
}

impl Scene {
    fn parse(name: &str) -> Result<Self, String> {
        match name {
            "well" => Ok(Self::Well),
            "unknown" => Ok(Self::Unknown),
            "holdover" => Ok(Self::Holdover),
            "trouble" => Ok(Self::Trouble),
            _ => Err(format!("no scene `{name}`: there are well, unknown, holdover and trouble")),
        }
    }

    fn state(self) -> &'static str {
        match self {
            Self::Well => "synchronized",
            Self::Unknown => "unsynchronized",
            Self::Holdover => "holdover",
            Self::Trouble => "acquiring",
        }
    }

    fn offset_ns(self) -> Option<i64> {
        let t = elapsed().as_secs_f64();
        let wander =
            9_000.0 * (t / 47.0).sin() + 3_500.0 * (t / 7.3).sin() + 1_500.0 * (t * 2.1).sin();
        match self {
            Self::Unknown => None,
            Self::Trouble => Some(-1_483_000_000 + (wander * 40.0) as i64),
            Self::Well | Self::Holdover => Some(12_300 + wander as i64),
        }
    }

    fn bound_ns(self) -> Option<i64> {
        let t = elapsed().as_secs_f64();
        self.offset_ns()?;
        match self {
            Self::Holdover => Some(1_900_000 + (t * 15_000.0) as i64),
            Self::Trouble => Some(46_000_000),
            // The bound shrinks with each poll and grows until the next.
            _ => Some(
                1_700_000
                    + ((t % 16.0) * 15_000.0) as i64
                    + (6_000_000.0 * (-t / 6.0).exp()) as i64,
            ),
        }
    }

    /// Of the two ends the later one is the nearer.
    fn ends_ns(self) -> (Option<i64>, Option<i64>) {
        let ends = self.offset_ns().zip(self.bound_ns());
        ends.map(|(offset, bound)| (offset - bound, offset + bound / 2)).unzip()
    }

    fn point(self) -> ClockPoint {
        let (earliest_offset_ns, latest_offset_ns) = self.ends_ns();
        ClockPoint {
            system_ns: system_ns(),
            offset_ns: self.offset_ns(),
            bound_ns: self.bound_ns(),
            earliest_offset_ns,
            latest_offset_ns,
            state: self.state().to_owned(),
        }
    }

    fn status(self) -> Status {
        let polls = elapsed().as_secs() / 16 + 1;
        Status {
            version: "timeball 0.1.0 (demo)".to_owned(),
            hostname: "edge-07".to_owned(),
            mode: "observe".to_owned(),
            uptime_s: elapsed().as_secs(),
            age_ns: 0,
            stale: false,
            clock: self.clock(),
            kernel: Some(Kernel {
                synchronized: self == Self::Well,
                max_error_ns: 16_000_000_000,
                estimated_error_ns: 16_000_000_000,
                frequency_ppb: -12_437.2,
                tai_offset_s: 37,
            }),
            sources: self.sources(),
            server: Some(Server {
                address: "127.0.0.1:11123".to_owned(),
                received: polls * 41,
                answered: polls * 40,
                invalid: polls,
                denied: 0,
                ..Server::default()
            }),
            counters: Counters {
                sent: polls * 4,
                received: polls * 4,
                updates: polls,
                ..Counters::default()
            },
            notices: self.notices(),
        }
    }

    fn clock(self) -> Clock {
        let known = self != Self::Unknown;
        let (earliest_offset_ns, latest_offset_ns) = self.ends_ns();
        Clock {
            state: self.state().to_owned(),
            system_ns: system_ns(),
            mono_ns: elapsed().as_nanos() as i64,
            offset_ns: self.offset_ns(),
            bound_ns: self.bound_ns(),
            earliest_offset_ns,
            latest_offset_ns,
            bound_growth_ppb: known.then_some(15_000.0),
            offset_error_ns: known.then_some(4_200),
            frequency_ppb: if known { -12_401.8 } else { 0.0 },
            stratum: if known { 2 } else { 16 },
            reference_id: if known { "192.53.103.108".to_owned() } else { String::new() },
            leap: "none".to_owned(),
            root_delay_ns: 3_180_000,
            root_dispersion_ns: 212_000,
            ..Clock::default()
        }
    }

    fn sources(self) -> Vec<Source> {
        let said = [
            ("ptbtime1.ptb.de", "192.53.103.108:123", "chief", "PTB", 3_180_000, 8_000),
            ("time.cloudflare.com", "162.159.200.1:123", "combined", "GPS", 5_940_000, -41_000),
            ("ntp1.example.org:1123", "203.0.113.9:1123", "candidate", "PPS", 11_270_000, 190_000),
            ("old-switch.lan", "10.4.0.1:123", "falseticker", "10.4.0.9", 840_000, 77_000_000),
        ];
        let rows = (1_u8..).zip(said);
        rows.map(|(i, (name, address, selection, reference_id, delay, beyond))| {
            let source = Source {
                name: name.to_owned(),
                address: Some(address.to_owned()),
                selection: selection.to_owned(),
                reference_id: reference_id.to_owned(),
                stratum: i,
                reach: if i == 3 { 0b1110_1111 } else { 0xff },
                poll_interval_s: 16.0,
                last_answer_s: Some(elapsed().as_secs_f64() % 16.0),
                offset_ns: self.offset_ns().map(|offset| offset + beyond),
                delay_ns: Some(delay),
                jitter_ns: 2_000 * i64::from(i),
                root_distance_ns: Some(delay / 2 + 220_000),
                problem: (selection == "falseticker")
                    .then(|| "its time contradicts that of the 3 others".to_owned()),
                ..Source::default()
            };
            self.silenced(source)
        })
        .collect()
    }

    /// What is left of a source in the scenes in which none answers.
    fn silenced(self, source: Source) -> Source {
        let silent = Source { reach: 0, selection: "unreachable".to_owned(), ..source.clone() };
        match self {
            Self::Well | Self::Trouble => source,
            Self::Holdover => Source { last_answer_s: Some(200.0), problem: None, ..silent },
            Self::Unknown => Source {
                name: source.name,
                address: source.address,
                poll_interval_s: 16.0,
                selection: silent.selection,
                problem: Some("no answer to 6 requests".to_owned()),
                ..Source::default()
            },
        }
    }

    fn notices(self) -> Vec<Notice> {
        let notice = |reason: &str, severity: &str, message: &str| Notice {
            reason: reason.to_owned(),
            severity: severity.to_owned(),
            message: message.to_owned(),
        };
        match self {
            Self::Well => Vec::new(),
            Self::Unknown => vec![notice(
                "NoSourceAnswers",
                "error",
                "None of the 4 sources answers, so the error of this clock is unknown. Check that \
                 UDP port 123 is open towards them.",
            )],
            Self::Holdover => vec![notice(
                "Holdover",
                "warning",
                "All sources are lost; the clock runs by its last good estimate and the bound \
                 grows.",
            )],
            Self::Trouble => vec![
                notice(
                    "ClockUnsynchronized",
                    "error",
                    "The system clock is 1.48 s ahead of UTC. Set it, or run the agent in \
                     discipline mode.",
                ),
                notice(
                    "AnotherWriter",
                    "info",
                    "chronyd steers this clock; Timeball only observes it.",
                ),
            ],
        }
    }

    fn schedules(self) -> Schedules {
        let now = system_ns();
        let fires = elapsed().as_millis() as u64 / 100;
        let mut flush = schedule("flush", "*/0.100 * * * * *", "Etc/UTC", "exec /usr/bin/true");
        flush.next_ns = following(now, SECOND_NS / 10);
        flush.counts = Counts { fired: 36_240 + fires, missed: 2, ..Counts::default() };
        flush.lateness = lateness(fires, 74_000);
        flush.last = Some(outcome("fired", now - now % (SECOND_NS / 10), 68_400));
        let mut ping = schedule(
            "heartbeat",
            "*/5 * * * * *",
            "Etc/UTC",
            "http POST http://127.0.0.1:8080/beat",
        );
        ping.next_ns = following(now, 5 * SECOND_NS);
        ping.counts = Counts { fired: 720 + fires / 50, failed: 3, ..Counts::default() };
        ping.lateness = lateness(fires / 50, 91_000);
        ping.last = Some(outcome("fired", now - now % (5 * SECOND_NS), 102_300));
        let mut report =
            schedule("nightly-report", "30 2 * * *", "Europe/Berlin", "exec /opt/report/run --all");
        report.next_ns = following(now - 5400 * SECOND_NS, 86_400 * SECOND_NS);
        let mut failed = outcome("failed", report.next_ns[0] - 86_400 * SECOND_NS, 88_000);
        failed.reason = "ExitStatus".to_owned();
        failed.message = "exit status 3".to_owned();
        report.last = Some(failed);
        report.counts = Counts { fired: 11, failed: 1, ..Counts::default() };
        report.include = vec!["workdays".to_owned()];
        report.exclude = vec!["holidays".to_owned()];
        report.left_out = Some(LeftOut {
            at_ns: report.next_ns[0] + 3 * 86_400 * SECOND_NS,
            excluded_by: Some("holidays".to_owned()),
        });
        let mut backup = schedule("backup", "@hourly", "Asia/Tokyo", "exec /usr/local/bin/backup");
        backup.namespace = "storage".to_owned();
        backup.suspended = self == Self::Trouble;
        backup.next_ns = following(now, 3600 * SECOND_NS);
        let problems = if self == Self::Trouble { vec![file_problem()] } else { Vec::new() };
        let reload = Some(reload(self != Self::Trouble));
        Schedules { schedules: vec![flush, ping, report, backup], problems, reload }
    }
}

fn reload(applied: bool) -> Reload {
    let field = |field: &str| FieldChange { field: field.to_owned(), ..FieldChange::default() };
    let change = FileChange {
        kind: "changed".to_owned(),
        namespace: "default".to_owned(),
        name: "flush".to_owned(),
        fields: vec![field("spec.schedule"), field("spec.target.exec.command")],
    };
    let at_ns = system_ns() - elapsed().as_nanos() as i64;
    Reload { at_ns, applied, changes: vec![change], count: 1 }
}

fn file_problem() -> FileProblem {
    FileProblem {
        file: "schedules/cleanup.yaml".to_owned(),
        message:
            "line 6, field spec.schedule: `*/0.0 * * * * *` has a step of nothing; the least is \
                  0.001"
                .to_owned(),
    }
}

fn schedule(name: &str, expression: &str, zone: &str, target: &str) -> Schedule {
    Schedule {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        schedule: expression.to_owned(),
        time_zone: zone.to_owned(),
        target: target.to_owned(),
        ..Schedule::default()
    }
}

fn outcome(result: &str, scheduled_ns: i64, lateness_ns: i64) -> Outcome {
    Outcome {
        result: result.to_owned(),
        scheduled_ns,
        until_ns: scheduled_ns,
        count: 1,
        lateness_ns: Some(lateness_ns),
        trigger: "schedule".to_owned(),
        ..Outcome::default()
    }
}

/// The next ten multiples of a period.
fn following(now: i64, period: i64) -> Vec<i64> {
    (1..=10).map(|i| now - now.rem_euclid(period) + i * period).collect()
}

/// A bell over buckets that double, with a thin tail.
fn lateness(fires: u64, median: i64) -> Lateness {
    if fires == 0 {
        return Lateness::default();
    }
    let shares = [0.0, 0.0, 0.01, 0.09, 0.42, 0.33, 0.1, 0.03, 0.012, 0.006, 0.002, 0.0, 0.0];
    let buckets = shares.iter().enumerate().map(|(i, share)| LatenessBucket {
        upper_ns: (i + 1 < shares.len()).then(|| 5_000 << i),
        count: (fires as f64 * share).ceil() as u64 * u64::from(*share > 0.0),
    });
    Lateness {
        p50_ns: Some(median),
        p99_ns: Some(median * 7),
        max_ns: Some(median * 41),
        histogram: buckets.collect(),
    }
}

fn elapsed() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn system_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
