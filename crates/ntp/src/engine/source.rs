//! One configured source: its address, its polls, what it said and what that promises.

mod place;

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use timeball_timebase::{Leap, MonoTime, Now, Span};

use super::addresses::Addresses;
use super::config::{Due, SourceConfig};
use super::exchange::{Exchanges, Stamp};
use super::interval::TimedInterval;
use super::io::{Action, ResolveError, SendError, SourceId, TransmitToken};
use super::ourselves::Ourselves;
use super::polling::Polling;
use super::reference::Reference;
use super::report::{SampleReport, Selection};
use super::selection::Record;
use super::twins::Identity;
use crate::association::{Response, ResponseError};
use crate::era::era_pivot;
use crate::mac::KeyRing;
use crate::random::Random;
use crate::sample::Sample;

/// Samples kept for the moment when a majority tells that the source is true.
const BACKLOG_MAX: usize = 8;
/// Between two questions to the resolver that fails, at first.
const RESOLVE_PAUSE_MIN: Span = Span::from_secs(4);
/// How long the first answer of the resolver is waited for before others may form a majority: one
/// that asks a dead name server first answers after five seconds, as is the C library's habit.
const FINDABLE: Span = Span::from_secs(8);
/// The kiss of death of a server that is asked too often (RFC 5905 figure 13).
const RATE: [u8; 4] = *b"RATE";
/// A server that gave so many answers in a row that were of no use is replaced by another of its
/// name, if there is one.
const USELESS_MAX: u32 = 8;
/// A measurement that may be this wrong is of no use (ntpd's maximum distance).
const MARGIN_USELESS: Span = Span::from_millis(1_500);
/// Who was found false is not used again before so many answers in a row were true.
const PROBATION: u8 = 8;
/// Between two attempts to find another server of the same name, at first; it doubles with each
/// that was in vain.
const REPLACE_PAUSE_MIN: Span = Span::from_secs(60);
const REPLACE_PAUSE_MAX: Span = Span::from_secs(1_024);

/// One source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) id: SourceId,
    pub(super) config: SourceConfig,
    pub(super) address: Option<SocketAddr>,
    pub(super) polling: Polling,
    pub(super) promise: Option<TimedInterval>,
    /// Samples that the estimator has not seen yet, oldest first.
    pub(super) backlog: Vec<Sample>,
    /// Its last sample from this address.
    pub(super) newest: Option<Sample>,
    pub(super) selection: Selection,
    /// The place of the source that is one witness with it, in the last vote.
    pub(super) twin: Option<usize>,
    /// Whether it was found false, and no majority has found it true since.
    pub(super) convicted: bool,
    /// Whether it has answered since it was found false last.
    answered_since: bool,
    /// How many more true answers it takes until it is used, after it was found false.
    pub(super) probation: u8,
    pub(super) told: Option<Told>,
    pub(super) last_sample: Option<SampleReport>,
    pub(super) jitter: Span,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) rejected: u64,
    /// Datagrams not taken, by [`ResponseError::reason`].
    pub(super) rejections: BTreeMap<&'static str, u64>,
    pub(super) last_rejection: Option<ResponseError>,
    /// Whether its last answer was an interleaved one.
    pub(super) is_interleaved: bool,
    pub(super) resolve_error: Option<ResolveError>,
    pub(super) send_error: Option<SendError>,
    addresses: Addresses,
    /// Answers in a row that were of no use: false, far, or by their own word unsynchronized.
    useless: u32,
    /// From when on another server of the same name may be looked for.
    replaceable_from: MonoTime,
    /// Servers of its name that were given up since the last answer that was of use.
    given_up: u32,
    /// Whether its last answer said that it is synchronized and made sense.
    pub(super) fit: bool,
    /// For how long others were heard since it last gave a sample, from whatever address; `None`
    /// before its first.
    pub(super) missed: Option<Span>,
    /// Whether other sources have all its addresses, so that it would be no second witness.
    pub(super) duplicate: bool,
    exchanges: Exchanges,
    /// What its last answer told of which server it is from.
    pub(super) identity: Option<Identity>,
    /// Whether its key is not in the ring: without it the server must not be asked.
    lacks_key: bool,
    /// What was learned of it where it is a clock that is read.
    pub(super) reference: Reference,
    resolve_due: Due,
    resolve_pause: Span,
    /// Until when a source without an address is waited for.
    pub(super) findable_until: MonoTime,
}

/// What a server said of itself in its last valid answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Told {
    pub(super) stratum: u8,
    pub(super) reference_id: [u8; 4],
    pub(super) leap: Leap,
    pub(super) root_delay: Span,
    pub(super) root_dispersion: Span,
    pub(super) delay: Span,
}

impl Source {
    /// A source that has not been looked for yet.
    pub(super) fn new(id: SourceId, config: SourceConfig, keys: &KeyRing) -> Self {
        let key = config.key.and_then(|id| keys.key(id)).cloned();
        let lacks_key = config.key.is_some() && key.is_none();
        let exchanges = Exchanges::new(key, config.options.interleaved);
        let polling = Polling::of(&config);
        Self {
            id,
            config,
            address: None,
            polling,
            promise: None,
            backlog: Vec::new(),
            newest: None,
            selection: Selection::Unreachable,
            twin: None,
            convicted: false,
            answered_since: false,
            probation: 0,
            told: None,
            last_sample: None,
            jitter: Span::ZERO,
            sent: 0,
            received: 0,
            rejected: 0,
            rejections: BTreeMap::new(),
            is_interleaved: false,
            last_rejection: None,
            resolve_error: None,
            send_error: None,
            addresses: Addresses::default(),
            useless: 0,
            replaceable_from: MonoTime::ZERO,
            given_up: 0,
            fit: false,
            missed: None,
            duplicate: false,
            exchanges,
            identity: None,
            lacks_key,
            reference: Reference::default(),
            resolve_due: None,
            resolve_pause: RESOLVE_PAUSE_MIN,
            findable_until: MonoTime::ZERO,
        }
    }

    /// Asks for the address, or takes the literal one. `delay` keeps sources apart at the start.
    pub(super) fn start(&mut self, now: Now, delay: Span, taken: &[SocketAddr]) -> Vec<Action> {
        if self.lacks_key {
            return Vec::new();
        }
        self.polling.start(now.raw + delay);
        if self.is_reference() {
            return Vec::new();
        }
        self.findable_until = now.raw + FINDABLE;
        match self.config.host.parse::<IpAddr>() {
            Ok(ip) => {
                let literal = SocketAddr::new(ip, self.config.port);
                let _ = self.resolved(now, Ok(vec![literal]), taken);
                Vec::new()
            }
            Err(_) => self.resolve(now),
        }
    }

    /// When the source has something to do next.
    pub(super) fn due(&self) -> Due {
        let poll = self.poll_due().filter(|_| self.has_place());
        [self.exchanges.given_up(), poll, self.resolve_due].into_iter().flatten().min()
    }

    /// Does what is due; `taken` are the other sources' addresses.
    pub(super) fn wake(
        &mut self,
        now: Now,
        taken: &[SocketAddr],
        random: &mut Random,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.exchanges.given_up().is_some_and(|at| now.raw >= at) {
            self.exchanges.give_up();
            actions.push(Action::Close { source: self.id });
        }
        if self.resolve_due.is_some_and(|due| now.raw >= due) {
            if self.address.is_none() {
                // Another source may have left an address, or the resolver is no longer waited for.
                self.choose_address(now, taken);
            }
            actions.extend(self.resolve(now));
        }
        if self.has_place() && self.poll_due().is_some_and(|due| now.raw >= due) {
            if self.polling.is_unreachable() {
                self.become_unreachable();
            }
            if self.is_reference() {
                return vec![self.read_clock(now, random)];
            }
            let is_useless = self.polling.is_unreachable() || self.useless >= USELESS_MAX;
            if is_useless && now.raw >= self.replaceable_from {
                self.useless = 0;
                self.replaceable_from = now.raw + self.replace_pause();
                self.given_up = self.given_up.saturating_add(1);
                actions.extend(self.replace(now, taken));
            }
            let to = self.address;
            actions.extend(to.map(|to| self.poll(now, to, random)));
        }
        actions
    }

    /// Notes when a request left.
    pub(super) fn transmitted(&mut self, token: &TransmitToken, sent_at: Option<Stamp>) {
        if self.exchanges.transmitted(token, sent_at) {
            self.send_error = None;
        }
    }

    /// Notes that a request could not be sent.
    pub(super) fn send_failed(&mut self, token: &TransmitToken, error: SendError) {
        if self.exchanges.failed(token) {
            self.send_error = Some(error);
        }
    }

    /// Judges a datagram that arrived at `received_at` on the raw clock, and measures by it; `None`
    /// where it is a good answer that tells nothing new.
    pub(super) fn accept(
        &mut self,
        now: Now,
        octets: &[u8],
        from: SocketAddr,
        received_at: MonoTime,
        precision: Span,
        us: &Ourselves,
    ) -> Result<Option<Sample>, ResponseError> {
        let answer = self.exchanges.take(octets, from)?;
        let response = answer.response;
        self.polling.answered(now.raw);
        self.is_interleaved = response.is_interleaved;
        if let Some(code) = response.kiss() {
            self.obey(now, code);
        }
        let checked = response.check_fitness().and_then(|()| us.check(&response.header, from));
        let sample = checked.and_then(|()| {
            let received = Stamp { at: received_at, error: now.apart };
            self.exchanges.measure(&answer, received, era_pivot(now.system), precision)
        });
        self.fit = match sample {
            Ok(_) => true,
            // A strange measurement, or that we ask too often, says nothing of the server's clock:
            // the last word counts.
            Err(ResponseError::Delay { .. } | ResponseError::Turnaround { .. }) => self.fit,
            Err(ResponseError::KissOfDeath { code: RATE }) => self.fit,
            Err(_) => false,
        };
        let margin = sample.ok().flatten().map(|sample| sample.error_margin());
        let is_far = margin.is_some_and(|margin| margin >= MARGIN_USELESS);
        let is_useless = is_far || !self.fit || self.selection == Selection::Falseticker;
        self.useless = if is_useless { self.useless.saturating_add(1) } else { 0 };
        if !is_useless {
            self.given_up = 0;
        }
        let sample = sample?;
        self.received += 1;
        self.missed = Some(Span::ZERO);
        if let Some(sample) = &sample {
            self.remember(now, &response, sample);
        }
        Ok(sample)
    }

    /// Counts a datagram that was not taken.
    pub(super) fn reject(&mut self, error: ResponseError) {
        self.rejected += 1;
        *self.rejections.entry(error.reason()).or_default() += 1;
        self.last_rejection = Some(error);
    }

    /// Whether a request is still waiting for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.exchanges.is_waiting()
    }

    /// Notes that another source was heard after this much time in which some source was heard.
    pub(super) fn other_was_heard(&mut self, after: Span) {
        self.missed = self.missed.map(|missed| missed + after);
    }

    /// Our own clocks jumped: measures anew, a few times in a row or once.
    pub(super) fn measure_anew(&mut self, now: MonoTime, in_a_row: bool) {
        self.exchanges.interrupt();
        if in_a_row {
            self.polling.burst(now);
        } else {
            self.polling.hasten(now);
        }
    }

    /// Allows for the raw clock having lost `by` or nothing: which, samples of before do not tell.
    pub(super) fn allow_lost(&mut self, by: Span) {
        if let Some(promise) = &mut self.promise {
            promise.allow_lost(by);
        }
        self.newest = None;
        self.backlog.clear();
    }

    /// True time is counted anew, this much further on: what was measured of it moves along.
    pub(super) fn shift_truth(&mut self, by: Span) {
        if let Some(promise) = &mut self.promise {
            promise.shift(by);
        }
        self.backlog.iter_mut().chain(&mut self.newest).for_each(|sample| sample.offset += by);
        // An interleaved measurement would be finished by stamps of before.
        self.exchanges.forget_former();
    }

    /// Keeps a sample for the estimator; `credible`: whether the estimate alone allows for it.
    pub(super) fn keep(&mut self, sample: Sample, credible: bool) {
        if self.backlog.len() == BACKLOG_MAX {
            self.backlog.remove(0);
        }
        self.backlog.push(sample);
        self.newest = Some(sample);
        self.answered_since = true;
        if self.probation == 0 {
            return;
        }
        if !credible {
            self.probation = PROBATION;
        } else if self.is_believed() {
            self.probation -= 1;
        }
    }

    /// Takes the part that a vote gave it. What a majority found of it stands until another one
    /// finds otherwise by an answer since, however long it is silent in between: promises that only
    /// age touch each other in the end, whoever is false.
    pub(super) fn take_part(&mut self, selection: Selection, twin: Option<usize>, majority: bool) {
        self.twin = twin;
        self.selection = selection;
        if selection == Selection::Falseticker {
            self.convicted = true;
            self.answered_since = false;
            if majority {
                self.probation = PROBATION;
            }
        } else if majority && self.is_believed() && self.answered_since {
            self.convicted = false;
        }
    }

    /// Takes the part again that it had in an earlier run. It has a voice from the start unless it
    /// had been silent for too long by then, or who is heard first when the network comes would be
    /// a majority; and what was found of it stands until a majority finds, or its answers prove,
    /// otherwise.
    pub(super) fn recall(&mut self, record: Record, missed: Span) {
        self.missed = Some(missed);
        self.convicted = record == Record::Convicted;
        self.probation = if record == Record::Clean { 0 } else { PROBATION };
    }

    /// Whether its samples go into the estimate.
    pub(super) fn is_used(&self) -> bool {
        matches!(self.selection, Selection::Chief | Selection::Combined)
    }

    /// Whether a majority found it true.
    pub(super) fn is_believed(&self) -> bool {
        self.is_used() || self.selection == Selection::Candidate
    }

    /// The clocks stood still: nothing that it said before is true any more.
    pub(super) fn forget_promise(&mut self) {
        self.promise = None;
        self.backlog.clear();
        self.newest = None;
    }

    fn poll(&mut self, now: Now, to: SocketAddr, random: &mut Random) -> Action {
        self.polling.sent(now.raw, random);
        self.sent += 1;
        let (octets, serial) = self.exchanges.ask(now.raw, to, random);
        let token = TransmitToken { source: self.id, serial };
        Action::Send { source: self.id, to, octets, token }
    }

    /// Whether it is known where to ask.
    pub(super) fn has_place(&self) -> bool {
        self.address.is_some() || self.is_reference()
    }

    /// When the next request is due, if there is somebody to ask.
    fn poll_due(&self) -> Due {
        let due = self.polling.due()?;
        Some(self.exchanges.awaited().map_or(due, |until| due.max(until)))
    }

    fn replace_pause(&self) -> Span {
        (REPLACE_PAUSE_MIN * (1 << self.given_up.min(10))).min(REPLACE_PAUSE_MAX)
    }

    fn forget_server(&mut self) {
        self.exchanges.restart();
        self.identity = None;
        self.promise = None;
        self.backlog.clear();
        self.newest = None;
        self.told = None;
        self.fit = false;
        self.useless = 0;
        self.is_interleaved = false;
        self.selection = Selection::Unreachable;
        self.convicted = false;
        self.probation = 0;
    }

    fn become_unreachable(&mut self) {
        self.fit = false;
        self.backlog.clear();
    }

    fn remember(&mut self, now: Now, response: &Response, sample: &Sample) {
        let header = &response.header;
        self.identity = Some(Identity::of(header));
        let told = Told {
            stratum: header.stratum,
            reference_id: header.reference_id,
            leap: header.leap.announced().unwrap_or_default(),
            root_delay: sample.root_delay,
            root_dispersion: sample.root_dispersion,
            delay: sample.delay,
        };
        self.note_told(now, told, sample);
    }

    /// Remembers what a source says of itself, and its last sample.
    pub(super) fn note_told(&mut self, now: Now, told: Told, sample: &Sample) {
        self.told = Some(told);
        let system_less_raw =
            Span::from_nanos(now.system.as_unix_nanos().saturating_sub(now.raw.as_nanos()));
        self.last_sample = Some(SampleReport {
            at: sample.at,
            offset: sample.offset - system_less_raw,
            delay: sample.delay,
            error_margin: sample.error_margin(),
            server_time: sample.server_sent,
        });
    }
}
