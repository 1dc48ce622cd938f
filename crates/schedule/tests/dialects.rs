//! What each dialect means where it differs from the others, and what it refuses.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::next;
use timeball_schedule::language::{Dialect, Schedule, Zone};

fn schedule(expression: &str, dialect: Dialect) -> Schedule {
    Schedule::parse(expression, dialect, &Zone::utc(), None)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// Dialect, expression, canonical form, and the first instants after Saturday 2026-11-21T15:00Z.
type Meaning = (Dialect, &'static str, &'static str, &'static [&'static str]);

const MEANINGS: [Meaning; 34] = {
    use Dialect::{Kubernetes, Ocps, Quartz, Vixie};
    [
        // robfig/cron v3: a step after a number, `?`, a step larger than the field.
        (Kubernetes, "5/20 * * * *", "5/20 * * * *", &["2026-11-21T15:05:00Z"]),
        (Kubernetes, "0 0 ? * ?", "0 0 * * *", &["2026-11-22T00:00:00Z"]),
        (Kubernetes, "*/90 * * * *", "*/90 * * * *", &["2026-11-21T16:00:00Z"]),
        (Kubernetes, "0 0 1,,15 * *", "0 0 1,15 * *", &["2026-12-01T00:00:00Z"]),
        (Kubernetes, "@Weekly", "", &[]),
        // `*/2` restricts the day of month, so either day field may match; `*` does not.
        (
            Kubernetes,
            "0 0 */2 * MON",
            "0 0 */2 * 1",
            &["2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z"],
        ),
        (
            Kubernetes,
            "0 0 *,5 * MON",
            "0 0 *,5 * 1",
            &["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"],
        ),
        (Vixie, "0 0 */2 * MON", "0 0 */2 * 1", &["2026-11-23T00:00:00Z", "2026-12-07T00:00:00Z"]),
        (Vixie, "0 0 L * *", "0 0 L * *", &["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"]),
        (Vixie, "0 0 L-2 * *", "0 0 L-2 * *", &["2026-11-28T00:00:00Z", "2026-12-29T00:00:00Z"]),
        (Vixie, "0 0 LW * *", "0 0 LW * *", &["2026-11-30T00:00:00Z", "2026-12-31T00:00:00Z"]),
        (Vixie, "0 0 22W * *", "0 0 22W * *", &["2026-11-23T00:00:00Z", "2026-12-22T00:00:00Z"]),
        (Vixie, "0 0 * * fri#2", "0 0 * * 5#2", &["2026-12-11T00:00:00Z", "2027-01-08T00:00:00Z"]),
        (Vixie, "0 0 * * 5L", "0 0 * * 5#L", &["2026-11-27T00:00:00Z", "2026-12-25T00:00:00Z"]),
        (Vixie, "0 0 * * 7#L", "0 0 * * 0#L", &["2026-11-29T00:00:00Z", "2026-12-27T00:00:00Z"]),
        // Both restricted: the 15th, and the last Friday.
        (Vixie, "0 0 15 * 5L", "0 0 15 * 5#L", &["2026-11-27T00:00:00Z", "2026-12-15T00:00:00Z"]),
        // OCPS: `*/2` restricts (1.0 section 6.1); `+` asks for both (1.4 section 4.1.2).
        (Ocps, "0 0 */2 * MON", "0 0 */2 * 1", &["2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z"]),
        (Ocps, "0 0 1 * +MON", "0 0 1 * +1", &["2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"]),
        (
            Ocps,
            "0 0 0 1 1 * 2030,2040-2041",
            "0 0 0 1 1 * 2030,2040-2041",
            &["2030-01-01T00:00:00Z", "2040-01-01T00:00:00Z", "2041-01-01T00:00:00Z"],
        ),
        (Ocps, "0 0 0 29 2 * *", "0 0 0 29 2 * *", &["2028-02-29T00:00:00Z"]),
        (Ocps, "30 0 0 * * ?", "30 0 0 * * *", &["2026-11-22T00:00:30Z"]),
        (Ocps, "0 0 * * FRI#L", "0 0 * * 5#L", &["2026-11-27T00:00:00Z"]),
        // SUN is 0 and 7 (OCPS 1.0 section 4.2).
        (Ocps, "0 0 * * FRI-SUN", "0 0 * * 5-7", &["2026-11-22T00:00:00Z", "2026-11-27T00:00:00Z"]),
        (Ocps, "@midnight", "0 0 * * *", &["2026-11-22T00:00:00Z"]),
        // Quartz: Sunday is 1, ranges go round, `?` is asked for.
        (Quartz, "0 0 12 * * ?", "0 0 12 * * ?", &["2026-11-22T12:00:00Z"]),
        (Quartz, "0 15 10 ? * 2-6", "0 15 10 ? * 2-6", &["2026-11-23T10:15:00Z"]),
        (
            Quartz,
            "0 0 0 ? * FRI-MON",
            "0 0 0 ? * 6-2",
            &["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-27T00:00:00Z"],
        ),
        (
            Quartz,
            "0 0 22-2/2 * * ?",
            "0 0 22-2/2 * * ?",
            &["2026-11-21T22:00:00Z", "2026-11-22T00:00:00Z", "2026-11-22T02:00:00Z"],
        ),
        (
            Quartz,
            "55-5/5 0 0 * * ?",
            "55-5/5 0 0 * * ?",
            &["2026-11-22T00:00:00Z", "2026-11-22T00:00:05Z", "2026-11-22T00:00:55Z"],
        ),
        (Quartz, "0 /15 * * * ?", "0 0/15 * * * ?", &["2026-11-21T15:15:00Z"]),
        (Quartz, "0 0 0 ? * 6#3", "0 0 0 ? * 6#3", &["2026-12-18T00:00:00Z"]),
        (Quartz, "0 0 0 ? * 6L", "0 0 0 ? * 6L", &["2026-11-27T00:00:00Z"]),
        (Quartz, "0 0 0 ? * L", "0 0 0 ? * 7", &["2026-11-28T00:00:00Z"]),
        (
            Quartz,
            "0 0 0 L-3W * ? 2027",
            "0 0 0 L-3W * ? 2027",
            &["2027-01-28T00:00:00Z", "2027-02-25T00:00:00Z"],
        ),
    ]
};

#[test]
fn each_dialect_means_what_its_own_document_says() {
    for (dialect, expression, canonical, expected) in MEANINGS {
        if expected.is_empty() {
            assert!(Schedule::parse(expression, dialect, &Zone::utc(), None).is_err());
            continue;
        }
        let schedule = schedule(expression, dialect);
        assert_eq!(schedule.to_string(), canonical, "{expression}");
        assert_eq!(self::schedule(canonical, dialect), schedule, "{expression}");
        let found = next(&schedule, "2026-11-21T15:00:00Z", expected.len());
        assert_eq!(found, expected, "{expression} in {}", dialect.name());
    }
}

/// Dialect, expression, position of the trouble, a part of the message.
const REFUSED: [(Dialect, &str, usize, &str); 48] = {
    use Dialect::{Kubernetes, Ocps, Quartz, Systemd, Vixie};
    [
        (Kubernetes, "* * * * * *", 10, "6 fields; expected 5"),
        (Kubernetes, "0 0 * * 7", 8, "expected 0 to 6"),
        (Kubernetes, "0 0 * * FRI-SUN", 8, "runs backwards"),
        (Kubernetes, "? * * * *", 0, "day of month and day of week only"),
        (Kubernetes, "@every 1h", 0, "no two replicas agree"),
        (Kubernetes, "TZ=UTC 0 0 * * *", 0, "timeZone"),
        (Kubernetes, "0 0 L * *", 4, "found `L`"),
        (Kubernetes, "H * * * *", 0, "`H` means nothing"),
        (Kubernetes, "@reboot", 0, "no instant"),
        (Kubernetes, ",, * * * *", 0, "lists nothing"),
        (Vixie, "H * * * *", 0, "none was given"),
        (Vixie, "* * 32W * *", 4, "1W to 31W"),
        (Vixie, "* * L-31 * *", 4, "no day of a month"),
        (Vixie, "* * L/2 * *", 5, "no step follows"),
        (Vixie, "* * * * 5#6", 10, "1 to 5, or L"),
        (Vixie, "* * * * 9#1", 8, "expected 0 to 7"),
        // OCPS 1.0 section 5: a step belongs to a range or `*`.
        (Ocps, "0/15 * * * *", 0, "a step follows a range"),
        (Ocps, "/30 * * * *", 0, "found `nothing`"),
        (Ocps, "10/10 * * * *", 0, "a step follows a range"),
        (Ocps, "*/0 * * * *", 2, "is 0"),
        (Ocps, "5-1 * * * *", 0, "runs backwards"),
        (Ocps, "0 0 * * SAT-MON", 8, "runs backwards"),
        // OCPS 1.3 section 4.1 knows no last working day.
        (Ocps, "0 0 LW * *", 4, "`L` for the last"),
        (Ocps, "0 0 1,15W * *", 4, "stands alone"),
        (Ocps, "+5 * * * *", 0, "found `+5`"),
        (Ocps, "? * * * *", 0, "day of month and day of week only"),
        (Ocps, "0 0 0 1 1 * 1969", 12, "expected 1970 to 2199"),
        (Ocps, "@every 10s", 0, "not in dialect `ocps`"),
        (Quartz, "0 0 12 * * *", 11, "one of day of month and day of week"),
        (Quartz, "0 0 12 ? * ?", 11, "one of day of month and day of week"),
        (Quartz, "0 12 * * ?", 10, "5 fields; expected 6"),
        (Quartz, "@daily", 0, "not known to Quartz"),
        (Quartz, "0 0 12 ? * 0", 11, "expected 1 to 7"),
        (Systemd, "horuly", 0, "did you mean `hourly`?"),
        (Systemd, "hourly now", 7, "nothing follows"),
        (Systemd, "Mo *-*-* 9:00", 0, "did you mean `Mon`?"),
        (Systemd, "Fri..Mon 9:00", 0, "did you mean `Mon..Mon,Fri..Sun`?"),
        (Systemd, "*-13-* 9:00", 2, "month"),
        (Systemd, "*-*-32 9:00", 4, "day"),
        (Systemd, "*-*~29 9:00", 4, "1 to 28"),
        (Systemd, "1969-*-* 9:00", 0, "1970 to 2199"),
        (Systemd, "*-*-* 24:00", 6, "0 to 23"),
        (Systemd, "*-*-* 9:60", 8, "0 to 59"),
        (Systemd, "*-*-* 9:00:60", 11, "second"),
        (Systemd, "*:*:0/0.0005", 4, "1 ms apart"),
        (Systemd, "9:00 Asia/Tokyo", 5, "timeZone"),
        (Systemd, "9:00 *-*-*", 5, "in this order"),
        (Systemd, "@1234567890", 0, "expected weekdays"),
    ]
};

#[test]
fn each_dialect_refuses_what_is_not_in_it_and_says_where() {
    for (dialect, expression, position, part) in REFUSED {
        let refused = Schedule::parse(expression, dialect, &Zone::utc(), None);
        let error = refused.expect_err(expression);
        assert!(error.message.contains(part), "{expression}: {error}");
        assert_eq!(error.position, position, "{expression}: {error}");
    }
}

#[test]
fn a_seed_chooses_what_is_written_h_and_the_same_seed_the_same() {
    let with = |expression: &str, seed| {
        Schedule::parse_seeded(expression, Dialect::Vixie, &Zone::utc(), None, seed)
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    };
    let mut minutes = std::collections::BTreeSet::new();
    for seed in 0..500 {
        let hashed = with("H H(0-7) H * *", seed);
        assert_eq!(hashed, with("H H(0-7) H * *", seed));
        let printed = hashed.to_string();
        assert_eq!(hashed, schedule(&printed, Dialect::Vixie));
        let fields: Vec<u32> = printed.split(' ').take(3).map(|f| f.parse().unwrap()).collect();
        assert!(fields[0] < 60 && fields[1] < 8 && (1..=28).contains(&fields[2]), "{printed}");
        minutes.insert(fields[0]);
        for stepped in ["H/15 * * * *", "H(0-29)/10 * * * *", "H/0.25 * * * * *", "H H/6 * * *"] {
            let hashed = with(stepped, seed);
            assert_eq!(hashed, schedule(&hashed.to_string(), Dialect::Vixie), "{hashed}");
        }
        assert_eq!(
            with("H/15 * * * *", seed).count_between(
                common::instant("2026-01-01T00:00:00Z"),
                common::instant("2026-01-01T23:59:59Z"),
                999
            ),
            96
        );
        assert_eq!(
            with("H/0.25 * * * * *", seed).count_between(
                common::instant("2026-01-01T00:00:00Z"),
                common::instant("2026-01-01T00:00:59.999Z"),
                999
            ),
            240
        );
    }
    assert_eq!(minutes.len(), 60, "every minute is chosen by some seed");
    let seconds_and_minutes = (0..60).filter(|seed| {
        let printed = with("H H * * * *", *seed).to_string();
        let mut fields = printed.split(' ');
        fields.next() == fields.next()
    });
    assert!(seconds_and_minutes.count() < 10, "fields are chosen apart");
}
