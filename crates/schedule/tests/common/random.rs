//! Random choices from a seed, and how many cases a differential test tries.
#![allow(dead_code, missing_docs, clippy::disallowed_methods)]

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From `least` to `largest`.
    pub(crate) fn within(&mut self, least: i64, largest: i64) -> i64 {
        least + (self.next() % (largest - least + 1) as u64) as i64
    }

    /// One time in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.within(0, choices.len() as i64 - 1) as usize]
    }

    /// A few different numbers, ascending.
    pub(crate) fn some(&mut self, least: i64, largest: i64, most: i64) -> Vec<i64> {
        let count = self.within(1, most);
        let mut numbers: Vec<i64> = (0..count).map(|_| self.within(least, largest)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// How many cases are tried: `usual`, or `TIMEBALL_DIFFERENTIAL` where that is set.
pub(crate) fn cases(usual: u64) -> u64 {
    let long = std::env::var("TIMEBALL_DIFFERENTIAL").ok();
    long.map_or(usual, |count| count.parse().expect("TIMEBALL_DIFFERENTIAL is a number"))
}

/// Says that a peer is missing, which is a failure in CI.
pub(crate) fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}, and CI is set");
    #[allow(clippy::print_stderr)]
    {
        eprintln!("SKIPPED: {what}");
    }
}

/// Says what a differential test compared; shown with `--nocapture`.
pub(crate) fn report(what: &str) {
    #[allow(clippy::print_stderr)]
    {
        eprintln!("{what}");
    }
}
