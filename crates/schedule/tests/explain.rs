//! What expressions mean in words, and what the changes of the clocks ahead do to them.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{instant, zone};
use timeball_schedule::language::{Dialect, DstPolicy, Schedule, Trap, TrapEffect};

fn schedule(expression: &str, dialect: Dialect, dst: Option<DstPolicy>) -> Schedule {
    Schedule::parse(expression, dialect, &zone("Europe/Berlin"), dst)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
}

const MEANINGS: [(Dialect, &str, &str); 36] = {
    use Dialect::{Kubernetes, Ocps, Quartz, Systemd, Vixie};
    [
        (Vixie, "* * * * *", "every minute"),
        (Vixie, "*/15 * * * *", "every 15 minutes"),
        (Vixie, "5-59/15 * * * *", "every 15 minutes from minute 5"),
        (Vixie, "30 2 * * *", "at 02:30, every day"),
        (Vixie, "0 9,17 * * mon-fri", "at 09:00 and 17:00, Monday to Friday"),
        (Vixie, "*/5 9-17 * * sat,sun", "every 5 minutes in hour 9 to 17, Saturday and Sunday"),
        (Vixie, "0 */2 * * *", "at minute 0 in every 2nd hour"),
        (Vixie, "0 0 1,15 * mon", "at 00:00, on day 1 and 15 of the month, or Monday"),
        (
            Vixie,
            "0 0 */2 * mon",
            "at 00:00, on every 2nd day from day 1 of the month, if that is Monday",
        ),
        (
            Vixie,
            "0 0 L 1-3,12 *",
            "at 00:00, on the last day of the month, in January to March and December",
        ),
        (Vixie, "0 0 15W * *", "at 00:00, on the working day nearest to day 15 of the month"),
        (
            Vixie,
            "0 0 * * 5#2,1#L",
            "at 00:00, on the 2nd Friday of the month and on the last Monday of the month",
        ),
        (Vixie, "* * * * * *", "every second"),
        (Vixie, "*/0.250 * * * * *", "every 250 ms"),
        (Vixie, "0.125/0.5 * * * * *", "every 500 ms from second 0.125"),
        (Vixie, "*/10 0 * * * *", "every 10 seconds at minute 0"),
        (Vixie, "30.5 0 12 * * *", "at 12:00:30.500, every day"),
        (Vixie, "@every 1h30m/5m", "every 1 h 30 min since 1970-01-01T00:00:00Z and 5 min"),
        (Vixie, "@at 2027-01-01T00:00:00Z", "once at 2027-01-01T00:00:00Z"),
        (
            Vixie,
            "R5/2027-01-01T00:00:00Z/PT10S",
            "every 10 s from 2027-01-01T00:00:00Z on, 5 times",
        ),
        (
            Vixie,
            "R/2027-01-31T09:00/P1M",
            "every 1 month by the calendar, from 2027-01-31T09:00:00 on the wall on",
        ),
        (
            Vixie,
            "DTSTART:20270101T090000 RRULE:FREQ=DAILY;INTERVAL=2",
            "every 2 days at 09:00, from 2027-01-01T09:00:00 on the wall on",
        ),
        (
            Vixie,
            "DTSTART:20270101T090000 RRULE:FREQ=DAILY;COUNT=3",
            "every day at 09:00, from 2027-01-01T09:00:00 on the wall to 2027-01-03T09:00:00",
        ),
        (
            Vixie,
            "DTSTART:20270101T090000 RRULE:FREQ=MONTHLY;BYDAY=-1FR,2MO EXDATE:20270129T090000",
            "every month at 09:00, on the last Friday of the month and on the 2nd Monday of the \
             month, from 2027-01-01T09:00:00 on the wall on, not at 1 listed time",
        ),
        (
            Vixie,
            "DTSTART:20270101T090000 RRULE:FREQ=YEARLY;INTERVAL=2;BYMONTH=1,6;BYMONTHDAY=13,-1;\
             BYDAY=FR;BYHOUR=9,17",
            "every 2 years at 09:00 and 17:00, on day 13 and the last day of the month, if that is \
             Friday, in January and June, from 2027-01-01T09:00:00 on the wall on",
        ),
        (
            Vixie,
            "DTSTART:20270101T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-2",
            "every month at 09:00, Monday to Friday, of these the 2nd last and the 1st in each \
             month, from 2027-01-01T09:00:00 on the wall on",
        ),
        (
            Vixie,
            "DTSTART:20270101T090007 RRULE:FREQ=MINUTELY;INTERVAL=7;BYHOUR=9,10;BYDAY=MO",
            "every 7 minutes at second 7 in hour 9 and 10, Monday, from 2027-01-01T09:00:07 on the \
             wall on",
        ),
        (
            Vixie,
            "DTSTART:20270101T000000 RRULE:FREQ=YEARLY;BYWEEKNO=1,20,-1;BYDAY=SU",
            "every year at 00:00, in week 1 and 20 and the last week of the year, if that is \
             Sunday, from 2027-01-01T00:00:00 on the wall on",
        ),
        (
            Kubernetes,
            "0 0 */2 * MON",
            "at 00:00, on every 2nd day from day 1 of the month, or Monday",
        ),
        (
            Quartz,
            "0 15 10 ? * 6L 2027-2030",
            "at 10:15, on the last Friday of the month, in 2027 to 2030",
        ),
        (Quartz, "0 0 12 L-3 * ?", "at 12:00, on the day 3 before the last of the month"),
        (Ocps, "0 0 1 * +MON", "at 00:00, on day 1 of the month, if that is Monday"),
        (
            Ocps,
            "0 0 0 1 1 * 2027,2029",
            "at 00:00, on day 1 of the month, in January, in 2027 and 2029",
        ),
        (Systemd, "Mon..Fri 9:00", "at 09:00, Monday to Friday"),
        (Systemd, "*-*~1 12:00", "at 12:00, on the last day of the month"),
        (Systemd, "*:0/10", "every 10 minutes"),
    ]
};

#[test]
fn expressions_are_said_in_words() {
    for (dialect, expression, words) in MEANINGS {
        assert_eq!(schedule(expression, dialect, None).describe(), words, "{expression}");
    }
}

#[test]
fn changes_of_the_clocks_ahead_are_found_with_what_they_do() {
    let (after, until) = (instant("2026-11-21T00:00:00Z"), instant("2027-11-21T00:00:00Z"));
    let spring = (instant("2027-03-28T01:00:00Z"), 3_600, instant("2027-03-28T02:30:00Z"));
    let autumn = (instant("2027-10-31T01:00:00Z"), -3_600, instant("2027-10-31T02:30:00Z"));
    let trap = |(at, change_s, local), effect| Trap { at, change_s, local, count: 1, effect };
    for (dst, forward, back) in [
        (DstPolicy::Vixie, TrapEffect::AtTheJump, TrapEffect::Once),
        (DstPolicy::Kubernetes, TrapEffect::Skipped, TrapEffect::Twice),
        (DstPolicy::Ocps, TrapEffect::Skipped, TrapEffect::Once),
    ] {
        let schedule = schedule("30 2 * * *", Dialect::Vixie, Some(dst));
        let expected = [trap(spring, forward), trap(autumn, back)];
        assert_eq!(schedule.traps(after, until), expected, "{dst:?}");
    }
    let noon = schedule("0 12 * * *", Dialect::Vixie, None);
    assert_eq!(noon.traps(after, until), []);
    assert_eq!(schedule("@every 1h", Dialect::Vixie, None).traps(after, until), []);
    let often = schedule("*/10 * * * *", Dialect::Vixie, None).traps(after, until);
    assert_eq!((often[0].count, often[0].effect), (6, TrapEffect::Skipped));
    assert_eq!((often[1].count, often[1].effect), (6, TrapEffect::Twice));
}
