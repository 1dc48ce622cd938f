//! Any text as a file of keys: what is refused is refused at a line; what is accepted has no more
//! keys than there may be, and each makes a MAC that it knows again.

use timeball_agent::{KEYS_MAX, KeyFileError, parse_keys};

const FILE: &str = "keys";

pub(crate) fn check(octets: &[u8]) {
    let Ok(text) = core::str::from_utf8(octets) else { return };
    match parse_keys(text, FILE) {
        Ok(ring) => {
            assert!(ring.len() <= KEYS_MAX);
            for id in (0..=8).chain([u32::MAX]) {
                let Some(key) = ring.key(id) else { continue };
                assert_eq!(key.id(), id);
                for version in [3, 4] {
                    let mut packet = vec![1; 48];
                    key.seal(version, &mut packet);
                    let (message, mac) = packet.split_at(48);
                    assert!(key.verify(version, message, mac), "{key:?}");
                }
            }
        }
        Err(KeyFileError::Line { line, problem, .. }) => {
            assert!((1..=text.lines().count()).contains(&line), "line {line}");
            assert!(!problem.to_string().is_empty());
        }
        Err(error) => panic!("{error}"),
    }
}
