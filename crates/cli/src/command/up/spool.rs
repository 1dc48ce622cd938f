//! Lines for whoever watches `up`, written by a thread of their own: a terminal that stands still,
//! or a full disk, keeps nobody from his work, nor `up` from its end.

use crate::output;
use serde::Serialize;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;
use timeball_runtime::Shutdown;

/// The most lines that wait to be written; further ones are left out.
const LINES_MAX: usize = 256;
/// How long the last lines are waited for.
const LAST_LINES_WAIT: Duration = Duration::from_millis(500);

/// The way to standard output.
pub(crate) struct Spool {
    lines: SyncSender<String>,
    /// Hears nothing, and of the end.
    written: Receiver<()>,
}

impl Spool {
    /// Starts the thread. Where nobody reads any more, it asks for the end.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(crate) fn start(shutdown: Shutdown) -> io::Result<Self> {
        let (lines, received) = mpsc::sync_channel::<String>(LINES_MAX);
        let (writing, written) = mpsc::channel();
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
            // Dropped at the end.
            let _writing = writing;
            for line in received {
                // Any other error may pass, as that of a full disk does.
                let failed = output::write_line(&line).err();
                if failed.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                    return shutdown.request();
                }
            }
        })?;
        Ok(Self { lines, written })
    }

    /// Has a line written.
    pub(crate) fn line(&self, text: impl Into<String>) {
        // Where there are too many, or nobody reads, it is left out.
        let _ = self.lines.try_send(text.into());
    }

    /// Has a value written as a line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        self.line(serde_json::to_string(value).expect("plain data serializes"));
    }

    /// Ends; what waits is written if that can be done soon.
    pub(crate) fn finish(self) {
        let Self { lines, written } = self;
        drop(lines);
        // Either it ends, or it stands still.
        let _ = written.recv_timeout(LAST_LINES_WAIT);
    }
}
