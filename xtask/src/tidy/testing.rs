//! Trees for the rules' tests.

use super::finding::Finding;
use super::source::Source;
use crate::project::ProjectFile;

/// Makes a tree of files for the rules' tests.
pub(crate) fn tree(files: &[(&str, &str)]) -> Vec<ProjectFile> {
    let file = |(path, text): &(&str, &str)| ProjectFile {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    files.iter().map(file).collect()
}

/// The same, read as Rust.
pub(crate) fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    tree(files).iter().map(Source::read).collect()
}

/// The findings as they are printed.
pub(crate) fn messages(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.message))
        .collect()
}
