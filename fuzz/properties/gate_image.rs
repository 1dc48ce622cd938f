//! Any file in the place of a program without a loader: reading never panics nor goes on without
//! end, and a place that is found is one that the file names.

use timeball_gate::places;

/// The header, the names, and three looks at each of 256 sections.
const READS_MAX: usize = 2 + 3 * 256;

pub(crate) fn check(octets: &[u8]) {
    let mut reads = 0;
    let found = places(|at, buffer| {
        reads += 1;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let part = octets.get(at..).and_then(|rest| rest.get(..buffer.len()));
        part.map(|part| buffer.copy_from_slice(part)).is_some()
    });
    assert!(reads <= READS_MAX, "{reads} reads");
    if let Some(found) = found {
        for place in [found.entry, found.init] {
            assert!(octets.windows(8).any(|word| word == place.to_le_bytes()), "{place:#x}");
        }
    }
}
