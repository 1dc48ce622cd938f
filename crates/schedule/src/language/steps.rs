//! How much work it is to find an instant: counted in tests, so that the limit is one.

/// The most steps that finding the next or the previous instant takes, whatever the expression,
/// the zone and the start. A step is a day, month or year that is looked at, a time of day, or a
/// stretch of a zone between two changes of its clocks; each takes some ten nanoseconds. Usual
/// expressions take fewer than 50 and cron or systemd ones never more than 10,000, also where there
/// is no instant up to the last of a `Timestamp`, in 2262. The rest is for recurrence rules that
/// look for a rare day one by one.
pub const STEPS_MAX: u64 = 1_000_000;

/// The most steps of an expression with fields: some for each year, and for each change of clocks.
#[cfg(test)]
const CALENDAR_STEPS_MAX: u64 = 10_000;

/// Counts one step.
#[inline(always)]
pub(super) fn step() {
    #[cfg(test)]
    tests::COUNT.with(|count| count.set(count.get() + 1));
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, DstPolicy, Schedule, Zone};
    use super::*;
    use crate::mix::mix;
    use std::cell::Cell;
    use std::hint::black_box;
    use timeball_timebase::Timestamp;

    thread_local! {
        pub(super) static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    /// The most steps forward and backward from starts all over the range of a `Timestamp`.
    fn most_steps(schedule: &Schedule, starts: u64, seed: u64) -> u64 {
        let mut most = 0;
        let mut measure = |find: &dyn Fn()| {
            COUNT.set(0);
            find();
            most = most.max(COUNT.get());
        };
        let some = (0..starts).map(|n| Timestamp::from_unix_nanos(mix(seed ^ n) as i64));
        let now = Timestamp::from_unix(1_795_000_000, 0);
        for at in some.chain([now, Timestamp::MIN, Timestamp::MAX]) {
            measure(&|| _ = black_box(schedule.next_after(at)));
            measure(&|| _ = black_box(schedule.previous_before(at)));
            measure(&|| _ = black_box(schedule.contains(at)));
        }
        most
    }

    #[allow(clippy::disallowed_methods)]
    fn zone(name: &str) -> Zone {
        let octets = std::fs::read(format!("/usr/share/zoneinfo/{name}")).unwrap();
        Zone::from_tzif(name, &octets).unwrap()
    }

    fn zones() -> Vec<Zone> {
        ["Etc/UTC", "Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe"].map(zone).into()
    }

    const DST: [DstPolicy; 3] = [DstPolicy::Vixie, DstPolicy::Kubernetes, DstPolicy::Ocps];

    #[test]
    fn expressions_of_rare_days_and_of_none_take_a_bounded_number_of_steps() {
        let expressions = [
            (Dialect::Vixie, "0 0 29 2 *"),
            (Dialect::Vixie, "0 0 29 2 1"),
            (Dialect::Quartz, "0 0 0 29 2 ? 2097-2103"),
            (Dialect::Quartz, "0 0 0 ? 2 1#5"),
            (Dialect::Quartz, "59 59 23 29W 2 ?"),
            (Dialect::Systemd, "Mon *-02-29 00:00:00"),
            (Dialect::Systemd, "Sun *-02-30"),
            // A time that summer time skips: it never comes where skipped times are left out.
            (Dialect::Systemd, "Sun *-03-25..31 02:30:00"),
            (Dialect::Systemd, "Sun *-03-25..31 02:30:00.000001"),
            (Dialect::Systemd, "Sun *-10-01..07 02:15"),
        ];
        for (dialect, text) in expressions {
            for zone in zones() {
                for dst in DST {
                    let parsed = Schedule::parse(text, dialect, &zone, Some(dst));
                    // What can never occur need not be accepted.
                    let Ok(schedule) = parsed else { continue };
                    let most = most_steps(&schedule, 50, 1);
                    assert!(most <= CALENDAR_STEPS_MAX, "{text} in {zone:?}, {dst:?}: {most}");
                }
            }
        }
    }

    #[test]
    fn random_expressions_take_a_bounded_number_of_steps() {
        let zones = zones();
        for seed in 0..3_000_u64 {
            let mut state = mix(seed);
            let mut below = |n: u64| {
                state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
                state % n
            };
            let mut field = |least: u64, count: u64| match below(3) {
                0 => "*".to_owned(),
                1 => format!("{}", least + below(count)),
                _ => format!("{},{}", least + below(count), least + below(count)),
            };
            let fields = [field(0, 60), field(0, 60), field(0, 24), field(1, 31), field(1, 12)];
            let text = format!("{} {}", fields.join(" "), field(0, 7));
            let zone = &zones[below(zones.len() as u64) as usize];
            let dst = DST[below(3) as usize];
            let Ok(schedule) = Schedule::parse(&text, Dialect::Vixie, zone, Some(dst)) else {
                continue;
            };
            let most = most_steps(&schedule, 5, seed);
            assert!(most <= CALENDAR_STEPS_MAX, "{text} in {zone:?}: {most}");
        }
    }

    #[test]
    fn recurrence_rules_of_rare_days_take_a_bounded_number_of_steps() {
        let rules = [
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
            "FREQ=DAILY;INTERVAL=999983;BYMONTHDAY=31;BYDAY=SU",
            "FREQ=YEARLY;BYMONTHDAY=31;BYMONTH=2",
            "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=7;BYSECOND=11",
            "FREQ=SECONDLY;INTERVAL=999983;BYHOUR=3;BYMONTH=2;BYMONTHDAY=29",
            "FREQ=MINUTELY;INTERVAL=999983;BYHOUR=3;BYMINUTE=7",
            "FREQ=HOURLY;INTERVAL=999983;BYDAY=MO;BYMONTH=1",
            "FREQ=SECONDLY;INTERVAL=7;BYHOUR=23;BYMINUTE=59;BYMONTHDAY=31;BYYEARDAY=365",
            "FREQ=WEEKLY;INTERVAL=53;BYDAY=FR;BYMONTH=2",
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;BYSETPOS=1",
        ];
        for rule in rules {
            let text = format!("DTSTART:20260101T000000 RRULE:{rule}");
            for zone in zones() {
                let Ok(schedule) = Schedule::parse(&text, Dialect::Vixie, &zone, None) else {
                    continue;
                };
                let most = most_steps(&schedule, 10, 2);
                assert!(most <= STEPS_MAX, "{rule} in {zone:?}: {most}");
            }
        }
    }
}
