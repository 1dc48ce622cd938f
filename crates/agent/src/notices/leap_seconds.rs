//! What a person should know about leap seconds.

use timeball_api::status::Notice;
use timeball_ntp::engine::{Selection, SourceReport};
use timeball_timebase::{LeapSecond, Span};

use super::{Circumstances, warning};
use crate::presets::smears;

/// What GPS time, which counts on as TAI does, is behind TAI by.
const GPS_BEHIND_TAI: Span = Span::from_secs(19);
/// How far a smearing server may be from the even smear, besides the error of asking it: what is
/// smeared between two polls of the longest usual interval, and something to spare.
const SMEAR_TOLERANCE: Span = Span::from_millis(20);
/// A clock that is off TAI or GPS time by no more than this was meant to keep it: no leap second is
/// announced for longer ahead.
const MEANT: Span = Span::from_secs(3);

/// All notices about leap seconds.
pub(super) fn all(c: &Circumstances<'_>) -> Vec<Notice> {
    let clocks = c.report.sources.iter().filter_map(|source| outdated_ahead(c, source));
    let list = old_leap_file(c).into_iter().chain(bad_leap_file(c));
    mixed_leap_seconds(c).into_iter().chain(smeared(c)).chain(list).chain(clocks).collect()
}

/// A list of leap seconds that has expired may lack the next one.
fn old_leap_file(c: &Circumstances<'_>) -> Option<Notice> {
    let expired = c.report.leap_table_expires.filter(|expires| *expires <= c.system)?;
    Some(warning(
        "LeapFileExpired",
        format!(
            "The list of leap seconds (clock.leap_file) was complete until {expired} only, so it \
             is not used: TAI is unknown, and leap seconds are believed as sources announce them. \
             Bring it up to date (package tzdata); it is read anew within an hour."
        ),
    ))
}

/// A list that was changed to something that is none.
fn bad_leap_file(c: &Circumstances<'_>) -> Option<Notice> {
    let problem = c.leap_file_problem?;
    let what = format!(
        "The list of leap seconds has changed, and the former one stays in use: {problem}."
    );
    Some(warning("LeapFileUnusable", what))
}

/// For a day around a leap second, servers that smear it and others contradict each other.
fn mixed_leap_seconds(c: &Circumstances<'_>) -> Option<Notice> {
    let sources = c.report.sources.iter().filter(|s| s.selection != Selection::NotSelectable);
    let (smearing, leaping): (Vec<_>, Vec<_>) =
        sources.map(|source| source.host.as_str()).partition(|host| smears(host));
    let first = smearing.first().zip(leaping.first());
    first.map(|(smearing, leaping)| {
        warning(
            "MixedLeapSeconds",
            format!(
                "{smearing} smears leap seconds over a day and {leaping}, as far as is known, does \
                 not: around a leap second they contradict each other by up to half a second. Use \
                 one kind only."
            ),
        )
    })
}

/// Who contradicts the majority just as a server does that smears the leap second of this day, or
/// as the others do if they smear it and it does not.
fn smeared(c: &Circumstances<'_>) -> Vec<Notice> {
    let Some(leap) = c.report.clock.leap_second else { return Vec::new() };
    let sources = c.report.sources.iter().filter(|s| s.selection == Selection::Falseticker);
    sources.filter_map(|source| smear_of(c, source, leap)).collect()
}

fn smear_of(c: &Circumstances<'_>, source: &SourceReport, leap: LeapSecond) -> Option<Notice> {
    let sample = source.last_sample?;
    let ahead = sample.offset - (c.reading.estimate - c.system);
    let smear = leap.smear(sample.server_time, sample.server_time >= leap.at);
    let tolerance = SMEAR_TOLERANCE + sample.error_margin;
    // Less than that could be any clock that is a little off.
    let smears = [smear, cosine_of(smear, leap)].into_iter();
    let smears: Vec<Span> = smears.filter(|smear| smear.abs() > tolerance * 2).collect();
    let is_near = |ahead: Span| smears.iter().any(|smear| (ahead - *smear).abs() <= tolerance);
    let (host, at) = (&source.host, leap.at);
    let what = if is_near(ahead) {
        format!("{host} is off the other sources by {ahead}, as if it smeared the leap second")
    } else if is_near(-ahead) {
        format!(
            "The other sources are off {host} by {}, as if they smeared the leap second",
            -ahead
        )
    } else {
        return None;
    };
    Some(warning(
        "LeapSmear",
        format!("{what} at {at} over the day around it. Use servers of one kind only."),
    ))
}

/// How far a clock is ahead of UTC that smears as half a cosine over the same day, when an even
/// smear is ahead by this.
fn cosine_of(even: Span, leap: LeapSecond) -> Span {
    let correction = leap.correction().as_seconds_f64();
    let even = even.as_seconds_f64();
    // Before the leap second a share of it is done, afterwards a share is left.
    let (share, undone) = if even * correction < 0.0 {
        (even / correction + 1.0, correction)
    } else {
        (even / correction, 0.0)
    };
    let done = correction * (1.0 - (std::f64::consts::PI * share).cos()) / 2.0;
    Span::from_seconds_f64(done - undone).expect("at most a second")
}

/// What a hardware clock is ahead of UTC by changes with each leap second, and its setting does
/// not.
fn outdated_ahead(c: &Circumstances<'_>, source: &SourceReport) -> Option<Notice> {
    let (ahead, host) = (source.ahead?, &source.host);
    let seconds = |span: Span| span.as_nanos() / 1_000_000_000;
    if source.ahead_leapt != Span::ZERO {
        let (now, before) = (seconds(ahead), seconds(ahead - source.ahead_leapt));
        return Some(warning(
            "TaiOffsetOutdated",
            format!(
                "A leap second has come since the start, so {host} is taken to be {now} s ahead of \
                 UTC. Write `tai_offset_s = {now}` instead of {before} before this program is \
                 started anew."
            ),
        ));
    }
    let tai = Span::from_secs(i64::from(c.report.tai_offset_s?));
    let off = |scale: Span| (ahead - scale).abs();
    let meant = if off(tai) <= off(tai - GPS_BEHIND_TAI) { tai } else { tai - GPS_BEHIND_TAI };
    let is_off = off(meant) != Span::ZERO && off(meant) <= MEANT;
    is_off.then(|| {
        let (told, meant) = (seconds(ahead), seconds(meant));
        warning(
            "TaiOffsetOutdated",
            format!(
                "{host} is said to be {told} s ahead of UTC (tai_offset_s); by the list of leap \
                 seconds its time scale is {meant} s ahead. Write {meant}, and start this program \
                 anew."
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{KERNEL_GOOD, circumstances, reasons, report};
    use super::*;
    use timeball_ntp::engine::SampleReport;
    use timeball_timebase::{MonoTime, SyncState, Timestamp};

    #[test]
    fn a_list_of_leap_seconds_that_has_expired_is_said_to() {
        let mut report = report(SyncState::Synchronized, &[Selection::Chief]);
        report.leap_table_expires = Some(Timestamp::UNIX_EPOCH + Span::from_secs(1));
        assert!(reasons(&circumstances(&report, &KERNEL_GOOD)).is_empty());
        report.leap_table_expires = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(reasons(&circumstances(&report, &KERNEL_GOOD)), ["LeapFileExpired"]);
    }

    #[test]
    fn a_list_of_leap_seconds_that_cannot_be_read_anew_is_named() {
        let report = report(SyncState::Synchronized, &[Selection::Chief]);
        let mut c = circumstances(&report, &KERNEL_GOOD);
        c.leap_file_problem = Some("list:2: `1 2 3` is not an entry");
        assert_eq!(reasons(&c), ["LeapFileUnusable"]);
        assert!(all(&c)[0].message.contains("list:2: `1 2 3`"));
    }

    #[test]
    fn servers_that_smear_are_not_to_be_mixed_with_others() {
        let both = [Selection::Chief, Selection::Combined];
        let mut report = report(SyncState::Synchronized, &both);
        report.sources[0].host = "time.google.com".to_owned();
        assert_eq!(reasons(&circumstances(&report, &KERNEL_GOOD)), ["MixedLeapSeconds"]);
        report.sources[1].host = "time2.google.com".to_owned();
        assert!(reasons(&circumstances(&report, &KERNEL_GOOD)).is_empty());
        report.sources[1].host = "ntp.example.org".to_owned();
        report.sources[1].selection = Selection::NotSelectable;
        assert!(reasons(&circumstances(&report, &KERNEL_GOOD)).is_empty());
    }

    #[test]
    fn a_falseticker_that_is_off_as_a_leap_smear_is_looks_like_one() {
        let at = Timestamp::from_unix(1_483_228_800, 0);
        let both = [Selection::Chief, Selection::Falseticker];
        let mut report = report(SyncState::Synchronized, &both);
        report.clock.leap_second = Some(LeapSecond { at, is_inserted: true });
        // Of the half second before midnight, an even smear has half behind it at six.
        let evening = at - Span::from_minutes(360);
        let mut told = |ahead: Span, server_time, margin| {
            report.sources[1].last_sample = Some(SampleReport {
                at: MonoTime::ZERO,
                // The system clock is two seconds ahead.
                offset: ahead - Span::from_secs(2),
                delay: Span::from_millis(1),
                error_margin: margin,
                server_time,
            });
            let mut c = circumstances(&report, &KERNEL_GOOD);
            c.system = evening;
            c.reading.estimate = evening - Span::from_secs(2);
            all(&c).into_iter().map(|notice| notice.message).collect::<String>()
        };
        let (quarter, close) = (Span::from_millis(250), Span::from_millis(5));
        let one = told(-quarter, evening, close);
        assert!(one.starts_with("host1 is off the other sources by -250.00 ms"), "{one}");
        assert!(one.contains("as if it smeared the leap second at 2017-01-01T00:00:00"), "{one}");
        let others = told(quarter, evening, close);
        assert!(others.contains("by -250.00 ms, as if they smeared"), "{others}");
        assert!(told(quarter, at + Span::from_minutes(360), close).contains("as if it smeared"));
        // Of half a cosine a seventh is behind it then.
        let cosine = Span::from_micros(146_447);
        assert!(told(-cosine, evening, close).contains("as if it smeared"));
        assert!(told(cosine, evening, close).contains("as if they smeared"));
        assert!(told(cosine, at + Span::from_minutes(360), close).contains("as if it smeared"));
        assert_eq!(told(-quarter * 2, evening, close), "");
        assert_eq!(told(-quarter, evening, quarter), "", "it cannot be told so roughly");
        assert_eq!(told(-quarter, evening - Span::from_minutes(600), close), "");
    }

    #[test]
    fn a_hardware_clock_whose_setting_a_leap_second_has_made_wrong_is_named() {
        let mut report = report(SyncState::Synchronized, &[Selection::Chief]);
        let mut told = |ahead_s: i64, leapt_s: i64, tai_s| {
            report.sources[0].ahead = Some(Span::from_secs(ahead_s));
            report.sources[0].ahead_leapt = Span::from_secs(leapt_s);
            report.tai_offset_s = tai_s;
            let notices = all(&circumstances(&report, &KERNEL_GOOD));
            notices.into_iter().map(|notice| notice.message).collect::<String>()
        };
        assert_eq!(told(37, 0, None), "");
        // TAI, GPS time, and a scale of somebody's own.
        for ahead_s in [37, 18, 100] {
            assert_eq!(told(ahead_s, 0, Some(37)), "", "{ahead_s}");
        }
        assert!(told(37, 0, Some(38)).contains("time scale is 38 s ahead. Write 38"));
        assert!(told(18, 0, Some(38)).contains("time scale is 19 s ahead. Write 19"));
        let leapt = told(38, 1, Some(38));
        assert!(leapt.contains("Write `tai_offset_s = 38` instead of 37"), "{leapt}");
    }
}
