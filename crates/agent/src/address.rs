//! How a server is named: `host`, `host:port`, `v6` or `[v6]:port`.

use crate::presets::PRESETS;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use thiserror::Error;

/// The port of NTP.
pub const NTP_PORT: u16 = 123;

/// Octets of the longest name that DNS knows.
const NAME_OCTETS_MAX: usize = 253;

/// A host name or address literal, and a UDP port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostPort {
    /// The name or literal, without brackets.
    pub host: String,
    /// The port, 1 or more.
    pub port: u16,
}

/// Why a text does not name a server.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AddressError {
    /// There is no host.
    #[error("it has no host; write `host`, `host:port` or `[v6]:port`")]
    NoHost,
    /// The host is neither a name nor an address.
    #[error(
        "`{host}` is neither a host name nor an address; write `host`, `host:port` or `[v6]:port`"
    )]
    Host {
        /// What stands for the host.
        host: String,
    },
    /// The port is not one.
    #[error("`{port}` is not a port, which is a number from 1 to 65535")]
    Port {
        /// What stands for the port.
        port: String,
    },
    /// There is no preset of that name.
    #[error("there is no preset `{name}`; there are: {}", PRESETS.join(", "))]
    Preset {
        /// The name.
        name: String,
    },
    /// A bracket is opened and not closed.
    #[error("`[` without `]`; write an IPv6 address with a port as `[2001:db8::1]:123`")]
    Bracket,
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = split(text.trim())?;
        let port = match port {
            None => NTP_PORT,
            Some(port) => match port.parse() {
                // The standard parser takes a plus sign, which no port has.
                Ok(number @ 1..) if !port.starts_with('+') => number,
                _ => return Err(AddressError::Port { port: port.to_owned() }),
            },
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        if !is_name(host) && !is_v6(host) {
            return Err(AddressError::Host { host: host.to_owned() });
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    /// Writes what parses to the same; the port only where it is not NTP's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (NTP_PORT, _) => f.write_str(&self.host),
            (port, true) => write!(f, "[{}]:{port}", self.host),
            (port, false) => write!(f, "{}:{port}", self.host),
        }
    }
}

fn split(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(AddressError::Bracket)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(AddressError::Host { host: text.to_owned() }),
        };
    }
    match text.split_once(':') {
        // Two colons and no bracket: an IPv6 address without a port.
        Some((_, rest)) if rest.contains(':') => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn is_name(host: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    host.len() <= NAME_OCTETS_MAX
        && labels.into_iter().all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(fits)
                && !label.starts_with('-')
        })
}

fn is_v6(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && is_name(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_server_is_understood() {
        for (text, host, port, shown) in [
            ("time.example.org", "time.example.org", 123, "time.example.org"),
            ("time:1123", "time", 1_123, "time:1123"),
            ("192.0.2.1:123", "192.0.2.1", 123, "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1", 123, "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1", 123, "2001:db8::1"),
            ("[fe80::1%eth0]:11123", "fe80::1%eth0", 11_123, "[fe80::1%eth0]:11123"),
            (" node_1.local. ", "node_1.local.", 123, "node_1.local."),
        ] {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!(parsed, HostPort { host: host.to_owned(), port }, "{text}");
            assert_eq!(parsed.to_string(), shown);
        }
    }

    #[test]
    fn what_names_no_server_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no host"),
            (":123", "no host"),
            ("host:0", "not a port"),
            ("host:65536", "not a port"),
            ("host:", "not a port"),
            ("host:+5", "not a port"),
            ("ntp://host", "not a port"),
            ("a host", "neither"),
            ("-host", "neither"),
            ("a..b", "neither"),
            ("[::1", "without `]`"),
            ("[::1]123", "neither"),
            ("1:2:3", "neither"),
        ] {
            let error = text.parse::<HostPort>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
