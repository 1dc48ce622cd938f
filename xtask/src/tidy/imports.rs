//! Which paths inside its own crate a file names: in `use`, in `pub use`, and in running code.

use super::source::{Source, closing};

/// A path that a file names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Import {
    /// From the crate's root, without `crate`.
    pub(crate) path: Vec<String>,
    /// The name it has here; `*` for all names.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

/// How a path is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// `pub use`: given on to others.
    GivenOn,
    /// `use`: for this module, and for the modules in it.
    Used,
    /// In running code; no name stays behind.
    Inline,
}

/// The imports of a file outside its tests; `module` is the file's own path.
pub(crate) fn imports(source: &Source, module: &[String]) -> Vec<Import> {
    let mut reader = Reader { source, scope: module.to_vec(), found: Vec::new() };
    let children = children(source);
    // The inline modules that are open, each with the token where it ends.
    let mut open: Vec<usize> = Vec::new();
    let mut index = 0;
    while index < source.tokens.len() {
        while open.last().is_some_and(|&end| index > end) {
            open.pop();
            reader.scope.pop();
        }
        let token = &source.tokens[index];
        if token.in_test {
            index += 1;
            continue;
        }
        match token.text.as_str() {
            "use" => {
                index = reader.statement(index, &children);
                continue;
            }
            "mod" if source.has(index + 2, &["{"]) => {
                open.push(closing(&source.tokens, index + 2));
                reader.scope.push(source.tokens[index + 1].text.clone());
                index += 3;
                continue;
            }
            _ if !follows_path(source, index) && source.has(index + 1, &["::"]) => {
                reader.inline(index, &children);
            }
            _ => {}
        }
        index += 1;
    }
    reader.found
}

struct Reader<'a> {
    source: &'a Source,
    /// The module that paths are relative to.
    scope: Vec<String>,
    found: Vec<Import>,
}

impl Reader<'_> {
    /// Reads `use …;` at `at`; returns the index after it.
    fn statement(&mut self, at: usize, children: &[String]) -> usize {
        let given_on = at > 0 && matches!(self.source.tokens[at - 1].text.as_str(), "pub" | ")");
        let kind = if given_on { Kind::GivenOn } else { Kind::Used };
        let end = (at..self.source.tokens.len())
            .find(|&index| self.source.tokens[index].text == ";")
            .unwrap_or(self.source.tokens.len());
        self.branch(at + 1, end, &[], kind, children);
        end + 1
    }

    /// Reads one branch of a use tree, `prefix` being the words before it.
    fn branch(
        &mut self,
        from: usize,
        to: usize,
        prefix: &[String],
        kind: Kind,
        children: &[String],
    ) {
        let tokens = &self.source.tokens;
        let mut words = prefix.to_vec();
        let mut alias = None;
        let mut index = from;
        while index < to {
            match tokens[index].text.as_str() {
                "{" => {
                    let end = closing(tokens, index);
                    for (start, stop) in self.parts(index + 1, end) {
                        self.branch(start, stop, &words, kind, children);
                    }
                    return;
                }
                "as" => {
                    alias = tokens.get(index + 1).map(|token| token.text.clone());
                    break;
                }
                "::" => {}
                word => words.push(word.to_owned()),
            }
            index += 1;
        }
        if words.last().is_some_and(|word| word == "self") && words.len() > 1 {
            words.pop();
        }
        self.take(&words, alias, kind, from, children);
    }

    /// Splits what is between two braces at its outer commas.
    fn parts(&self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let mut parts = Vec::new();
        let (mut start, mut index) = (from, from);
        while index < to {
            match self.source.tokens[index].text.as_str() {
                "{" => index = closing(&self.source.tokens, index),
                "," => {
                    parts.push((start, index));
                    start = index + 1;
                }
                _ => {}
            }
            index += 1;
        }
        parts.push((start, to));
        parts.retain(|(start, stop)| start < stop);
        parts
    }

    /// Reads a path in running code, such as `crate::span::parse(…)` or `child::run()`.
    fn inline(&mut self, at: usize, children: &[String]) {
        let tokens = &self.source.tokens;
        let mut words = vec![tokens[at].text.clone()];
        let mut index = at + 1;
        while self.source.has(index, &["::"]) && tokens.get(index + 1).is_some_and(|t| t.is_word())
        {
            words.push(tokens[index + 1].text.clone());
            index += 2;
        }
        self.take(&words, None, Kind::Inline, at, children);
    }

    fn take(
        &mut self,
        words: &[String],
        alias: Option<String>,
        kind: Kind,
        at: usize,
        children: &[String],
    ) {
        let Some(path) = absolute(words, &self.scope, children) else { return };
        let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
        let line = self.source.tokens[at].line;
        self.found.push(Import { path, name, kind, line });
    }
}

/// The path from the crate's root; `None` if it leads to another crate or to a local name.
fn absolute(words: &[String], scope: &[String], children: &[String]) -> Option<Vec<String>> {
    let mut path = scope.to_vec();
    let mut rest = words;
    match words.first()?.as_str() {
        "crate" => {
            path.clear();
            rest = &words[1..];
        }
        "self" => rest = &words[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                path.pop();
                rest = &rest[1..];
            }
        }
        first if children.iter().any(|child| child == first) => {}
        _ => return None,
    }
    path.extend(rest.iter().cloned());
    Some(path)
}

/// The modules that a file declares as files of their own.
fn children(source: &Source) -> Vec<String> {
    (0..source.tokens.len())
        .filter(|&index| source.has(index, &["mod"]) && source.has(index + 2, &[";"]))
        .map(|index| source.tokens[index + 1].text.clone())
        .collect()
}

fn follows_path(source: &Source, index: usize) -> bool {
    index > 0 && source.tokens[index - 1].text == "::"
}

#[cfg(test)]
mod tests {
    use super::super::testing::sources;
    use super::*;

    fn paths(text: &str, module: &[&str]) -> Vec<(String, String, Kind)> {
        let source = &sources(&[("crates/a/src/lib.rs", text)])[0];
        let module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
        let show = |import: Import| (import.path.join("::"), import.name, import.kind);
        imports(source, &module).into_iter().map(show).collect()
    }

    fn path(path: &str, name: &str, kind: Kind) -> (String, String, Kind) {
        (path.to_owned(), name.to_owned(), kind)
    }

    #[test]
    fn use_trees_are_taken_apart() {
        let text = "use crate::{a::{self, B as C}, d::*}; pub(crate) use super::e; use std::fs;";
        let expected = [
            path("a", "a", Kind::Used),
            path("a::B", "C", Kind::Used),
            path("d::*", "*", Kind::Used),
            path("m::e", "e", Kind::GivenOn),
        ];
        assert_eq!(paths(text, &["m", "n"]), expected);
    }

    #[test]
    fn paths_in_code_and_through_children_count() {
        let text = "mod child; fn f() { child::run(); crate::x::y(); other::z(); a::child::w() }";
        assert_eq!(
            paths(text, &["m"]),
            [path("m::child::run", "run", Kind::Inline), path("x::y", "y", Kind::Inline)]
        );
    }

    #[test]
    fn paths_of_inline_modules_are_relative_to_them() {
        let text = "mod inner { use super::b; use super::super::c; } use super::d;";
        let expected = [
            path("m::n::b", "b", Kind::Used),
            path("m::c", "c", Kind::Used),
            path("m::d", "d", Kind::Used),
        ];
        assert_eq!(paths(text, &["m", "n"]), expected);
    }

    #[test]
    fn tests_do_not_count() {
        assert!(paths("#[cfg(test)] mod tests { use super::a; use crate::b; }", &["m"]).is_empty());
    }
}
