//! Any text as settings: what is refused is refused at a place in the file, in words; what is
//! accepted
//! keeps its limits and names no source twice.

use timeball_agent::{AgentConfig, LISTEN_MAX, SOURCES_MAX};

const FILE: &str = "agent.toml";

pub(crate) fn check(octets: &[u8]) {
    let Ok(text) = core::str::from_utf8(octets) else { return };
    match AgentConfig::parse(text, FILE) {
        Ok(config) => {
            assert!(config.sources.len() <= SOURCES_MAX);
            assert!(config.server_listen.len() <= LISTEN_MAX);
            assert!(config.min_sources >= 1);
        }
        Err(error) => {
            assert!((1..=text.lines().count().max(1) + 1).contains(&error.line), "{error}");
            assert!(error.column >= 1, "{error}");
            assert!(error.to_string().starts_with(FILE), "{error}");
            assert!(!error.problem.to_string().is_empty());
        }
    }
}
