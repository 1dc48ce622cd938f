//! What is asked of the time beside NTP: `[constraints]`.

use timeball_timebase::Span;

use super::document::Value;
use super::error::{ConfigError, Problem};
use crate::address::HostPort;
use crate::constraints::{ConstraintConfig, HttpsServer};

/// HTTPS servers that are asked; a few are enough, and each round asks them all.
pub const HTTPS_MAX: usize = 8;
/// How far a source may be from what they say. Their own clocks are seconds off at worst.
const WITHIN: Span = Span::from_secs(10);
const WITHIN_MAX: Span = Span::from_secs(86_400);
const HTTPS_PORT: u16 = 443;
/// Octets of the longest path that is asked for.
const PATH_MAX: usize = 1_024;

/// Reads the table.
pub(super) fn read(value: &Value<'_>) -> Result<ConstraintConfig, ConfigError> {
    let table = value.table(&["https", "within_s", "required", "authorities"])?;
    let https = table.required("https", "https = [\"https://www.example.org\"]")?;
    let mut servers: Vec<HttpsServer> = Vec::new();
    for item in https.array(HTTPS_MAX)? {
        let server = read_server(&item)?;
        let is_same = |other: &HttpsServer| other.host.eq_ignore_ascii_case(&server.host);
        if servers.iter().any(is_same) {
            return Err(item.error(Problem::Twice { value: server.host }));
        }
        servers.push(server);
    }
    if servers.is_empty() {
        return Err(https.error(Problem::NoServers));
    }
    Ok(ConstraintConfig {
        servers,
        within: table.value("within_s").map_or(Ok(WITHIN), |within| within.seconds(WITHIN_MAX))?,
        required: table.value("required").map_or(Ok(false), |required| required.boolean())?,
        authorities: table.value("authorities").map(|file| super::read_path(&file)).transpose()?,
    })
}

fn read_server(value: &Value<'_>) -> Result<HttpsServer, ConfigError> {
    let text = value.string()?;
    let wrong = || value.error(Problem::Https { value: text.chars().take(60).collect() });
    let rest = text.strip_prefix("https://").ok_or_else(wrong)?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let is_path = |octet: u8| octet.is_ascii_graphic() && octet != b'#';
    if path.len() > PATH_MAX || !path.bytes().all(is_path) {
        return Err(wrong());
    }
    // Without a port: an IPv6 address ends with its bracket, a name has no colon.
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let complete =
        if has_port { authority.to_owned() } else { format!("{authority}:{HTTPS_PORT}") };
    let HostPort { host, port } = complete.parse().map_err(|_| wrong())?;
    Ok(HttpsServer { host, port, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentConfig;

    fn parse(text: &str) -> Result<ConstraintConfig, ConfigError> {
        AgentConfig::parse(&format!("[constraints]\n{text}"), "timeball.toml")
            .map(|config| config.constraints.expect("the table is there"))
    }

    #[test]
    fn servers_are_read_with_port_and_path() {
        let config = parse(
            "https = [\"https://a.test\", \"https://b.test:8443/x?y\", \"https://[::1]\"]\n\
             within_s = 2.5\nrequired = true\nauthorities = \"/etc/ca.pem\"",
        )
        .unwrap();
        let told: Vec<_> =
            config.servers.iter().map(|s| (s.host.as_str(), s.port, s.path.as_str())).collect();
        assert_eq!(told, [("a.test", 443, "/"), ("b.test", 8443, "/x?y"), ("::1", 443, "/")]);
        assert_eq!((config.within, config.required), (Span::from_millis(2_500), true));
        assert_eq!(parse("https = [\"https://a\"]").unwrap().within, WITHIN);
    }

    #[test]
    fn each_mistake_of_the_constraints_is_named_with_the_fix() {
        for (text, expected) in [
            ("", "constraints: `https` is missing"),
            ("https = []", "constraints.https: no server is named"),
            ("https = [\"http://a\"]", "`http://a` is no HTTPS address; write it as"),
            ("https = [\"https://\"]", "is no HTTPS address"),
            ("https = [\"https://a\\r\\n\"]", "is no HTTPS address"),
            ("https = [\"https://a/\\u0020b\"]", "is no HTTPS address"),
            (
                "https = [\"https://a\", \"https://A:8443\"]",
                "constraints.https[1]: `A` is given twice",
            ),
            ("https = [\"https://a\"]\nwithin_s = 0", "constraints.within_s: 0 is out of range"),
            ("https = [\"https://a\"]\nauthorities = \"ca\"", "is not absolute"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}\n  gave {error}\n  not  {expected}");
        }
    }
}
