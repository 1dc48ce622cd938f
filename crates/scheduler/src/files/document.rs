//! From text to documents: YAML or JSON, several in a file, unknown fields refused.

use super::error::SyntaxError;
use serde_saphyr::{Error, from_multiple_with_options};
use timeball_api::cron_job::PreciseCronJob;

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
    match word {
        "jobTemplate" => {
            return "`jobTemplate` starts Jobs of a cluster, which this scheduler does not; give a \
                `target` with `exec` or `http`"
                .to_owned();
        }
        "nats" | "kafka" | "rabbitmq" => {
            return format!("the target `{shown}` is not supported yet; use `exec` or `http`");
        }
        _ => {}
    }
    let list = known.join(", ");
    match nearest(word, known) {
        Some(near) => format!("unknown {what} `{shown}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{shown}`; known are: {list}"),
    }
}

/// The known word that `word` most likely stands for: equal but for case, or a typo away.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let typos_max = 1 + word.chars().count() / 4;
    known
        .iter()
        .map(|candidate| (typos(&word.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .filter(|(typos, _)| *typos <= typos_max)
        .min_by_key(|(typos, _)| *typos)
        .map(|(_, candidate)| candidate)
}

/// How many characters have to be changed, added or removed (Levenshtein's distance).
fn typos(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_gibberish_does_not() {
        let known = ["schedule", "timeZone", "suspend"];
        assert_eq!(nearest("shedule", &known), Some("schedule"));
        assert_eq!(nearest("timezone", &known), Some("timeZone"));
        assert_eq!(nearest("suspended", &known), Some("suspend"));
        assert_eq!(nearest("frequency", &known), None);
        assert_eq!(typos("", "abc"), 3);
        assert_eq!(typos("kitten", "sitting"), 3);
    }
}
