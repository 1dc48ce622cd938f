//! Our own rules, checked by machine: what only a document says does not hold.
//!
//! Every rule is a function from files to findings and has a test with a tree that breaks it.

mod arrows;
mod bans;
mod circles;
mod dependencies;
mod finding;
mod imports;
mod places;
mod sizes;
mod source;
#[cfg(test)]
mod testing;
mod walls;

use crate::project::{Project, ProjectFile};
use crate::steps;
use anyhow::Result;
use finding::Finding;
use source::Source;

/// Checks the project; `true` if no rule is broken.
pub(crate) fn run(project: &Project) -> Result<bool> {
    let files = project.files()?;
    let places = places::Forbidden::of_this_machine(&project.root);
    let findings = findings(&files, &places);
    for finding in &findings {
        let Finding { path, line, message } = finding;
        match line {
            0 => steps::print(&format!("{path}: {message}")),
            _ => steps::print(&format!("{path}:{line}: {message}")),
        }
    }
    let word = if findings.is_empty() { "ok" } else { "FAILED" };
    let (count, breaches) = (files.len(), findings.len());
    steps::print(&format!("tidy result: {word}. {count} files; {breaches} breaches of a rule"));
    Ok(findings.is_empty())
}

fn findings(files: &[ProjectFile], forbidden: &places::Forbidden) -> Vec<Finding> {
    let sources: Vec<Source> =
        files.iter().filter(|file| file.path.ends_with(".rs")).map(Source::read).collect();
    let mut findings = Vec::new();
    findings.extend(arrows::check(files));
    findings.extend(bans::check(&sources, files));
    findings.extend(circles::check(&sources));
    findings.extend(dependencies::check(files));
    findings.extend(places::check(files, forbidden));
    findings.extend(sizes::check(&sources, files));
    findings.extend(walls::check(&sources, files));
    findings.sort();
    findings
}
