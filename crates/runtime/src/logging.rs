//! Where log lines and panics go: to standard error, as text for people or JSON for machines.

use std::io::{self, IsTerminal};
use std::panic;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// A line for people, coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter is not one.
    #[error(
        "log filter {filter:?}: {source}; write for example `info` or `warn,timeball_agent=debug`"
    )]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Somebody else has set up logging in this process.
    #[error("logging was already set up in this process")]
    AlreadySet,
}

/// Sends log lines that pass `filter` (`info`, `warn,timeball_agent=debug`) to standard error, and
/// panics of any thread to the log.
///
/// # Errors
/// Where the filter does not parse, or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let set = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
    };
    set.map_err(|_| LogError::AlreadySet)?;
    panic::set_hook(Box::new(|info| {
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("no message");
        tracing::error!(thread, at, "panic: {message}");
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named_with_an_example() {
        let error = init(LogFormat::Text, "nonsense=[").unwrap_err().to_string();
        assert!(error.contains("nonsense=[") && error.contains("for example"), "{error}");
    }
}
