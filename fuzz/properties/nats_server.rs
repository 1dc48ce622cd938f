//! Any octets as what a server of NATS says: read as the same words however they were cut on their
//! way (the first octet says how), up to the same mistake.

use timeball_scheduler::fuzz_support::read_nats;

pub(crate) fn check(octets: &[u8]) {
    let Some((piece, octets)) = octets.split_first() else { return };
    let whole = read_nats(octets, octets.len());
    for size in [1, usize::from(*piece).max(1)] {
        assert_eq!(read_nats(octets, size), whole, "in pieces of {size}");
    }
}
