//! One thread samples the clock each second and tells the open streams.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use timeball_api::events::ClockPoint;
use tokio::sync::{Semaphore, watch};

use crate::PageSources;
use crate::frame::frame;
use crate::ring::Ring;

/// How many streams may be open at once; the next is told to come back (503).
pub const MAX_STREAMS: usize = 16;

/// How often the clock is sampled.
const PERIOD: Duration = Duration::from_secs(1);

/// Starts the sampling thread.
pub(crate) fn start(sources: PageSources) -> io::Result<Arc<Hub>> {
    let hub = Arc::new(Hub {
        sources,
        ring: Mutex::default(),
        ticks: watch::Sender::new(Tick::default()),
        slots: Arc::new(Semaphore::new(MAX_STREAMS)),
    });
    let shutdown = hub.sources.shutdown.clone();
    let weak = Arc::downgrade(&hub);
    thread::Builder::new().name("page-sampler".to_owned()).spawn(move || {
        while let Some(hub) = Weak::upgrade(&weak) {
            hub.sample();
            drop(hub);
            if shutdown.wait_for(PERIOD) {
                break;
            }
        }
        if let Some(hub) = Weak::upgrade(&weak) {
            hub.ticks.send_modify(|tick| tick.ended = true);
        }
    })?;
    Ok(hub)
}

/// What the sampler and the streams share.
#[derive(Debug)]
pub(crate) struct Hub {
    sources: PageSources,
    ring: Mutex<Ring>,
    ticks: watch::Sender<Tick>,
    /// One permit for each stream that may be open.
    pub(crate) slots: Arc<Semaphore>,
}

/// What every open stream is told once a second. A slow reader sees only the newest, and takes the
/// clock points it missed from the ring.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tick {
    /// The status and the schedules, framed once for all streams.
    pub(crate) views: Arc<str>,
    /// No more will come.
    pub(crate) ended: bool,
}

impl Hub {
    /// Follows the ticks from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Tick> {
        self.ticks.subscribe()
    }

    /// The clock points after number `seen`, which moves to the newest.
    pub(crate) fn points_since(&self, seen: &mut u64) -> Vec<ClockPoint> {
        let ring = self.ring();
        let points = ring.since(*seen).cloned().collect();
        *seen = ring.newest();
        points
    }

    /// The status and the schedules of this moment, framed.
    pub(crate) fn views(&self) -> String {
        let mut text = frame("status", &*(self.sources.status)());
        text.push_str(&frame("schedules", &(self.sources.schedules)()));
        text
    }

    fn sample(&self) {
        let point = (self.sources.clock)();
        self.ring().push(point);
        // Nobody looks most of the time; then nothing is gathered that nobody reads.
        if self.ticks.receiver_count() > 0 {
            let views = self.views().into();
            self.ticks.send_modify(|tick| tick.views = views);
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
