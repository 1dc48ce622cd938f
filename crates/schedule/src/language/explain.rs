//! What an expression means, in words.

use super::calendar::Calendar;
use super::day_filter::DayFilter;
use super::days::{Days, Relative, bits};
use super::interval::{Repeat, Train};
use super::moment::timestamp;
use super::pattern::Pattern;
use super::phrase::{
    MONTHS, WEEKDAYS, and, clock_times, counted, duration, ordinal, runs, steps, weekdays,
};
use super::second::Steps;
use super::{MINUTE_US, SECOND_US, Schedule, When};

/// Most times of day that are written out.
const TIMES_SHOWN: u32 = 6;

impl Schedule {
    /// What the expression means, as one English sentence without the zone.
    ///
    /// ```
    /// use timeball_schedule::language::{Dialect, Schedule, Zone};
    ///
    /// let zone = Zone::utc();
    /// let schedule = Schedule::parse("30 2 * * mon-fri", Dialect::Vixie, &zone, None)?;
    /// assert_eq!(schedule.describe(), "at 02:30, Monday to Friday");
    /// # Ok::<(), timeball_schedule::language::ParseError>(())
    /// ```
    pub fn describe(&self) -> String {
        let days = self.filter.as_deref().map(DayFilter::describe).unwrap_or_default();
        self.describe_times() + &days
    }

    fn describe_times(&self) -> String {
        match &self.when {
            When::Local(Pattern::Calendar(calendar)) => of_calendar(calendar),
            When::Local(Pattern::Repeat(repeat)) => of_repeat(repeat),
            When::Local(Pattern::Rule(rule)) => rule.describe(),
            When::Every(every) => {
                let (period, phase) = every.parts();
                let behind = match phase {
                    0 => String::new(),
                    phase => format!(" and {}", duration(phase)),
                };
                format!("every {} since 1970-01-01T00:00:00Z{behind}", duration(period))
            }
            When::Train(train) => of_train(train),
            When::At(listed) => {
                let shown: Vec<String> =
                    listed.instants().iter().map(|at| timestamp(*at).to_string()).collect();
                format!("once at {}", and(&shown))
            }
        }
    }
}

fn of_train(train: &Train) -> String {
    let (start, period, count) = train.parts();
    let times = count.map(|count| format!(", {}", counted(count, "time"))).unwrap_or_default();
    format!("every {} from {} on{times}", duration(period), timestamp(start))
}

fn of_repeat(repeat: &Repeat) -> String {
    let (start, months, rest, count) = repeat.parts();
    let mut length = Vec::new();
    if months != 0 {
        length.push(counted(months, "month"));
    }
    if rest != 0 {
        length.push(duration(rest));
    }
    let times = count.map(|count| format!(", {}", counted(count, "time"))).unwrap_or_default();
    let start = timestamp(start).to_string();
    let start = start.trim_end_matches('Z');
    format!("every {} by the calendar, from {start} on the wall on{times}", and(&length))
}

fn of_calendar(calendar: &Calendar) -> String {
    let mut parts = vec![times(calendar)];
    parts.extend(days(&calendar.days));
    if calendar.months & 0x1ffe != 0x1ffe {
        let months = runs(u64::from(calendar.months), |n| MONTHS[n as usize - 1].to_owned());
        parts.push(format!("in {months}"));
    }
    if let Some(years) = calendar.years.shown() {
        parts.push(format!("in {years}"));
    }
    let daily = parts.len() == 1 && parts[0].contains(':');
    if daily {
        parts.push("every day".to_owned());
    }
    parts.join(", ")
}

fn times(calendar: &Calendar) -> String {
    let (hours, minutes) = (u64::from(calendar.hours), calendar.minutes);
    let seconds = calendar.seconds.values(TIMES_SHOWN as usize + 1);
    let few = hours.count_ones() * minutes.count_ones() * seconds.len() as u32;
    if few <= TIMES_SHOWN {
        return format!("at {}", and(&clock_times(calendar.hours, calendar.minutes, &seconds)));
    }
    let mut parts = Vec::new();
    let zero = seconds[..] == [0];
    if !zero {
        parts.push(seconds_of(calendar));
    }
    let every_minute = minutes.count_ones() == 60;
    if !every_minute || zero {
        parts.push(match steps(minutes, 0, 59) {
            Some((0, 1)) => "every minute".to_owned(),
            Some((0, step)) => format!("every {step} minutes"),
            Some((first, step)) => format!("every {step} minutes from minute {first}"),
            None => format!("at minute {}", runs(minutes, |n| n.to_string())),
        });
    }
    match steps(hours, 0, 23) {
        Some((0, 1)) => {}
        Some((0, step)) => parts.push(format!("in every {} hour", ordinal(step))),
        Some((first, step)) if step > 1 => {
            parts.push(format!("in every {} hour from hour {first}", ordinal(step)));
        }
        _ => parts.push(format!("in hour {}", runs(hours, |n| n.to_string()))),
    }
    parts.join(" ")
}

/// The seconds of each minute.
fn seconds_of(calendar: &Calendar) -> String {
    let (fractions, whole) = calendar.seconds.parts();
    let mut parts = Vec::new();
    if whole != 0 {
        parts.push(match steps(whole, 0, 59) {
            Some((0, 1)) => "every second".to_owned(),
            Some((0, step)) => format!("every {step} seconds"),
            Some((first, step)) if step > 1 => format!("every {step} seconds from second {first}"),
            _ => format!("at second {}", runs(whole, |n| n.to_string())),
        });
    }
    for Steps { first, step, last } in fractions {
        let next = first + step;
        parts.push(match (*first, *last) {
            _ if next > *last => format!("at second {}", second(*first)),
            (0, last) if last + step >= MINUTE_US => format!("every {}", duration(*step)),
            (first, last) if last + step >= MINUTE_US => {
                format!("every {} from second {}", duration(*step), second(first))
            }
            (first, last) => {
                let (first, last) = (second(first), second(last));
                format!("every {} from second {first} to {last}", duration(*step))
            }
        });
    }
    and(&parts)
}

/// The days; `None` where all match.
fn days(days: &Days) -> Option<String> {
    let relative = days.relative.as_deref().copied().unwrap_or_default();
    let mut of_month = Vec::new();
    let all_month = days.of_month & 0xffff_fffe == 0xffff_fffe;
    if !all_month && days.of_month != 0 {
        let numbers = match steps(u64::from(days.of_month), 1, 31) {
            Some((first, step)) if step > 1 => {
                format!("every {} day from day {first}", ordinal(step))
            }
            _ => format!("day {}", runs(u64::from(days.of_month), |n| n.to_string())),
        };
        of_month.push(format!("on {numbers} of the month"));
    }
    of_month.extend(relative_of_month(&relative));
    let mut of_week = Vec::new();
    let all_week = days.of_week & 0x7f == 0x7f;
    if !all_week && days.of_week != 0 {
        of_week.push(weekdays(days.of_week));
    }
    of_week.extend(relative_of_week(&relative));
    let month = (!all_month && !of_month.is_empty()).then(|| and(&of_month));
    let week = (!all_week && !of_week.is_empty()).then(|| and(&of_week));
    match (month, week) {
        (Some(month), Some(week)) if days.either => Some(format!("{month}, or {week}")),
        (Some(month), Some(week)) => Some(format!("{month}, if that is {week}")),
        (month, week) => month.or(week),
    }
}

fn relative_of_month(relative: &Relative) -> Vec<String> {
    let before_last = |n| match n {
        0 => "the last day".to_owned(),
        n => format!("the day {n} before the last"),
    };
    let mut parts: Vec<String> =
        bits(relative.from_end).map(|n| format!("on {} of the month", before_last(n))).collect();
    let nearest = |day: String| format!("on the working day nearest to {day} of the month");
    parts.extend(bits(relative.nearest).map(|n| nearest(format!("day {n}"))));
    parts.extend(bits(relative.nearest_from_end).map(|n| nearest(before_last(n))));
    parts
}

fn relative_of_week(relative: &Relative) -> Vec<String> {
    let mut parts = Vec::new();
    for (week, of_week) in relative.nth.iter().enumerate() {
        for day in bits(u32::from(*of_week)) {
            let nth = ordinal(week as i64 + 1);
            parts.push(format!("on the {nth} {} of the month", WEEKDAYS[day as usize]));
        }
    }
    for day in bits(u32::from(relative.last)) {
        parts.push(format!("on the last {} of the month", WEEKDAYS[day as usize]));
    }
    parts
}

/// Seconds with their fraction.
fn second(us: i64) -> String {
    match us % SECOND_US {
        0 => (us / SECOND_US).to_string(),
        fraction => {
            let digits = format!("{fraction:06}");
            format!("{}.{}", us / SECOND_US, digits.trim_end_matches('0'))
        }
    }
}
