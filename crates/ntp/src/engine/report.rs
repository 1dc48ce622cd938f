//! What the engine tells of itself beside the clock state: for status, metrics and tools.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use timeball_timebase::{ClockState, Frequency, Leap, MonoTime, Span, Timestamp};

use super::io::{AdjustError, KernelClock, ReferenceError, ResolveError, SendError, SourceId};

/// Everything a person or a metric may ask, taken at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The clock state that is published with it.
    pub clock: ClockState,
    /// Standard error of the offset estimate; `None` while unknown.
    pub offset_error: Option<Span>,
    /// Standard error of the frequency estimate; `None` while unknown.
    pub frequency_error: Option<Frequency>,
    /// Standard error of the frequency for a next run to begin with
    /// ([`EngineConfig::drift_error`]); `None` while unknown. Unlike that of the estimate it covers
    /// whatever promises allow for.
    ///
    /// [`EngineConfig::drift_error`]: super::EngineConfig::drift_error
    pub drift_error: Option<Frequency>,
    /// Each configured source, in order.
    pub sources: Vec<SourceReport>,
    /// Counts since the start.
    pub counters: Counters,
    /// Whether a constraint on the sources is known; `None` where none is asked for.
    pub constrained: Option<bool>,
    /// The kernel's clock as last read or written; `None` in observe mode.
    pub kernel: Option<KernelClock>,
    /// Whether the clock was left to another program that keeps writing it (discipline mode only).
    pub yielded: bool,
    /// TAI − UTC by the table of leap seconds, in seconds, where it is known.
    pub tai_offset_s: Option<i32>,
    /// Until when the table of leap seconds is complete, where there is one.
    pub leap_table_expires: Option<Timestamp>,
    /// True time less system time, where that is beyond the panic limit and therefore refused.
    pub refused_offset: Option<Span>,
    /// Why the last clock write failed, until one succeeds.
    pub adjust_error: Option<AdjustError>,
}

/// One source, as last known.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceReport {
    /// Which.
    pub id: SourceId,
    /// As configured: host name or address.
    pub host: String,
    /// Its address in use; `None` while not resolved.
    pub address: Option<SocketAddr>,
    /// Its part in the clock, with the reason.
    pub selection: Selection,
    /// The earlier source that is the same server, by what both tell: the two are one witness.
    pub twin: Option<SourceId>,
    /// Stratum it claims: 0 unknown, 1 to 15, 16 unsynchronized.
    pub stratum: u8,
    /// Reference identifier it claims.
    pub reference_id: [u8; 4],
    /// Leap second it announces.
    pub leap: Leap,
    /// Reachability of the last eight polls, newest in the lowest bit (RFC 5905 section 9.2).
    pub reach: u8,
    /// log2 of the polling interval in seconds.
    pub poll: i8,
    /// Its last valid measurement.
    pub last_sample: Option<SampleReport>,
    /// Mean absolute difference of successive samples from what was predicted; at least zero.
    pub jitter: Span,
    /// Root distance now: how far its time may be from the truth by its own word and the path.
    pub root_distance: Option<Span>,
    /// Requests sent, valid responses, and responses refused.
    pub sent: u64,
    /// Valid responses.
    pub received: u64,
    /// Datagrams that were not taken, whatever the reason.
    pub rejected: u64,
    /// The same by [`crate::association::ResponseError::reason`]; reasons that never came are left
    /// out.
    pub rejections: BTreeMap<&'static str, u64>,
    /// Whether its last answer was one of the interleaved mode.
    pub is_interleaved: bool,
    /// Why the last datagram was not taken.
    pub last_rejection: Option<crate::association::ResponseError>,
    /// Why its name has no address, while that is so.
    pub resolve_error: Option<ResolveError>,
    /// Why the last request could not be sent, until one can.
    pub send_error: Option<SendError>,
    /// Why the last reading of a reference clock was not taken, until one is.
    pub reference_error: Option<ReferenceError>,
    /// What a reference clock that counts on through leap seconds is taken to be ahead of UTC by
    /// now.
    pub ahead: Option<Span>,
    /// What of that leap seconds since the start have made, so that the settings lack it.
    pub ahead_leapt: Span,
}

/// One measurement, as reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SampleReport {
    /// When it was taken, by the raw clock.
    pub at: MonoTime,
    /// Server time less system time, positive when the server is ahead.
    pub offset: Span,
    /// Round trip less the server's own time; at least the precision.
    pub delay: Span,
    /// Half the delay plus all dispersions: the measurement's own bound.
    pub error_margin: Span,
    /// The server's transmit time, for the reference time of status tools.
    pub server_time: Timestamp,
}

/// A source's part in the clock, and why.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Selection {
    /// No valid answer yet, or none in the last eight polls.
    #[default]
    Unreachable,
    /// It says that it is not synchronized itself, or its distance is too large.
    Unfit,
    /// Its interval does not agree with the majority: a falseticker.
    Falseticker,
    /// It contradicts what is known of the time from elsewhere ([`super::Constraint`]).
    Constrained,
    /// Nothing is known of the time from elsewhere, without which no source is believed.
    Unconstrained,
    /// No majority agrees, so nobody can be told from a falseticker.
    NoMajority,
    /// Measured only: `noselect`.
    NotSelectable,
    /// Its addresses are other sources', too: it is not asked, for two names of one server are not
    /// two witnesses.
    Duplicate,
    /// Truechimer, not used: a preferred one is, or it was found false a few answers ago.
    Candidate,
    /// Truechimer, combined into the estimate.
    Combined,
    /// Truechimer with the largest weight.
    Chief,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Requests sent.
    pub sent: u64,
    /// Valid responses.
    pub received: u64,
    /// Datagrams that were not taken.
    pub rejected: u64,
    /// Times the clock estimate was updated.
    pub updates: u64,
    /// Steps of the system clock that were asked for and done.
    pub steps: u64,
    /// Times the system clock was found set by somebody else.
    pub foreign_jumps: u64,
    /// Times the raw clock was found to have stood still: the machine was suspended.
    pub suspends: u64,
    /// Clock writes that the kernel refused.
    pub adjust_failures: u64,
}
