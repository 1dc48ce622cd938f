//! Whom the NTP server answers, and how often: `[server]`.

use timeball_ntp::mac::KeyRing;
use timeball_ntp::server::{Network, ServerConfig};
use timeball_timebase::Span;

use super::document::Value;
use super::error::{ConfigError, Problem};
use super::{AgentConfig, LISTEN_MAX, read_listen};

/// Networks whose clients may be answered.
pub const ALLOWED_MAX: usize = 256;
/// Between two answers that a client may have for ever.
const INTERVAL_MIN: Span = Span::from_micros(1);
const INTERVAL_MAX: Span = Span::from_secs(86_400);
/// Clients that may be remembered, of which each takes 48 octets.
const CLIENTS_MAX: i64 = 1_000_000;

/// Reads the table into the settings.
pub(super) fn read(value: &Value<'_>, config: &mut AgentConfig) -> Result<(), ConfigError> {
    let server = value.table(&["listen", "allow", "smear", "rate_limit"])?;
    let listen = server.required("listen", "listen = [\"127.0.0.1:11123\"]")?;
    for value in listen.array(LISTEN_MAX)? {
        config.server_listen.push(read_listen(&value, 11_123)?);
    }
    if let Some(allow) = server.value("allow") {
        let networks = allow.array(ALLOWED_MAX)?;
        if networks.is_empty() {
            return Err(allow.error(Problem::NoNetworks));
        }
        config.server_allowed = networks.iter().map(read_network).collect::<Result<_, _>>()?;
    }
    if let Some(smear) = server.value("smear") {
        config.server_smears = smear.boolean()?;
    }
    if let Some(limit) = server.value("rate_limit") {
        read_rate_limit(&limit, config)?;
    }
    Ok(())
}

fn read_rate_limit(value: &Value<'_>, config: &mut AgentConfig) -> Result<(), ConfigError> {
    let table = value.table(&["interval_s", "burst", "leak", "kiss", "clients"])?;
    let limit = &mut config.server_rate_limit;
    if let Some(interval) = table.value("interval_s") {
        limit.interval = interval.span(INTERVAL_MIN, INTERVAL_MAX)?;
    }
    let numbers = [
        ("burst", 1, &mut limit.burst),
        ("leak", 1, &mut limit.leak),
        ("kiss", 0, &mut limit.kiss),
    ];
    for (key, min, number) in numbers {
        if let Some(value) = table.value(key) {
            let read = value.integer(min..=i64::from(u16::MAX))?;
            *number = u16::try_from(read).expect("the range was checked");
        }
    }
    if let Some(clients) = table.value("clients") {
        let clients = clients.integer(8..=CLIENTS_MAX)?;
        config.server_clients_max = usize::try_from(clients).expect("the range was checked");
    }
    Ok(())
}

fn read_network(value: &Value<'_>) -> Result<Network, ConfigError> {
    let text = value.string()?;
    text.parse().map_err(|error| {
        value.error(Problem::Network { value: text.chars().take(60).collect(), error })
    })
}

impl AgentConfig {
    /// The responder's settings, with what only a running agent knows.
    pub(crate) fn server(&self, precision: Span, keys: KeyRing, seed: [u8; 32]) -> ServerConfig {
        ServerConfig {
            allowed: self.server_allowed.clone(),
            rate_limit: Some(self.server_rate_limit),
            clients_max: self.server_clients_max,
            smears: self.server_smears,
            keys,
            precision,
            seed,
            ..ServerConfig::default()
        }
    }
}
