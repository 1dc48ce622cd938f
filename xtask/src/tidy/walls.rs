//! Every library documents all that is public, every crate takes the workspace's lints, and
//! `unsafe` stands only in modules that say so at their head, each time with its reason.

use super::finding::Finding;
use super::source::Source;
use crate::project::ProjectFile;

/// How far above an `unsafe` its reason may begin, in lines.
const REASON_LINES_MAX: usize = 8;

pub(crate) fn check(sources: &[Source], files: &[ProjectFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        if source.path.starts_with("crates/") && source.path.ends_with("/src/lib.rs") {
            findings.extend(documentation(source));
        }
        let around = |other: &&Source| is_around(&other.path, &source.path);
        let allowed_around = sources.iter().filter(around).any(allows_unsafe);
        findings.extend(unsafety(source, allowed_around));
    }
    for file in files {
        let is_ours = file.path.starts_with("crates/") || file.path.starts_with("xtask/");
        if is_ours && file.path.ends_with("/Cargo.toml") && !takes_lints(&file.text) {
            let message =
                "does not take the workspace's lints: add `[lints]` with `workspace = true`";
            findings.push(Finding::new(&file.path, 0, message));
        }
    }
    findings
}

fn documentation(source: &Source) -> Option<Finding> {
    let denied = ["deny", "forbid"]
        .into_iter()
        .any(|level| contains(source, &["#", "!", "[", level, "(", "missing_docs", ")", "]"]));
    (!denied).then(|| Finding::new(&source.path, 1, "has no `#![deny(missing_docs)]`"))
}

fn unsafety(source: &Source, allowed_around: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if allows_unsafe(source) && is_root(&source.path) {
        let message = "allows `unsafe` in the whole crate: put it into one module that says so";
        findings.push(Finding::new(&source.path, 1, message));
    }
    for (index, token) in source.tokens.iter().enumerate() {
        let line = token.line;
        if source.has(index, &["#", "[", "allow", "(", "unsafe_code"]) {
            let message =
                "allows `unsafe` for one item: `#![allow(unsafe_code)]` stands at a module's head";
            findings.push(Finding::new(&source.path, line, message));
        }
        if token.text != "unsafe" {
            continue;
        }
        if !allowed_around {
            let message = "`unsafe` in a module that has no `#![allow(unsafe_code)]` at its head";
            findings.push(Finding::new(&source.path, line, message));
        }
        let needs_reason = source.has(index + 1, &["{"]) || source.has(index + 1, &["impl"]);
        if needs_reason && !has_reason(&source.text, line) {
            let message = "`unsafe` without a `// SAFETY:` that says why it is sound";
            findings.push(Finding::new(&source.path, line, message));
        }
    }
    findings
}

fn allows_unsafe(source: &Source) -> bool {
    contains(source, &["#", "!", "[", "allow", "(", "unsafe_code"])
}

fn is_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs")
}

/// Whether the first file is the second, or the head of a module that holds it.
fn is_around(outer: &str, inner: &str) -> bool {
    let directory = outer.strip_suffix("/mod.rs").or_else(|| outer.strip_suffix(".rs"));
    outer == inner || directory.is_some_and(|directory| inner.starts_with(&format!("{directory}/")))
}

/// Whether a SAFETY comment stands on the line or in the lines just above it.
fn has_reason(text: &str, line: usize) -> bool {
    let first = line.saturating_sub(REASON_LINES_MAX + 1);
    text.lines().skip(first).take(line - first).any(|line| line.contains("SAFETY: "))
}

fn contains(source: &Source, words: &[&str]) -> bool {
    (0..source.tokens.len()).any(|index| source.has(index, words))
}

fn takes_lints(manifest: &str) -> bool {
    let Ok(manifest) = manifest.parse::<toml::Table>() else { return false };
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    lints.and_then(toml::Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{messages, sources, tree};
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        messages(&check(&sources(&[(path, text)]), &[]))
    }

    #[test]
    fn a_library_that_does_not_demand_documentation_is_found() {
        assert!(found("crates/a/src/lib.rs", "#![deny(missing_docs)]").is_empty());
        assert_eq!(found("crates/a/src/lib.rs", "// #![deny(missing_docs)]").len(), 1);
    }

    #[test]
    fn unsafe_passes_only_in_a_module_that_allows_it_with_a_reason() {
        let good =
            "#![allow(unsafe_code)]\n// SAFETY: the pointer is ours.\nfn f() { unsafe { g() } }";
        assert!(found("crates/a/src/sys.rs", good).is_empty());
        let no_reason =
            found("crates/a/src/sys.rs", "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }");
        assert!(no_reason.len() == 1 && no_reason[0].contains("SAFETY"), "{no_reason:?}");
        let text = "// SAFETY: x\nfn f() { unsafe { g() } }";
        let not_allowed = found("crates/a/src/sys.rs", text);
        assert!(
            not_allowed.len() == 1 && not_allowed[0].contains("at its head"),
            "{not_allowed:?}"
        );
    }

    #[test]
    fn what_a_module_allows_holds_for_the_modules_in_it_and_no_others() {
        let child = "// SAFETY: the pointer is ours.\nfn f() { unsafe { g() } }";
        let allow = "#![allow(unsafe_code)]";
        for head in ["crates/a/src/sys/mod.rs", "crates/a/src/sys.rs"] {
            let inside = sources(&[(head, allow), ("crates/a/src/sys/timer.rs", child)]);
            assert!(check(&inside, &[]).is_empty(), "{head}");
            let beside = sources(&[(head, allow), ("crates/a/src/system.rs", child)]);
            assert_eq!(check(&beside, &[]).len(), 1, "{head}");
        }
    }

    #[test]
    fn unsafe_for_a_whole_crate_or_for_one_item_is_found() {
        let root = "#![deny(missing_docs)]\n#![allow(unsafe_code)]\n";
        assert!(found("crates/a/src/lib.rs", root)[0].contains("whole crate"));
        assert!(
            found("crates/a/src/sys.rs", "#[allow(unsafe_code)]\nmod m;")[0].contains("one item")
        );
    }

    #[test]
    fn a_manifest_without_the_lints_is_found() {
        let check = |text: &str| check(&[], &tree(&[("crates/a/Cargo.toml", text)])).len();
        assert_eq!(check("[lints]\nworkspace = true\n"), 0);
        assert_eq!(check("[lints]\nworkspace = false\n"), 1);
        assert_eq!(check("[package]\n"), 1);
    }
}
