//! The time loop: one thread that waits in `poll`, turns events into the engine's inputs, and
//! carries its actions out. It decides nothing.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use timeball_ntp::engine::{
    Action, AdjustError, Engine, Input, KernelClock, ReferenceDevice, SourceId, TransmitToken,
};
use timeball_runtime::read_clocks;
use timeball_timebase::{MonoTime, Now, Span, SyncState, Timestamp};

use crate::hardware_clock::HardwareClock;
use crate::kept::Learned;
use crate::kernel_clock::{self, KernelClockWriter};
use crate::leap_file::LeapFile;
use crate::outlets::Outlets;
use crate::own_addresses::OwnAddresses;
use crate::patience::Patience;
use crate::reference::Reference;
use crate::resolver::{Letter, Mailbox, Resolution, Resolver};
use crate::status::Telling;
use crate::sys;
use crate::udp::{Buffer, Datagram, ReceiveError, RequestSocket, RestingSocket, keep_stamping};

/// The shortest wait: a wake-up that is due already must not become a busy loop.
const WAIT_MIN_MS: i64 = 1;
/// A status may wait this long for the engine's next wake-up, rather than cost one of its own.
const STATUS_SLACK: Span = Span::from_millis(100);

/// What the loop listens to beside its sockets.
pub(crate) struct Surroundings {
    /// Whether the loop is to end, asked at each turn.
    pub(crate) is_stopped: Box<dyn Fn() -> bool + Send>,
    /// How long it waits at most, for stopping, sign of life and fresh status; at least 1 ms.
    pub(crate) wait_max: Span,
    /// Answers of resolver threads; `None` under a simulator.
    pub(crate) mailbox: Option<Mailbox>,
    /// Becomes readable when somebody sets the system clock; `None` under a simulator.
    pub(crate) clock_set: Option<OwnedFd>,
    /// The list of leap seconds, which is looked at now and then; `None` where none is used.
    pub(crate) leap_file: Option<LeapFile>,
    /// Tells of pauses of the machine; `None` under a simulator, whose machine it is not.
    pub(crate) hardware_clock: Option<HardwareClock>,
    /// How names are looked up.
    pub(crate) resolver: Resolver,
    /// Where we are reached; `None` where no server of ours answers.
    pub(crate) own_addresses: Option<OwnAddresses>,
}

/// The loop with all it owns.
pub(crate) struct TimeLoop {
    engine: Engine,
    surroundings: Surroundings,
    outlets: Outlets,
    /// Discipline mode only.
    writer: Option<KernelClockWriter>,
    links: Vec<Link>,
    buffer: Buffer,
    interests: Interests,
    patience: Patience,
    wake_at: Option<MonoTime>,
    /// The kernel's stamps stay switched on as long as this is open.
    _stamping: Option<OwnedFd>,
}

/// What is polled, made anew for each turn in the same memory.
#[derive(Default)]
struct Interests {
    fds: Vec<libc::pollfd>,
    /// Whose the last of these descriptors are, in order.
    sources: Vec<SourceId>,
}

/// The socket of a source and what is pending on it.
#[derive(Default)]
struct Link {
    socket: Option<RequestSocket>,
    /// The socket of the request before, to be used again.
    resting: Option<RestingSocket>,
    /// A request whose transmit stamp has not come, with the reading taken before it was sent.
    unstamped: Option<(TransmitToken, Timestamp)>,
    /// Why the network refused the last request, as an error number.
    refusal: Option<i32>,
    /// The clock that is read instead, where the source is no server.
    reference: Option<Reference>,
}

impl Link {
    /// Closes a socket from which the system hands over nothing: `poll` would report it again and
    /// again. The engine gives the request up in its time.
    fn give_up(&mut self, errno: i32) {
        self.refusal = Some(errno);
        self.socket = None;
        self.unstamped = None;
    }
}

impl TimeLoop {
    pub(crate) fn new(
        engine: Engine,
        references: Vec<Option<ReferenceDevice>>,
        writer: Option<KernelClockWriter>,
        surroundings: Surroundings,
        outlets: Outlets,
    ) -> Self {
        let link = |device: Option<ReferenceDevice>| Link {
            reference: device.map(Reference::new),
            ..Link::default()
        };
        Self {
            engine,
            surroundings,
            outlets,
            writer,
            links: references.into_iter().map(link).collect(),
            buffer: Buffer::new(),
            interests: Interests::default(),
            patience: Patience::default(),
            wake_at: None,
            _stamping: keep_stamping().ok(),
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let actions = self.engine.start(read_clocks());
        self.carry_out(actions);
        while !(self.surroundings.is_stopped)() {
            self.turn();
        }
        self.leave();
    }

    /// Waits once and handles what came.
    fn turn(&mut self) {
        let now = read_clocks().raw;
        let mut interests = std::mem::take(&mut self.interests);
        self.list(&mut interests, now);
        let Interests { fds, sources } = &mut interests;
        let timeout_ms = self.timeout_ms(now);
        if self.patience.poll(fds, timeout_ms) {
            let (others, sockets) = fds.split_at(fds.len() - sources.len());
            self.handle_others(others);
            for (fd, source) in sockets.iter().zip(sources) {
                if fd.revents != 0 {
                    self.handle_socket(*source, fd.revents);
                }
            }
        }
        self.interests = interests;
        let now = read_clocks();
        if self.wake_at.is_some_and(|at| at <= now.raw) {
            self.wake_at = None;
            self.feed(Input::Wake);
        }
        let own = self.surroundings.own_addresses.as_mut();
        for address in own.map(OwnAddresses::news).unwrap_or_default() {
            self.feed(address);
        }
        let leap_file = self.surroundings.leap_file.as_mut();
        if let Some(table) = leap_file.and_then(|file| file.refresh(now.raw)) {
            self.feed(Input::LeapTable(table));
        }
        self.tell(now);
    }

    fn list(&self, interests: &mut Interests, now: MonoTime) {
        let Interests { fds, sources } = interests;
        fds.clear();
        sources.clear();
        let mailbox = self.surroundings.mailbox.iter().map(Mailbox::fd);
        let clock_set = self.surroundings.clock_set.iter().map(AsRawFd::as_raw_fd);
        fds.extend(mailbox.chain(clock_set).map(|fd| sys::interest(fd, libc::POLLIN)));
        for (id, link) in (0..).map(SourceId).zip(&self.links) {
            if let Some(socket) = &link.socket {
                fds.push(socket.interest());
                sources.push(id);
            } else if let Some(fd) = link.reference.as_ref().and_then(|clock| clock.fd(now)) {
                fds.push(sys::interest(fd, libc::POLLIN));
                sources.push(id);
            }
        }
    }

    /// How long to wait from `now`: until the engine's wake-up or until there is something to tell,
    /// rounded up so that it is not early.
    fn timeout_ms(&self, now: MonoTime) -> i32 {
        let due_status = self.outlets.status_due();
        let wait_for =
            |wake_at: &MonoTime| due_status.is_none_or(|at| *wake_at < at + STATUS_SLACK);
        let due = self.wake_at.filter(wait_for).or(due_status);
        let until = due.map_or(Span::MAX, |at| at - now);
        let wait = until.min(self.surroundings.wait_max).as_nanos();
        let ms = wait.saturating_add(999_999).div_euclid(1_000_000).max(WAIT_MIN_MS);
        i32::try_from(ms).unwrap_or(i32::MAX)
    }

    fn handle_others(&mut self, fds: &[libc::pollfd]) {
        for fd in fds.iter().filter(|fd| fd.revents != 0) {
            if self.surroundings.mailbox.as_ref().is_some_and(|mailbox| mailbox.fd() == fd.fd) {
                self.take_answers();
            } else if let Some(timer) = &self.surroundings.clock_set {
                // Arming it again also clears that it is readable.
                if let Err(error) = sys::arm_clock_set_timer(timer) {
                    tracing::warn!(%error, "settings of the clock are no longer noticed at once");
                    self.surroundings.clock_set = None;
                }
                self.feed(Input::ClockJumped);
            }
        }
    }

    fn take_answers(&mut self) {
        if let Some(mailbox) = &mut self.surroundings.mailbox {
            mailbox.silence();
        }
        while let Some(answer) = self.surroundings.mailbox.as_ref().and_then(Mailbox::next) {
            match answer {
                Letter::Resolved(Resolution { source, result }) => {
                    self.surroundings.resolver.answered(source);
                    self.feed(Input::Resolved { source, result });
                }
                Letter::Constrained(constraint) => self.feed(Input::Constrained(constraint)),
            }
        }
    }

    /// Handles one event of a source's socket: a transmit stamp, a refusal, one datagram.
    fn handle_socket(&mut self, source: SourceId, events: libc::c_short) {
        if self.links[usize::from(source.0)].reference.is_some() {
            if let Some(input) = self.read_reference(source) {
                self.feed(input);
            }
            return;
        }
        if events & (libc::POLLERR | libc::POLLPRI) != 0 {
            self.take_stamp(source);
            let link = &mut self.links[usize::from(source.0)];
            if let Some(errno) = link.socket.as_ref().and_then(RequestSocket::refused) {
                link.give_up(errno);
                return;
            }
            if events & libc::POLLERR != 0
                && let Some(refusal) = link.socket.as_ref().and_then(RequestSocket::take_error)
            {
                link.refusal = Some(refusal);
            }
        }
        if events & libc::POLLIN != 0 {
            self.take_datagram(source);
        } else if events & (libc::POLLNVAL | libc::POLLHUP) != 0 {
            self.links[usize::from(source.0)].socket = None;
        }
    }

    fn take_stamp(&mut self, source: SourceId) {
        let link = &mut self.links[usize::from(source.0)];
        let stamp = link.socket.as_mut().and_then(|s| s.transmit_stamp(&mut self.buffer));
        if let Some(sent_at) = stamp
            && let Some((token, _)) = link.unstamped.take()
        {
            self.feed(Input::Transmitted { token, sent_at });
        }
    }

    fn take_datagram(&mut self, source: SourceId) {
        // The engine wants to know when the request left before it sees the answer.
        self.take_stamp(source);
        if let Some((token, sent_at)) = self.links[usize::from(source.0)].unstamped.take() {
            self.feed(Input::Transmitted { token, sent_at });
        }
        let link = &mut self.links[usize::from(source.0)];
        let Some(socket) = &link.socket else { return };
        let now;
        let actions = match socket.receive(&mut self.buffer) {
            Ok(Some(Datagram { from, octets, stamp, .. })) => {
                link.refusal = None;
                now = read_clocks();
                let received_at = stamp.unwrap_or(now.system);
                self.engine.handle_input(now, Input::Datagram { source, from, octets, received_at })
            }
            Ok(None) => return,
            Err(ReceiveError::Network { errno }) => {
                link.refusal = Some(errno);
                return;
            }
            Err(ReceiveError::System { errno }) => {
                link.give_up(errno);
                return;
            }
        };
        self.carry_out(actions);
    }

    fn feed(&mut self, input: Input<'_>) {
        let actions = self.engine.handle_input(read_clocks(), input);
        self.carry_out(actions);
    }

    /// Carries actions out in order; what comes of them are inputs, whose actions come last.
    fn carry_out(&mut self, mut actions: Vec<Action>) {
        while !actions.is_empty() {
            let mut further = Vec::new();
            for action in actions {
                if action.is_write() && !self.engine.keeps_clock() {
                    continue;
                }
                if let Some(outcome) = self.perform(action) {
                    further.extend(self.engine.handle_input(read_clocks(), outcome));
                }
            }
            actions = further;
        }
    }

    fn perform(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Resolve { source, host, port } => {
                let answer = self.surroundings.resolver.ask(source, &host, port)?;
                Some(Input::Resolved { source: answer.source, result: answer.result })
            }
            Action::Send { source, to, octets, token } => self.send(source, &to, &octets, token),
            Action::ReadReference { source } => self.read_reference(source),
            Action::ReadHardwareClock => {
                let time = self.surroundings.hardware_clock.as_ref().and_then(HardwareClock::read);
                let told = time.map_or_else(|| "nothing".to_owned(), |time| time.to_string());
                tracing::warn!("a source is suddenly later; the hardware clock tells {told}");
                Some(Input::HardwareClock(time))
            }
            Action::Close { source } => {
                let link = &mut self.links[usize::from(source.0)];
                link.resting = link.socket.take().and_then(RequestSocket::rest);
                link.unstamped = None;
                None
            }
            Action::SetFrequency(frequency) => {
                Some(self.write_clock(|writer| writer.set_frequency(frequency)))
            }
            Action::Step(offset) => {
                tracing::warn!(%offset, "stepping the system clock");
                Some(self.write_clock(|writer| writer.step(offset)))
            }
            Action::SetKernelStatus(status) => {
                Some(self.write_clock(|writer| writer.set_status(status)))
            }
            Action::ReadKernel => Some(Input::AdjustOutcome(kernel_clock::read())),
            Action::WakeAt(at) => {
                self.wake_at = Some(at);
                None
            }
            Action::Publish => {
                self.outlets.publish(self.engine.clock_state());
                None
            }
            // Nobody asks yet.
            Action::Reply(_) => None,
        }
    }

    fn send(
        &mut self,
        source: SourceId,
        to: &SocketAddr,
        octets: &[u8],
        token: TransmitToken,
    ) -> Option<Input<'static>> {
        let link = &mut self.links[usize::from(source.0)];
        let before = read_clocks().system;
        let revived = link.resting.take().and_then(|resting| resting.connect(to));
        let sent = revived
            .map_or_else(|| RequestSocket::connect(to), Ok)
            .and_then(|socket| socket.send(octets).map(|()| socket));
        match sent {
            Ok(mut socket) => {
                // The stamp of most drivers is there when `sendmsg` returns.
                let stamp = socket.transmit_stamp(&mut self.buffer);
                if let Some(own) = &mut self.surroundings.own_addresses {
                    own.asked_by(&socket);
                }
                link.socket = Some(socket);
                match stamp {
                    Some(sent_at) => {
                        link.unstamped = None;
                        Some(Input::Transmitted { token, sent_at })
                    }
                    None => {
                        link.unstamped = Some((token, before));
                        None
                    }
                }
            }
            Err(error) => {
                link.socket = None;
                link.unstamped = None;
                Some(Input::SendFailed { token, error })
            }
        }
    }

    fn read_reference(&mut self, source: SourceId) -> Option<Input<'static>> {
        let reference = self.links[usize::from(source.0)].reference.as_mut()?;
        let result = reference.read(read_clocks().raw)?;
        Some(Input::Measured { source, result })
    }

    fn write_clock(
        &self,
        write: impl FnOnce(&KernelClockWriter) -> Result<KernelClock, AdjustError>,
    ) -> Input<'static> {
        // In observe mode there is no writer, so that even a mistaken engine could not write.
        let refused = Err(AdjustError::NotPermitted);
        Input::AdjustOutcome(self.writer.as_ref().map_or(refused, write))
    }

    fn tell(&mut self, now: Now) {
        let engine = &self.engine;
        let leap_file_problem = self.surroundings.leap_file.as_ref().and_then(LeapFile::problem);
        let telling = || Telling {
            report: engine.report(now),
            refusals: self.links.iter().map(|link| link.refusal).collect(),
            leap_file_problem: leap_file_problem.map(str::to_owned),
        };
        self.outlets.tell(now, telling, || learned(engine, now));
    }

    /// Leaves the clock at the rate that is right by itself, rather than in mid-slew.
    fn leave(self) {
        let state = self.engine.clock_state();
        let learned = learned(&self.engine, read_clocks());
        if let Some(writer) = &self.writer
            && !learned.report.yielded
            && state.state != SyncState::Unsynchronized
            && let Err(error) = writer.set_frequency(-state.frequency)
        {
            tracing::warn!(%error, "the clock could not be left at its natural rate");
        }
        self.outlets.close(&learned);
    }
}

fn learned(engine: &Engine, now: Now) -> Learned {
    Learned { report: engine.report(now), sources: engine.remembered(now) }
}
