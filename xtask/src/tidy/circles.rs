//! Imports inside a crate run one way: no module uses another that, by any way, uses it.
//!
//! Two things are no arrows. A module that only gives a name on (`pub use child::Name`) is a door;
//! whoever comes through it uses the module behind it. And a module may use what the file of a
//! module around it defines: that is the vocabulary of the room that both are in.

use super::finding::Finding;
use super::imports::{Import, Kind, imports};
use super::source::Source;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many doors in a row are followed.
const DOORS_MAX: usize = 8;

type ModulePath = Vec<String>;

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut crates: BTreeMap<String, Vec<(&Source, ModulePath)>> = BTreeMap::new();
    for source in sources {
        let Some((name, path)) = source.module() else { continue };
        // A program beside a library sees it from outside, like any other crate.
        let beside = source.path.ends_with("/src/main.rs")
            && sources.iter().any(|other| other.path == source.path.replace("main.rs", "lib.rs"));
        if !beside && path.first().is_none_or(|first| first != "bin") {
            crates.entry(name).or_default().push((source, path));
        }
    }
    crates.values().flat_map(|files| Graph::build(files).circles()).collect()
}

/// The modules of one crate.
struct Graph<'a> {
    modules: BTreeMap<ModulePath, Module<'a>>,
}

struct Module<'a> {
    source: &'a Source,
    imports: Vec<Import>,
    /// The modules it uses, each with the first line that does.
    uses: BTreeMap<ModulePath, usize>,
}

impl<'a> Graph<'a> {
    fn build(files: &[(&'a Source, ModulePath)]) -> Self {
        let mut modules = BTreeMap::new();
        for (source, path) in files {
            let imports = imports(source, path);
            modules.insert(path.clone(), Module { source, imports, uses: BTreeMap::new() });
        }
        let mut graph = Self { modules };
        let uses: Vec<(ModulePath, ModulePath, usize)> =
            graph.modules.keys().flat_map(|path| graph.uses_of(path)).collect();
        for (from, to, line) in uses {
            let module = graph.modules.get_mut(&from).expect("the path comes from the map");
            module.uses.entry(to).or_insert(line);
        }
        graph
    }

    fn uses_of(&self, path: &ModulePath) -> Vec<(ModulePath, ModulePath, usize)> {
        let module = &self.modules[path];
        let mut uses = Vec::new();
        for import in &module.imports {
            if import.kind == Kind::GivenOn && !uses_name(module.source, &import.name) {
                continue;
            }
            if let Some(target) = self.resolve(&import.path, DOORS_MAX)
                && !path.starts_with(&target)
            {
                uses.push((path.clone(), target, import.line));
            }
        }
        uses
    }

    /// The module where a path's name is at home.
    fn resolve(&self, path: &[String], doors: usize) -> Option<ModulePath> {
        let length = (0..=path.len()).rev().find(|&n| self.modules.contains_key(&path[..n]))?;
        let here = path[..length].to_vec();
        let Some(name) = path.get(length) else { return Some(here) };
        if doors == 0 || name == "*" {
            return Some(here);
        }
        let module = &self.modules[&here];
        // What a module uses is visible to the modules in it too, so both kinds are doors.
        for import in module.imports.iter().filter(|import| import.kind != Kind::Inline) {
            if import.name == *name {
                return self.resolve(&import.path, doors - 1);
            }
            if import.name == "*" && !defines(module.source, name) {
                let behind = self.resolve(&import.path[..import.path.len() - 1], doors - 1)?;
                if defines(self.modules[&behind].source, name) {
                    return Some(behind);
                }
            }
        }
        Some(here)
    }

    fn circles(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut reported: BTreeSet<BTreeSet<ModulePath>> = BTreeSet::new();
        for start in self.modules.keys() {
            let Some(circle) = self.shortest_circle(start) else { continue };
            if !reported.insert(circle.iter().cloned().collect()) {
                continue;
            }
            let next = circle.get(1).unwrap_or(start);
            let module = &self.modules[start];
            let line = module.uses.get(next).copied().unwrap_or(0);
            let names: Vec<String> = circle.iter().chain([start]).map(|path| shown(path)).collect();
            let message = format!("circle of imports: {}", names.join(" -> "));
            findings.push(Finding::new(&module.source.path, line, message));
        }
        findings
    }

    /// The modules on the shortest way from `start` back to it, beginning with it.
    fn shortest_circle(&self, start: &ModulePath) -> Option<Vec<ModulePath>> {
        let mut came_from: BTreeMap<&ModulePath, &ModulePath> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(path) = queue.pop_front() {
            for next in self.modules[path].uses.keys() {
                if next == start {
                    let mut circle = vec![path.clone()];
                    let mut at = path;
                    while let Some(&before) = came_from.get(at) {
                        circle.push(before.clone());
                        at = before;
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if !came_from.contains_key(next) {
                    came_from.insert(next, path);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// Whether a file uses a name outside `use` statements.
fn uses_name(source: &Source, name: &str) -> bool {
    let mut in_use = false;
    for token in source.tokens.iter().filter(|token| !token.in_test) {
        match token.text.as_str() {
            "use" => in_use = true,
            ";" => in_use = false,
            text if !in_use && text == name => return true,
            _ => {}
        }
    }
    false
}

/// Whether a file defines an item of this name.
fn defines(source: &Source, name: &str) -> bool {
    const ITEMS: [&str; 9] =
        ["struct", "enum", "union", "trait", "type", "fn", "const", "static", "mod"];
    source
        .tokens
        .windows(2)
        .any(|pair| pair[1].text == name && ITEMS.contains(&pair[0].text.as_str()))
}

fn shown(path: &[String]) -> String {
    if path.is_empty() { "crate".to_owned() } else { path.join("::") }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{messages, sources};
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        messages(&check(&sources(files)))
    }

    #[test]
    fn two_modules_that_use_each_other_are_one_circle() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod x; mod y;"),
            ("crates/a/src/x.rs", "\nuse crate::y::Y; pub struct X;"),
            ("crates/a/src/y.rs", "use super::x::X; pub struct Y;"),
        ]);
        assert_eq!(found, ["crates/a/src/x.rs:2 circle of imports: x -> y -> x"]);
    }

    #[test]
    fn a_long_circle_through_code_and_doors_is_found() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod x; mod y; mod z; pub use z::Z;"),
            ("crates/a/src/x.rs", "fn f() { crate::y::g() }"),
            ("crates/a/src/y.rs", "use crate::Z; pub fn g() {}"),
            ("crates/a/src/z/mod.rs", "mod deep; pub use deep::*;"),
            ("crates/a/src/z/deep.rs", "use crate::x; pub struct Z;"),
        ]);
        assert_eq!(found, ["crates/a/src/x.rs:1 circle of imports: x -> y -> z::deep -> x"]);
    }

    #[test]
    fn a_name_that_is_given_on_and_used_here_too_is_an_arrow() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod x; mod y;"),
            ("crates/a/src/x/mod.rs", "mod part; pub use part::Part; pub struct Whole { p: Part }"),
            ("crates/a/src/x/part.rs", "use crate::y::Y; pub struct Part;"),
            ("crates/a/src/y.rs", "use crate::x::Whole; pub struct Y;"),
        ]);
        assert_eq!(found, ["crates/a/src/x/mod.rs:1 circle of imports: x -> x::part -> y -> x"],);
    }

    #[test]
    fn siblings_that_use_each_other_through_what_their_parent_imported_are_a_circle() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod x; mod y; use x::X; use y::Y;"),
            ("crates/a/src/x.rs", "use super::Y; pub struct X;"),
            ("crates/a/src/y.rs", "use super::X; pub struct Y;"),
        ]);
        assert_eq!(found, ["crates/a/src/x.rs:1 circle of imports: x -> y -> x"]);
    }

    #[test]
    fn a_child_may_use_what_its_parent_defines() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod child; pub struct Home; fn f() { child::run() }"),
            ("crates/a/src/child.rs", "use super::Home; pub fn run() {}"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn doors_siblings_and_tests_make_no_circle() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod x; mod y; pub use x::X; pub use y::Y;"),
            ("crates/a/src/x.rs", "use crate::Y; pub struct X;"),
            ("crates/a/src/y.rs", "pub struct Y; #[cfg(test)] mod tests { use crate::X; }"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_type_with_its_methods_in_child_files_makes_no_circle() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod poll; pub struct Engine; fn f(e: &Engine) { e.poll() }"),
            (
                "crates/a/src/poll.rs",
                "use super::Engine; impl Engine { pub(super) fn poll(&self) {} }",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn crates_with_modules_of_the_same_name_are_kept_apart() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod x; mod y;"),
            ("crates/a/src/x.rs", "use crate::y::Y;"),
            ("crates/b/src/lib.rs", "mod x; mod y;"),
            ("crates/b/src/y.rs", "use crate::x::X;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
