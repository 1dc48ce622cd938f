//! What benchmarks can be told. It is looked at here, before anything is built or measured: a
//! benchmark takes minutes, and one that leaves out a word it does not know measures something else
//! than was asked for.

use std::fmt;
use std::ops::RangeInclusive;

/// An argument that a benchmark takes.
pub(super) struct Argument {
    /// An option (`--rounds`), or a word that stands alone (`costs`).
    pub(super) name: &'static str,
    /// What follows it.
    pub(super) value: Value,
    /// What it does, and what holds without it.
    pub(super) what: &'static str,
}

/// What follows an argument.
pub(super) enum Value {
    Nothing,
    /// A whole number.
    Number(RangeInclusive<u64>),
    OneOf(&'static [&'static str]),
    /// Something that the benchmark itself reads and judges; shown as this.
    Text(&'static str),
}

/// Any number of something, but none.
pub(super) const COUNT: RangeInclusive<u64> = 1..=u64::MAX;
/// Any number at all.
pub(super) const ANY: RangeInclusive<u64> = 0..=u64::MAX;

/// A command line that makes no sense; nothing was done.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub(crate) String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Whether the words of a command line ask for the help.
pub(super) fn asks_for_help(words: &[&str]) -> bool {
    words.iter().any(|word| matches!(*word, "--help" | "-h" | "help"))
}

/// What a benchmark can be told, in lines.
pub(super) fn help(name: &str, what: &str, arguments: &[Argument]) -> String {
    let mut lines = vec![format!("{name}: {what}"), String::new()];
    if arguments.is_empty() {
        lines.push(format!("Usage: cargo xtask bench {name}   (it takes no arguments)"));
        return lines.join("\n");
    }
    lines.push(format!("Usage: cargo xtask bench {name} [ARGUMENTS]\n"));
    let left: Vec<String> = arguments.iter().map(Argument::shown).collect();
    let width = left.iter().map(String::len).max().unwrap_or(0);
    for (left, argument) in left.iter().zip(arguments) {
        lines.push(format!("  {left:width$}  {}", argument.what));
    }
    lines.join("\n")
}

/// Refuses words that are no arguments, and values that are none.
pub(super) fn check(name: &str, arguments: &[Argument], words: &[&str]) -> Result<(), WrongUsage> {
    let wrong = |why: String| {
        WrongUsage(format!("{why}; `cargo xtask bench {name} --help` says what there is"))
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let argument = arguments.iter().find(|argument| argument.name == *word);
        let argument =
            argument.ok_or_else(|| wrong(format!("`bench {name}` takes no `{word}`")))?;
        if matches!(argument.value, Value::Nothing) {
            continue;
        }
        let shown = argument.shown();
        let value = words.next().ok_or_else(|| wrong(format!("a value is missing: {shown}")))?;
        if !argument.value.is(value) {
            let asked = argument.value.asked();
            return Err(wrong(format!("{word} `{value}`: {asked} is asked for")));
        }
    }
    Ok(())
}

impl Argument {
    fn shown(&self) -> String {
        match &self.value {
            Value::Nothing => self.name.to_owned(),
            Value::Number(_) => format!("{} N", self.name),
            Value::OneOf(words) => format!("{} {}", self.name, words.join("|")),
            Value::Text(form) => format!("{} {form}", self.name),
        }
    }
}

impl Value {
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Number(range) => text.parse().is_ok_and(|number| range.contains(&number)),
            Self::OneOf(words) => words.contains(&text),
            Self::Text(_) => !text.starts_with("--"),
        }
    }

    /// In words.
    fn asked(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Number(range) if *range.end() == u64::MAX => {
                format!("a whole number from {} on", range.start())
            }
            Self::Number(range) => format!("a number from {} to {}", range.start(), range.end()),
            Self::OneOf(words) => words.join(" or "),
            Self::Text(form) => (*form).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGUMENTS: &[Argument] = &[
        Argument { name: "costs", value: Value::Nothing, what: "only costs" },
        Argument { name: "--rounds", value: Value::Number(COUNT), what: "default 12" },
        Argument { name: "--judged", value: Value::OneOf(&["a", "b"]), what: "only these" },
        Argument { name: "--seeds", value: Value::Text("FIRST-LAST"), what: "default 1-3" },
    ];

    #[test]
    fn what_a_benchmark_does_not_know_is_refused_with_the_way_to_its_help() {
        let good: [&[&str]; 4] =
            [&[], &["costs"], &["--rounds", "2", "--judged", "b"], &["--seeds", "1-9", "costs"]];
        for words in good {
            check("x", ARGUMENTS, words).unwrap();
        }
        for (words, why) in [
            (&["--round", "2"][..], "`bench x` takes no `--round`"),
            (&["--rounds"], "a value is missing: --rounds N"),
            (&["--rounds", "0"], "--rounds `0`: a whole number from 1 on is asked for"),
            (&["--judged", "c"], "--judged `c`: a or b is asked for"),
            (&["--seeds", "--rounds"], "FIRST-LAST is asked for"),
        ] {
            let said = check("x", ARGUMENTS, words).unwrap_err().to_string();
            assert!(said.contains(why) && said.contains("bench x --help"), "{words:?}: {said}");
        }
    }

    #[test]
    fn the_help_names_every_argument_with_its_value() {
        let text = help("x", "measures", ARGUMENTS);
        let rows: Vec<&str> = text.lines().skip(4).map(str::trim).collect();
        assert_eq!(rows[0], "costs               only costs");
        assert_eq!(rows[2], "--judged a|b        only these");
        assert!(help("y", "measures", &[]).contains("takes no arguments"));
    }
}
