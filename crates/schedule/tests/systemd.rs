//! Dialect `systemd` against `systemd-analyze calendar`: random events, zones and moments; the
//! normalized form and the next instants. Known differences are in docs/schedule-differences.md.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::random::{Random, cases, report, skip};
use common::{ZONES, change_near, walk, zone};
use std::process::Command;
use timeball_schedule::language::{Dialect, Schedule};
use timeball_timebase::Timestamp;

const ITERATIONS: usize = 6;
/// Events that one process is asked for.
const BATCH: u64 = 25;

/// A component: `*`, a number, a list, ranges, steps.
fn component(random: &mut Random, least: i64, largest: i64) -> String {
    match random.within(0, 9) {
        0..=3 => "*".to_owned(),
        4..=6 => random.within(least, largest).to_string(),
        7 => {
            let list = random.some(least, largest, 4);
            list.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
        }
        8 => {
            // systemd refuses a range of one second.
            let first = random.within(least, largest - 1);
            format!("{first}..{}", random.within(first + 1, largest))
        }
        _ => {
            let first = random.within(least, largest - 1);
            format!("{first}/{}", random.within(1, largest - first))
        }
    }
}

fn second(random: &mut Random) -> String {
    match random.within(0, 9) {
        0..=3 => "0".to_owned(),
        4 => "*".to_owned(),
        5 => format!("{}.{:03}", random.within(0, 59), random.within(0, 999)),
        6 => format!("{}/0.{}", random.within(0, 59), random.of(&["25", "5", "125", "3"])),
        _ => component(random, 0, 59),
    }
}

fn event(random: &mut Random) -> String {
    if random.one_in(4) {
        // Of every day, so that changes of the clocks are met.
        let (hour, minute) = (component(random, 0, 23), component(random, 0, 59));
        return format!("*-*-* {hour}:{minute}:{}", second(random));
    }
    let weekdays = match random.within(0, 5) {
        0 => format!("{} ", random.of(&["Mon", "tuesday", "Sat", "Sun", "fri"])),
        1 => format!("{} ", random.of(&["Mon..Fri", "Sat,Sun", "Tue..Thu,Sat", "Mon-Wed"])),
        _ => String::new(),
    };
    let year = match random.within(0, 5) {
        0 => format!("{}-", random.within(2020, 2040)),
        1 => format!("{}/{}-", random.within(2000, 2030), random.within(1, 9)),
        2 => String::new(),
        _ => "*-".to_owned(),
    };
    let month = component(random, 1, 12);
    let day = match random.within(0, 4) {
        // Steps count down to the last day, which is 1.
        0 => match component(random, 1, 28).split_once('/') {
            Some((first, _)) => format!("~{first}"),
            None => format!("~{}/{}", random.within(20, 28), random.within(1, 19)),
        },
        _ => format!("-{}", component(random, 1, 31)),
    };
    let (hour, minute) = (component(random, 0, 23), component(random, 0, 59));
    format!("{weekdays}{year}{month}{day} {hour}:{minute}:{}", second(random))
}

/// What systemd says of an event: its normalized form, and the next instants in whole seconds.
#[derive(Debug, Default)]
struct Answer {
    normalized: String,
    instants: Vec<i64>,
    never: bool,
}

/// Asks for all events at once; `None` where systemd gave up on one ("infinite loop").
fn ask(events: &[String], zone_name: &str, after: i64) -> Option<Vec<Answer>> {
    let output = Command::new("systemd-analyze")
        .args(["calendar", &format!("--iterations={ITERATIONS}")])
        .arg(format!("--base-time=@{after}"))
        .args(events)
        .env("TZ", zone_name)
        .output()
        .expect("systemd-analyze was there");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("Infinite loop") {
        return None;
    }
    assert!(said.is_empty(), "{said}: {events:?} in {zone_name} after {after}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut answers: Vec<Answer> = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.trim() {
            "Normalized form" => {
                answers.push(Answer { normalized: value.to_owned(), ..Answer::default() });
            }
            "Next elapse" if value == "never" => answers.last_mut()?.never = true,
            _ if value.ends_with(" UTC") && name.trim() != "From now" => {
                let text = value.trim_end_matches(" UTC").split_once(' ')?.1.replace(' ', "T");
                let instants = &mut answers.last_mut()?.instants;
                let at: jiff::Timestamp = format!("{text}Z").parse().unwrap();
                instants.push(at.as_second());
            }
            _ => {}
        }
    }
    Some(answers)
}

/// Whether systemd left out an instant that it finds when it is asked right before it.
fn denied(event: &str, zone_name: &str, ours: &[i64], theirs: &[i64]) -> bool {
    let Some((first, _)) = ours.iter().zip(theirs).find(|(ours, theirs)| ours < theirs) else {
        return false;
    };
    let answer = ask(&[event.to_owned()], zone_name, first - 1).and_then(|mut all| all.pop());
    answer.is_some_and(|answer| answer.instants.first() == Some(first))
}

/// What a comparison came to; the reasons are in docs/schedule-differences.md.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    /// Changes of the clocks within a day of which systemd has other instants.
    clocks: u64,
    /// Instants that systemd left out, and finds when it is asked right before them.
    contradictions: u64,
    /// "Infinite loop in calendar calculation".
    gave_up: u64,
}

impl Tally {
    /// Compares an event's instants. Where they differ at a change of the clocks, the comparison
    /// goes on a day after it.
    fn compare(&mut self, event: &str, zone_name: &str, after: i64, theirs: Option<Answer>) {
        let zone = zone(zone_name);
        let ours = Schedule::parse(event, Dialect::Systemd, &zone, None)
            .unwrap_or_else(|error| panic!("{event}: {error}"));
        self.events += 1;
        let (mut after, mut theirs) = (after, theirs);
        for _ in 0..4 {
            let Some(answer) = theirs else {
                self.gave_up += 1;
                return self.list("gave up", event, zone_name, after);
            };
            assert_eq!(ours.to_string(), answer.normalized, "{event}");
            let found = walk(&ours, after, ITERATIONS);
            let Some(first) = first_difference(&found, &answer.instants) else { return };
            if let Some(change) = change_near(&zone, first) {
                self.clocks += 1;
                self.list("change of the clocks", event, zone_name, after);
                after = change + 86_400;
            } else if denied(event, zone_name, &found, &answer.instants) {
                self.contradictions += 1;
                return self.list("contradiction", event, zone_name, after);
            } else {
                panic!("{event} in {zone_name} after {after}: {found:?}, systemd: {answer:?}");
            }
            theirs = ask(&[event.to_owned()], zone_name, after).and_then(|mut all| all.pop());
        }
    }

    /// Lists a difference in the long form.
    fn list(&self, what: &str, event: &str, zone_name: &str, after: i64) {
        if std::env::var_os("TIMEBALL_DIFFERENTIAL").is_some() {
            report(&format!("{what}: `{event}` in {zone_name} after {after}"));
        }
    }
}

/// A moment up to two hours before a change of the clocks, where the zone has one.
fn before_a_change(random: &mut Random, zone_name: &str) -> i64 {
    let (from, until) =
        (Timestamp::from_unix(1_600_000_000, 0), Timestamp::from_unix(1_900_000_000, 0));
    let changes = zone(zone_name).changes_between(from, until);
    let Some(last) = changes.len().checked_sub(1) else { return 1_700_000_000 };
    let (change, ..) = changes[random.within(0, last as i64) as usize];
    change.unix_seconds() - random.within(0, 7_200)
}

/// The earlier of the first two instants that are not the same.
fn first_difference(ours: &[i64], theirs: &[i64]) -> Option<i64> {
    let same = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    ours.get(same).into_iter().chain(theirs.get(same)).min().copied()
}

#[test]
fn the_normalized_form_and_the_next_instants_are_those_of_systemd() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skip("systemd-analyze is not installed (Debian: package systemd)");
    }
    let mut random = Random(20);
    let mut tally = Tally::default();
    for _ in 0..cases(1_000).div_ceil(BATCH) {
        let zone_name = random.of(&ZONES);
        let after = match random.one_in(2) {
            true => random.within(1_600_000_000, 1_900_000_000),
            false => before_a_change(&mut random, zone_name),
        };
        let events: Vec<String> = (0..BATCH).map(|_| event(&mut random)).collect();
        let theirs: Vec<Option<Answer>> = match ask(&events, zone_name, after) {
            Some(answers) => answers.into_iter().map(Some).collect(),
            None => {
                let alone = |event: &String| {
                    let answers = ask(std::slice::from_ref(event), zone_name, after);
                    answers.and_then(|mut answers| answers.pop())
                };
                events.iter().map(alone).collect()
            }
        };
        assert_eq!(theirs.len(), events.len(), "{events:?}");
        for (event, theirs) in events.iter().zip(theirs) {
            tally.compare(event, zone_name, after, theirs);
        }
    }
    let Tally { events, clocks, contradictions, gave_up } = tally;
    report(&format!(
        "{events} events compared with systemd: {clocks} changes of the clocks are treated \
         otherwise, {contradictions} times it contradicts itself, {gave_up} times it gave up"
    ));
    assert!(contradictions * 100 < events, "{contradictions} of {events} contradict");
    assert!(gave_up * 50 < events, "systemd gave up {gave_up} times of {events}");
    assert!(clocks * 20 < events, "{clocks} of {events} differ at changes of the clocks");
}
