//! Writing to people and programs.

use clap::ValueEnum;
use comfy_table::ColumnConstraint::{ContentWidth, LowerBoundary};
use comfy_table::{ContentArrangement, Width};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use timeball_timebase::Span;

/// Around the code of a style.
const STYLE_START: char = '\x1b';
const STYLE_END: char = 'm';
/// Characters of a column that is wrapped, at least, where there is no room for what it wants.
const WRAPPED_MIN: u16 = 13;
/// What the library puts around each cell.
const PADDING: u16 = 2;

/// The form of the data on stdout.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For eyes.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Writes one line of data; where nobody reads any more, or it cannot be written, it is lost.
pub(crate) fn line(text: &str) {
    let _ = write_line(text);
}

/// Writes one line of data.
///
/// # Errors
/// Where nobody reads any more (a closed pipe), or it cannot be written.
pub(crate) fn write_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes one value as indented JSON.
pub(crate) fn json(value: &impl Serialize) {
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
    format!("{STYLE_START}[{code}{STYLE_END}{text}{STYLE_START}[0{STYLE_END}")
}

/// A span of nanoseconds that may be unknown, for a table.
pub(crate) fn span(nanos: Option<i64>) -> String {
    nanos.map_or_else(|| "unknown".to_owned(), |nanos| Span::from_nanos(nanos).to_string())
}

/// A length without a sign that may be unknown, for a table.
pub(crate) fn length(nanos: Option<i64>) -> String {
    span(nanos).trim_start_matches('+').to_owned()
}

/// A time ahead in its largest unit of which there are two or more.
pub(crate) fn ahead(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / length)
}

/// Columns of the terminal that stdout is; `None` where it is none.
pub(crate) fn columns() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// Columns that a text takes, whatever its style.
pub(crate) fn width(text: &str) -> usize {
    let mut is_style = false;
    let shown = text.chars().filter(|&c| {
        let is_shown = !is_style && c != STYLE_START;
        is_style = (is_style && c != STYLE_END) || c == STYLE_START;
        is_shown
    });
    shown.count()
}

/// A table with one header row, aligned, without frames. Each row is one line, and no text in it
/// commands the terminal: it may be what a program has said. On a terminal that is too narrow for
/// it the cells of the columns in `wrapped` have several lines, each of as many characters as it
/// says where there is room for that.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, wrapped: &[(&str, u16)]) -> String {
    table_in(columns(), header, rows, wrapped)
}

fn table_in(
    columns: Option<u16>,
    header: &[&str],
    rows: Vec<Vec<String>>,
    wrapped: &[(&str, u16)],
) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| in_one_line(cell)));
    }
    if let Some(columns) = columns {
        table.set_width(columns).set_content_arrangement(ContentArrangement::Dynamic);
        let widths = table.column_max_content_widths();
        let wanted = |name: &str| Some(wrapped.iter().find(|(wrapped, _)| *wrapped == name)?.1);
        let least = |name: &str, width: u16| wanted(name).map_or(width, |most| width.min(most));
        let padded =
            |(name, width): (&&str, &u16)| u32::from(least(name, *width)) + u32::from(PADDING);
        let fits = header.iter().zip(&widths).map(padded).sum::<u32>() <= columns.into();
        for ((column, width), name) in table.column_iter_mut().zip(widths).zip(header) {
            column.set_constraint(match wanted(name) {
                None => ContentWidth,
                Some(_) if fits => LowerBoundary(Width::Fixed(least(name, width) + PADDING)),
                Some(_) => LowerBoundary(Width::Fixed(width.min(WRAPPED_MIN) + PADDING)),
            });
        }
    }
    // The library pads the last column too; nobody needs those spaces.
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The most characters of a cell; of a longer one both ends are shown.
const CELL_CHARS_MAX: usize = 200;

/// Text in one line, with its control characters shown, and without its middle where it is long.
pub(crate) fn in_one_line(text: &str) -> String {
    let length = text.chars().count();
    let left_out = CELL_CHARS_MAX / 2..length.saturating_sub(CELL_CHARS_MAX / 2);
    let mut line = String::with_capacity(text.len().min(4 * CELL_CHARS_MAX));
    for (place, c) in text.chars().enumerate() {
        match c {
            _ if length > CELL_CHARS_MAX && left_out.contains(&place) => {
                if place == left_out.start {
                    line.push_str(" […] ");
                }
            }
            '\n' => line.push_str(" ⏎ "),
            '\t' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ahead_is_short_to_read() {
        let shown = [1, 119, 120, 7_199, 7_200, 122_836, 200_000].map(ahead);
        assert_eq!(shown, ["1 s", "119 s", "2 min", "119 min", "2 h", "34 h", "2 d"]);
    }

    #[test]
    fn what_a_program_has_said_is_one_line_of_a_table_and_commands_no_terminal() {
        assert_eq!(
            in_one_line("exit status 1; output: a\tb\n\x1b[31mred"),
            "exit status 1; output: a b ⏎ \\u{1b}[31mred"
        );
        let long = in_one_line(&format!("exit status 1; {}no such table", "é".repeat(500)));
        assert_eq!(long.chars().count(), CELL_CHARS_MAX + " […] ".len() - 2);
        assert!(long.starts_with("exit status 1; é") && long.ends_with("éno such table"), "{long}");
        let rows = vec![vec!["a".to_owned(), "1\n2".to_owned()]; 2];
        assert_eq!(table_in(None, &["NAME", "SAID"], rows, &[]).lines().count(), 3);
    }

    #[test]
    fn a_style_takes_no_column() {
        assert_eq!(width("\x1b[33mµs ±\x1b[0m and more"), "µs ± and more".chars().count());
    }

    #[test]
    fn a_table_is_as_wide_as_its_terminal_and_as_its_content_elsewhere() {
        let row = ["2026-11-22T08:09:00Z", "one two three four five six seven"];
        let lines = |columns| {
            let rows = vec![row.map(str::to_owned).to_vec()];
            table_in(columns, &["NEXT", "WHY"], rows, &[("WHY", 13)])
        };
        for wide in [lines(None), lines(Some(80))] {
            assert_eq!(wide.lines().count(), 2, "{wide}");
        }
        let narrow = lines(Some(48));
        assert_eq!(narrow.lines().count(), 3, "{narrow}");
        assert!(narrow.contains(row[0]), "{narrow}");
        assert!(narrow.lines().all(|line| line.len() <= 48), "{narrow}");
    }
}
