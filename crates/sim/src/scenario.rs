//! A scenario: everything about a world but its seed.

use timeball_ntp::engine::{
    ClockMode, EngineConfig, Input, PollRange, SourceConfig, SourceOptions,
};
use timeball_timebase::{Frequency, LeapSecond, Span, Timestamp};

use crate::clock::{Oscillator, RefusedWrite};
use crate::network::Path;
use crate::server::{Follows, LeapNow, Server, address};

/// How far from a leap second clocks may make it.
const LEAP_BLUR: Span = Span::from_millis(200);
/// 2026-12-31T24:00:00Z.
const NEW_YEAR_2027: Timestamp = Timestamp::from_unix(1_798_761_600, 0);

/// The physics of a world as a value. With a seed it is one world, to the bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What failures call it.
    pub name: String,
    /// The client's oscillator.
    pub oscillator: Oscillator,
    /// How far the client's system clock is ahead at the start.
    pub clock_offset: Span,
    /// True time at the start.
    pub epoch: Timestamp,
    /// The servers, in the order of the engine's sources.
    pub servers: Vec<Server>,
    /// The engine's settings; the sources are those of `servers`.
    pub config: EngineConfig,
    /// How far the hardware clock, which no pause stops, is ahead of true time; none where `None`.
    pub hardware_clock: Option<Span>,
    /// How far apart the process reads its two clocks at most, either first; at least zero.
    pub readings_apart: Span,
    /// One write to the clock that the kernel refuses.
    pub refused_write: Option<RefusedWrite>,
    /// A leap second that really comes.
    pub leap_second: Option<LeapSecond>,
    /// All servers smear that leap second in this way and announce none. What counts as true time
    /// is then what they keep: UTC nobody in the world tells.
    pub smear: Option<Smear>,
    /// Somebody who sends datagrams of their own.
    pub attack: Option<Attack>,
    /// What happens to the machine, and at which second.
    pub happenings: Vec<(i64, Happening)>,
    /// How often the oscillator's rate changes, the clocks are looked at and the checkers ask, in
    /// seconds (1+). The checkers also ask before and after every input of the engine.
    pub tick_s: i64,
    /// How long the world lasts, in seconds.
    pub length_s: i64,
}

/// Datagrams that somebody else sends to the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attack {
    /// Every answer is sent again a second later.
    Replay,
    /// With every request, a forged answer comes first that does not know the request's number.
    Spoof,
    /// With every request, random octets come first from the server's address.
    Garbage,
}

/// How a leap second is smeared from the noon before to the noon after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Smear {
    /// Evenly: the rate jumps by 11.6 ppm at each noon.
    Linear,
    /// As half a cosine: the rate is another by up to 18.2 ppm at midnight, and nowhere jumps.
    Cosine,
}

/// What happens to the machine. Lengths are in seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Happening {
    /// Somebody else sets the system clock forward by this much.
    SetClock(Span),
    /// The machine sleeps: its raw clock stands still, its system clock is set on waking.
    Sleep {
        /// For how long.
        length_s: i64,
        /// By how much less the system clock is then set, more if negative: the kernel may know
        /// the length by a hardware clock only. Less than the length.
        missed: Span,
    },
    /// The virtual machine is paused and its clocks with it; nobody inside is told.
    Pause(i64),
    /// The process does not run; clocks, kernel and network do.
    Stall(i64),
    /// The process ends as it should and begins anew after `after_s`; clocks, kernel and network
    /// run on meanwhile. Of what the former one learned it knows the oscillator's rate, and the
    /// sources if it `remembers` them.
    Restart {
        /// For how long there is no process.
        after_s: i64,
        /// Whether the sources are remembered.
        remembers: bool,
    },
    /// Somebody else writes the system clock's frequency: from now on it runs this much faster than
    /// the raw one.
    WriteFrequency(Frequency),
    /// Somebody else slews the system clock forward by this much, at 500 ppm beside its frequency,
    /// as `adjtime` does.
    Slew(Span),
    /// The process is killed, which leaves the clock as it is just then, and begins anew after so
    /// long with what it had written down.
    Kill(i64),
    /// As [`Happening::Kill`], and the next process finds a kernel that nobody has told anything:
    /// the machine was booted anew, or the state directory is another one's. The clocks run on.
    Reboot(i64),
    /// From now on every write to the clock is refused, or no longer.
    RefuseWrites(bool),
}

impl Scenario {
    /// A world of 40,000 s without servers whose true time begins in November 2026; the engine
    /// disciplines a clock that is 10 ms ahead.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            oscillator: Oscillator::default(),
            clock_offset: Span::from_millis(10),
            epoch: Timestamp::from_unix(1_795_000_000, 0),
            servers: Vec::new(),
            config: EngineConfig { mode: ClockMode::Discipline, ..EngineConfig::default() },
            hardware_clock: None,
            readings_apart: Span::ZERO,
            refused_write: None,
            leap_second: None,
            smear: None,
            attack: None,
            happenings: Vec::new(),
            tick_s: 1,
            length_s: 40_000,
        }
    }

    /// The client's oscillator.
    #[must_use]
    pub fn with_oscillator(mut self, oscillator: Oscillator) -> Self {
        self.oscillator = oscillator;
        self
    }

    /// A hardware clock that is this far ahead.
    #[must_use]
    pub fn with_hardware_clock(mut self, ahead: Span) -> Self {
        self.hardware_clock = Some(ahead);
        self
    }

    /// A process that is interrupted for up to so long between two readings.
    #[must_use]
    pub fn with_readings_apart(mut self, apart: Span) -> Self {
        self.readings_apart = apart;
        self
    }

    /// How far the system clock is ahead at the start.
    #[must_use]
    pub fn with_clock_offset(mut self, offset: Span) -> Self {
        self.clock_offset = offset;
        self
    }

    /// One more server, asked every 2^poll seconds.
    #[must_use]
    pub fn with_server(self, server: Server, poll: i8) -> Self {
        self.with_source(server, PollRange { min: poll, max: poll }, SourceOptions::default())
    }

    /// One more server.
    #[must_use]
    pub fn with_source(mut self, server: Server, poll: PollRange, options: SourceOptions) -> Self {
        let place = self.servers.len();
        let host = match server.is_lost_name() {
            true => format!("lost{place}.test"),
            false => address(place).ip().to_string(),
        };
        self.servers.push(server);
        self.config.sources.push(SourceConfig { poll, options, ..SourceConfig::new(host, 123) });
        self
    }

    /// One more clock at hand ([`Server::at_hand`]), read every 2^poll seconds.
    #[must_use]
    pub fn with_clock(mut self, server: Server, poll: i8) -> Self {
        let reference = server.reference().expect("it is a clock at hand");
        let host = format!("clock{}", self.servers.len());
        self.servers.push(server);
        self.config.sources.push(SourceConfig {
            poll: PollRange { min: poll, max: poll },
            options: SourceOptions { iburst: false, ..SourceOptions::default() },
            reference: Some(reference),
            ..SourceConfig::new(host, 0)
        });
        self
    }

    /// One more server, asked as is the engine's habit.
    #[must_use]
    pub fn with_usual(self, server: Server) -> Self {
        self.with_source(server, PollRange::default(), SourceOptions::default())
    }

    /// Several honest servers, each at the end of such a path, asked every 2^poll seconds.
    #[must_use]
    pub fn with_honest(self, count: usize, path: &Path, poll: i8) -> Self {
        let server = Server::honest(path.clone());
        (0..count).fold(self, |scenario, _| scenario.with_server(server.clone(), poll))
    }

    /// Something that happens at this second.
    #[must_use]
    pub fn with_happening(mut self, at_s: i64, happening: Happening) -> Self {
        self.happenings.push((at_s, happening));
        self
    }

    /// Nothing passes to or from any server between these seconds.
    #[must_use]
    pub fn with_partition(mut self, from_s: f64, to_s: f64) -> Self {
        for server in &mut self.servers {
            server.path.outages.push((from_s, to_s));
        }
        self
    }

    /// Other settings of the engine.
    #[must_use]
    pub fn with_config(mut self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Somebody who sends datagrams of their own.
    #[must_use]
    pub fn with_attack(mut self, attack: Attack) -> Self {
        self.attack = Some(attack);
        self
    }

    /// A leap second at the end of 2026, so many seconds after the start.
    #[must_use]
    pub fn with_leap_second(mut self, is_inserted: bool, after_s: i64) -> Self {
        let leap_second = LeapSecond { at: NEW_YEAR_2027, is_inserted };
        self.epoch = leap_second.comes_at() - Span::from_secs(after_s);
        self.leap_second = Some(leap_second);
        self
    }

    /// All servers smear the leap second.
    #[must_use]
    pub fn smearing(mut self, smear: Smear) -> Self {
        self.smear = Some(smear);
        self
    }

    /// Another length, in seconds.
    #[must_use]
    pub fn lasting(mut self, length_s: i64) -> Self {
        self.length_s = length_s;
        self
    }

    /// What the hardware clock shows: whole seconds.
    pub(crate) fn hardware_clock(&self, truth: Timestamp) -> Input<'static> {
        let time = self.hardware_clock.map(|ahead| truth + ahead);
        Input::HardwareClock(time.map(|time| time - Span::from_nanos(time.subsec_nanos().into())))
    }

    /// What is true of leap seconds when true time would be `counted` if there were none.
    pub(crate) fn leap_now(&self, counted: Timestamp) -> LeapNow {
        match (self.leap_second, self.smear) {
            (None, _) => LeapNow::default(),
            (Some(leap), Some(smear)) => {
                LeapNow { came: smear.since(leap, counted), ..LeapNow::default() }
            }
            (Some(leap), None) if counted < leap.comes_at() => {
                LeapNow { awaited: leap.leap(), ..LeapNow::default() }
            }
            (Some(leap), None) => LeapNow { came: leap.correction(), ..LeapNow::default() },
        }
    }

    /// Within the leap second itself, and until all clocks have made it, no reading is right.
    pub(crate) fn is_amid_leap(&self, counted: Timestamp) -> bool {
        self.smear.is_none()
            && self.leap_second.is_some_and(|leap| {
                let since = counted - leap.comes_at();
                since > -LEAP_BLUR && since < Span::from_secs(1) + LEAP_BLUR
            })
    }

    /// Whether more than half of the servers never lie, of those that are asked, or where what
    /// says the same is counted as one.
    pub fn has_honest_majority(&self) -> bool {
        let is_majority = |honest: usize, of: usize| honest * 2 > of;
        let honest = self.servers.iter().filter(|server| server.is_honest()).count();
        let mut distinct: Vec<(Option<Follows>, bool)> = Vec::new();
        for server in &self.servers {
            let is_known = |(follows, _): &&mut (Option<Follows>, bool)| *follows == server.follows;
            match distinct.iter_mut().find(is_known).filter(|_| server.follows.is_some()) {
                Some((_, is_honest)) => *is_honest |= server.is_honest(),
                None => distinct.push((server.follows, server.is_honest())),
            }
        }
        let distinctly_honest = distinct.iter().filter(|(_, is_honest)| *is_honest).count();
        is_majority(honest, self.servers.len()) || is_majority(distinctly_honest, distinct.len())
    }
}

impl Happening {
    /// A sleep whose length the kernel knows.
    pub fn sleep(length_s: i64) -> Self {
        Self::Sleep { length_s, missed: Span::ZERO }
    }
}

impl Smear {
    /// By how much it has changed the time, when it would be `counted` if there were no leap
    /// second.
    fn since(self, leap: LeapSecond, counted: Timestamp) -> Span {
        const DAY_S: f64 = 86_400.0;
        let correction = leap.correction().as_seconds_f64();
        let elapsed = (counted - leap.at).as_seconds_f64() + DAY_S / 2.0;
        let share = (elapsed / (DAY_S - correction)).clamp(0.0, 1.0);
        let smeared = match self {
            Self::Linear => share,
            Self::Cosine => (1.0 - (core::f64::consts::PI * share).cos()) / 2.0,
        };
        Span::from_seconds_f64(correction * smeared).expect("at most a second")
    }
}
