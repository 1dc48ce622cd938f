//! What the firing thread asks of the system beyond the usual.

use crate::sys::{lock_memory, schedule_fifo};
use std::io;
use thiserror::Error;

/// What of real time the system does not give us. Fires go on in the usual class: as punctual on a
/// machine with a processor to spare, later on a loaded one.
#[derive(Debug, Error)]
pub enum RealTimeError {
    /// The firing thread is not in the class SCHED_FIFO.
    #[error(
        "the firing thread may not be SCHED_FIFO with priority {priority}: {source}; allow it by \
         `LimitRTPRIO={priority}` of its systemd unit, `ulimit -r`, or CAP_SYS_NICE"
    )]
    Scheduling {
        /// The priority that was asked for.
        priority: u8,
        /// Why not.
        source: io::Error,
    },
    /// Memory may be paged out.
    #[error(
        "memory may not be locked: {0}; allow it by `LimitMEMLOCK=infinity` of its systemd unit, \
         `ulimit -l unlimited`, or CAP_IPC_LOCK"
    )]
    Memory(io::Error),
}

/// Makes the calling thread a real-time one, where that is asked for; returns what was refused.
pub(super) fn prepare(priority: Option<u8>) -> Vec<RealTimeError> {
    let Some(priority) = priority else { return Vec::new() };
    let scheduled =
        schedule_fifo(priority).map_err(|source| RealTimeError::Scheduling { priority, source });
    let locked = lock_memory().map_err(RealTimeError::Memory);
    [scheduled, locked].into_iter().filter_map(Result::err).collect()
}
