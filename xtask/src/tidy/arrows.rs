//! Crates use each other only as the table in docs/architecture.md draws it.
//!
//! The table is read from the document, so the document cannot say something else than what is
//! checked.

use super::finding::Finding;
use crate::project::ProjectFile;
use std::collections::{BTreeMap, BTreeSet};

const DOCUMENT: &str = "docs/architecture.md";
/// The row that a crate's tests may use although no arrow leads there.
const TESTS_ONLY: &str = "(tests only)";

/// What the table allows.
#[derive(Debug, Default, Eq, PartialEq)]
struct Arrows {
    allowed: BTreeMap<String, BTreeSet<String>>,
    tests_only: BTreeSet<String>,
}

pub(crate) fn check(files: &[ProjectFile]) -> Vec<Finding> {
    let Some(document) = files.iter().find(|file| file.path == DOCUMENT) else {
        return vec![Finding::new(DOCUMENT, 0, "is missing: it draws which crate may use which")];
    };
    let arrows = Arrows::parse(&document.text);
    if arrows.allowed.is_empty() {
        return vec![Finding::new(DOCUMENT, 0, "has no table `| crate | may use |`")];
    }
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files {
        let Some(name) = crate_of_manifest(&file.path) else { continue };
        seen.insert(name.to_owned());
        match file.text.parse::<toml::Table>() {
            Ok(manifest) => findings.extend(arrows.check_manifest(name, &file.path, &manifest)),
            Err(error) => {
                findings.push(Finding::new(&file.path, 0, format!("is no TOML: {error}")));
            }
        }
    }
    for name in arrows.allowed.keys().filter(|name| !seen.contains(*name)) {
        findings.push(Finding::new(
            DOCUMENT,
            0,
            format!("draws crate `{name}`, which is not there"),
        ));
    }
    findings
}

impl Arrows {
    fn parse(document: &str) -> Self {
        let mut arrows = Self::default();
        let rows = document
            .lines()
            .skip_while(|line| !line.replace(' ', "").starts_with("|crate|mayuse|"))
            .skip(2)
            .take_while(|line| line.trim_start().starts_with('|'));
        for row in rows {
            let mut cells = row.trim().trim_matches('|').split('|');
            let (Some(who), Some(what)) = (cells.next(), cells.next()) else { continue };
            let uses: BTreeSet<String> = if what.contains("all of the above") {
                arrows.allowed.keys().cloned().collect()
            } else {
                quoted(what).collect()
            };
            for name in quoted(who) {
                if who.contains(TESTS_ONLY) {
                    arrows.tests_only.insert(name.clone());
                }
                arrows.allowed.insert(name, uses.clone());
            }
        }
        arrows
    }

    fn check_manifest(&self, name: &str, path: &str, manifest: &toml::Table) -> Vec<Finding> {
        let Some(allowed) = self.allowed.get(name) else {
            return vec![Finding::new(path, 0, format!("crate `{name}` has no row in {DOCUMENT}"))];
        };
        let mut findings = Vec::new();
        for (section, used) in ours(manifest) {
            let in_tests = section == "dev-dependencies" && self.tests_only.contains(&used);
            if !allowed.contains(&used) && !in_tests {
                let message =
                    format!("[{section}]: `{name}` may not use `{used}` (see {DOCUMENT})");
                findings.push(Finding::new(path, 0, message));
            } else if self.tests_only.contains(&used) && section != "dev-dependencies" {
                let message = format!("[{section}]: `{used}` is for tests only");
                findings.push(Finding::new(path, 0, message));
            }
        }
        findings
    }
}

fn crate_of_manifest(path: &str) -> Option<&str> {
    let directory = path.strip_suffix("/Cargo.toml")?;
    match directory.strip_prefix("crates/") {
        Some(name) if !name.contains('/') => Some(name),
        _ => (directory == "xtask").then_some(directory),
    }
}

/// Our crates that a manifest names, with the section that does.
fn ours(manifest: &toml::Table) -> Vec<(String, String)> {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut tables: Vec<&toml::Table> = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut found = Vec::new();
    for table in tables {
        for section in sections {
            let Some(entries) = table.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (key, value) in entries {
                // A renamed dependency has its true name in `package`.
                let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                if let Some(name) = package.strip_prefix("timeball-") {
                    found.push((section.to_owned(), name.to_owned()));
                }
            }
        }
    }
    found
}

/// The words between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = String> + '_ {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{messages, tree};
    use super::*;

    const TABLE: &str = "\
| crate | may use |
|---|---|
| `base`, `api` | nothing of ours |
| `core` | `base` |
| `shell` | `core`, `api` |
| `cli` | all of the above |
| `sim` (tests only) | `base` |

| other | table |
|---|---|
| `x` | `y` |
";

    fn manifests(wrong: &str, text: &str) -> Vec<String> {
        let mut files = vec![("docs/architecture.md".to_owned(), TABLE.to_owned())];
        for name in ["base", "api", "core", "shell", "cli", "sim"] {
            let text = if name == wrong { text } else { "[dependencies]\n" };
            files.push((format!("crates/{name}/Cargo.toml"), text.to_owned()));
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        messages(&check(&tree(&files)))
    }

    #[test]
    fn an_arrow_that_is_drawn_passes() {
        let good = "[dependencies]\ntimeball-core.workspace = true\nserde = \"1\"\n";
        assert!(manifests("shell", good).is_empty());
        assert!(manifests("cli", good).is_empty());
        assert!(
            manifests("core", "[dev-dependencies]\ntimeball-sim.workspace = true\n").is_empty()
        );
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_found_in_every_section_and_under_any_name() {
        for text in [
            "[dependencies]\ntimeball-shell.workspace = true\n",
            "[dev-dependencies]\ntimeball-shell = { path = \"../shell\" }\n",
            "[build-dependencies]\ntimeball-shell.workspace = true\n",
            "[target.'cfg(unix)'.dependencies]\ntimeball-shell.workspace = true\n",
            "[dependencies]\nhidden = { package = \"timeball-shell\", path = \"../shell\" }\n",
        ] {
            let found = manifests("core", text);
            assert!(
                found.len() == 1 && found[0].contains("may not use `shell`"),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_for_tests_only_is_no_dependency_of_a_program() {
        let found = manifests("cli", "[dependencies]\ntimeball-sim.workspace = true\n");
        assert!(found[0].contains("may not use `sim`"), "{found:?}");
    }

    #[test]
    fn a_crate_that_is_not_drawn_and_a_drawn_one_that_is_not_there_are_found() {
        let files =
            tree(&[("docs/architecture.md", TABLE), ("crates/new/Cargo.toml", "[dependencies]\n")]);
        let found = messages(&check(&files)).join("\n");
        assert!(found.contains("crate `new` has no row"), "{found}");
        assert!(found.contains("draws crate `core`, which is not there"), "{found}");
    }

    #[test]
    fn a_document_without_the_table_is_found() {
        let files = tree(&[("docs/architecture.md", "# Architecture\n")]);
        assert!(messages(&check(&files))[0].contains("has no table"));
        assert!(messages(&check(&[]))[0].contains("is missing"));
    }
}
