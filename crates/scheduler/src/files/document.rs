//! From text to documents: YAML or JSON, several in a file, unknown fields refused.

use super::error::SyntaxError;
use serde_saphyr::{Error, from_multiple_with_options};
use timeball_api::cron_job::PreciseCronJob;
use timeball_runtime::nearest;

/// Parses the documents of a file. JSON is YAML, too.
pub(super) fn parse(text: &str) -> Result<Vec<PreciseCronJob>, SyntaxError> {
    // A file is at most 1 MiB, so the default budget of nodes and depth suffices; snippets of the
    // source would make an answer of several lines.
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
    };
    let documents: Vec<PreciseCronJob> =
        from_multiple_with_options(text, options).map_err(|error| explain(&error))?;
    if documents.is_empty() { Err(SyntaxError::Empty) } else { Ok(documents) }
}

fn explain(error: &Error) -> SyntaxError {
    let message = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => unknown("field", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing here"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` is given twice; keep one")
        }
        other => {
            // The place is said in the same way for all of them.
            let text = other.to_string();
            let text = text.lines().next().unwrap_or_default().to_owned();
            match text.rsplit_once(" at line ") {
                Some((what, _)) => what.to_owned(),
                None => text,
            }
        }
    };
    match error.location() {
        Some(at) if at.line() > 0 => {
            SyntaxError::At { line: at.line(), column: at.column(), message }
        }
        _ => SyntaxError::Somewhere(message),
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
