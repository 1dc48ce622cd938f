//! What a benchmark is asked for, and whether it fails.

use super::Verdict;
use std::fmt::Display;
use std::process::ExitCode;

/// The bars of a benchmark as they are judged, one after the other.
#[derive(Debug, Default)]
pub struct Bars {
    not_held: usize,
}

impl Bars {
    /// Notes what came of a bar; returns the line that tells.
    pub fn note(&mut self, verdict: Verdict, bar: impl Display) -> String {
        self.not_held += usize::from(verdict == Verdict::NotHeld);
        format!("{verdict}: {bar}")
    }

    /// Notes a bar of which one value decides; without a value nothing is decided.
    pub fn at_most(&mut self, what: &str, value: f64, limit: f64, unit: &str) -> String {
        let verdict = match value {
            value if value <= limit => Verdict::Held,
            value if value > limit => Verdict::NotHeld,
            _ => Verdict::Undecided,
        };
        self.note(verdict, format_args!("{what}, {value:.2}{unit}; at most {limit}{unit} is asked"))
    }

    /// What the benchmark ends with: failure where a bar was not held.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        if self.not_held == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_fails_where_a_bar_was_not_held_and_not_where_none_was_decided() {
        let mut bars = Bars::default();
        let line = bars.at_most("size", 2.0, 2.0, " KiB");
        assert_eq!(line, "held: size, 2.00 KiB; at most 2 KiB is asked");
        assert!(bars.at_most("nothing", f64::NAN, 1.0, "").starts_with("not decided: nothing"));
        assert_eq!(bars.note(Verdict::Undecided, "a bar"), "not decided: a bar");
        assert_eq!(bars.exit(), ExitCode::SUCCESS);
        assert!(bars.at_most("size", 2.1, 2.0, "").starts_with("NOT held: size, 2.10;"));
        assert_eq!(bars.note(Verdict::Held, "another"), "held: another");
        assert_eq!(bars.exit(), ExitCode::FAILURE);
    }
}
