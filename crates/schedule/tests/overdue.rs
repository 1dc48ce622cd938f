//! What the planner does after a long absence, and after a clock that was set back meanwhile.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{instant, utc};
use timeball_schedule::planner::{
    Action, CatchUp, CatchUpPolicy, ClaimResult, ClockPolicy, Concurrency, Input, OutcomeRecord,
    Planner, PlannerOptions, Resume, ScheduleSpec,
};
use timeball_schedule::{FireId, Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

const UID: ScheduleUid = ScheduleUid([7; 16]);

fn spec(expression: &str, policy: CatchUpPolicy, limit: u32) -> Box<ScheduleSpec> {
    Box::new(ScheduleSpec {
        pause_on_failure: None,
        uid: UID,
        generation: 1,
        schedule: utc(expression),
        suspended: false,
        deadline: None,
        concurrency: Concurrency::Allow,
        catch_up: CatchUp { policy, window: Span::from_secs(86_400), limit },
        jitter: Span::ZERO,
        clock: ClockPolicy::default(),
    })
}

fn resume(accounted_until: Timestamp) -> Resume {
    Resume { accounted_until: Some(accounted_until), ..Resume::default() }
}

fn records(actions: &[Action]) -> Vec<OutcomeRecord> {
    let record = |action: &Action| match action {
        Action::Record(record) => Some(*record),
        _ => None,
    };
    actions.iter().filter_map(record).collect()
}

fn claims(actions: &[Action]) -> Vec<FireId> {
    let claims = |action: &Action| match action {
        Action::Claim(claims) => claims.iter().map(|claim| claim.fire).collect(),
        _ => Vec::new(),
    };
    actions.iter().flat_map(claims).collect()
}

/// The actions of a start at `now`, of the first wake-up, and of claims that are all granted.
fn start(spec: Box<ScheduleSpec>, resume: Resume, now: Timestamp) -> Vec<Action> {
    let mut planner = Planner::new(PlannerOptions::default());
    let mut actions = planner.handle_input(now, Input::Upsert { spec, resume });
    actions.extend(planner.handle_input(now, Input::Wake));
    let granted = claims(&actions).into_iter().map(|fire| (fire, ClaimResult::Claimed)).collect();
    actions.extend(planner.handle_input(now, Input::Claimed(granted)));
    actions
}

#[test]
fn a_hundred_thousand_overdue_instants_are_a_few_records_and_as_many_fires_as_the_policy_says() {
    let now = instant("2026-11-21T12:00:00.001Z");
    let before = now - Span::from_secs(1_000);
    let cases =
        [(CatchUpPolicy::None, 5, 0), (CatchUpPolicy::Latest, 5, 1), (CatchUpPolicy::All, 5, 5)];
    for (policy, limit, late) in cases {
        let actions = start(spec("@every 10ms", policy, limit), resume(before), now);
        let records = records(&actions);
        assert!(records.len() <= 2 && actions.len() < 500, "{policy:?}: {} actions", actions.len());
        let missed: u64 = records.iter().map(|record| record.count).sum();
        // What is only a little late is fired in any case.
        let overdue =
            claims(&actions).iter().filter(|fire| fire.scheduled_at <= now).count() as u64;
        assert_eq!(missed + overdue, 100_000, "{policy:?}");
        assert!((late..=late + 6).contains(&overdue), "{policy:?}: {overdue} late fires");
        let reason = |record: &OutcomeRecord| {
            [Reason::NotRunning, Reason::CatchUpLimit]
                .map(Outcome::Missed)
                .contains(&record.outcome)
        };
        assert!(records.iter().all(reason), "{records:?}");
    }
}

#[test]
fn instants_that_pass_between_a_start_and_its_first_wake_up_are_told_of_in_their_order() {
    let now = instant("2026-11-21T12:00:00Z");
    let mut planner = Planner::new(PlannerOptions::default());
    let spec = spec("@every 100ms", CatchUpPolicy::Latest, 1);
    let resume = resume(now - Span::from_secs(10));
    let mut actions = planner.handle_input(now, Input::Upsert { spec, resume });
    // The instant that was to be caught up is the latest no more.
    let now = now + Span::from_millis(900);
    actions.extend(planner.handle_input(now, Input::Wake));
    let records = records(&actions);
    assert!(records.is_sorted_by(|a, b| a.until < b.from), "{records:?}");
    let missed: u64 = records.iter().map(|record| record.count).sum();
    let late = claims(&actions).iter().filter(|fire| fire.scheduled_at <= now).count() as u64;
    assert_eq!(missed + late, 109, "{records:?}");
}

#[test]
fn even_the_most_that_are_caught_up_are_bounded_by_the_planners_own_limit() {
    let now = instant("2026-11-21T12:00:00Z");
    let spec = spec("@every 10ms", CatchUpPolicy::All, u32::MAX);
    let actions = start(spec, resume(now - Span::from_secs(1_000)), now);
    let late = claims(&actions).iter().filter(|fire| fire.scheduled_at <= now).count();
    assert!((1_000..1_010).contains(&late), "{late} late fires");
}

#[test]
fn after_a_clock_that_was_set_back_while_nobody_was_there_nothing_is_claimed_twice() {
    let accounted = instant("2026-11-21T12:00:00Z");
    let now = accounted - Span::from_secs(3_600);
    let mut planner = Planner::new(PlannerOptions::default());
    let spec = spec("@every 100ms", CatchUpPolicy::All, 100);
    let mut actions = planner.handle_input(now, Input::Upsert { spec, resume: resume(accounted) });
    actions.extend(planner.handle_input(now, Input::Wake));
    assert_eq!((records(&actions), claims(&actions)), (vec![], vec![]));
    // It goes on where it was, once the clock is there again.
    let wake = actions.iter().rev().find_map(|action| match action {
        Action::WakeAt(at) => Some(*at),
        _ => None,
    });
    assert!(wake.unwrap() >= accounted - Span::from_secs(2), "{wake:?}");
    let claimed = claims(&planner.handle_input(accounted, Input::Wake));
    assert_eq!(claimed.first().unwrap().scheduled_at, accounted + Span::from_millis(100));
}

#[test]
fn ten_schedules_of_short_periods_cost_no_more_than_one_commit_of_claims_a_second() {
    let mut now = instant("2026-11-21T12:00:00Z");
    let mut planner = Planner::new(PlannerOptions::default());
    let mut wake_at = now;
    for n in 0..10 {
        let mut spec = spec(&format!("@every 10ms/{n}ms"), CatchUpPolicy::Latest, 1);
        spec.uid = ScheduleUid([n; 16]);
        let _ = planner.handle_input(now, Input::Upsert { spec, resume: Resume::default() });
    }
    let end = now + Span::from_secs(60);
    let mut commits = 0;
    while wake_at < end {
        now = now.max(wake_at);
        let mut inputs = vec![Input::Wake];
        while let Some(input) = inputs.pop() {
            let actions = planner.handle_input(now, input);
            let claims = claims(&actions);
            if !claims.is_empty() {
                commits += 1;
                let granted = claims.into_iter().map(|fire| (fire, ClaimResult::Claimed)).collect();
                inputs.push(Input::Claimed(granted));
            }
            for action in actions {
                match action {
                    Action::WakeAt(at) => wake_at = at,
                    Action::Arm(armed) => {
                        let fire = armed.fire;
                        let lateness = Span::ZERO;
                        let (clock_bound, clock_exceeded) = (None, false);
                        inputs.push(Input::Finished {
                            fire,
                            outcome: Outcome::Fired,
                            duration: None,
                        });
                        inputs.push(Input::Released {
                            fire,
                            lateness,
                            clock_bound,
                            clock_exceeded,
                        });
                    }
                    _ => {}
                }
            }
        }
    }
    assert!((55..=62).contains(&commits), "{commits} commits in 60 s");
}

#[test]
fn what_a_clock_had_passed_before_it_was_set_back_stays_accounted_for_through_edits_after_a_start()
{
    let now = instant("2026-11-21T12:00:00Z");
    let accounted = now + Span::from_secs(600);
    let options = PlannerOptions::default();
    let owed_from = accounted - options.horizon;
    let mut planner = Planner::new(options);
    let spec = spec("@every 10ms", CatchUpPolicy::Latest, 1);
    let mut other = spec.clone();
    (other.generation, other.schedule) = (2, utc("@every 7ms"));
    let mut actions = Vec::new();
    for input in [
        Input::Upsert { spec, resume: resume(accounted) },
        Input::SetPaused { schedule: UID, paused: true },
        Input::SetPaused { schedule: UID, paused: false },
        Input::Upsert { spec: other, resume: Resume::default() },
        Input::Wake,
    ] {
        actions.extend(planner.handle_input(now, input));
    }
    assert!(records(&actions).iter().all(|record| record.from > owed_from));
    assert!(claims(&actions).iter().all(|fire| fire.scheduled_at > owed_from));
}
