//! The agent's settings: a TOML file, checked once, after which no setting can be wrong.
//!
//! ```toml
//! [clock]
//! mode = "observe"                            # or "discipline": keep the system clock right
//! step = { threshold_s = 1.0, updates = 3 }   # larger offsets are stepped, in the first 3 updates
//! panic_limit_s = 1000.0                      # once set, larger offsets are refused (inf: none)
//! leap = "system"                             # or "slew" or "ignore"
//! leap_file = "/usr/share/zoneinfo/leap-seconds.list"   # for TAI, and to be surer of them
//! min_sources = 1                             # how many must agree
//!
//! [[source]]
//! preset = "aws"                              # or "google" or "azure"; options as below
//!
//! [[source]]
//! address = "time.example.org"                # host, host:port or [v6]:port
//! count = 1                                   # of a pool: how many of its servers to ask
//! poll = { min = 6, max = 10 }                # log2 of seconds
//! iburst = true                               # begin with a few quick requests
//! burst = false                               # ask four times at each poll
//! prefer = false
//! trust = false                               # judged only by the other trusted ones
//! noselect = false                            # measure only
//! interleaved = false                         # RFC 9769: servers tell when answers really left
//! key = 1                                     # a key of the key file; none where absent
//!
//! [[source]]                                  # a clock at hand: one of `phc`, `shm` and `sock`
//! phc = "/dev/ptp0"
//! tai_offset_s = 37                           # of a hardware clock that keeps TAI
//! error_s = 0.000001                          # how far it may be from UTC
//!
//! [keys]
//! file = "/etc/timeball/keys"                 # keys shared with servers and clients
//!
//! [constraints]
//! https = ["https://www.example.org"]         # no source is believed that contradicts their dates
//! within_s = 10                               # by more than this
//! required = false                            # or none at all while they say nothing
//!
//! [server]
//! listen = ["127.0.0.1:11123", "[::1]:11123"] # where clients are answered
//! allow = ["192.0.2.0/24", "2001:db8::/32"]   # whom it answers; everybody where absent
//! smear = false                               # leap seconds smeared for them over a day
//! rate_limit = { interval_s = 0.125, burst = 64, leak = 4, kiss = 8, clients = 4096 }
//!
//! [admin]
//! listen = "127.0.0.1:9133"                   # status, metrics, health
//!
//! [state]
//! directory = "/var/lib/timeball"             # what survives a restart
//!
//! [clockbound]
//! segment = "/var/run/clockbound/shm0"        # bounded time for ClockBound's clients
//! ```

mod constraints;
mod document;
mod error;
mod keys;
mod reference;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;

use timeball_ntp::engine::{
    ClockMode, LeapPolicy, PollRange, RtcPolicy, SourceConfig, SourceOptions, StepPolicy,
};
use timeball_ntp::mac::KeyRing;
use timeball_ntp::server::{Network, RateLimit, ServerConfig};
use timeball_timebase::Span;
use toml::de::DeTable;

use crate::address::{AddressError, HostPort};
use crate::constraints::ConstraintConfig;
use crate::presets::{PRESETS, preset};
use document::{Document, Table, Value};

pub use constraints::HTTPS_MAX;
pub use error::{ConfigError, Problem};
pub use keys::{KEYS_MAX, KeyFileError, LineProblem, parse_keys, read_key};
pub use server::ALLOWED_MAX;

/// Sources of one agent.
pub const SOURCES_MAX: usize = 64;
/// Servers of one name that may be asked.
pub const POOL_MAX: usize = 16;
/// Addresses that one server listens on.
pub const LISTEN_MAX: usize = 16;

/// The largest offset that a setting may name: about 31 years.
const LIMIT_MAX: Span = Span::from_secs(1_000_000_000);

/// The agent's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentConfig {
    /// Whether the clock is written.
    pub mode: ClockMode,
    /// When the clock may be stepped.
    pub step: StepPolicy,
    /// What is made of leap seconds.
    pub leap: LeapPolicy,
    /// What becomes of the hardware clock, in discipline mode.
    pub rtc: RtcPolicy,
    /// The list of leap seconds, as zone databases ship it; none where `None`.
    pub leap_file: Option<PathBuf>,
    /// Sources that must agree before the clock counts as synchronized (1+).
    pub min_sources: usize,
    /// The sources, no two the same.
    pub sources: Vec<SourceConfig>,
    /// What HTTPS servers are asked of the time; nothing where `None`.
    pub constraints: Option<ConstraintConfig>,
    /// The file of keys that sources name and clients may use.
    pub key_file: Option<PathBuf>,
    /// Where clients are answered; nowhere where empty.
    pub server_listen: Vec<SocketAddr>,
    /// Whose clients are answered; everybody's where empty.
    pub server_allowed: Vec<Network>,
    /// Whether clients are served leap seconds smeared over a day.
    pub server_smears: bool,
    /// How often one client is answered.
    pub server_rate_limit: RateLimit,
    /// How many clients are remembered for that (8+).
    pub server_clients_max: usize,
    /// Where status, metrics and health are served.
    pub admin_listen: Option<SocketAddr>,
    /// What survives a restart; nothing where `None`.
    pub state_directory: Option<PathBuf>,
    /// The shared segment that ClockBound's clients read; none where `None`.
    pub segment: Option<PathBuf>,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            mode: ClockMode::Observe,
            step: StepPolicy::default(),
            leap: LeapPolicy::default(),
            rtc: RtcPolicy::default(),
            leap_file: None,
            min_sources: 1,
            sources: Vec::new(),
            constraints: None,
            key_file: None,
            server_listen: Vec::new(),
            server_allowed: Vec::new(),
            server_smears: false,
            server_rate_limit: RateLimit::default(),
            server_clients_max: ServerConfig::default().clients_max,
            admin_listen: None,
            state_directory: None,
            segment: None,
        }
    }
}

impl AgentConfig {
    /// Reads the settings from the text of a file; `file` is what errors call it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and the fix.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let document = Document { file, text };
        let root = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            document.error(at, "", Problem::Syntax { message: error.message().to_owned() })
        })?;
        const KNOWN: &[&str] =
            &["clock", "source", "keys", "constraints", "server", "admin", "state", "clockbound"];
        let root = Table::new(document, String::new(), 0, root.get_ref(), KNOWN)?;
        let mut config = Self::default();
        if let Some(keys) = root.value("keys") {
            let keys = keys.table(&["file"])?;
            let file = keys.required("file", "file = \"/etc/timeball/keys\"")?;
            config.key_file = Some(read_path(&file)?);
        }
        if let Some(sources) = root.value("source") {
            config.sources = read_sources(&sources, config.key_file.is_some())?;
        }
        if let Some(clock) = root.value("clock") {
            read_clock(&clock, &mut config)?;
        }
        if let Some(server) = root.value("server") {
            server::read(&server, &mut config)?;
        }
        if let Some(admin) = root.value("admin") {
            let admin = admin.table(&["listen"])?;
            let listen = admin.required("listen", "listen = \"127.0.0.1:9133\"")?;
            config.admin_listen = Some(read_listen(&listen, 9_133)?);
        }
        if let Some(state) = root.value("state") {
            let state = state.table(&["directory"])?;
            let value = state.required("directory", "directory = \"/var/lib/timeball\"")?;
            config.state_directory = Some(read_path(&value)?);
        }
        if let Some(value) = root.value("constraints") {
            config.constraints = Some(constraints::read(&value)?);
        }
        if let Some(clockbound) = root.value("clockbound") {
            let clockbound = clockbound.table(&["segment"])?;
            let value = clockbound.required("segment", "segment = \"/var/run/clockbound/shm0\"")?;
            config.segment = Some(read_path(&value)?);
        }
        Ok(config)
    }

    /// Reads the file of keys, where one is named, and sees that it has every key of the sources.
    ///
    /// # Errors
    /// Where it cannot be read, has a line that is no key, or lacks a key.
    pub(crate) fn read_keys(&self) -> Result<KeyRing, KeyFileError> {
        let Some(path) = &self.key_file else { return Ok(KeyRing::default()) };
        let ring = keys::read(path)?;
        let named = |source: &SourceConfig| Some((source.key?, source.host.clone()));
        match self.sources.iter().filter_map(named).find(|(id, _)| ring.key(*id).is_none()) {
            None => Ok(ring),
            Some((id, source_name)) => {
                let file = path.display().to_string();
                Err(KeyFileError::Missing { file, id, source_name })
            }
        }
    }
}

fn read_path(value: &Value<'_>) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(value.string()?);
    if !path.is_absolute() {
        return Err(value.error(Problem::NotAbsolute { value: value.source().to_owned() }));
    }
    Ok(path)
}

/// The source that `text` names (`host`, `host:port`, `[v6]:port` or `preset:NAME`), with the
/// default settings.
///
/// # Errors
/// Where it names no server.
pub fn source(text: &str) -> Result<SourceConfig, AddressError> {
    if let Some(name) = text.strip_prefix("preset:") {
        return preset(name).ok_or_else(|| AddressError::Preset { name: name.to_owned() });
    }
    let HostPort { host, port } = text.parse()?;
    Ok(SourceConfig::new(host, port))
}

fn read_clock(value: &Value<'_>, config: &mut AgentConfig) -> Result<(), ConfigError> {
    const KEYS: &[&str] =
        &["mode", "step", "panic_limit_s", "leap", "leap_file", "rtc", "min_sources"];
    let clock = value.table(KEYS)?;
    if let Some(mode) = clock.value("mode") {
        const KNOWN: &[&str] = &["observe", "discipline"];
        config.mode = match mode.word(KNOWN)? {
            "observe" => ClockMode::Observe,
            _ => ClockMode::Discipline,
        };
    }
    if let Some(leap) = clock.value("leap") {
        const KNOWN: &[&str] = &["system", "slew", "ignore"];
        config.leap = match leap.word(KNOWN)? {
            "system" => LeapPolicy::System,
            "slew" => LeapPolicy::Slew,
            _ => LeapPolicy::Ignore,
        };
    }
    if let Some(file) = clock.value("leap_file") {
        config.leap_file = Some(read_path(&file)?);
    }
    if let Some(rtc) = clock.value("rtc") {
        const KNOWN: &[&str] = &["kernel", "never"];
        config.rtc = match rtc.word(KNOWN)? {
            "kernel" => RtcPolicy::Kernel,
            _ => RtcPolicy::Never,
        };
    }
    if let Some(step) = clock.value("step") {
        let step = step.table(&["threshold_s", "updates", "backward_s", "after_pause"])?;
        if let Some(threshold) = step.value("threshold_s") {
            config.step.threshold = threshold.seconds(LIMIT_MAX)?;
        }
        if let Some(updates) = step.value("updates") {
            let updates = updates.integer(0..=i64::from(u32::MAX))?;
            config.step.updates = u32::try_from(updates).expect("the range was checked");
        }
        if let Some(backward) = step.value("backward_s") {
            config.step.backward = backward.seconds_or_inf(LIMIT_MAX)?;
        }
        if let Some(after_pause) = step.value("after_pause") {
            config.step.after_pause = after_pause.boolean()?;
        }
    }
    if let Some(limit) = clock.value("panic_limit_s") {
        config.step.panic = limit.seconds_or_inf(LIMIT_MAX)?;
    }
    if let Some(value) = clock.value("min_sources") {
        let most = i64::try_from(SOURCES_MAX).expect("64 fits");
        let min_sources = value.integer(1..=most)?;
        config.min_sources = usize::try_from(min_sources).expect("the range was checked");
        let sources = electors(&config.sources);
        if config.min_sources > sources {
            let min_sources = config.min_sources;
            return Err(value.error(Problem::TooFewSources { min_sources, sources }));
        }
    }
    Ok(())
}

/// Sources that can agree: the trusted ones where there are any.
fn electors(sources: &[SourceConfig]) -> usize {
    let selectable = || sources.iter().map(|s| s.options).filter(|options| !options.noselect);
    match selectable().filter(|options| options.trust).count() {
        0 => selectable().count(),
        trusted => trusted,
    }
}

fn read_sources(value: &Value<'_>, has_keys: bool) -> Result<Vec<SourceConfig>, ConfigError> {
    let mut sources: Vec<SourceConfig> = Vec::new();
    for item in value.array(SOURCES_MAX)? {
        const KNOWN: &[&str] = &[
            "address",
            "preset",
            "count",
            "poll",
            "iburst",
            "burst",
            "prefer",
            "trust",
            "noselect",
            "interleaved",
            "key",
            "phc",
            "shm",
            "sock",
            "error_s",
            "offset_s",
            "delay_s",
            "tai_offset_s",
            "refid",
        ];
        let table = item.table(KNOWN)?;
        let (kind, value) = read_kind(&table)?;
        let source = match kind {
            "address" => read_server(&table, &value, has_keys)?,
            "preset" => read_preset(&table, &value)?,
            _ => reference::read(&table, kind, &value)?,
        };
        if sources.iter().any(|other| is_same(other, &source)) {
            let value_text =
                if kind == "address" { value.string()?.to_owned() } else { source.host };
            return Err(value.error(Problem::Twice { value: value_text }));
        }
        let most = i64::try_from(POOL_MAX).expect("16 fits");
        let count = table.value("count").map_or(Ok(1), |count| count.integer(1..=most))?;
        let count = usize::try_from(count).expect("the range was checked");
        if sources.len() + count > SOURCES_MAX {
            let count = sources.len() + count;
            return Err(value.error(Problem::TooMany { count, max: SOURCES_MAX }));
        }
        sources.extend(std::iter::repeat_n(source, count));
    }
    Ok(sources)
}

/// What a source is, and the value that says so: exactly one of the keys that can.
fn read_kind<'a>(table: &Table<'a>) -> Result<(&'static str, Value<'a>), ConfigError> {
    const KINDS: &[&str] = &["address", "preset", "phc", "shm", "sock"];
    let mut given = KINDS.iter().filter_map(|kind| Some((*kind, table.value(kind)?)));
    match (given.next(), given.next()) {
        (None, _) => Ok(("address", table.required("address", "address = \"time.example.org\"")?)),
        (Some(one), None) => Ok(one),
        (Some((first, _)), Some((second, value))) => {
            Err(value.error(Problem::TwoKinds { first, second }))
        }
    }
}

/// Reads a server that is named by its address.
fn read_server(
    table: &Table<'_>,
    address: &Value<'_>,
    has_keys: bool,
) -> Result<SourceConfig, ConfigError> {
    refuse(table, reference::KEYS)?;
    let text = address.string()?;
    let HostPort { host, port } = text
        .parse()
        .map_err(|error| address.error(Problem::Address { value: text.to_owned(), error }))?;
    let key = table.value("key").map(|key| read_key_id(&key, has_keys)).transpose()?;
    let source = SourceConfig { key, ..SourceConfig::new(host, port) };
    with_options(table, source)
}

/// Reads a cloud's time service: what the table says else goes before what the preset says. It has
/// one address, and no keys are given out for it.
fn read_preset(table: &Table<'_>, name: &Value<'_>) -> Result<SourceConfig, ConfigError> {
    refuse(table, reference::KEYS)?;
    refuse(table, &["count", "key"])?;
    let source = preset(name.word(PRESETS)?).expect("every known word is a preset");
    with_options(table, source)
}

/// The source with the polling and the options of the table, where it has any.
fn with_options(table: &Table<'_>, source: SourceConfig) -> Result<SourceConfig, ConfigError> {
    let poll = table.value("poll").map_or(Ok(source.poll), |poll| read_poll(&poll, source.poll))?;
    let options = read_options(table, source.options)?;
    Ok(SourceConfig { poll, options, ..source })
}

/// Whether two sources would be one witness. Names of hosts are the same in capitals, paths are
/// not.
fn is_same(one: &SourceConfig, other: &SourceConfig) -> bool {
    let is_server = one.reference.is_none() && other.reference.is_none();
    one.port == other.port
        && (one.host == other.host || is_server && one.host.eq_ignore_ascii_case(&other.host))
}

/// Refuses keys that mean nothing for a source of this kind.
fn refuse(table: &Table<'_>, keys: &[&'static str]) -> Result<(), ConfigError> {
    match keys.iter().find_map(|key| Some((*key, table.value(key)?))) {
        None => Ok(()),
        Some((key, value)) => Err(value.error(Problem::OtherKind { key })),
    }
}

fn read_options(table: &Table<'_>, defaults: SourceOptions) -> Result<SourceOptions, ConfigError> {
    let flag = |key, default| table.value(key).map_or(Ok(default), |value| value.boolean());
    Ok(SourceOptions {
        iburst: flag("iburst", defaults.iburst)?,
        burst: flag("burst", defaults.burst)?,
        prefer: flag("prefer", defaults.prefer)?,
        trust: flag("trust", defaults.trust)?,
        noselect: flag("noselect", defaults.noselect)?,
        interleaved: flag("interleaved", defaults.interleaved)?,
    })
}

fn read_key_id(value: &Value<'_>, has_keys: bool) -> Result<u32, ConfigError> {
    let id = value.integer(1..=i64::from(u32::MAX))?;
    let id = u32::try_from(id).expect("the range was checked");
    if has_keys { Ok(id) } else { Err(value.error(Problem::NoKeyFile { id })) }
}

/// Reads a polling range; an end that is missing is the source's own.
fn read_poll(value: &Value<'_>, defaults: PollRange) -> Result<PollRange, ConfigError> {
    let table = value.table(&["min", "max"])?;
    let exponent = |key| table.value(key).map(|value| value.integer(-4..=17)).transpose();
    let (min, max) = match (exponent("min")?, exponent("max")?) {
        // One alone moves the other along rather than contradict it.
        (Some(min), None) => (min, min.max(i64::from(defaults.max))),
        (None, Some(max)) => (max.min(i64::from(defaults.min)), max),
        (Some(min), Some(max)) => (min, max),
        (None, None) => return Ok(defaults),
    };
    if min > max {
        return Err(value.error(Problem::PollOrder { min, max }));
    }
    let exponent = |value: i64| i8::try_from(value).expect("the range was checked");
    Ok(PollRange { min: exponent(min), max: exponent(max) })
}

fn read_listen(value: &Value<'_>, port: u16) -> Result<SocketAddr, ConfigError> {
    let text = value.string()?;
    text.parse().map_err(|_| value.error(Problem::Listen { value: text.to_owned(), port }))
}

#[cfg(test)]
mod tests;
