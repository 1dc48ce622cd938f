//! What a command says when it cannot do what was asked.

use std::fmt::Display;
use std::process::ExitCode;

/// A failure as a person sees it: what went wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Failed,
    Usage,
}

impl CliError {
    /// The command was understood and could not be done (exit status 1).
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { kind: Kind::Failed, message: message.to_string(), hint: None }
    }

    /// What was asked makes no sense (exit status 2).
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { kind: Kind::Usage, message: message.to_string(), hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Writes the error and its hint to stderr.
    pub(crate) fn print(&self) {
        crate::output::talk(&format!("error: {}", self.message));
        if let Some(hint) = &self.hint {
            crate::output::talk(&format!("hint: {hint}"));
        }
    }

    /// 1 for a failure, 2 for wrong usage.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
        }
    }
}
