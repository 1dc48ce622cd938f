//! Any text as a schedule: what is refused is refused at a place in the text; what is accepted is
//! printed as something that means the same, and its instants are whole microseconds, apart, and
//! the same ones forward, backward and counted.
//!
//! The first octet chooses dialect, zone, rule, days and the moment; the rest is the expression.

use std::sync::LazyLock;
use timeball_schedule::language::{
    DayCalendar, DayEntry, Dialect, DstPolicy, LeftOut, Schedule, Zone,
};
use timeball_timebase::{Span, Timestamp};

/// Moments (UTC, seconds) before a jump forward, before one back, before a leap day, and at the
/// ends.
const MOMENTS: [i64; 6] =
    [1_774_745_999, 1_793_493_000, 1_835_394_000, 0, -9_223_372_036, 9_223_286_400];
/// How many instants are followed.
const STEPS: u64 = 12;

/// Made once: reading a zone's rules takes longer than all that is asked of it here.
static ZONES: LazyLock<[Zone; 2]> = LazyLock::new(|| [Zone::utc(), berlin()]);

/// Days that the highest bit of the choice leaves out.
static DAYS: LazyLock<DayCalendar> = LazyLock::new(|| {
    let days =
        [DayEntry::Cron("29-31 * SUN"), DayEntry::Range { from: "2026-10-20", to: "2026-10-24" }];
    DayCalendar::new("left out", None, &days).expect("sound entries")
});

pub(crate) fn check(octets: &[u8]) {
    let Some((&choice, text)) = octets.split_first() else { return };
    let Ok(expression) = core::str::from_utf8(text) else { return };
    let choice = usize::from(choice);
    let dialect = Dialect::ALL[choice % 5];
    let zone = &ZONES[choice >> 4 & 1];
    let dst = [None, Some(DstPolicy::Vixie), Some(DstPolicy::Kubernetes), Some(DstPolicy::Ocps)]
        [choice >> 5 & 3];
    let schedule = match Schedule::parse_seeded(expression, dialect, zone, dst, 7) {
        Ok(schedule) => schedule,
        Err(error) => {
            assert!(error.position <= expression.len(), "{error} at {}", error.position);
            assert!(!error.message.is_empty());
            return;
        }
    };
    assert!(!schedule.describe().is_empty());
    let printed = schedule.to_string();
    // What is printed says what `H` became.
    let again = Schedule::parse(&printed, dialect, zone, dst);
    let again = again.unwrap_or_else(|error| panic!("printed as `{printed}`, refused: {error}"));
    assert_eq!(again.to_string(), printed);
    let on_days = |schedule: Schedule| match choice & 0x80 {
        0 => schedule,
        _ => schedule.on_days(&[], std::slice::from_ref(&*DAYS)),
    };
    let (schedule, again) = (on_days(schedule), on_days(again));
    let moment = Timestamp::from_unix(MOMENTS[choice % MOMENTS.len()], 0);
    assert_eq!(again.describe(), schedule.describe());
    let (year_before, year_after) =
        (moment - Span::from_secs(31_536_000), moment + Span::from_secs(31_536_000));
    assert_eq!(again.traps(year_before, year_after), schedule.traps(year_before, year_after));
    check_left_out(&schedule, moment, year_after);
    check_instants(&schedule, &again, moment);
}

/// What its days leave out is an instant on all days, and the first such one.
fn check_left_out(schedule: &Schedule, from: Timestamp, until: Timestamp) {
    let Some(LeftOut { at, excluded_by }) = schedule.next_left_out(from, until) else { return };
    let all = schedule.clone().on_all_days();
    assert!(from < at && at <= until && excluded_by == Some("left out"), "{at}");
    assert!(all.contains(at) && !schedule.contains(at), "{at} is not left out");
    let before = at - Span::from_nanos(1_000);
    let count =
        |schedule: &Schedule| schedule.count_between(from + Span::from_nanos(1), before, u64::MAX);
    assert_eq!(count(&all), count(schedule), "between {from} and {at} more is left out");
}

fn check_instants(schedule: &Schedule, again: &Schedule, moment: Timestamp) {
    let mut last = None;
    let mut at = moment;
    let mut steps = 0;
    while steps < STEPS {
        let next = schedule.next_after(at);
        assert_eq!(again.next_after(at), next, "the printed form means something else");
        let Some(next) = next else { break };
        assert!(next > at, "{next} is not after {at}");
        assert_eq!(next.as_unix_nanos() % 1_000, 0, "{next} is no whole microsecond");
        assert!(schedule.contains(next), "{next} is no instant");
        let before = schedule.previous_before(next);
        match last {
            Some(last) => {
                assert_eq!(before, Some(last), "backward from {next}");
                assert!(next - last >= Span::from_millis(1), "{last} and {next} are too close");
            }
            None => assert!(before.is_none_or(|before| before <= moment), "before {next}"),
        }
        steps += 1;
        (last, at) = (Some(next), next);
    }
    let just_after = moment + Span::from_nanos(1);
    assert!(
        schedule.count_between(just_after, at, STEPS) == steps,
        "counted from {moment} to {at}"
    );
}

/// Central European time by its rule alone, as a TZif file (RFC 9636) without a table.
fn berlin() -> Zone {
    const COUNTS: [u32; 6] = [0, 0, 0, 0, 1, 4];
    const LOCAL_TIME: &[u8] = b"\0\0\x0e\x10\0\0CET\0";
    const RULE: &[u8] = b"\nCET-1CEST,M3.5.0,M10.5.0/3\n";
    let block =
        [b"TZif2", [0; 15].as_slice(), COUNTS.map(u32::to_be_bytes).as_flattened()].concat();
    let file = [&block, LOCAL_TIME, &block, LOCAL_TIME, RULE].concat();
    let zone = Zone::from_tzif("Europe/Berlin", &file).expect("a well-formed file");
    let summer = Timestamp::from_unix(1_780_000_000, 0);
    assert_eq!(zone.offset_s_at(summer), 7_200, "the rule is read");
    zone
}
