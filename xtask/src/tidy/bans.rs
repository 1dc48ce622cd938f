//! A core reads no clock, file, environment or random source, waits for nothing and has no random
//! order.
//!
//! Each core's clippy.toml bans the same by type; this rule also sees what clippy does not compile,
//! and that the clippy.toml is there.

use super::finding::Finding;
use super::source::{Source, closing};
use crate::project::ProjectFile;

/// Crates without effects. `api` is types only, and `sim` must replay from a seed.
const CORES: [&str; 6] = ["timebase", "ntp", "schedule", "fleet", "api", "sim"];
/// Crates whose clippy.toml must repeat the bans.
const CLIPPY_BANNED: [&str; 4] = ["timebase", "ntp", "schedule", "fleet"];

/// Names that are wrong wherever they stand.
const WORDS: [(&str, &str); 13] = [
    ("HashMap", "its order is random; use BTreeMap"),
    ("HashSet", "its order is random; use BTreeSet"),
    ("RandomState", "randomness comes as a seed"),
    ("OsRng", "randomness comes as a seed"),
    ("getrandom", "randomness comes as a seed"),
    ("thread_rng", "randomness comes as a seed"),
    ("Mutex", "a core holds no lock"),
    ("RwLock", "a core holds no lock"),
    ("UdpSocket", "a core owns no socket"),
    ("TcpStream", "a core owns no socket"),
    ("TcpListener", "a core owns no socket"),
    ("println", "a core prints nothing"),
    ("eprintln", "a core prints nothing"),
];
/// Types whose `now` reads a clock.
const CLOCKS: [&str; 5] = ["Instant", "SystemTime", "Timestamp", "Zoned", "Utc"];
/// Modules of the standard library that have effects.
const MODULES: [(&str, &str); 4] = [
    ("env", "a core reads no environment"),
    ("fs", "a core reads no file"),
    ("thread", "a core neither spawns nor waits"),
    ("process", "a core neither starts nor ends a process"),
];

pub(crate) fn check(sources: &[Source], files: &[ProjectFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let Some((name, _)) = source.module() else { continue };
        if CORES.contains(&name.as_str()) {
            findings.extend(in_source(source, &name));
        }
    }
    for name in CLIPPY_BANNED {
        let manifest = format!("crates/{name}/Cargo.toml");
        if files.iter().any(|file| file.path == manifest) {
            findings.extend(clippy_bans(name, files));
        }
    }
    findings
}

fn in_source(source: &Source, name: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tokens = &source.tokens;
    let mut used_from_std = 0..0;
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| !token.in_test) {
        if source.has(index, &["use", "std", "::"]) {
            used_from_std = index + 3..statement_end(source, index);
        }
        let mut report = |what: &str, why: &str| {
            let message = format!("`{what}` in a core: {why}");
            findings.push(Finding::new(&source.path, token.line, message));
        };
        if let Some((word, why)) = WORDS.iter().find(|(word, _)| token.text == *word) {
            report(word, why);
        }
        if CLOCKS.contains(&token.text.as_str()) && source.has(index + 1, &["::", "now"]) {
            report(&format!("{}::now", token.text), "time comes as an argument");
        }
        let Some((module, why)) = MODULES.iter().find(|(module, _)| token.text == *module) else {
            continue;
        };
        // A simulation that failed is replayed by a variable that names its seed.
        if name == "sim" && *module == "env" {
            continue;
        }
        let after = index.checked_sub(1).map_or("", |before| tokens[before].text.as_str());
        let full = index >= 2 && source.has(index - 2, &["std", "::"]);
        // `use std::fs` makes the bare `fs::read` possible, so both the import and the call are
        // found.
        let bare = after != "::" && after != "." && source.has(index + 1, &["::"]);
        if full || bare || (used_from_std.contains(&index) && matches!(after, "{" | "," | "::")) {
            report(&format!("std::{module}"), why);
        }
    }
    findings
}

fn statement_end(source: &Source, start: usize) -> usize {
    let mut index = start;
    while index < source.tokens.len() {
        match source.tokens[index].text.as_str() {
            ";" => return index,
            "{" => index = closing(&source.tokens, index),
            _ => {}
        }
        index += 1;
    }
    index
}

fn clippy_bans(name: &str, files: &[ProjectFile]) -> Vec<Finding> {
    let path = format!("crates/{name}/clippy.toml");
    let Some(file) = files.iter().find(|file| file.path == path) else {
        return vec![Finding::new(&path, 0, "is missing: a core's bans stand there for clippy")];
    };
    ["std::time::Instant::now", "std::time::SystemTime::now", "std::collections::HashMap"]
        .into_iter()
        .filter(|banned| !file.text.contains(banned))
        .map(|banned| Finding::new(&path, 0, format!("does not ban `{banned}`")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{messages, sources, tree};
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        messages(&check(&sources(&[(path, text)]), &[]))
    }

    #[test]
    fn every_effect_in_a_core_is_found() {
        for text in [
            "fn f() { std::time::Instant::now(); }",
            "fn f() { SystemTime::now(); }",
            "fn f() { jiff::Timestamp::now(); }",
            "fn f() { std::env::var(\"X\"); }",
            "use std::fs;",
            "use std::{fmt, fs::File};",
            "use std::{fmt, thread};",
            "fn f() { fs::read(\"x\"); }",
            "fn f() { std::process::exit(1) }",
            "use std::collections::HashMap;",
            "use std::sync::Mutex;",
            "fn f() { println!() }",
        ] {
            let found = found("crates/ntp/src/engine/mod.rs", text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with("crates/ntp/src/engine/mod.rs:1 "), "{found:?}");
        }
    }

    #[test]
    fn words_that_only_look_alike_pass() {
        let text =
            "/// HashMap\nfn now() { env!(\"A\"); self.process(); let fs = \"Mutex\"; config.fs }";
        assert!(found("crates/ntp/src/lib.rs", text).is_empty());
        let own = "fn f(a: Timestamp) { a.now(); process(a) }";
        assert!(found("crates/ntp/src/lib.rs", own).is_empty());
    }

    #[test]
    fn shells_and_tests_may_have_effects() {
        assert!(found("crates/agent/src/lib.rs", "use std::fs;").is_empty());
        let in_test = "#[cfg(test)] mod tests { use std::fs; use std::collections::HashMap; }";
        assert!(found("crates/ntp/src/lib.rs", in_test).is_empty());
        assert!(found("crates/ntp/tests/corpus.rs", "use std::fs;").is_empty());
        let seed = "fn f() { std::env::var(\"SEED\"); }";
        assert!(found("crates/sim/src/seeds.rs", seed).is_empty());
    }

    #[test]
    fn a_core_without_its_clippy_bans_is_found() {
        let missing = messages(&check(&[], &tree(&[("crates/ntp/Cargo.toml", "")])));
        assert_eq!(
            missing,
            ["crates/ntp/clippy.toml:0 is missing: a core's bans stand there for clippy"]
        );
        let files = tree(&[
            ("crates/ntp/Cargo.toml", ""),
            ("crates/ntp/clippy.toml", "std::time::Instant::now std::time::SystemTime::now"),
        ]);
        let weak = messages(&check(&[], &files));
        assert_eq!(weak, ["crates/ntp/clippy.toml:0 does not ban `std::collections::HashMap`"]);
    }
}
