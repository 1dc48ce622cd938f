//! Numbers that look random and are the same on every replica.

/// A permutation of 64 bits in which each bit depends on all (the finalizer of SplitMix64,
/// Steele, Lea, Flood 2014).
pub(crate) const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A number below `choices` chosen by `word`, even to one part in 2^64 / choices: the upper half of
/// the product with the mixed word.
pub(crate) const fn below(word: u64, choices: u64) -> u64 {
    ((mix(word) as u128 * choices as u128) >> 64) as u64
}
