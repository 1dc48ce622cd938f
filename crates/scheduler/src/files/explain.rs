//! What is wrong with a text that is no document, in words for whoever wrote it.

use super::error::SyntaxError;
use serde_saphyr::Error;
use timeball_runtime::nearest;

/// Characters of a value that are shown.
const SHOWN_MAX: usize = 40;

/// What is wrong with `text`, where, and what to write instead.
pub(super) fn explain(error: &Error, text: &str) -> SyntaxError {
    let error = error.without_snippet();
    let place = error.location().filter(|at| at.line() > 0).map(|at| (at.line(), at.column()));
    let at = place.and_then(|(line, column)| Place::of(text, line, column));
    let message = match error {
        Error::SerdeMissingField { field, .. } => missing(field, text, place),
        other => message(other, at.as_ref()),
    };
    match place {
        Some((line, column)) => SyntaxError::At { line, column, message },
        None => SyntaxError::Somewhere(message),
    }
}

fn message(error: &Error, at: Option<&Place<'_>>) -> String {
    let field = at.and_then(|at| at.field());
    let named = field.map_or_else(|| "this".to_owned(), |field| format!("`{field}`"));
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown("field", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::AliasReplayLimitExceeded { max_total_replayed_events: most, .. } => {
            format!("aliases stand for more than {most} values here; write out what is meant")
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` is given twice; keep one")
        }
        // What stands there instead is not shown: it may be a program's arguments.
        Error::Unexpected { expected: "sequence start", .. } => {
            format!("{named} must be a list: [\"a\", \"b\"]")
        }
        Error::Unexpected { expected: "mapping start", .. } if at.is_some_and(Place::is_first) => {
            "this is no schedule; docs/schedules.md shows the form, and `timeball schedule import` \
             makes schedules of a crontab"
                .to_owned()
        }
        Error::Unexpected { expected: "mapping start", .. } => {
            format!("{named} must have fields of its own: {{ name: value }}")
        }
        Error::InvalidScalar { ty, .. } => {
            let value = at.map_or_else(String::new, |at| format!(" is `{}`; it", at.value()));
            format!("{named}{value} must be {}", in_words(ty))
        }
        Error::InvalidBooleanStrict { .. } => format!("{named} must be true or false"),
        _ if at.is_some_and(Place::is_indented_by_tabs) => {
            "YAML takes no tabs at the beginning of a line; use spaces".to_owned()
        }
        other => match at.and_then(Place::quotes) {
            Some(quotes) => quotes,
            None => without_place(&other.to_string()),
        },
    }
}

/// A field that is missing in the mapping at `place`: it may only be indented wrongly.
fn missing(field: &str, text: &str, place: Option<(u64, u64)>) -> String {
    let begins = |line: &str| {
        line.trim_start().strip_prefix(field).is_some_and(|rest| rest.starts_with(':'))
    };
    let (from, column) = place.unwrap_or_default();
    let after = text.lines().zip(1..).skip_while(|(_, line)| *line < from);
    let same_document = after.take_while(|(line, _)| !line.starts_with("---"));
    match same_document.into_iter().find(|(line, _)| begins(line)) {
        Some((_, line)) => format!(
            "`{field}` is missing here; that of line {line} belongs to something else: it must \
             begin in column {column}"
        ),
        None => format!("`{field}` is missing here"),
    }
}

/// The place is said in the same way for all of them.
fn without_place(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    text.rsplit_once(" at line ").map_or(text, |(what, _)| what).to_owned()
}

fn in_words(ty: &str) -> &str {
    match ty {
        "i64" | "i32" | "u64" | "u32" | "u16" | "u8" => "a whole number",
        "f64" => "a number",
        "bool" => "true or false",
        other => other,
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let shown = word.escape_debug();
    if word == "jobTemplate" {
        return "`jobTemplate` starts Jobs of a cluster, which this scheduler does not; give a \
            `target` instead"
            .to_owned();
    }
    let list = known.join(", ");
    match nearest(word, known) {
        Some(near) => format!("unknown {what} `{shown}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{shown}`; known are: {list}"),
    }
}

/// A place in a text, by what stands around it in its line.
struct Place<'a> {
    line: u64,
    before: &'a str,
    from: &'a str,
}

impl<'a> Place<'a> {
    /// Line and column count from 1, columns in characters.
    fn of(text: &'a str, line: u64, column: u64) -> Option<Self> {
        let whole = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(column).ok()?.checked_sub(1)?;
        let at = whole.char_indices().nth(column).map_or(whole.len(), |(at, _)| at);
        let (before, from) = whole.split_at(at);
        Some(Self { line, before, from })
    }

    /// The field whose value begins here, if its name stands in the same line.
    fn field(&self) -> Option<&'a str> {
        let name = self.before.trim_end().strip_suffix(':')?;
        let name = name.rsplit([' ', '{', ',', '-', '"', '\'']).find(|word| !word.is_empty())?;
        name.chars().all(char::is_alphanumeric).then_some(name)
    }

    /// The value that begins here, as it is written.
    fn value(&self) -> String {
        let end = self.from.find([',', '}', ']', '#']).unwrap_or(self.from.len());
        self.from[..end].trim().chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
    }

    fn is_indented_by_tabs(&self) -> bool {
        let is_blank = self.before.chars().all(char::is_whitespace);
        is_blank && (self.before.contains('\t') || self.from.starts_with('\t'))
    }

    fn is_first(&self) -> bool {
        self.line == 1 && self.before.is_empty()
    }

    /// What to write where YAML takes the beginning of a value for a sign of its own: most
    /// expressions begin with one.
    fn quotes(&self) -> Option<String> {
        let sign = self.from.chars().next().filter(|first| "*@&%`".contains(*first))?;
        if self.is_first() {
            return Some(
                "this is no YAML; `timeball schedule import` makes schedules of a crontab"
                    .to_owned(),
            );
        }
        let field = self.field()?;
        Some(format!("a value that begins with `{sign}` must be in quotes: {field}: \"{sign}…\""))
    }
}
