//! Puts the commit into `timeball --version`.

use std::process::Command;

fn main() {
    // A source archive has no history; then the version alone has to do.
    let commit =
        git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(|| "no-commit".to_owned());
    // Without locks: git would write the index that is watched below, and the next build would
    // begin anew.
    let dirty = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|changes| !changes.is_empty());
    let suffix = if dirty { "+changes" } else { "" };
    println!("cargo::rustc-env=TIMEBALL_COMMIT={commit}{suffix}");
    for name in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
