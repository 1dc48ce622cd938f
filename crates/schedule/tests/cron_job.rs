//! The meaning of each field of a Kubernetes CronJob, as the controller of `batch/v1` has it, where
//! ours is the same; and where it is not, what ours is instead.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
mod desk;

use common::instant;
use desk::{Desk, UID, spec};
use timeball_schedule::language::{Dialect, Schedule, Zone};
use timeball_schedule::planner::{CatchUp, CatchUpPolicy, Concurrency, Resume, ScheduleSpec};
use timeball_schedule::{FireId, Outcome, Reason};
use timeball_timebase::{Span, Timestamp};

const MINUTE: Span = Span::from_secs(60);

fn noon() -> Timestamp {
    instant("2026-11-21T12:00:00Z")
}

fn at(minute: i64) -> Timestamp {
    noon() + MINUTE * minute
}

/// Every minute, in the dialect of CronJob.
fn every_minute() -> ScheduleSpec {
    cron("* * * * *", &Zone::utc())
}

fn cron(expression: &str, zone: &Zone) -> ScheduleSpec {
    spec(Schedule::parse(expression, Dialect::Kubernetes, zone, None).unwrap())
}

/// What a schedule does, as (minute after noon of the instant, outcome), counts unfolded.
type Ended = Vec<(i64, Outcome)>;

/// A field, what it does, and how that is to begin.
type Row<'r> = (&'r str, &'r dyn Fn() -> Ended, &'r [(i64, Outcome)]);

fn ended(desk: &Desk) -> Ended {
    let mut ended = Vec::new();
    for (from, count, outcome) in desk.outcomes() {
        for n in 0..i64::try_from(count).unwrap() {
            let minute = (from - noon()).as_nanos() / MINUTE.as_nanos() + n;
            ended.push((minute, outcome));
        }
    }
    ended
}

/// From half a minute before noon to half a minute after the instant `last`.
fn run(spec: ScheduleSpec, run_for: Span, last: i64) -> Desk {
    let mut desk = Desk::new(spec, noon() - MINUTE / 2);
    desk.run_for = run_for;
    desk.run_until(at(last) + MINUTE / 2);
    desk
}

/// A start at noon and `minutes` and a half, of a schedule that was last looked at before noon.
fn late_start(spec: ScheduleSpec, minutes: i64) -> Desk {
    let resume = Resume { accounted_until: Some(at(-1)), ..Resume::default() };
    let mut desk = Desk::resumed(spec, resume, at(minutes) + MINUTE / 2);
    desk.run_until(at(minutes) + MINUTE * 3 / 4);
    desk
}

fn schedule() -> Ended {
    ended(&run(every_minute(), Span::from_secs(1), 2))
}

fn time_zone() -> Ended {
    // 13:01 in Berlin is one minute after noon in November.
    ended(&run(cron("1 13 * * *", &common::zone("Europe/Berlin")), Span::from_secs(1), 5))
}

fn deadline_passed() -> Ended {
    let deadline = Some(Span::from_secs(10));
    ended(&late_start(ScheduleSpec { deadline, ..every_minute() }, 2))
}

fn deadline_holds() -> Ended {
    let deadline = Some(Span::from_secs(100));
    ended(&late_start(ScheduleSpec { deadline, ..every_minute() }, 2))
}

fn no_deadline() -> Ended {
    ended(&late_start(every_minute(), 2))
}

fn more_than_a_hundred_missed() -> Ended {
    let all = ended(&late_start(every_minute(), 200));
    assert_eq!(all.len(), 201);
    assert!(all[..200].iter().all(|(_, outcome)| *outcome == MISSED));
    all[199..].to_vec()
}

fn concurrency(concurrency: Concurrency) -> Ended {
    // Each takes two and a quarter minutes.
    ended(&run(ScheduleSpec { concurrency, ..every_minute() }, MINUTE * 9 / 4, 5))
}

fn suspend() -> Ended {
    let (first, last) = (every_minute(), ScheduleSpec { generation: 3, ..every_minute() });
    let mut desk = run(first, Span::from_secs(1), 0);
    desk.edit(ScheduleSpec { generation: 2, suspended: true, ..every_minute() });
    desk.run_until(at(2) + MINUTE / 2);
    desk.edit(last);
    desk.run_until(at(3) + MINUTE / 2);
    ended(&desk)
}

fn changed_schedule() -> Ended {
    // Half past every hour, and then every five minutes: what that had in the past does not start.
    let mut desk = run(cron("30 * * * *", &Zone::utc()), Span::from_secs(1), 22);
    desk.edit(ScheduleSpec { generation: 2, ..cron("*/5 * * * *", &Zone::utc()) });
    desk.run_until(at(27));
    ended(&desk)
}

fn stopped_controller() -> Ended {
    let mut first = run(every_minute(), Span::from_secs(1), 1);
    let until = first.records.iter().map(|record| record.until).max();
    first.records.clear();
    let resume = Resume { accounted_until: until, ..Resume::default() };
    let mut desk = Desk::resumed(every_minute(), resume, at(4) + MINUTE / 2);
    desk.run_until(at(5) + MINUTE / 2);
    ended(&desk)
}

const FIRED: Outcome = Outcome::Fired;
const MISSED: Outcome = Outcome::Missed(Reason::NotRunning);
const ACTIVE: Outcome = Outcome::Skipped(Reason::AlreadyActive);
const REPLACED: Outcome = Outcome::Failed(Reason::Replaced);
const SUSPENDED: Outcome = Outcome::Skipped(Reason::Suspended);

#[test]
fn each_field_means_what_it_means_to_the_controller() {
    let forbid = || concurrency(Concurrency::Forbid);
    let replace = || concurrency(Concurrency::Replace);
    let allow = || concurrency(Concurrency::Allow);
    let rows: [Row<'_>; 12] = [
        ("schedule", &schedule, &[(0, FIRED), (1, FIRED), (2, FIRED)]),
        ("timeZone", &time_zone, &[(1, FIRED)]),
        (
            "startingDeadlineSeconds, passed",
            &deadline_passed,
            &[(0, MISSED), (1, MISSED), (2, MISSED)],
        ),
        (
            "startingDeadlineSeconds, not passed",
            &deadline_holds,
            &[(0, MISSED), (1, MISSED), (2, FIRED)],
        ),
        ("startingDeadlineSeconds, absent", &no_deadline, &[(0, MISSED), (1, MISSED), (2, FIRED)]),
        ("more than 100 missed", &more_than_a_hundred_missed, &[(199, MISSED), (200, FIRED)]),
        ("concurrencyPolicy: Allow", &allow, &[(0, FIRED), (1, FIRED), (2, FIRED), (3, FIRED)]),
        ("concurrencyPolicy: Forbid", &forbid, &[(0, FIRED), (1, ACTIVE), (2, ACTIVE), (3, FIRED)]),
        ("concurrencyPolicy: Replace", &replace, &[(0, REPLACED), (1, REPLACED), (2, REPLACED)]),
        ("suspend", &suspend, &[(0, FIRED), (1, SUSPENDED), (2, SUSPENDED), (3, FIRED)]),
        ("a schedule that is changed", &changed_schedule, &[(25, FIRED)]),
        (
            "a controller that is stopped",
            &stopped_controller,
            &[(2, MISSED), (3, MISSED), (4, FIRED), (5, FIRED)],
        ),
    ];
    for (field, does, expected) in rows {
        let does = does();
        assert_eq!(does.get(..expected.len()), Some(expected), "{field}: {does:?}");
    }
}

#[test]
fn the_name_of_a_fire_is_the_same_whoever_makes_it_and_two_in_a_minute_have_two() {
    // The controller names a Job by its minute, so that a second one in a minute is taken for done.
    let key = |at| FireId { schedule: UID, scheduled_at: at }.to_string();
    let schedule = common::utc("@every 10s");
    let mut keys = Vec::new();
    let mut next = noon();
    for _ in 0..12 {
        keys.push(key(next));
        next = schedule.next_after(next).unwrap();
    }
    assert_eq!(keys[0], key(noon()));
    keys.dedup();
    assert_eq!(keys.len(), 12);
}

#[test]
fn only_the_most_recent_missed_instant_is_fired_unless_catch_up_says_more_or_less() {
    let fired = |policy, limit| {
        let spec = every_minute();
        let catch_up = CatchUp { policy, limit, ..spec.catch_up };
        let desk = late_start(ScheduleSpec { catch_up, ..spec }, 5);
        let all = ended(&desk);
        assert_eq!(all.len(), 6, "{all:?}");
        let fired = all.into_iter().filter(|(_, outcome)| *outcome == FIRED);
        fired.map(|(minute, _)| minute).collect::<Vec<i64>>()
    };
    assert_eq!(fired(CatchUpPolicy::Latest, 1), [5]);
    assert_eq!(fired(CatchUpPolicy::None, 1), [0; 0]);
    assert_eq!(fired(CatchUpPolicy::All, 3), [3, 4, 5]);
}
