//! `timeball page`: the link that lets the page change things.

use crate::arguments::StateArguments;
use crate::error::CliError;
use crate::{output, state_client};
use std::process::ExitCode;

pub(crate) fn run(arguments: &StateArguments) -> Result<ExitCode, CliError> {
    let state = state_client::state_directory(arguments)?;
    output::line(&state_client::page_link(&state)?);
    Ok(ExitCode::SUCCESS)
}
