//! What one run tells the next of a source.

use core::net::SocketAddr;

use timeball_timebase::{Span, Timestamp};

use super::selection::Record;
use crate::estimator::RememberedPath;

/// Sources that are remembered at most.
pub const REMEMBERED_MAX: usize = 64;

/// What is worth remembering of one source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RememberedSource {
    /// Its host as configured ([`super::SourceConfig::host`]).
    pub host: String,
    /// Its port as configured.
    pub port: u16,
    /// The address that it had; `None` of a reference clock. At another address it is another
    /// source.
    pub address: Option<SocketAddr>,
    /// When it was heard last before this was told, by the system clock.
    pub learned_at: Timestamp,
    /// For how long others had been heard since then; at least zero. After eight hours of it the
    /// silence of a source stands in nobody's way any more, over restarts too.
    pub missed: Span,
    /// What majorities found of it. Who was found false is not used at first where others are to be
    /// had; all that are remembered have a voice in the vote from the start.
    pub record: Record,
    /// What is known of the path to it; `None` where that is too little, or it was found false.
    pub path: Option<RememberedPath>,
}
