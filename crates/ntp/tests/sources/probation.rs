//! What becomes of a source that a majority found false.

use super::network::{Network, Server};
use super::{A, B, C, honest, network, source};
use timeball_ntp::engine::{PollRange, Selection, SourceConfig};
use timeball_timebase::{Span, SyncState};

/// Answers of an acquitted source that are true before it is used again.
const PROBATION: u64 = 8;
const STEP: Span = Span::from_secs(5);
const MINUTE: Span = Span::from_minutes(1);

/// Two honest servers and a liar, each asked once a minute; the liar has been found false.
fn convicted() -> Network {
    let every_minute = PollRange { min: 6, max: 6 };
    let sources = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        .map(|host| SourceConfig { poll: every_minute, ..source(host) });
    let liar = Server::ahead(Span::from_secs(3));
    let mut world = network(&sources, &[(A, honest()), (B, honest()), (C, liar)]).started();
    world.run(MINUTE * 10);
    assert_eq!(world.report().clock.state, SyncState::Synchronized);
    assert_eq!(part(&world), Selection::Falseticker);
    world
}

fn part(world: &Network) -> Selection {
    world.report().sources[2].selection
}

fn answers(world: &Network) -> u64 {
    world.report().sources[2].received
}

/// Lets the witnesses speak or not, for so long that it is known of them.
fn witnesses(world: &mut Network, silent: bool) {
    for at in [A, B] {
        world.server(at).silent = silent;
    }
    if silent {
        world.run(MINUTE * 12);
        assert_eq!(world.report().sources[0].selection, Selection::Unreachable);
        assert_eq!(world.report().clock.state, SyncState::Holdover);
    }
}

/// Runs until the source that was false has another part, and returns how many answers it gave.
#[track_caller]
fn answers_until_not(world: &mut Network, part_before: Selection) -> u64 {
    let before = answers(world);
    while part(world) == part_before {
        assert!(answers(world) < before + 3 * PROBATION, "it is {part_before:?} for ever");
        world.run(STEP);
    }
    answers(world) - before
}

#[test]
fn answers_without_a_majority_acquit_nobody_and_shorten_no_probation() {
    let mut world = convicted();
    witnesses(&mut world, true);
    world.server(C).lie = Span::ZERO;
    let before = answers(&world);
    while answers(&world) <= before + PROBATION {
        world.run(STEP);
        assert_eq!(part(&world), Selection::Falseticker);
        assert_eq!(world.report().clock.state, SyncState::Holdover, "nobody vouches for the clock");
    }
    witnesses(&mut world, false);
    answers_until_not(&mut world, Selection::Falseticker);
    assert_eq!(part(&world), Selection::Candidate, "a majority acquits it");
    assert_eq!(answers_until_not(&mut world, Selection::Candidate), PROBATION);
    assert_eq!(part(&world), Selection::Combined);
}

#[test]
fn a_conviction_outlives_silence() {
    let mut world = convicted();
    world.server(C).silent = true;
    world.run(MINUTE * 12);
    assert_eq!(part(&world), Selection::Unreachable);
    witnesses(&mut world, true);
    *world.server(C) = honest();
    world.run(MINUTE * 20);
    assert_eq!(part(&world), Selection::Falseticker, "no majority has acquitted it");
    witnesses(&mut world, false);
    answers_until_not(&mut world, Selection::Falseticker);
    assert_eq!(part(&world), Selection::Candidate);
}

#[test]
fn promises_that_age_until_they_meet_acquit_nobody() {
    let mut world = convicted();
    // All intervals are half a millisecond to either side, so this one hardly misses the others.
    world.server(C).lie = Span::from_micros(1_300);
    world.run(MINUTE * 10);
    assert_eq!(part(&world), Selection::Falseticker);
    // What all of them said last grows into one another before they count as silent.
    world.server(C).silent = true;
    witnesses(&mut world, true);
    world.server(C).silent = false;
    let before = answers(&world);
    while answers(&world) <= before + PROBATION {
        world.run(STEP);
        assert!(!matches!(part(&world), Selection::Chief | Selection::Combined), "it is believed");
    }
    assert_eq!(part(&world), Selection::Falseticker);
    assert_eq!(world.report().clock.state, SyncState::Holdover, "nobody vouches for the clock");
}

#[test]
fn who_is_found_false_again_is_on_probation_anew() {
    let mut world = convicted();
    world.server(C).lie = Span::ZERO;
    answers_until_not(&mut world, Selection::Falseticker);
    let acquitted = answers(&world);
    while answers(&world) < acquitted + PROBATION / 2 {
        world.run(STEP);
    }
    assert_eq!(part(&world), Selection::Candidate);
    world.server(C).lie = Span::from_secs(3);
    answers_until_not(&mut world, Selection::Candidate);
    assert_eq!(part(&world), Selection::Falseticker);
    world.server(C).lie = Span::ZERO;
    answers_until_not(&mut world, Selection::Falseticker);
    assert_eq!(answers_until_not(&mut world, Selection::Candidate), PROBATION);
}

#[test]
fn answers_that_the_estimate_does_not_allow_for_end_no_probation() {
    let mut world = convicted();
    // All intervals are half a millisecond to either side, so this one touches the others'.
    world.server(C).lie = Span::from_micros(800);
    answers_until_not(&mut world, Selection::Falseticker);
    let acquitted = answers(&world);
    while answers(&world) < acquitted + 3 * PROBATION {
        world.run(STEP);
        assert_eq!(part(&world), Selection::Candidate);
    }
    world.server(C).lie = Span::ZERO;
    let served = answers_until_not(&mut world, Selection::Candidate);
    assert!((PROBATION..=PROBATION + 1).contains(&served), "{served}");
    assert_eq!(part(&world), Selection::Combined);
}
