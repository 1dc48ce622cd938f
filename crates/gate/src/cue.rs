//! The descriptor on which somebody else says when the command is to begin (`--on`).

use crate::hold::{Event, Trigger};
use crate::sys::{Errno, Fd};

/// The descriptor, and what it has said; without one, nothing ever comes.
#[derive(Debug)]
pub(crate) struct Cue {
    descriptor: Option<Fd>,
    said: Option<Event>,
}

/// How far a command is whose start another program decides (`--on`), as that is told on its socket
/// in single octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The command is held at its entry point.
    Held,
    /// The command will be executed; it could not be held, or was not to be.
    ToBeExecuted,
    /// The command has been let go.
    LetGo,
    /// The command could not be executed after all.
    Failed,
}

impl Progress {
    const ALL: [Self; 4] = [Self::Held, Self::ToBeExecuted, Self::LetGo, Self::Failed];

    /// The octet that says so.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Held => b'H',
            Self::ToBeExecuted => b'X',
            Self::LetGo => b'B',
            Self::Failed => b'E',
        }
    }

    /// What the octet says; `None` if it says nothing.
    pub fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|progress| progress.octet() == octet)
    }
}

impl Cue {
    /// Takes the descriptor of the trigger, if it has one.
    pub(crate) fn of(trigger: Trigger) -> Result<Self, Errno> {
        let descriptor = match trigger {
            Trigger::Instant { .. } => None,
            Trigger::Descriptor(number) => Some(Fd::inherited(number)?),
        };
        Ok(Self { descriptor, said: None })
    }

    /// What is to be watched: the descriptor, until it has said something.
    pub(crate) fn watched(&self) -> Option<&Fd> {
        self.descriptor.as_ref().filter(|_| self.said.is_none())
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> Option<Event> {
        self.said
    }

    /// Takes what can be read.
    pub(crate) fn take(&mut self) -> Option<Event> {
        let mut octet = [0];
        // What cannot be read any more will not say anything any more either.
        let heard = self.watched()?.read(&mut octet).is_ok_and(|octets| octets > 0);
        self.said = Some(if heard { Event::Told } else { Event::Closed });
        self.said
    }

    /// Tells of the progress; nobody may be there to hear it.
    pub(crate) fn tell(&self, progress: Progress) {
        if let Some(descriptor) = &self.descriptor {
            let _ = descriptor.send(&[progress.octet()]);
        }
    }
}
