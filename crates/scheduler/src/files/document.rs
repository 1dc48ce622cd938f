//! From text to documents: YAML or JSON, several in a file, unknown fields refused.

use super::error::SyntaxError;
use super::explain::explain;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Error, Options, from_multiple_with_options};
use timeball_api::calendar::{self, Calendar};
use timeball_api::cron_job::{self, PreciseCronJob};

/// Most values, and starts and ends of lists and mappings, that aliases of a text may stand for.
const ALIASED_MAX: usize = 10_000;

/// A document of a schedules directory.
pub(crate) enum Document {
    Schedule(Box<PreciseCronJob>),
    Calendar(Box<Calendar>),
}

/// What tells the kinds of documents apart.
#[derive(Deserialize)]
struct Head {
    kind: Option<String>,
}

/// Parses the documents of a file. JSON is YAML, too.
pub(crate) fn parse(text: &str) -> Result<Vec<Document>, SyntaxError> {
    let mut documents = Vec::new();
    for (line, piece) in pieces(text) {
        let heads: Vec<Head> = parse_as(piece).unwrap_or_default();
        let kind = heads.first().and_then(|head| head.kind.as_deref());
        let parsed = if kind == Some(calendar::KIND) {
            let calendar = |calendar| Document::Calendar(Box::new(calendar));
            parse_as(piece).map(|all| documents.extend(all.into_iter().map(calendar)))
        } else {
            let schedule = |job| Document::Schedule(Box::new(job));
            parse_as(piece).map(|all| documents.extend(all.into_iter().map(schedule)))
        };
        parsed.map_err(|error| match kind {
            Some(kind) if kind != calendar::KIND && kind != cron_job::KIND => {
                SyntaxError::Kind { kind: kind.to_owned() }
            }
            _ => explain(&error, piece).below(line),
        })?;
    }
    if documents.is_empty() { Err(SyntaxError::Empty) } else { Ok(documents) }
}

fn parse_as<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Error> {
    let mut options = yaml();
    options.strict_booleans = true;
    from_multiple_with_options(text, options)
}

/// How any text is read as YAML that others wrote.
///
/// A file is at most 1 MiB, so the default budget of nodes and depth suffices. Aliases stand for
/// more than the file has: without a limit to that of our own, 200 octets cost a quarter of a
/// second. Snippets of the source would make an answer of several lines.
pub(super) fn yaml() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_MAX },
    }
}

/// Parses the documents of a file of others, in which more is allowed than in ours.
pub(crate) fn parse_foreign(text: &str) -> Result<Vec<Value>, SyntaxError> {
    from_multiple_with_options(text, yaml()).map_err(|error| explain(&error, text))
}

/// The documents of a text, each with the number of lines before it. A line that begins with `---`
/// begins a document wherever it stands (YAML 1.2 section 9.1.2), so that no parser is needed.
fn pieces(text: &str) -> Vec<(u64, &str)> {
    let mut pieces = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 0, 0);
    let mut has_content = false;
    for (line, number) in text.split_inclusive('\n').zip(0..) {
        let marker = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker.is_some() && has_content {
            pieces.push((start_line, &text[start..offset]));
            (start, start_line, has_content) = (offset, number, false);
        }
        // Comments and directives before the marker belong to its document.
        let content = marker.unwrap_or(line).trim_start();
        has_content |= !content.is_empty() && !content.starts_with(['#', '%']);
        offset += line.len();
    }
    pieces.push((start_line, &text[start..]));
    pieces
}
