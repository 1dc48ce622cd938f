//! What goes into the engine and what comes out: its whole interface with the world.

use super::leap_table::LeapTable;
use core::net::{IpAddr, SocketAddr};
use thiserror::Error;
use timeball_timebase::{Frequency, Leap, MonoTime, Span, Timestamp};

/// Names one configured source for as long as the engine lives; dense from zero.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u16);

/// Ties a transmit timestamp to the one request it belongs to.
///
/// Neither `Clone` nor `Copy`: a stamp can come back once, for one request.
#[derive(Debug, Eq, PartialEq)]
pub struct TransmitToken {
    pub(crate) source: SourceId,
    pub(crate) serial: u64,
}

impl TransmitToken {
    /// The source whose request was sent.
    pub fn source(&self) -> SourceId {
        self.source
    }
}

/// One thing that happened. Every input is handled at a [`timeball_timebase::Now`] read just
/// before.
#[derive(Debug)]
pub enum Input<'a> {
    /// The instant of the last [`Action::WakeAt`] has come (early or late wake-ups are harmless).
    Wake,
    /// A datagram arrived on the socket of `source`. It may be forged, cut or a repeat.
    Datagram {
        /// Whose socket it came in on.
        source: SourceId,
        /// Where it claims to come from.
        from: SocketAddr,
        /// The UDP payload, whole.
        octets: &'a [u8],
        /// When it arrived, by the *system* clock: the kernel's stamp, or a reading after
        /// `recvmsg`.
        received_at: Timestamp,
    },
    /// The request of `token` left, at this reading of the *system* clock: the kernel's transmit
    /// stamp, or else the reading taken just before the send. Fed before any answer to it.
    Transmitted {
        /// From the [`Action::Send`].
        token: TransmitToken,
        /// System clock when it left.
        sent_at: Timestamp,
    },
    /// The request of `token` could not be sent.
    SendFailed {
        /// From the [`Action::Send`].
        token: TransmitToken,
        /// Why.
        error: SendError,
    },
    /// The answer to [`Action::Resolve`].
    Resolved {
        /// Whose name it was.
        source: SourceId,
        /// Its addresses in the resolver's order, port filled in; empty counts as not found.
        result: Result<Vec<SocketAddr>, ResolveError>,
    },
    /// A reference clock was read: the answer to [`Action::ReadReference`], or by itself.
    Measured {
        /// Which.
        source: SourceId,
        /// Its reading, or why there is none. Nothing is fed where it has merely nothing new.
        result: Result<ReferenceReading, ReferenceError>,
    },
    /// What is known of the time from elsewhere, or `None` where that could not be had; only where
    /// [`super::EngineConfig::constraints`] asks for it.
    Constrained(Option<Constraint>),
    /// The hardware clock's time in whole seconds, as UTC: the answer to
    /// [`Action::ReadHardwareClock`]; `None` where there is none that can be read.
    HardwareClock(Option<Timestamp>),
    /// Others can reach us at this address; only where our own server answers, as nobody else can
    /// have the time from us.
    OwnAddress {
        /// One of ours.
        address: IpAddr,
        /// The port on which our server answers there; `None` where that is not known to be so.
        port: Option<u16>,
    },
    /// The leap seconds as they are published now: instead of
    /// [`super::EngineConfig::leap_table`].
    LeapTable(LeapTable),
    /// The answer to an action that wrote the kernel's clock.
    AdjustOutcome(Result<KernelClock, AdjustError>),
    /// The system clock was set by somebody (a cancelled timer, resume from suspend): how far is
    /// found out from the two clocks.
    ClockJumped,
    /// A question from a status tool.
    Command(Command),
}

/// One thing to do. The caller carries actions out in order and feeds outcomes back as inputs; it
/// leaves out a write ([`Action::is_write`]) for which [`super::Engine::keeps_clock`] is false when
/// its turn comes.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub enum Action {
    /// Find the addresses of a host name; answer with [`Input::Resolved`].
    Resolve {
        /// For which source.
        source: SourceId,
        /// A name or an address literal, without brackets.
        host: String,
        /// The port to fill in.
        port: u16,
    },
    /// Send a request from a *new* port of the kernel's choice, which replaces the source's former
    /// one (RFC 9109); answer with [`Input::Transmitted`] or
    /// [`Input::SendFailed`].
    Send {
        /// For which source.
        source: SourceId,
        /// Where to.
        to: SocketAddr,
        /// The UDP payload.
        octets: Vec<u8>,
        /// To be handed back with the transmit stamp.
        token: TransmitToken,
    },
    /// Read the source's reference clock; answer with [`Input::Measured`] where it tells anything
    /// new.
    ReadReference {
        /// Which source.
        source: SourceId,
    },
    /// Read the clock that runs on while the machine is off or stopped; answer at once with
    /// [`Input::HardwareClock`].
    ReadHardwareClock,
    /// Close the source's socket: no answer is awaited any more.
    Close {
        /// Whose socket.
        source: SourceId,
    },
    /// Set the kernel's frequency correction (frequency and tick together): the system clock then
    /// runs `frequency` faster than the raw one. Answer with [`Input::AdjustOutcome`].
    SetFrequency(Frequency),
    /// Step the system clock by this much, forward if positive. Answer with
    /// [`Input::AdjustOutcome`].
    Step(Span),
    /// Write the kernel's status and error bounds. Answer with [`Input::AdjustOutcome`].
    SetKernelStatus(KernelStatus),
    /// Read how the kernel's clock stands, and write nothing. Answer with
    /// [`Input::AdjustOutcome`].
    ReadKernel,
    /// Wake the engine at this instant of the raw clock; replaces the earlier request.
    WakeAt(MonoTime),
    /// The clock state changed: publish [`crate::engine::Engine::clock_state`].
    Publish,
    /// Answer to a [`Input::Command`].
    Reply(Reply),
}

impl Action {
    /// Whether it writes the kernel's clock: then it is carried out only while
    /// [`super::Engine::keeps_clock`] says so.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::SetFrequency(_) | Self::Step(_) | Self::SetKernelStatus(_))
    }
}

/// What the kernel's clock was found to be after a write (or at the start).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KernelClock {
    /// How much faster the system clock runs than the raw one by frequency and tick.
    pub frequency: Frequency,
    /// Whether `STA_UNSYNC` is clear.
    pub synchronized: bool,
    /// The kernel's `maxerror`.
    pub max_error: Span,
    /// The kernel's `esterror`.
    pub estimated_error: Span,
    /// The kernel's TAI − UTC, in seconds; 0 where never set.
    pub tai_offset_s: i32,
    /// What `frequency` was just before a write of it; `None` after anything else, and where the
    /// shell cannot tell.
    pub found: Option<Frequency>,
}

impl KernelClock {
    /// Whether it runs as no clock does that is only kept at its rate: whoever kept it was killed
    /// in the midst of a slew.
    pub fn is_racing(&self) -> bool {
        const OSCILLATORS_MAX: Frequency = Frequency::from_ppm(500);
        self.frequency.abs() > OSCILLATORS_MAX
    }
}

/// What the kernel is to tell others about the clock (`adjtimex` status, maxerror, esterror).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KernelStatus {
    /// Whether to clear `STA_UNSYNC`.
    pub synchronized: bool,
    /// Bound on the error; at least zero.
    pub max_error: Span,
    /// Standard error of the estimate; at least zero.
    pub estimated_error: Span,
    /// Leap second to arm.
    pub leap: Leap,
    /// TAI − UTC in seconds, where it is known: what `CLOCK_TAI` is kept by.
    pub tai_offset_s: Option<i32>,
}

/// Why the kernel refused to change the clock.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum AdjustError {
    /// The process lacks `CAP_SYS_TIME`, or a sandbox forbids the call.
    #[error("not permitted (needs CAP_SYS_TIME)")]
    NotPermitted,
    /// Any other error number.
    #[error("system call failed with errno {errno}")]
    Failed {
        /// The error number.
        errno: i32,
    },
}

/// Why a request could not be sent.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SendError {
    /// No socket could be made: the limit on open files, or an address family that is missing.
    #[error("no socket (errno {errno})")]
    NoSocket {
        /// The error number.
        errno: i32,
    },
    /// The network refused the datagram.
    #[error("not sent (errno {errno})")]
    NotSent {
        /// The error number.
        errno: i32,
    },
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ResolveError {
    /// The name does not exist.
    #[error("no such host")]
    NotFound,
    /// The resolver did not answer; asking again may help.
    #[error("the resolver did not answer")]
    Temporary,
}

/// A question or request of a status tool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Measure all sources now (a burst), as `chronyc burst`.
    Burst,
}

/// What came of a [`Command`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// It was taken up.
    Accepted,
    /// It cannot be done now.
    Refused,
}

/// What is known of the time from elsewhere: roughly, but from somebody whom to forge is hard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Constraint {
    /// When it held, by the raw clock.
    pub at: MonoTime,
    /// True time was not before this.
    pub earliest: Timestamp,
    /// True time was not after this.
    pub latest: Timestamp,
}

/// One reading of a reference clock, with the system clock's at the same moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReferenceReading {
    /// The system clock's reading.
    pub system: Timestamp,
    /// The reference clock's reading, as UTC.
    pub time: Timestamp,
    /// How long the reading took: the two were read at most half of this apart. At least zero.
    pub delay: Span,
    /// The leap second that it announces.
    pub leap: Leap,
    /// Whether only the fraction of the second counts (a pulse per second).
    pub is_pulse: bool,
}

/// Why a reference clock told nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ReferenceError {
    /// The system refuses.
    #[error("it cannot be read (errno {errno})")]
    System {
        /// The error number.
        errno: i32,
    },
    /// What it wrote is no sample, or took seconds to be read.
    #[error("what it told is no sample of a clock")]
    Malformed,
    /// It says that it is not synchronized.
    #[error("it says that it is not synchronized")]
    Unsynchronized,
    /// Its reading is not of the last eight seconds, or the system clock was set since.
    #[error("its reading is older than 8 s, or from before the system clock was set")]
    Old,
    /// Its date cannot be.
    #[error("it tells a date before 2020")]
    Date,
    /// It tells the fraction of the second only, and nobody which second it is.
    #[error("it tells the fraction of the second only, and no other source which second it is")]
    NoSecond,
}

impl ReferenceError {
    /// The kind of error in a word or two, for counts; without the values.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::System { .. } => "unreadable",
            Self::Malformed => "malformed",
            Self::Unsynchronized => "unsynchronized",
            Self::Old => "old",
            Self::Date => "date",
            Self::NoSecond => "no-second",
        }
    }
}
