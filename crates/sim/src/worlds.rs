//! The worlds that accuracy and bounds are judged in.

mod accuracy;
mod chrony;
mod drawn;

pub use accuracy::{Compared, compared, fixed_poll};
pub use chrony::{Limits, Passed, pass_limits};
pub use drawn::drawn;
