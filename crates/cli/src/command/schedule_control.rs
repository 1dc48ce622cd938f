//! `timeball schedule pause`, `resume`, `run`, `backfill`, `diff` and `reload`.

use crate::arguments::{AskArguments, BackfillArguments, ChangeArguments, RunArguments};
use crate::command::schedule_next::instant;
use crate::error::CliError;
use crate::output::{self, Format};
use crate::state_client::{self, path_of};
use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;
use timeball_api::control::{Accepted, Backfill, Change};
use timeball_api::files::{FileChange, FileChanges};
use timeball_timebase::Timestamp;

pub(crate) fn pause(arguments: &ChangeArguments) -> Result<ExitCode, CliError> {
    let accepted = change(arguments, "pause")?;
    say(arguments, &accepted, &format!("{} is paused", arguments.name))
}

pub(crate) fn resume(arguments: &ChangeArguments) -> Result<ExitCode, CliError> {
    let accepted = change(arguments, "resume")?;
    say(arguments, &accepted, &format!("{} goes on", arguments.name))
}

pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode, CliError> {
    let RunArguments { change: of, yes } = arguments;
    if !yes {
        confirm(&format!("Run {} now?", of.name))?;
    }
    let accepted = change(of, "run")?;
    let name = &of.name;
    say(of, &accepted, &format!("{name} runs; see `timeball schedule history {name}`"))
}

pub(crate) fn backfill(arguments: &BackfillArguments) -> Result<ExitCode, CliError> {
    let of = &arguments.change;
    let until = match &arguments.to {
        Some(text) => instant("--to", text)?,
        None => timeball_runtime::read_clocks().system,
    };
    let range = Backfill {
        from_ns: instant("--from", &arguments.from)?.as_unix_nanos(),
        until_ns: until.as_unix_nanos(),
        limit: arguments.limit,
        parallel: arguments.parallel,
        again: arguments.again,
        dry_run: true,
        why: of.why.clone(),
    };
    let path = format!("{}/backfill", path_of(&of.name)?);
    let state = state_client::state_directory(&of.ask.state)?;
    let would: Accepted = state_client::post(&state, &path, &range)?;
    if arguments.dry_run {
        return say(of, &would, &format!("would run {}", summary(&would)));
    }
    if !arguments.yes {
        confirm(&format!("Run {} of {}?", summary(&would), of.name))?;
    }
    let range = Backfill { dry_run: false, ..range };
    let accepted: Accepted = state_client::post(&state, &path, &range)?;
    say(of, &accepted, &format!("running {}", summary(&accepted)))
}

pub(crate) fn diff(arguments: &AskArguments) -> Result<ExitCode, CliError> {
    let state = state_client::state_directory(&arguments.state)?;
    show(arguments, &state_client::get(&state, "/v1/schedules/changes")?)
}

pub(crate) fn reload(arguments: &AskArguments) -> Result<ExitCode, CliError> {
    let state = state_client::state_directory(&arguments.state)?;
    show(arguments, &state_client::post(&state, "/v1/schedules/reload", &())?)
}

fn change(arguments: &ChangeArguments, what: &str) -> Result<Accepted, CliError> {
    let state = state_client::state_directory(&arguments.ask.state)?;
    let path = format!("{}/{what}", path_of(&arguments.name)?);
    state_client::post(&state, &path, &Change { why: arguments.why.clone() })
}

fn say(of: &ChangeArguments, accepted: &Accepted, text: &str) -> Result<ExitCode, CliError> {
    match of.ask.output {
        Format::Json => output::json(accepted),
        Format::Table => output::line(text),
    };
    Ok(ExitCode::SUCCESS)
}

fn summary(accepted: &Accepted) -> String {
    let Accepted { instants_ns, left_out } = accepted;
    let at = |nanos: Option<&i64>| Timestamp::from_unix_nanos(*nanos.unwrap_or(&0));
    let mut text = match instants_ns.len() {
        1 => format!("1 instant, {}", at(instants_ns.first())),
        count => {
            let (first, last) = (at(instants_ns.first()), at(instants_ns.last()));
            format!("{count} instants, {first} to {last}")
        }
    };
    if *left_out > 0 {
        text += &format!(" ({left_out} left out, since they were fired or may have been)");
    }
    text
}

/// Asks on the terminal; without one, nothing is done unasked.
fn confirm(question: &str) -> Result<(), CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage(
            "this wants a confirmation, and there is no terminal to ask at",
        )
        .hint("say --yes"));
    }
    output::talk(&format!("{question} [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(CliError::failed("nothing was done")),
    }
}

/// Shows changes of files; what is wrong with them is a failure.
fn show(arguments: &AskArguments, told: &FileChanges) -> Result<ExitCode, CliError> {
    match arguments.output {
        Format::Json => output::json(told),
        Format::Table => {
            for change in &told.changes {
                lines(change);
            }
            if told.changes.is_empty() && told.problems.is_empty() {
                output::talk("the files hold what is in force");
            }
        }
    }
    for problem in &told.problems {
        output::talk(&format!("error: {}: {}", problem.file, problem.message));
    }
    if told.problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !told.applied {
        output::talk("hint: nothing is taken up until the files are mended");
    }
    Ok(ExitCode::FAILURE)
}

fn lines(change: &FileChange) {
    output::line(&format!("{} {}/{}", change.kind, change.namespace, change.name));
    for field in &change.fields {
        output::line(&format!("  {}", field.field));
        for (sign, value) in [('-', &field.before), ('+', &field.after)] {
            if !value.is_empty() {
                output::line(&format!("    {sign} {value}"));
            }
        }
    }
}
