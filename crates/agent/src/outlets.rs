//! Where the time loop's knowledge goes: cells, trace, what is kept, sign of life.

use std::sync::Arc;

use timeball_runtime::ClockCell;
use timeball_runtime::health::Heartbeat;
use timeball_runtime::segment::SegmentWriter;
use timeball_timebase::{ClockState, MonoTime, Now, Span, SyncState};

use crate::kept::{Kept, Learned};
use crate::status::{StatusPublisher, Telling};
use crate::trace::Trace;

/// A status is made anew this often, so that its ages and bounds stay fresh, and not more often:
/// to make one costs more than a measurement does, and people read slowly. Only that the state
/// changed is told at once.
const STATUS_INTERVAL: Span = Span::from_secs(1);
/// So is the shared segment: readers measure its age with a clock that is slewed.
const SEGMENT_INTERVAL: Span = Span::from_millis(900);
/// All who want to know.
pub(crate) struct Outlets {
    pub(crate) clock: Arc<ClockCell>,
    /// `None` where nobody reads it.
    pub(crate) status: Option<StatusPublisher>,
    pub(crate) trace: Option<Trace>,
    pub(crate) segment: Option<SegmentWriter>,
    pub(crate) kept: Option<Kept>,
    pub(crate) heartbeat: Heartbeat,
    /// When the status was published last, and the state that it told.
    pub(crate) status_as_of: Option<(MonoTime, SyncState)>,
    /// Whether the segment could not be written last.
    pub(crate) segment_failed: bool,
    /// When the segment was published last.
    pub(crate) segment_as_of: Option<MonoTime>,
}

impl Outlets {
    /// Publishes a clock state at once.
    pub(crate) fn publish(&mut self, state: ClockState) {
        self.clock.publish(state);
        self.publish_segment(&state);
        self.status_as_of = self.status_as_of.filter(|(_, told)| *told == state.state);
        if let Some(trace) = &mut self.trace
            && let Err(error) = trace.write(&state)
        {
            tracing::error!(%error, "the trace ends here: it could not be written");
            self.trace = None;
        }
    }

    /// Called at each turn of the loop: shows that it lives, and makes the status where it is due.
    /// `telling` makes what there is to tell, `learned` what is to be kept.
    pub(crate) fn tell(
        &mut self,
        now: Now,
        telling: impl FnOnce() -> Telling,
        learned: impl FnOnce() -> Learned,
    ) {
        self.heartbeat.beat(now.raw);
        if let Some(kept) = &mut self.kept {
            kept.keep(now.raw, learned);
        }
        if self.segment_as_of.is_none_or(|at| now.raw - at >= SEGMENT_INTERVAL) {
            self.segment_as_of = Some(now.raw);
            self.publish_segment(&self.clock.read_at(now.raw));
        }
        let is_due = self.status_due().is_some_and(|due| now.raw >= due);
        if is_due && let Some(status) = &mut self.status {
            let telling = telling();
            status.publish(&telling, now);
            self.status_as_of = Some((now.raw, telling.report.clock.state));
        }
    }

    /// When the next status is to be made; `None` where nobody reads it.
    pub(crate) fn status_due(&self) -> Option<MonoTime> {
        self.status.as_ref()?;
        Some(self.status_as_of.map_or(MonoTime::ZERO, |(at, _)| at + STATUS_INTERVAL))
    }

    /// A segment that is not written anew counts as less after seconds, so failures are told and
    /// tried again.
    fn publish_segment(&mut self, state: &ClockState) {
        if let Some(segment) = &mut self.segment {
            let outcome = segment.publish(state);
            if let Err(error) = &outcome
                && !self.segment_failed
            {
                tracing::error!(%error, "the shared segment could not be written");
            }
            self.segment_failed = outcome.is_err();
        }
    }

    /// Writes what must be kept at the end.
    pub(crate) fn close(&self, learned: &Learned) {
        if let Some(kept) = &self.kept {
            kept.close(learned);
        }
    }
}
