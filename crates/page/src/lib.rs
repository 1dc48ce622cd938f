//! The live page of a running Timeball: what this machine's clock is off by and how surely, its
//! sources, and the schedules that fire by it.
//!
//! [`router`] serves the page at `/`, its assets, and `/v1/events`, the stream that keeps it alive.
//! The page is plain HTML, CSS and ES modules, built into the binary: it asks nobody else for
//! anything, and runs under the strict Content-Security-Policy that the runtime's server sets.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod assets;
mod events;
mod frame;
mod ring;
mod sampler;

use std::fmt;
use std::io;
use std::sync::Arc;

use axum::Router;
use timeball_api::events::ClockPoint;
use timeball_api::schedules::Schedules;
use timeball_api::status::Status;
use timeball_runtime::Shutdown;

pub use ring::BACKLOG_POINTS;
pub use sampler::MAX_STREAMS;

/// Where the page takes what it shows. Each is called about once a second, from any thread, and
/// must not block for long.
pub struct PageSources {
    /// The clock at the moment of the call.
    pub clock: Box<dyn Fn() -> ClockPoint + Send + Sync>,
    /// The answer of `/v1/status`; asked only while somebody looks at the page.
    pub status: Box<dyn Fn() -> Arc<Status> + Send + Sync>,
    /// The answer of `/v1/schedules`; asked only while somebody looks at the page.
    pub schedules: Box<dyn Fn() -> Schedules + Send + Sync>,
    /// When raised, sampling stops and every stream ends.
    pub shutdown: Shutdown,
}

impl fmt::Debug for PageSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageSources").field("shutdown", &self.shutdown).finish_non_exhaustive()
    }
}

/// Makes the routes of the page and starts the thread that samples the clock each second.
///
/// The thread ends when the shutdown is requested or the router is dropped.
///
/// # Errors
/// When the system refuses another thread.
pub fn router(sources: PageSources) -> io::Result<Router> {
    let hub = sampler::start(sources)?;
    Ok(assets::router().merge(events::router(hub)))
}
