//! Files to 500 lines, functions to 70, lines to 100 columns.
//!
//! What is over the limit stands in xtask/tidy-allow.toml with its size of today. That list is a
//! ratchet: more is refused, and so is less until the number is lowered, so an entry can only
//! shrink and then go.

use super::finding::Finding;
use super::source::{Source, closing};
use crate::project::ProjectFile;
use std::collections::BTreeMap;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const STRING_COLUMNS: usize = 20;
const COLUMNS_MAX: usize = 100;
const ALLOWED: &str = "xtask/tidy-allow.toml";

/// Sizes over a limit, by what they belong to: `path` or `path::function`.
type Sizes = BTreeMap<String, (usize, Finding)>;

pub(crate) fn check(sources: &[Source], files: &[ProjectFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut sizes = Sizes::new();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!("{lines} lines, and a file has at most {FILE_LINES_MAX}");
            sizes.insert(source.path.clone(), (lines, Finding::new(&source.path, 0, message)));
        }
        for function in functions(source) {
            if function.lines > FUNCTION_LINES_MAX {
                let Function { name, line, lines } = function;
                let message = format!(
                    "fn {name}: {lines} lines, and a function has at most {FUNCTION_LINES_MAX}"
                );
                let key = format!("{}::{name}", source.path);
                sizes.insert(key, (lines, Finding::new(&source.path, line, message)));
            }
        }
        findings.extend(long_lines(source));
    }
    findings.extend(against_allowed(sizes, files));
    findings
}

struct Function {
    name: String,
    line: usize,
    /// From `fn` to the brace that ends the body.
    lines: usize,
}

fn functions(source: &Source) -> Vec<Function> {
    let tokens = &source.tokens;
    let mut functions = Vec::new();
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        // `fn(u8) -> u8` is a type and has no name.
        let Some(name) = tokens.get(index + 1).filter(|name| name.is_word()) else { continue };
        let mut at = index + 2;
        while at < tokens.len() && !matches!(tokens[at].text.as_str(), "{" | ";") {
            if matches!(tokens[at].text.as_str(), "(" | "[") {
                at = closing(tokens, at);
            }
            at += 1;
        }
        if at < tokens.len() && tokens[at].text == "{" {
            let lines = tokens[closing(tokens, at)].line - token.line + 1;
            functions.push(Function { name: name.text.clone(), line: token.line, lines });
        }
    }
    functions
}

fn long_lines(source: &Source) -> Vec<Finding> {
    // rustfmt cannot break a string; a line with one may run over somewhat.
    let limit = |line: &str| COLUMNS_MAX + if line.contains('"') { STRING_COLUMNS } else { 0 };
    let too_long = |line: &&str| line.chars().count() > limit(line);
    let lines = source.text.lines().enumerate().filter(|(_, line)| too_long(line));
    lines
        .map(|(index, line)| {
            let columns = line.chars().count();
            let message = format!("{columns} columns, and a line has at most {COLUMNS_MAX}");
            Finding::new(&source.path, index + 1, message)
        })
        .collect()
}

fn against_allowed(sizes: Sizes, files: &[ProjectFile]) -> Vec<Finding> {
    let list = files.iter().find(|file| file.path == ALLOWED);
    let allowed = match list.map(|file| file.text.parse::<toml::Table>()) {
        None => toml::Table::new(),
        Some(Ok(table)) => table,
        Some(Err(error)) => {
            return vec![Finding::new(ALLOWED, 0, format!("is no TOML: {error}"))];
        }
    };
    let mut findings = Vec::new();
    for (what, value) in &allowed {
        let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
        match (number, sizes.get(what)) {
            (None, _) => {
                findings.push(Finding::new(ALLOWED, 0, format!("\"{what}\" has no whole number")));
            }
            (_, None) => {
                let message = format!("\"{what}\" is within the limit now: remove it");
                findings.push(Finding::new(ALLOWED, 0, message));
            }
            (Some(number), Some((size, _))) if *size < number => {
                let message = format!("\"{what}\" has shrunk: lower {number} to {size}");
                findings.push(Finding::new(ALLOWED, 0, message));
            }
            _ => {}
        }
    }
    for (what, (size, finding)) in sizes {
        let number = allowed.get(&what).and_then(toml::Value::as_integer).unwrap_or(0);
        if usize::try_from(number).is_ok_and(|number| size > number) {
            findings.push(finding);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::{messages, sources, tree};
    use super::*;

    const PATH: &str = "crates/a/src/lib.rs";

    fn found(text: &str, allowed: &str) -> Vec<String> {
        messages(&check(&sources(&[(PATH, text)]), &tree(&[(ALLOWED, allowed)])))
    }

    fn function(lines: usize) -> String {
        format!(
            "\nfn long<const N: usize>(a: [u8; 4]) where u8: Copy {{{}}}\n",
            "\n".repeat(lines - 1)
        )
    }

    #[test]
    fn a_long_function_is_found_and_a_short_one_is_not() {
        assert!(found(&function(70), "").is_empty());
        let expected = "crates/a/src/lib.rs:2 fn long: 71 lines, and a function has at most 70";
        assert_eq!(found(&function(71), ""), [expected]);
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(found(&"\n".repeat(500), "").is_empty());
        let expected = "crates/a/src/lib.rs:0 501 lines, and a file has at most 500";
        assert_eq!(found(&"\n".repeat(501), ""), [expected]);
    }

    #[test]
    fn a_long_line_is_found_and_characters_are_counted_not_octets() {
        assert!(found(&"é".repeat(100), "").is_empty());
        assert_eq!(found(&"x".repeat(101), "").len(), 1);
    }

    #[test]
    fn an_allowed_size_passes_only_when_it_is_exact() {
        let allowed = "\"crates/a/src/lib.rs::long\" = 80\n";
        assert!(found(&function(80), allowed).is_empty());
        assert!(found(&function(81), allowed)[0].contains("81 lines"));
        assert!(found(&function(79), allowed)[0].contains("lower 80 to 79"));
        assert!(found(&function(5), allowed)[0].contains("remove it"));
        assert!(
            found(&function(80), "\"crates/a/src/lib.rs::long\" = \"80\"")[0].contains("whole")
        );
    }
}
