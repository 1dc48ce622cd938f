//! Feeds every file of a corpus to a property; the plain tests of the crates include this file.
#![allow(clippy::disallowed_methods, reason = "a core reads no file; its tests may")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub(crate) fn corpus(name: &str, property: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable directory").path();
        let octets = std::fs::read(&path).expect("a readable file");
        let outcome = catch_unwind(AssertUnwindSafe(|| property(&octets)));
        assert!(outcome.is_ok(), "{} breaks the property", path.display());
        count += 1;
    }
    // An empty corpus would pass whatever the code does.
    assert!(count >= 5, "{} has only {count} inputs", directory.display());
}
