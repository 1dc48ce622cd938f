//! What a run was worth: the simulator's logs against what the daemons said.

/// A clock's error at each second, the first one at the start, in seconds; positive when it is
/// ahead.
pub(super) struct Errors(Vec<f64>);

impl Errors {
    /// Reads the simulator's log: a line a second, a column a node.
    pub(super) fn read(log: &str, node: usize) -> Option<Self> {
        let column = |line: &str| line.split('\t').nth(node - 1)?.trim().parse().ok();
        log.lines().map(column).collect::<Option<Vec<f64>>>().map(Self)
    }

    pub(super) fn rms_from(&self, second: usize) -> f64 {
        let late = self.0.get(second..).unwrap_or_default();
        (late.iter().map(|error| error * error).sum::<f64>() / late.len().max(1) as f64).sqrt()
    }

    pub(super) fn max_from(&self, second: usize) -> f64 {
        self.0.iter().skip(second).fold(0.0, |max, error| error.abs().max(max))
    }

    /// The first second from which on the error stays within `limit` for a thousand seconds.
    pub(super) fn settled(&self, limit: f64) -> Option<usize> {
        const HOLD: usize = 1_000;
        let mut quiet = 0;
        for (second, error) in self.0.iter().enumerate() {
            quiet = if error.abs() <= limit { quiet + 1 } else { 0 };
            if quiet == HOLD {
                return Some(second + 1 - HOLD);
            }
        }
        None
    }
}

/// How the published bound did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Promise {
    /// Seconds at which true time was outside of it.
    pub(super) violations: usize,
    /// The first of them, and by how much in seconds.
    pub(super) first: Option<(usize, f64)>,
    /// Median over the judged seconds of what it says that the *system clock* may be wrong by, in
    /// seconds; this is what chrony's "Max. error" is, too. Infinite while unknown.
    pub(super) median_width: f64,
    /// Median of half the length of what true time can be by it, which need not lie evenly about
    /// the estimate. Infinite while unknown.
    pub(super) median_half_length: f64,
}

/// One published clock state of the trace. In seconds and ratios.
struct State {
    /// Raw clock, which begins with the simulation, is a little fast or slow and never set.
    raw: f64,
    /// System clock, since the start of the simulation.
    system: f64,
    /// How much faster the raw clock runs than true time, by the estimate.
    rate: f64,
    /// `None` while nothing is promised.
    promise: Option<Promised>,
}

/// True time less system time, with both ends of what that can be.
#[derive(Clone, Copy)]
struct Promised {
    offset: f64,
    drift: f64,
    half_width: f64,
    growth: f64,
    lean: f64,
}

/// Judges the trace of `timeball agent --bare` at every second. `start` is when the simulation
/// began, in seconds since 1970.
pub(super) fn judge_trace(
    trace: &str,
    errors: &Errors,
    start: i64,
    judged_from: usize,
) -> Option<Promise> {
    let states: Vec<State> =
        trace.lines().map(|line| read_state(line, start)).collect::<Option<_>>()?;
    let mut next = states.iter().peekable();
    let mut current = None;
    let mut promise = Promise::default();
    let (mut widths, mut half_lengths) = (Vec::new(), Vec::new());
    for (second, error) in errors.0.iter().enumerate() {
        let system = second as f64 + error;
        while let Some(state) = next.next_if(|state| state.is_before(second, system)) {
            current = Some(state);
        }
        let told = current.and_then(|state| state.told_at(system));
        if let Some(told) = &told {
            let beyond = told.is_missed_by(-error);
            // The logs tell nanoseconds.
            if beyond > 5e-9 {
                promise.violations += 1;
                promise.first.get_or_insert((second, beyond));
            }
        }
        if second >= judged_from {
            let width = told.as_ref().map(|told| told.half_width + told.offset.abs());
            widths.push(width.unwrap_or(f64::INFINITY));
            let half_length = told.as_ref().map(|told| told.half_width - told.lean.abs());
            half_lengths.push(half_length.unwrap_or(f64::INFINITY));
        }
    }
    promise.median_width = median(widths);
    promise.median_half_length = median(half_lengths);
    Some(promise)
}

impl State {
    /// Whether it was published before a second at which the system clock read `system`.
    fn is_before(&self, second: usize, system: f64) -> bool {
        // By the system clock it is exact unless that was stepped in between; the raw clock may be
        // 50 ppm off.
        let surely_past = second as f64 * (1.0 - 5e-5) - 0.01;
        self.system <= system || self.raw < surely_past
    }

    /// What is promised when the system clock reads `system`.
    fn told_at(&self, system: f64) -> Option<Promised> {
        let promised = self.promise?;
        // From one state to the next the system clock runs evenly beside the raw one.
        let system_rate = -self.rate - promised.drift;
        let age = ((system - self.system) / (1.0 + system_rate)).max(0.0);
        let offset = promised.offset + promised.drift * age;
        let half_width = promised.half_width + promised.growth * age;
        Some(Promised { offset, half_width, ..promised })
    }
}

impl Promised {
    /// How far true time less system time is beyond the nearer end; negative within both.
    fn is_missed_by(&self, offset: f64) -> f64 {
        let latest = self.offset + self.half_width + 2.0 * self.lean.min(0.0);
        let earliest = self.offset - self.half_width + 2.0 * self.lean.max(0.0);
        (offset - latest).max(earliest - offset)
    }
}

fn read_state(line: &str, start: i64) -> Option<State> {
    let seconds = |name| number(line, name).map(|billionths| billionths / 1e9);
    // As an integer: in a float the nanoseconds since 1970 have no fraction of a microsecond.
    let system: i64 = field(line, "system_ns")?.parse().ok()?;
    let promise = match (seconds("offset_ns"), seconds("bound_ns")) {
        (Some(offset), Some(half_width)) => Some(Promised {
            offset,
            half_width,
            lean: seconds("lean_ns")?,
            drift: seconds("drift_ppb")?,
            growth: seconds("bound_growth_ppb")?,
        }),
        _ => None,
    };
    Some(State {
        raw: seconds("mono_ns")?,
        system: (system - start * 1_000_000_000) as f64 / 1e9,
        rate: seconds("freq_ppb")?,
        promise,
    })
}

/// The number of this name in a line of JSON; `None` if there is none, or null.
fn number(line: &str, name: &str) -> Option<f64> {
    field(line, name)?.parse().ok()
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    rest.split([',', '}']).next()
}

/// Median over the judged seconds of the last column, "Max. error", of chrony's `tracking.log`.
///
/// There is a line an update, and it tells of the time since the former update: a line after hours
/// without any counts for all of them, as each second of ours does.
pub(super) fn median_max_error(tracking: &str, start: i64, judged_from: usize) -> Option<f64> {
    let mut errors = Vec::new();
    let mut former = start + judged_from as i64;
    for line in tracking.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [date, time, .., error] = words[..] else { continue };
        let Ok(error) = error.parse::<f64>() else { continue };
        let Some(at) = seconds_since_1970(date, time) else { continue };
        let seconds = usize::try_from(at - former).unwrap_or(0);
        errors.extend(std::iter::repeat_n(error, seconds));
        former = former.max(at);
    }
    (!errors.is_empty()).then(|| median(errors))
}

/// Of `2026-11-18` and `12:34:56`.
fn seconds_since_1970(date: &str, time: &str) -> Option<i64> {
    let numbers = |text: &str, sign| -> Option<[i64; 3]> {
        let parts: Vec<i64> = text.split(sign).map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    // March is the first month, so that the leap day is the last of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// The middle value; not a number of none.
pub(in crate::bench) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors() -> Errors {
        let line = |error: f64| format!("0.0\t{error:.9}\n");
        let log: String = [0.5, 0.5, 0.25, 0.125, 0.125].into_iter().map(line).collect();
        Errors::read(&log, 2).unwrap()
    }

    #[test]
    fn errors_are_read_from_the_column_of_the_node() {
        assert_eq!(errors().0, [0.5, 0.5, 0.25, 0.125, 0.125]);
        assert_eq!(errors().max_from(2), 0.25);
        assert_eq!(errors().rms_from(3), 0.125);
        assert_eq!(errors().settled(0.5), None);
    }

    #[test]
    fn a_promise_is_judged_at_every_second_with_its_drift_and_growth() {
        let state = |mono: f64, system: f64, offset: f64, bound: f64, lean: f64| {
            format!(
                "{{\"mono_ns\":{:.0},\"system_ns\":{:.0},\"offset_ns\":{:.0},\"drift_ppb\":0.0,\
                 \"bound_ns\":{:.0},\"lean_ns\":{:.0},\"bound_growth_ppb\":1000000.0,\
                 \"freq_ppb\":0.0}}\n",
                mono * 1e9,
                (100.0 + system) * 1e9,
                offset * 1e9,
                bound * 1e9,
                lean * 1e9
            )
        };
        // The bound has grown for 1.375 s by the system clock when the log ends.
        let held = state(2.5, 2.75, -0.125, 0.01, 0.004);
        let judged = judge_trace(&held, &errors(), 100, 3).unwrap();
        assert_eq!((judged.violations, judged.first), (0, None));
        assert!((judged.median_width - 0.136_375).abs() < 1e-6, "{judged:?}");
        assert!((judged.median_half_length - 0.007_375).abs() < 1e-6, "{judged:?}");
        // By the end that is farther away the truth would be within.
        let leaning = state(2.5, 2.75, -0.13, 0.01, -0.004);
        assert_eq!(judge_trace(&leaning, &errors(), 100, 3).unwrap().violations, 2);
        let failed = state(1.5, 2.0, -0.3, 0.01, 0.0);
        let judged = judge_trace(&failed, &errors(), 100, 0).unwrap();
        assert_eq!((judged.violations, judged.first.unwrap().0), (3, 2));
        let unknown = "{\"mono_ns\":0,\"system_ns\":100000000000,\"offset_ns\":null,\
                       \"bound_ns\":null,\"lean_ns\":0,\"freq_ppb\":0.0}";
        let judged = judge_trace(unknown, &errors(), 100, 0).unwrap();
        assert_eq!((judged.violations, judged.median_width), (0, f64::INFINITY));
    }

    #[test]
    fn chronys_max_error_is_the_last_column_of_its_log() {
        let log = "=====\n   Date (UTC) Time     IP Address   St Max. error\n=====\n\
                   2026-11-18 11:06:40 192.168.123.1 2 -10.0 0.1 -1e-05 N 1 1e-5 0 5.0e-04\n\
                   2026-11-18 13:06:40 192.168.123.1 2 -10.0 0.1 -1e-05 N 1 1e-5 0 2.5e-04\n";
        assert_eq!(seconds_since_1970("2026-11-18", "11:06:40"), Some(1_795_000_000));
        assert_eq!(median_max_error(log, 1_795_000_000, 3_600), Some(2.5e-4));
        assert_eq!(median_max_error(log, 1_795_000_000, 90_000), None);
        let outage = "2026-11-18 11:07:44 192.168.123.1 2 -10.0 0.1 -1e-05 N 1 1e-5 0 1.0e-04\n\
             2026-11-18 11:08:48 192.168.123.1 2 -10.0 0.1 -1e-05 N 1 1e-5 0 1.0e-04\n\
             2026-11-18 13:08:48 192.168.123.1 2 -10.0 0.1 -1e-05 N 1 1e-5 0 7.0e-03\n";
        assert_eq!(median_max_error(outage, 1_795_000_000, 0), Some(7e-3));
    }
}
