//! Where log lines and panics go: to standard error, as text for people or JSON for machines.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::time::Duration;

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
    /// The process has no thread left.
    #[error("log lines cannot be written: {0}")]
    Thread(#[from] io::Error),
}

/// Sends log lines that pass `filter` (`info`, `warn,timeball_agent=debug`) to standard error, and
/// panics of any thread to the log.
///
/// # Errors
/// Where the filter does not parse, or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    init_to(io::stderr, format, filter)
}

/// The same for a process whose threads must not wait for whoever reads standard error: a thread of
/// its own writes the lines, and too many that wait for it are left out. They are written while
/// what is returned lives; dropped, it waits a moment for the last ones.
///
/// # Errors
/// As [`init`], or where there is no thread to be had.
pub fn init_unhindered(format: LogFormat, filter: &str) -> Result<LogWriter, LogError> {
    let (lines, received) = mpsc::sync_channel(LINES_MAX);
    let writer = LogWriter(lines.clone());
    init_to(move || Lines(lines.clone()), format, filter)?;
    std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        for line in received {
            match line {
                // Nobody is left to be told that it cannot be written.
                Line::Text(octets) => drop(io::stderr().write_all(&octets)),
                Line::End(written) => drop(written),
            }
        }
    })?;
    Ok(writer)
}

/// Writes log lines as long as it lives.
#[derive(Debug)]
pub struct LogWriter(SyncSender<Line>);

impl Drop for LogWriter {
    fn drop(&mut self) {
        let (written, end) = mpsc::channel();
        if self.0.try_send(Line::End(written)).is_ok() {
            // Either it comes to its end, or it stands still.
            let _ = end.recv_timeout(LAST_LINES_WAIT);
        }
    }
}

/// The most lines that wait to be written.
const LINES_MAX: usize = 256;
/// How long the last lines are waited for.
const LAST_LINES_WAIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    /// All before it are written once this is dropped.
    End(Sender<()>),
}

/// Takes a line at a time, as `tracing` writes them.
struct Lines(SyncSender<Line>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        // Where too many wait, it is left out.
        let _ = self.0.try_send(Line::Text(octets.to_vec()));
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn init_to<W: Write + 'static>(
    writer: impl Fn() -> W + Send + Sync + 'static,
    format: LogFormat,
    filter: &str,
) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
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
