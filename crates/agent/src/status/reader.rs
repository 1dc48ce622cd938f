//! The status as it is read: what the time loop told last, and how old that is.

use std::sync::Arc;

use timeball_api::status::{Notice, Status};
use timeball_ntp::engine::Report;
use timeball_runtime::health::Heartbeat;
use timeball_runtime::{ClockCell, StatusCell, read_clocks};
use timeball_timebase::{MonoTime, Now, Span};

use super::{clock_status, kernel_status};
use crate::kernel_clock;

/// Reads the status of a running agent; clones read the same one.
#[derive(Clone, Debug)]
pub struct StatusReader {
    told: Arc<StatusCell>,
    clock: Arc<ClockCell>,
    heartbeat: Heartbeat,
}

impl StatusReader {
    pub(crate) fn new(told: Arc<StatusCell>, clock: Arc<ClockCell>, heartbeat: Heartbeat) -> Self {
        Self { told, clock, heartbeat }
    }

    /// The status as the time loop told it last, which it does once a second, with its age. Where
    /// the loop hangs or has ended, the clock is what its last word still promises.
    pub fn read(&self) -> Arc<Status> {
        self.read_at(read_clocks())
    }

    /// Whether the time loop works, and how long ago it ran last.
    pub(crate) fn pulse(&self, at: MonoTime) -> (bool, Span) {
        (self.heartbeat.is_well(at), self.heartbeat.silence(at))
    }

    fn read_at(&self, now: Now) -> Arc<Status> {
        let told = self.told.read();
        let told_at = MonoTime::from_nanos(told.clock.mono_ns);
        let is_told = told_at != MonoTime::ZERO;
        let age = if is_told { (now.raw - told_at).max(Span::ZERO) } else { Span::ZERO };
        let mut status = Status { age_ns: age.as_nanos(), ..Arc::unwrap_or_clone(told) };
        let (is_well, silence) = self.pulse(now.raw);
        if !is_well {
            self.grow_old(&mut status, age, silence, now);
        }
        Arc::new(status)
    }

    /// Brings what the loop told up to now, as far as that can be done without it.
    fn grow_old(&self, status: &mut Status, age: Span, silence: Span, now: Now) {
        let former = &status.clock;
        let report = Report {
            clock: self.clock.read_at(now.raw),
            tai_offset_s: former.tai_offset_s,
            refused_offset: former.refused_offset_ns.map(Span::from_nanos),
            ..Report::default()
        };
        status.stale = true;
        status.clock = clock_status(&report, now);
        status.kernel = kernel_clock::read().ok().map(kernel_status);
        status.uptime_s += (age.as_nanos() / 1_000_000_000).cast_unsigned();
        for source in &mut status.sources {
            source.last_answer_s = source.last_answer_s.map(|before| before + age.as_seconds_f64());
        }
        let message = format!(
            "The time loop has not run for {:.0} s: it hangs, or has ended. Nobody looks after the \
             clock, and what is told of the sources is that old. Start this program anew.",
            silence.as_seconds_f64()
        );
        let (severity, reason) = ("error".to_owned(), "TimeLoopSilent".to_owned());
        status.notices.insert(0, Notice { severity, reason, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_api::status::Source;
    use timeball_timebase::{Bound, ClockState, Frequency, SyncState};

    /// A loop that told all it knew at one moment, and never again.
    fn reader_of_a_loop_that_stopped() -> (StatusReader, Now) {
        let now = read_clocks();
        let now = Now::exact(now.raw, now.system);
        let (growth, half_width) = (Frequency::from_ppm(1), Span::from_micros(50));
        let state = ClockState {
            state: SyncState::Synchronized,
            as_of: now.raw,
            system: now.system,
            offset: Some(Span::from_micros(7)),
            bound: Some(Bound { as_of: now.raw, half_width, growth }),
            stratum: 2,
            ..ClockState::default()
        };
        let clock = clock_status(&Report { clock: state, ..Report::default() }, now);
        let sources = vec![Source { last_answer_s: Some(3.0), ..Source::default() }];
        let (told, cell) = (StatusCell::new(), ClockCell::new());
        told.publish(Arc::new(Status { clock, sources, uptime_s: 100, ..Status::default() }));
        cell.publish(state);
        let heartbeat = Heartbeat::new();
        heartbeat.beat(now.raw);
        (StatusReader::new(Arc::new(told), Arc::new(cell), heartbeat), now)
    }

    fn after(now: Now, seconds: i64) -> Now {
        let since = Span::from_secs(seconds);
        Now::exact(now.raw + since, now.system + since)
    }

    #[test]
    fn a_status_tells_its_age() {
        let (reader, now) = reader_of_a_loop_that_stopped();
        let status = reader.read_at(after(now, 2));
        assert_eq!((status.age_ns, status.stale), (2_000_000_000, false));
        assert_eq!((status.clock.bound_ns, status.notices.len()), (Some(50_000), 0));
    }

    #[test]
    fn what_a_loop_that_hangs_told_last_is_stale_and_its_bound_grows_until_there_is_none() {
        let (reader, now) = reader_of_a_loop_that_stopped();
        let stale = reader.read_at(after(now, 20));
        assert!(stale.stale && stale.notices[0].reason == "TimeLoopSilent");
        assert_eq!(stale.clock.bound_ns, Some(50_000 + 20_000));
        assert_eq!(stale.clock.system_ns, after(now, 20).system.as_unix_nanos());
        assert_eq!((stale.sources[0].last_answer_s, stale.uptime_s), (Some(23.0), 120));
        let forgotten = reader.read_at(after(now, 129));
        assert_eq!(forgotten.clock.state, "unsynchronized");
        let clock = &forgotten.clock;
        assert_eq!((clock.offset_ns, clock.bound_ns, clock.stratum), (None, None, 16));
        assert_eq!(forgotten.age_ns, 129_000_000_000);
    }

    #[test]
    fn before_the_loop_has_told_anything_there_is_no_age() {
        let cells = (Arc::new(StatusCell::new()), Arc::new(ClockCell::new()));
        let reader = StatusReader::new(cells.0, cells.1, Heartbeat::new());
        assert_eq!(*reader.read(), Status::default());
    }
}
