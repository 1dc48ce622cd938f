//! What is remembered of sources is refused, or written as something that is read as the same; and
//! an engine that begins with it remembers no more than it was told.

use timeball_agent::{SourceConfig, format_remembered, parse_remembered};
use timeball_ntp::engine::{Engine, EngineConfig, RememberedSource};
use timeball_timebase::{MonoTime, Now, Span, Timestamp};

pub(crate) fn check(octets: &[u8]) {
    let Ok(sources) = parse_remembered(octets) else { return };
    let written = format_remembered(&sources);
    assert_eq!(parse_remembered(&written).expect("it was just written"), sources);
    let configured = sources.iter().map(|known| SourceConfig::new(known.host.clone(), known.port));
    let config = EngineConfig {
        sources: configured.collect(),
        remembered: sources.clone(),
        ..EngineConfig::default()
    };
    let learned_at = sources.first().map_or(Timestamp::UNIX_EPOCH, |known| known.learned_at);
    let now = Now::exact(MonoTime::ZERO + Span::from_secs(1), learned_at);
    let mut engine = Engine::new(config, [7; 32], now);
    let _ = engine.start(now);
    let remembered = engine.remembered(now);
    // Of a source that is named twice only the first counts as missed for so long.
    let is_known = |known: &RememberedSource| {
        sources
            .iter()
            .any(|told| *told == RememberedSource { missed: told.missed, ..known.clone() })
    };
    assert!(remembered.iter().all(is_known), "{remembered:?}");
}
