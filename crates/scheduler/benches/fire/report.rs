//! The table, and what it says of the targets.

use super::plot;
use std::path::Path;
use timeball_scheduler::bench_support::{Bars, Ratio, Rounds, percentile};

/// How late the fires of one way were.
pub(super) struct Series {
    pub(super) name: String,
    /// Ways of the same class are compared to those of it that are bare sleeps.
    pub(super) class: String,
    pub(super) is_bare: bool,
    /// Nanoseconds.
    pub(super) late: Rounds,
    pub(super) targets: &'static [Target],
}

/// What is asked of a way.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// That this percentile is at most so many times the bare sleep's.
    OverBare(f64, f64),
    /// That this percentile is at most so many microseconds.
    Micros(f64, f64),
}

/// What one way came to.
pub(super) struct Row {
    pub(super) name: String,
    fires: usize,
    /// Percentiles of lateness over all rounds, microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    max: f64,
    /// Over the bare sleeps of the same class, in the median of the rounds.
    p50_ratio: Option<Ratio>,
    p99_ratio: Option<Ratio>,
}

/// Prints a table with verdicts and writes the plot, or prints a line of JSON for each way; returns
/// what came of the targets.
pub(super) fn report(all: &[Series], json: bool) -> Bars {
    let rows: Vec<Row> = all.iter().filter_map(|series| row(series, all)).collect();
    let mut bars = Bars::default();
    let targets = all.iter().flat_map(|series| series.targets.iter().map(move |of| (series, *of)));
    let judged = targets.filter_map(|(series, target)| judge(series, target, all, &mut bars));
    let verdicts: Vec<String> = judged.collect();
    if json {
        rows.iter().for_each(print_json);
        return bars;
    }
    match plot::write(Path::new(env!("CARGO_TARGET_TMPDIR")), &rows) {
        Ok(path) => println!("median to 99th percentile: {}\n", path.display()),
        Err(error) => println!("the plot could not be written: {error}\n"),
    }
    println!("| way | fires | p50 us | p99 us | max us | p50 ratio | p99 ratio |");
    println!("|---|---|---|---|---|---|---|");
    for Row { name, fires, p50, p99, max, p50_ratio, p99_ratio } in &rows {
        let shown = |ratio: &Option<Ratio>| ratio.map_or("".to_owned(), |ratio| ratio.to_string());
        let (p50_ratio, p99_ratio) = (shown(p50_ratio), shown(p99_ratio));
        println!(
            "| {name} | {fires} | {p50:.1} | {p99:.1} | {max:.1} | {p50_ratio} | {p99_ratio} |"
        );
    }
    println!("\nratios: medians of the rounds', with intervals of 95 % confidence");
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        println!("load averages at the end: {}", load.trim());
    }
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    bars
}

/// What a series says of a target; nothing where it has no values.
fn judge(series: &Series, target: Target, all: &[Series], bars: &mut Bars) -> Option<String> {
    let name = &series.name;
    Some(match target {
        Target::OverBare(share, limit) => {
            let ratio = series.late.ratio(share, &series.bare_of(all))?;
            let percent = share * 100.0;
            let bar = format!("{name}, p{percent}, {ratio} of bare; at most {limit} is asked");
            bars.note(ratio.verdict(limit), bar)
        }
        Target::Micros(share, limit) => {
            let nanos = percentile(&series.late.sorted(), share)?;
            let what = format!("{name}, p{}", share * 100.0);
            bars.at_most(&what, nanos / 1_000.0, limit, " us")
        }
    })
}

impl Series {
    /// The bare sleeps that this is compared to: of a bare sleep itself, the others.
    fn bare_of<'a>(&self, all: &'a [Self]) -> Vec<&'a Rounds> {
        let same = |other: &&Self| other.is_bare && other.class == self.class;
        all.iter().filter(same).filter(|other| other.name != self.name).map(|o| &o.late).collect()
    }
}

fn row(series: &Series, all: &[Series]) -> Option<Row> {
    let sorted = series.late.sorted();
    let micros = |share| percentile(&sorted, share).map(|nanos| nanos / 1_000.0);
    let ratio = |share| series.late.ratio(share, &series.bare_of(all));
    Some(Row {
        name: series.name.clone(),
        fires: sorted.len(),
        p50: micros(0.5)?,
        p99: micros(0.99)?,
        max: micros(1.0)?,
        p50_ratio: ratio(0.5),
        p99_ratio: ratio(0.99),
    })
}

fn print_json(row: &Row) {
    let Row { name, fires, p50, p99, max, p50_ratio, p99_ratio } = row;
    let shown = |ratio: &Option<Ratio>| {
        let Some(Ratio { median, interval }) = ratio else { return "null".to_owned() };
        let interval = interval.map_or("null".to_owned(), |(a, b)| format!("[{a:.3},{b:.3}]"));
        format!("{{\"median\":{median:.3},\"interval\":{interval}}}")
    };
    println!(
        "{{\"way\":\"{name}\",\"fires\":{fires},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\
         \"max_us\":{max:.1},\"p50_ratio\":{},\"p99_ratio\":{}}}",
        shown(p50_ratio),
        shown(p99_ratio)
    );
}
