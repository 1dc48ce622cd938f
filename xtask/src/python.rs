//! python-dateutil in a virtual environment: a peer of the schedule language's tests.

use crate::project::Project;
use crate::steps::{self, Steps};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Makes the environment where it is missing; where that is no failure, says what will be skipped.
pub(crate) fn add_step(project: &Project, steps: &mut Steps) {
    let interpreter = project.python();
    let what = "python: dateutil in a virtual environment under the target directory";
    steps.step(what, |tally| match make(&interpreter) {
        Err(error) if !Project::is_ci() => {
            tally.skipped.push(format!("recurrence rules beside python-dateutil: {error:#}"));
            Ok(())
        }
        outcome => outcome,
    });
}

fn make(interpreter: &Path) -> Result<()> {
    let imports = |program: &Path| {
        let run = Command::new(program).args(["-c", "import dateutil"]).output();
        run.is_ok_and(|output| output.status.success())
    };
    if imports(interpreter) || imports(Path::new("python3")) {
        steps::say("    already there");
        return Ok(());
    }
    let directory = interpreter.ancestors().nth(2).context("the interpreter is in a directory")?;
    steps::output(Command::new("python3").args(["-m", "venv"]).arg(directory))
        .context("python3 cannot make a virtual environment (Debian: python3-venv)")?;
    steps::output(Command::new(interpreter).args([
        "-m",
        "pip",
        "install",
        "-q",
        "python-dateutil",
    ]))
    .context("pip cannot install python-dateutil")?;
    Ok(())
}
