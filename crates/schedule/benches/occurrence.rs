//! Time to find the next occurrence, beside croner, in one run.
//!
//! Random expressions of five fields that both read alike, random zones, random starts. Rounds in
//! which each way has its turn, in random order; croner appears twice (A/A): what differs between
//! its two rows is noise. `cargo xtask bench occurrence --help` names the arguments.
#![allow(clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

use croner::Cron;
use std::hint::black_box;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;
use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_timebase::Timestamp;

const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Tehran",
    "Pacific/Apia",
];
const WAYS: [&str; 3] = ["croner (A)", "croner (A again)", "timeball"];
const QUESTIONS: usize = 2_000;
/// What is asked of our median, over croner's.
const RATIO_MAX: f64 = 0.5;

/// One question: a schedule, and where to begin.
struct Question {
    ours: Schedule,
    theirs: Cron,
    after: Timestamp,
    zoned: jiff::Zoned,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let position = arguments.iter().position(|argument| argument == "--rounds");
    let rounds: usize = position.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(30);
    let mut random = Random(0x7133_ba11);
    // Schedules of a zone share it, and so do croner's moments.
    let zones = ZONES.map(both);
    let questions: Vec<Question> = (0..QUESTIONS).map(|_| question(&mut random, &zones)).collect();
    let mut nanos: [Vec<u64>; WAYS.len()] = Default::default();
    for _ in 0..rounds {
        let mut order = [0, 1, 2];
        for n in (1..order.len()).rev() {
            order.swap(n, random.below(n as u64 + 1) as usize);
        }
        for way in order {
            let begin = Instant::now();
            for question in &questions {
                if way == 2 {
                    black_box(question.ours.next_after(black_box(question.after)));
                } else {
                    let zoned = black_box(&question.zoned);
                    let _ = black_box(question.theirs.find_next_occurrence(zoned, false));
                }
            }
            nanos[way].push((begin.elapsed().as_nanos() / questions.len() as u128) as u64);
        }
    }
    let medians = nanos.map(|mut nanos| {
        nanos.sort_unstable();
        nanos[nanos.len() / 2]
    });
    println!("{rounds} rounds of {QUESTIONS} questions; ns a question, the median round");
    for (way, median) in WAYS.iter().zip(medians) {
        println!("{way:18} {median:8}   {:.3} of croner", median as f64 / medians[0] as f64);
    }
    let ratio = medians[2] as f64 / medians[0].min(medians[1]) as f64;
    let is_held = ratio <= RATIO_MAX;
    let verdict = if is_held { "held" } else { "NOT held" };
    println!("{verdict}: {ratio:.3} of croner's quicker row; at most {RATIO_MAX} is asked");
    if is_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A zone as we and as croner take it.
fn both(name: &str) -> (Zone, jiff::tz::TimeZone) {
    let octets = std::fs::read(format!("/usr/share/zoneinfo/{name}"))
        .expect("the machine has a zone database (Debian: tzdata)");
    let zone = Zone::from_tzif(name, &octets).expect("the database is sound");
    (zone, jiff::tz::TimeZone::tzif(name, &octets).expect("the database is sound"))
}

fn question(random: &mut Random, zones: &[(Zone, jiff::tz::TimeZone)]) -> Question {
    let (zone, rules) = &zones[random.below(zones.len() as u64) as usize];
    let mut field = |least: u64, largest: u64| match random.below(4) {
        0 | 1 => "*".to_owned(),
        2 => (least + random.below(largest - least + 1)).to_string(),
        _ => {
            let first = least + random.below(largest - least);
            format!("{first}-{largest}")
        }
    };
    let expression = format!(
        "{} {} {} {} {}",
        field(0, 59),
        field(0, 23),
        field(1, 28),
        field(1, 12),
        field(0, 6)
    );
    let after = Timestamp::from_unix(random.below(2_000_000_000) as i64, 0);
    let at = jiff::Timestamp::from_second(after.unix_seconds()).expect("a moment of our time");
    Question {
        ours: Schedule::parse(&expression, Dialect::Vixie, zone, None).expect("a sound one"),
        theirs: Cron::from_str(&expression).expect("a sound one"),
        after,
        zoned: at.to_zoned(rules.clone()),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % n
    }
}
