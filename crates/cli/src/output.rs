//! Writing to people and programs.

use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use timeball_timebase::Span;

/// The form of the data on stdout.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For eyes.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Writes one line of data. `false` once nobody reads any more (a closed pipe).
pub(crate) fn line(text: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// Writes one value as a line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> bool {
    line(&serde_json::to_string(value).expect("plain data serializes"))
}

/// Writes one value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> bool {
    line(&serde_json::to_string_pretty(value).expect("plain data serializes"))
}

/// Writes one line of talk to stderr; nothing is lost if nobody reads it.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether stdout is a terminal that shows colours (`NO_COLOR` is respected).
pub(crate) fn colours() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How a piece of text is to look on a terminal.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// The thing to look at.
    Bold,
    /// Beside the point.
    Dim,
    /// All is well.
    Good,
    /// Look here.
    Warning,
}

/// Text in a style where the terminal can, plain elsewhere.
pub(crate) fn styled(text: &str, style: Style) -> String {
    if !colours() {
        return text.to_owned();
    }
    let code = match style {
        Style::Bold => "1",
        Style::Dim => "2",
        Style::Good => "32",
        Style::Warning => "33",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// A span of nanoseconds that may be unknown, for a table.
pub(crate) fn span(nanos: Option<i64>) -> String {
    nanos.map_or_else(|| "unknown".to_owned(), |nanos| Span::from_nanos(nanos).to_string())
}

/// A length without a sign that may be unknown, for a table.
pub(crate) fn length(nanos: Option<i64>) -> String {
    span(nanos).trim_start_matches('+').to_owned()
}

/// A table with one header row, aligned, without frames.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    // The library pads the last column too; nobody needs those spaces.
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
