//! A time server, written from RFC 5905 alone so that it shares no mistake with the engine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use timeball_timebase::{Leap, Span, Timestamp};

use crate::network::Path;

/// One server and the path to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The path.
    pub path: Path,
    /// What it does.
    pub behaviour: Behaviour,
    /// Its honest error: it is this far ahead of the truth and says so in its root dispersion.
    pub error: Span,
    /// What it says of leap seconds.
    pub announces: Announcement,
    /// What kind of clock it is, where it is no server: then its path is that of a reading, to the
    /// clock and back.
    pub clock: Option<ClockAtHand>,
    /// Whom it follows, by its own word; where `None` it is a primary server.
    pub follows: Option<Follows>,
    /// Why nobody is there, where that is so for good.
    pub absence: Option<Absence>,
}

/// What a secondary server says of the clock that it follows. Who says the same is the same server,
/// or pretends to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Follows {
    /// The other's address.
    pub address: [u8; 4],
    /// How often its clock is set, in seconds (1+).
    pub every_s: i64,
}

/// Why nothing is ever heard of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absence {
    /// Requests are dropped on their way, or refused where only the kernel is told.
    Silent,
    /// There is no route: every request fails to be sent.
    NoRoute,
    /// Its name does not exist.
    NameUnknown,
    /// Whoever is asked for its name does not answer.
    NameUnanswered,
}

/// What a server says of leap seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Announcement {
    /// That which really comes, and makes it.
    #[default]
    Truth,
    /// Nothing, and makes none: its time is a second off afterwards.
    Nothing,
    /// This one at any time, and makes only that which really comes.
    False(Leap),
}

/// What a server does when asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// Tells the truth.
    Honest,
    /// Is this far ahead from the given second on and claims to be perfect.
    Lies {
        /// Positive when it is ahead.
        by: Span,
        /// When it begins, in seconds.
        from_s: f64,
    },
    /// Is ahead by more and more, at this rate.
    Drifts {
        /// Ratio, positive when it gains.
        rate: f64,
    },
    /// Answers with fields that are changed from what is right.
    Broken(Broken),
    /// Tells what the client thinks true time to be, and nothing while that knows none.
    Echoes,
    /// Is synchronized until this second only.
    HonestUntil {
        /// In seconds.
        until_s: f64,
    },
}

/// A clock at hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockAtHand {
    /// What it tells.
    pub kind: ClockKind,
    /// Standard deviation of one reading, in seconds; at least zero.
    pub scatter: f64,
}

/// What a clock at hand tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClockKind {
    /// A count that goes on through leap seconds, ahead of UTC by this at the start, as that of a
    /// network card is; what it is ahead by is taken off its readings.
    Counter {
        /// What it is ahead by.
        ahead: Span,
    },
    /// UTC with leap seconds and their announcement, as gpsd tells it.
    Utc,
    /// A pulse per second: only the fraction of the second.
    Pulse,
}

/// What is true of leap seconds at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeapNow {
    /// That which is to come.
    pub(crate) awaited: Leap,
    /// By how much that which came has changed the time.
    pub(crate) came: Span,
}

/// What is broken about a broken server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// Leap indicator 3.
    Unsynchronized,
    /// This stratum.
    Stratum(u8),
    /// A kiss of death with this code.
    Kiss([u8; 4]),
    /// A transmit timestamp of zero.
    ZeroTransmit,
    /// A root dispersion of 20 s.
    Distant,
    /// Receive timestamp 6 s before the transmit timestamp.
    LongTurnaround,
    /// Receive timestamp later than the transmit timestamp.
    NegativeTurnaround,
    /// The answer is cut after 40 octets.
    Truncated,
    /// 2,000 octets.
    Oversized,
    /// Origin timestamp of another request.
    ForeignOrigin,
    /// Mode 5.
    Broadcast,
}

/// When a secondary server's clock is set first, in seconds since 1900: in 2026.
const FIRST_SETTING_S: u64 = 4_003_988_000;
/// Seconds from 1900 to 1970.
const UNIX_FROM_1900: i64 = 2_208_988_800;

impl Server {
    /// An honest server at the end of `path`.
    pub fn honest(path: Path) -> Self {
        let announces = Announcement::Truth;
        let (behaviour, error) = (Behaviour::Honest, Span::ZERO);
        Self { path, behaviour, error, announces, clock: None, follows: None, absence: None }
    }

    /// A server that nobody hears of.
    pub fn absent(absence: Absence) -> Self {
        Self { absence: Some(absence), ..Self::honest(Path::default()) }
    }

    /// A true clock at hand; reading it takes what `path` does.
    pub fn at_hand(clock: ClockAtHand, path: Path) -> Self {
        Self { clock: Some(clock), ..Self::honest(path) }
    }

    /// The same with another behaviour.
    #[must_use]
    pub fn with(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// The same that says something else of leap seconds.
    #[must_use]
    pub fn announcing(mut self, announces: Announcement) -> Self {
        self.announces = announces;
        self
    }

    /// The same as a secondary server.
    #[must_use]
    pub fn following(mut self, follows: Follows) -> Self {
        self.follows = Some(follows);
        self
    }

    /// Whether it never lies, though it may say that it does not know the time.
    pub fn is_honest(&self) -> bool {
        matches!(self.behaviour, Behaviour::Honest | Behaviour::HonestUntil { .. })
            && self.announces == Announcement::Truth
    }

    /// Whether it is asked for by a name, which leads nowhere.
    pub(crate) fn is_lost_name(&self) -> bool {
        matches!(self.absence, Some(Absence::NameUnknown | Absence::NameUnanswered))
    }

    /// How far its time is ahead of the truth, `at_s` seconds after the start.
    pub(crate) fn error_at(&self, at_s: f64) -> Span {
        let lie = match self.behaviour {
            Behaviour::Lies { by, from_s } if at_s >= from_s => by,
            Behaviour::Drifts { rate } => Span::from_nanos((rate * at_s * 1e9) as i64),
            _ => Span::ZERO,
        };
        self.error + lie
    }

    /// Answers a request that arrives at the true time `truth`, `at_s` seconds after the start;
    /// `leap` is what is really to come, or came.
    pub(crate) fn answer(
        &self,
        request: &[u8],
        truth: Timestamp,
        at_s: f64,
        leap: LeapNow,
    ) -> Option<Vec<u8>> {
        if request.len() < 48 || request[0] & 7 != 3 {
            return None;
        }
        let told = truth + self.error_at(at_s);
        let told = if self.announces == Announcement::Nothing { told - leap.came } else { told };
        let said = match self.announces {
            Announcement::Truth => leap.awaited,
            Announcement::Nothing => Leap::None,
            Announcement::False(leap) => leap,
        };
        let mut octets = vec![0; 48];
        octets[0] = (said as u8) << 6 | 4 << 3 | 4;
        octets[1] = 1;
        octets[2] = 6;
        octets[3] = (-24_i8).cast_unsigned();
        octets[8..12].copy_from_slice(&short(self.error.abs()));
        octets[12..16].copy_from_slice(b"SIM\0");
        octets[16..24].copy_from_slice(&long(told));
        octets[24..32].copy_from_slice(&request[40..48]);
        octets[32..40].copy_from_slice(&long(told));
        // As real servers do: the bits below the precision are anything, even if that makes the
        // answer leave before the request came.
        let blur = Span::from_nanos(truth.as_unix_nanos().rem_euclid(119) - 59);
        octets[40..48].copy_from_slice(&long(told + blur));
        if let Some(follows) = &self.follows {
            octets[1] = 2;
            octets[12..16].copy_from_slice(&follows.address);
            octets[16..24].copy_from_slice(&follows.reference(at_s));
        }
        match self.behaviour {
            Behaviour::HonestUntil { until_s } if at_s >= until_s => octets[0] |= 0xc0,
            Behaviour::Broken(broken) => broken.apply(&mut octets, told),
            _ => {}
        }
        Some(octets)
    }
}

impl Follows {
    /// When its clock was set last: to a fraction that nobody else's has, however often one looks.
    fn reference(&self, at_s: f64) -> [u8; 8] {
        let turn = (at_s / self.every_s as f64) as u32;
        let [a, b, c, d] = self.address;
        let fraction = u32::from_be_bytes([a, b ^ 0x55, c ^ 0xaa, d]).wrapping_mul(0x9e37_79b9);
        let second = FIRST_SETTING_S + u64::from(turn) * self.every_s.cast_unsigned();
        (second << 32 | u64::from(fraction.wrapping_add(turn).max(1))).to_be_bytes()
    }
}

impl Broken {
    fn apply(self, octets: &mut Vec<u8>, told: Timestamp) {
        match self {
            Self::Unsynchronized => octets[0] |= 0xc0,
            Self::Stratum(stratum) => octets[1] = stratum,
            Self::Kiss(code) => {
                octets[1] = 0;
                octets[12..16].copy_from_slice(&code);
            }
            Self::ZeroTransmit => octets[40..48].fill(0),
            Self::Distant => octets[8..12].copy_from_slice(&short(Span::from_secs(20))),
            Self::LongTurnaround => {
                octets[32..40].copy_from_slice(&long(told - Span::from_secs(6)));
            }
            Self::NegativeTurnaround => {
                octets[32..40].copy_from_slice(&long(told + Span::from_secs(1)));
            }
            Self::Truncated => octets.truncate(40),
            Self::Oversized => octets.resize(2_000, 0),
            Self::ForeignOrigin => octets[24] ^= 0x55,
            Self::Broadcast => octets[0] = 4 << 3 | 5,
        }
    }
}

/// The 64-bit format, the fraction cut as a real clock's is.
fn long(at: Timestamp) -> [u8; 8] {
    let seconds = (at.unix_seconds() + UNIX_FROM_1900) as u32;
    let fraction = ((u64::from(at.subsec_nanos()) << 32) / 1_000_000_000) as u32;
    (u64::from(seconds) << 32 | u64::from(fraction)).to_be_bytes()
}

/// The 32-bit format, rounded up.
fn short(span: Span) -> [u8; 4] {
    let units = ((span.as_nanos() as i128) << 16) as u128;
    (units.div_ceil(1_000_000_000) as u32).to_be_bytes()
}

/// Where a scenario's server of this index is.
pub(crate) fn address(index: usize) -> SocketAddr {
    let host = u8::try_from(index + 1).expect("a world has few servers");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 123)
}
