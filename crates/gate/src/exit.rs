//! How the gate ends.

/// How the gate ends: with a status of its own, or as the command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// With this status.
    Status(u8),
    /// By this signal, as the command did.
    Signal(u8),
}

impl Exit {
    /// What was asked for was done, and there is no command whose status to pass on.
    pub const DONE: Self = Self::Status(0);
    /// Revoked by a signal before the instant; the command has not begun.
    pub const REVOKED: Self = Self::Status(122);
    /// Later than `--not-after` allows; the command has not begun.
    pub const MISSED: Self = Self::Status(123);
    /// The gate itself failed, also on wrong arguments; the command has not begun.
    pub const FAILED: Self = Self::Status(125);
    /// The command is there and cannot be run.
    pub const NOT_EXECUTABLE: Self = Self::Status(126);
    /// The command is not there.
    pub const NOT_FOUND: Self = Self::Status(127);
}
