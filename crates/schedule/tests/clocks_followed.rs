//! Schedules are planned by the clock that each of them follows, whatever the others show.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
mod desk;

use common::{instant, utc};
use desk::{Desk, UID, spec};
use timeball_schedule::planner::{
    CatchUp, CatchUpPolicy, ClockPolicy, Follow, OutcomeRecord, ScheduleSpec,
};
use timeball_schedule::{Outcome, Reason, ScheduleUid};
use timeball_timebase::{Span, Timestamp};

const SECOND: Span = Span::from_secs(1);
const HOUR: Span = Span::from_secs(3_600);

fn noon() -> Timestamp {
    instant("2026-11-21T12:00:00Z")
}

/// A schedule with an instant each second, of which none is fired late.
fn beat(follow: Follow) -> ScheduleSpec {
    let each_second = spec(utc("@every 1s"));
    let catch_up = CatchUp { policy: CatchUpPolicy::None, ..each_second.catch_up };
    let clock = ClockPolicy { follow, ..each_second.clock };
    ScheduleSpec { uid: uid(follow), catch_up, clock, ..each_second }
}

fn uid(follow: Follow) -> ScheduleUid {
    ScheduleUid([follow as u8; 16])
}

/// A schedule for each clock, at noon, with a system clock that is so far ahead.
fn desk(ahead: Span) -> Desk {
    let mut desk = Desk::empty(noon(), ahead);
    for follow in [Follow::Auto, Follow::System, Follow::Utc] {
        desk.edit(beat(follow));
    }
    desk
}

/// What became of a schedule's instants: there is no gap from the first on, and none has two.
fn outcomes(desk: &Desk, schedule: ScheduleUid) -> Vec<OutcomeRecord> {
    let own = desk.records.iter().filter(|record| record.schedule == schedule);
    let mut records: Vec<OutcomeRecord> = own.copied().collect();
    records.sort_by_key(|record| record.from);
    for pair in records.windows(2) {
        assert_eq!(pair[0].until + SECOND, pair[1].from, "{pair:?}");
    }
    records
}

/// Whether all instants from the second after `from` up to `until` were fired in time.
fn assert_punctual(records: &[OutcomeRecord], from: Timestamp, until: Timestamp) {
    for record in records {
        assert_eq!(record.outcome, Outcome::Fired, "{record:?}");
        assert_eq!(record.detail.lateness, Some(Span::ZERO), "{record:?}");
    }
    let ends = records.first().zip(records.last()).map(|(first, last)| (first.from, last.from));
    assert_eq!(ends, Some((from + SECOND, until)));
}

#[test]
fn a_system_clock_that_is_behind_makes_no_fire_late_but_those_that_follow_it() {
    let mut desk = desk(-(SECOND * 5));
    desk.run_until(noon() + SECOND * 10 + SECOND / 2);
    for follow in [Follow::Auto, Follow::Utc] {
        assert_punctual(&outcomes(&desk, uid(follow)), noon(), noon() + SECOND * 10);
    }
    let behind = outcomes(&desk, uid(Follow::System));
    assert_punctual(&behind, noon() - SECOND * 5, noon() + SECOND * 5);
}

#[test]
fn a_system_clock_that_is_set_an_hour_ahead_and_back_disturbs_only_those_that_follow_it() {
    let mut desk = desk(Span::ZERO);
    let at = |seconds: i64| noon() + SECOND * seconds + SECOND / 2;
    desk.run_until(at(10));
    desk.set_system(HOUR);
    desk.run_until(at(20));
    desk.set_system(Span::ZERO);
    desk.run_until(at(40));
    for follow in [Follow::Auto, Follow::Utc] {
        assert_punctual(&outcomes(&desk, uid(follow)), noon(), noon() + SECOND * 40);
    }
    let disturbed = outcomes(&desk, uid(Follow::System));
    let stepped = |record: &&OutcomeRecord| record.outcome == Outcome::Missed(Reason::ClockStepped);
    let missed: u64 = disturbed.iter().filter(stepped).map(|record| record.count).sum();
    assert_eq!(missed, 3_600);
    assert_eq!(disturbed.last().unwrap().until, noon() + HOUR + SECOND * 20);
}

#[test]
fn one_that_comes_to_follow_a_clock_that_is_behind_waits_for_it_and_repeats_nothing() {
    let mut desk = desk(SECOND * 30);
    desk.run_until(noon() + SECOND * 10 + SECOND / 2);
    let edited = ScheduleSpec { uid: uid(Follow::System), generation: 2, ..beat(Follow::Auto) };
    desk.edit(edited.clone());
    // Once more, for what has an outcome must not be planned anew by a second edit either.
    desk.edit(ScheduleSpec { generation: 3, ..edited });
    desk.run_until(noon() + SECOND * 60 + SECOND / 2);
    let moved = outcomes(&desk, uid(Follow::System));
    assert_punctual(&moved, noon() + SECOND * 30, noon() + SECOND * 60);
}

#[test]
fn one_that_comes_back_a_moment_after_its_removal_with_another_clock_goes_on_by_that() {
    for (from, to) in [(Follow::System, Follow::Auto), (Follow::Auto, Follow::System)] {
        let mut desk = Desk::empty(noon(), SECOND * 5);
        // What was claimed already is taken back, and those instants are one run for a second.
        let often = |follow| ScheduleSpec { schedule: utc("@every 500ms"), ..beat(follow) };
        desk.edit(ScheduleSpec { uid: UID, ..often(from) });
        desk.run_until(noon() + SECOND * 10 + SECOND / 4);
        desk.remove(UID);
        desk.edit(ScheduleSpec { uid: UID, generation: 2, ..often(to) });
        desk.run_until(noon() + SECOND * 30 + SECOND / 4);
        let outcomes = desk.outcomes();
        let (first, last) = (outcomes.first().unwrap().0, outcomes.last().unwrap().0);
        let ahead = |follow| if follow == Follow::System { SECOND * 5 } else { Span::ZERO };
        assert_eq!(first, noon() + ahead(from) + SECOND / 2);
        assert_eq!(last, noon() + ahead(to) + SECOND * 30, "{outcomes:?}");
        let later = outcomes.iter().filter(|(at, ..)| *at > last - SECOND * 10);
        assert_eq!(later.filter(|(.., outcome)| *outcome == Outcome::Fired).count(), 20);
    }
}

#[test]
fn one_that_comes_to_follow_a_clock_that_is_ahead_misses_what_that_has_passed() {
    let mut desk = desk(SECOND * 30);
    desk.run_until(noon() + SECOND * 10 + SECOND / 2);
    desk.edit(ScheduleSpec { uid: uid(Follow::Auto), generation: 2, ..beat(Follow::System) });
    desk.run_until(noon() + SECOND * 20 + SECOND / 2);
    let moved = outcomes(&desk, uid(Follow::Auto));
    let (fired, passed): (Vec<OutcomeRecord>, Vec<OutcomeRecord>) =
        moved.iter().partition(|record| record.outcome == Outcome::Fired);
    let stepped = Outcome::Missed(Reason::ClockStepped);
    assert!(passed.iter().all(|record| record.outcome == stepped), "{passed:?}");
    assert_eq!(passed.iter().map(|record| record.count).sum::<u64>(), 30);
    assert_eq!(fired.len(), 20);
    assert_eq!(moved.last().unwrap().until, noon() + SECOND * 50);
}
