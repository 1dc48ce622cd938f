//! Every crate from outside has its reason in docs/decisions, its version in one place, and a user.

use super::finding::Finding;
use crate::project::ProjectFile;
use std::collections::BTreeSet;

const WORKSPACE: &str = "Cargo.toml";
const DECISIONS: &str = "docs/decisions/";
const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(crate) fn check(files: &[ProjectFile]) -> Vec<Finding> {
    let manifest = |file: &ProjectFile| file.text.parse::<toml::Table>().ok();
    let Some(workspace) = files.iter().find(|file| file.path == WORKSPACE).and_then(manifest)
    else {
        return vec![Finding::new(WORKSPACE, 0, "is missing, or no TOML")];
    };
    let offered: BTreeSet<&str> = workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies")?.as_table())
        .map(|table| table.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for file in files.iter().filter(|file| is_member(&file.path)) {
        for (name, entry) in manifest(file).iter().flat_map(entries) {
            if entry.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                let message = format!("`{name}`: its version belongs into {WORKSPACE}");
                findings.push(Finding::new(&file.path, 0, message));
            }
            used.insert(name);
        }
    }
    // Our own are offered to all; which may be used says the table in docs/architecture.md.
    for name in offered.iter().filter(|name| !is_ours(name) && !used.contains(**name)) {
        findings.push(Finding::new(WORKSPACE, 0, format!("`{name}` is used by no crate")));
    }
    for name in offered.iter().filter(|name| !is_ours(name) && !has_reason(name, files)) {
        let message = format!("`{name}` has no sentence in {DECISIONS}: why this crate?");
        findings.push(Finding::new(WORKSPACE, 0, message));
    }
    findings
}

fn is_member(path: &str) -> bool {
    (path.starts_with("crates/") || path.starts_with("xtask/")) && path.ends_with("/Cargo.toml")
}

fn is_ours(name: &str) -> bool {
    name.starts_with("timeball-")
}

/// A manifest's dependencies, in every section and for every target.
fn entries(manifest: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let sections = tables.iter().flat_map(|table| SECTIONS.map(|section| table.get(section)));
    let sections = sections.flatten().filter_map(toml::Value::as_table);
    sections.flatten().map(|(name, entry)| (name.clone(), entry.clone())).collect()
}

fn has_reason(name: &str, files: &[ProjectFile]) -> bool {
    let quoted = format!("`{name}`");
    files.iter().any(|file| file.path.starts_with(DECISIONS) && file.text.contains(&quoted))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{messages, tree};
    use super::*;

    const ROOT: &str = "[workspace.dependencies]\nserde = \"1\"\ntimeball-a = { path = \"a\" }\n";
    const USER: &str =
        "[dependencies]\nserde.workspace = true\n[dev-dependencies]\ntimeball-a.workspace = true\n";

    fn found(root: &str, member: &str, decision: &str) -> Vec<String> {
        messages(&check(&tree(&[
            ("Cargo.toml", root),
            ("crates/b/Cargo.toml", member),
            ("docs/decisions/0001-x.md", decision),
        ])))
    }

    #[test]
    fn a_crate_with_a_reason_and_a_user_passes() {
        assert!(found(ROOT, USER, "`serde`: for files.").is_empty());
    }

    #[test]
    fn a_crate_without_a_reason_or_without_a_user_is_found() {
        assert!(found(ROOT, USER, "`serde_json`: for files.")[0].contains("no sentence"));
        let unused = found(ROOT, "[dependencies]\ntimeball-a.workspace = true\n", "`serde`");
        assert_eq!(unused, ["Cargo.toml:0 `serde` is used by no crate"]);
    }

    #[test]
    fn a_version_outside_the_workspace_is_found_in_every_section() {
        for section in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            let member = format!("{USER}\n[{section}.anyhow]\nversion = \"1\"\n");
            let member = member.replace("[dependencies.anyhow]", "[build-dependencies.anyhow]");
            let found = found(ROOT, &member, "`serde`");
            assert_eq!(found.len(), 1, "{section}: {found:?}");
            assert!(found[0].contains("belongs into Cargo.toml"));
        }
    }
}
