//! Any octets as what the store of schedules holds: a row of changes, or an image of an account.
//! What is taken is written as an image that reads back the same.

use timeball_scheduler::fuzz_support::{rewrite_image, take_changes};

pub(crate) fn check(octets: &[u8]) {
    for image in take_changes(octets).into_iter().flatten().chain(rewrite_image(octets)) {
        assert_eq!(rewrite_image(&image).as_ref(), Some(&image));
    }
}
