//! What the engine is told at its start.

use timeball_timebase::{Frequency, MonoTime, Span};

use super::io::KernelClock;
use super::leap_table::LeapTable;
use super::remembered::RememberedSource;
use crate::mac::KeyRing;

/// Octets of seed that make the engine's random choices (ports aside) unpredictable.
pub const SEED_OCTETS: usize = 32;

/// The engine's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Whether clock-writing actions are ever emitted.
    pub mode: ClockMode,
    /// When the clock may be stepped rather than slewed.
    pub step: StepPolicy,
    /// What is made of leap seconds.
    pub leap: LeapPolicy,
    /// What becomes of the hardware clock, in discipline mode.
    pub rtc: RtcPolicy,
    /// The leap seconds as published; until it expires, what sources announce is not asked.
    pub leap_table: Option<LeapTable>,
    /// The sources, at least one for anything to happen; [`super::SourceId`] is the index.
    pub sources: Vec<SourceConfig>,
    /// The keys that sources may name.
    pub keys: KeyRing,
    /// Sources that must agree before the clock counts as synchronized (1+).
    pub min_sources: usize,
    /// Precision of the system clock: the time of one reading; at least 1 ns.
    pub precision: Span,
    /// The kernel's clock at the start, in discipline mode.
    pub kernel: Option<KernelClock>,
    /// How much the oscillator's frequency may change unnoticed, beside what was learned of it; at
    /// least zero. Bounds grow at least this fast between measurements, so a larger sudden change
    /// breaks the promise until the next one.
    pub drift_allowance: Frequency,
    /// Whether a constraint is to be had before sources are believed.
    pub constraints: ConstraintPolicy,
    /// Oscillator frequency error remembered from an earlier run, if any.
    pub drift: Option<Frequency>,
    /// Standard error of `drift` when it was remembered; at least zero. What temperature and age
    /// have changed since comes on top.
    pub drift_error: Frequency,
    /// Whether `drift` was learned since this machine was booted. The estimate begins with any
    /// drift, but promises age by it from the start only where this is so: another boot may
    /// calibrate the raw clock anew by tens of ppm, and the file may be of another machine.
    pub drift_is_of_this_boot: bool,
    /// What an earlier run remembered of its sources ([`super::Engine::remembered`]); no promise
    /// rests on it. What is older than a day, or of a source that is not configured, is left out.
    pub remembered: Vec<RememberedSource>,
}

/// Whether sources are believed without a word from elsewhere ([`super::Constraint`]).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ConstraintPolicy {
    /// They are: nothing else is asked.
    #[default]
    None,
    /// It is waited for; where it cannot be had, they are.
    Wait,
    /// They are not.
    Require,
}

/// Whether the engine may write the clock.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClockMode {
    /// Measure and publish; never write.
    #[default]
    Observe,
    /// Keep the system clock right.
    Discipline,
}

/// What is made of a leap second that a majority of the sources announces.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LeapPolicy {
    /// The kernel makes it: the clock is stepped by a second at the right moment.
    #[default]
    System,
    /// The clock is slewed by a second from that moment on.
    Slew,
    /// Announcements are not believed; what the sources tell afterwards is followed.
    Ignore,
}

/// What becomes of the hardware clock (RTC), which a machine takes its time from when it starts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RtcPolicy {
    /// The kernel copies its time to it: when `STA_UNSYNC` is cleared, and every 11 minutes from
    /// then on.
    #[default]
    Kernel,
    /// It is never written. The kernel copies whenever `STA_UNSYNC` is clear, so the flag stays set
    /// however good the clock is; the errors are told all the same.
    Never,
}

/// When the clock may be stepped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StepPolicy {
    /// Offsets larger than this are stepped, in the first updates.
    pub threshold: Span,
    /// How many clock updates after the start may step (0: never step).
    pub updates: u32,
    /// A step back by more than this is not made, whatever the update; the clock is slewed. At
    /// least zero; `None`: no limit.
    pub backward: Option<Span>,
    /// Once the clock was within the threshold, an offset beyond this is not believed: the clock
    /// is left alone, and nothing is promised of it. Above zero; `None`: no limit.
    pub panic: Option<Span>,
    /// Whether a clock that stood still, because the machine was stopped and nobody in it told, is
    /// stepped forward by what it lost, whatever the update and however much that is. What sources
    /// say is believed in this only if the hardware clock says it, too. Not where `updates` is 0.
    pub after_pause: bool,
}

impl Default for StepPolicy {
    fn default() -> Self {
        let panic = Some(Span::from_secs(1_000));
        let threshold = Span::from_secs(1);
        Self { threshold, updates: 3, backward: None, panic, after_pause: true }
    }
}

/// One time source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// Host name or address literal, without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// Polling interval limits.
    pub poll: PollRange,
    /// How the source takes part in selection.
    pub options: SourceOptions,
    /// Identifier of the key that requests and answers are made with; `None` for none. A source
    /// whose key is not in [`EngineConfig::keys`] is never asked.
    pub key: Option<u32>,
    /// The clock to read, where the source is no server; host and port then only name it.
    pub reference: Option<ReferenceClock>,
}

/// A clock at hand that is read, and what the settings promise of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceClock {
    /// What is read.
    pub device: ReferenceDevice,
    /// How far any of its readings may be from UTC, either way, beside what reading it takes;
    /// above zero. This is the source's word in the vote.
    pub error: Span,
    /// What is added to its readings: what is known of its error; positive where it is behind UTC.
    pub offset: Span,
    /// How long a reading takes at least to reach us and back; half of it goes into the bound. At
    /// least zero.
    pub delay: Span,
    /// What it is called by our clients (RFC 5905 figure 12), padded with zeros.
    pub reference_id: [u8; 4],
}

/// What kind of clock is read, and where it is found.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ReferenceDevice {
    /// A PTP hardware clock.
    Phc {
        /// Its device, such as `/dev/ptp0`.
        path: String,
        /// What its time is ahead of UTC by at the start: TAI − UTC where it keeps TAI. The shell
        /// takes it off its readings. Where it is not zero, the clock counts on through leap
        /// seconds, and the engine takes those off that come.
        ahead: Span,
    },
    /// A segment of shared memory as gpsd and ntpd use it.
    SharedMemory {
        /// Its unit, 0 to 255.
        unit: u8,
        /// Permissions it is made with where it is missing.
        mode: u32,
    },
    /// A datagram socket that samples are sent to, as gpsd does for chrony.
    Socket {
        /// Where it is made.
        path: String,
    },
}

impl SourceConfig {
    /// A server with the default settings and no key.
    pub fn new(host: String, port: u16) -> Self {
        let (poll, options) = (PollRange::default(), SourceOptions::default());
        Self { host, port, poll, options, key: None, reference: None }
    }
}

/// Limits of the polling interval as powers of two of a second, −4 to 17 (RFC 5905 section 7.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PollRange {
    /// log2 of the shortest interval in seconds.
    pub min: i8,
    /// log2 of the longest interval in seconds, not below `min`.
    pub max: i8,
}

impl Default for PollRange {
    fn default() -> Self {
        Self { min: 6, max: 10 }
    }
}

/// How a source takes part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SourceOptions {
    /// Begin with a few requests two seconds apart.
    pub iburst: bool,
    /// Ask four times, two seconds apart, at each poll (where polls are at least 32 s apart): for
    /// paths on which most answers are late. Servers of others may object.
    pub burst: bool,
    /// Choose among agreeing sources only those that are preferred, if any is.
    pub prefer: bool,
    /// Judge it by other trusted sources alone, and all others by the trusted ones, while any of
    /// them speaks.
    pub trust: bool,
    /// Measure and show, but never select.
    pub noselect: bool,
    /// Ask in interleaved mode (RFC 9769), in which servers tell when their answers really left:
    /// more exact on a fast network, one polling interval late.
    pub interleaved: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            iburst: true,
            burst: false,
            prefer: false,
            trust: false,
            noselect: false,
            interleaved: false,
        }
    }
}

impl Default for EngineConfig {
    /// Observes no source.
    fn default() -> Self {
        Self {
            mode: ClockMode::Observe,
            step: StepPolicy::default(),
            leap: LeapPolicy::default(),
            rtc: RtcPolicy::default(),
            leap_table: None,
            sources: Vec::new(),
            keys: KeyRing::default(),
            min_sources: 1,
            precision: Span::from_nanos(100),
            kernel: None,
            drift_allowance: Frequency::from_ppm(1),
            constraints: ConstraintPolicy::None,
            drift: None,
            drift_error: Frequency::ZERO,
            drift_is_of_this_boot: false,
            remembered: Vec::new(),
        }
    }
}

/// When something is due; the smallest of the engine's timers is its wake-up.
pub(crate) type Due = Option<MonoTime>;
