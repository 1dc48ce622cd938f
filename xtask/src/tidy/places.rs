//! No file names a place on a developer's machine or a package registry, and links between
//! documents lead somewhere.

use super::finding::Finding;
use crate::project::ProjectFile;
use std::collections::BTreeSet;
use std::path::Path;

/// Places that no file may name, besides those of the machine that checks. Each is in two parts, so
/// that this file does not name them either.
const PLACES: [(&str, &str); 13] = [
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("/ro", "ot/"),
    ("/wo", "rk/"),
    ("/var/t", "mp/"),
    ("index.cra", "tes.io"),
    ("static.cra", "tes.io"),
    ("registry.np", "mjs.org"),
    ("files.pythonh", "osted.org"),
    ("deb.deb", "ian.org"),
    ("snapshot.deb", "ian.org"),
    ("arti", "factory"),
    ("proxy.go", "lang.org"),
];

/// What no file may name.
pub(crate) struct Forbidden {
    places: BTreeSet<String>,
}

impl Forbidden {
    /// The fixed list, the checkout's own place, and the registries that this machine is set up
    /// with.
    pub(crate) fn of_this_machine(root: &Path) -> Self {
        let mut places: BTreeSet<String> =
            PLACES.iter().map(|(first, second)| format!("{first}{second}")).collect();
        places.insert(format!("{}/", root.display()));
        places.extend(configured_registries());
        // A checkout at `/` or a home directory like `/r` would forbid half of all text.
        places.retain(|place| place.len() >= 6);
        Self { places }
    }
}

pub(crate) fn check(files: &[ProjectFile], forbidden: &Forbidden) -> Vec<Finding> {
    let mut findings = Vec::new();
    let paths = with_directories(files);
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            for place in forbidden.places.iter().filter(|place| line.contains(place.as_str())) {
                let message = format!("names `{place}`, a place that other machines do not have");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
        if file.path.ends_with(".md") {
            findings.extend(dead_links(file, &paths));
        }
    }
    findings
}

/// Hosts of registries in cargo's settings and in the environment.
fn configured_registries() -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let mut settings = std::fs::read_to_string(format!("{cargo}/config.toml")).unwrap_or_default();
    for (name, value) in std::env::vars() {
        let name = name.to_lowercase();
        if name.contains("registry") || name.contains("index_url") || name.contains("goproxy") {
            settings.push('\n');
            settings.push_str(&value);
        }
    }
    hosts(&settings)
}

/// The hosts of the addresses in a text, without those that everybody uses.
fn hosts(text: &str) -> Vec<String> {
    const PUBLIC: [&str; 4] = ["github.com", "crates.io", "127.0.0.1", "localhost"];
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-');
    text.split("://")
        .skip(1)
        .filter_map(|rest| rest.split(['/', '"', '\n', ' ']).next()?.rsplit('@').next())
        .filter_map(|address| address.split(ends).next())
        .filter(|host| host.contains('.') && !PUBLIC.contains(host))
        .map(str::to_owned)
        .collect()
}

fn with_directories(files: &[ProjectFile]) -> BTreeSet<&str> {
    let mut paths = BTreeSet::new();
    for file in files {
        let mut path = file.path.as_str();
        paths.insert(path);
        while let Some((directory, _)) = path.rsplit_once('/') {
            paths.insert(directory);
            path = directory;
        }
    }
    paths
}

fn dead_links(file: &ProjectFile, paths: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for link in links(line) {
            let target = link.split(['#', '?']).next().unwrap_or_default();
            let outside = link.contains("://") || link.starts_with("mailto:") || target.is_empty();
            if !outside && !paths.contains(joined(&file.path, target).as_str()) {
                let message = format!("links to `{link}`, which is not there");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` and of `src="target"` in a line.
fn links(line: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for (open, close) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
        for rest in line.split(open).skip(1) {
            let target = rest.split(close).next().unwrap_or_default();
            links.extend(target.split_whitespace().next());
        }
    }
    links
}

/// A link's target as a path from the root.
fn joined(from: &str, target: &str) -> String {
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{messages, tree};
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let forbidden = Forbidden::of_this_machine(Path::new("/somewhere/timeball"));
        messages(&check(&tree(files), &forbidden))
    }

    #[test]
    fn places_of_a_machine_are_found_in_any_file() {
        for (first, second) in PLACES {
            let text = format!("fine\nsee {first}{second}x\n");
            let found = found(&[("deploy/values.yaml", &text)]);
            assert!(found.len() == 1 && found[0].starts_with("deploy/values.yaml:2 "), "{found:?}");
        }
        assert_eq!(found(&[("a.rs", "\"/somewhere/timeball/target\"")]).len(), 1);
    }

    #[test]
    fn registries_that_a_machine_is_set_up_with_are_read_from_its_settings() {
        let text = "[source.x]\n\
                    registry = \"sparse+https://user:word@mirror.example.net:8081/api/\"\n\
                    index = \"https://github.com/rust-lang/crates.io-index\"";
        assert_eq!(hosts(text), ["mirror.example.net"]);
    }

    #[test]
    fn a_link_to_nowhere_is_found_and_a_good_one_is_not() {
        let files = [
            (
                "README.md",
                "[a](docs/a.md#part) [b](https://example.org) [c](docs) <img src=\"p.png\">",
            ),
            ("docs/a.md", "[up](../README.md) [self](#part)\n```\n[x](y)\n```\n"),
            ("p.png", ""),
        ];
        assert!(found(&files).is_empty(), "{:?}", found(&files));
        let dead = found(&[("docs/a.md", "see\n[x](../b.md) and ![p](p.png \"title\")")]);
        assert_eq!(dead.len(), 2);
        assert!(dead[0].starts_with("docs/a.md:2 links to `../b.md`"), "{dead:?}");
    }
}
