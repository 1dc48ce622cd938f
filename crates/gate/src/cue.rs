//! The descriptor on which somebody else says when the command is to begin (`--on`).

use crate::hold::{Event, Trigger};
use crate::sys::{Errno, Fd};

/// The descriptor, and what it has said; without one, nothing ever comes.
#[derive(Debug)]
pub(crate) struct Cue {
    descriptor: Option<Fd>,
    said: Option<Event>,
    /// Whether the other end was told whom it can let go.
    can_begin: bool,
}

/// How far a command is whose start another program decides (`--on`), as that is told on its
/// socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The command is held at its entry point.
    Held {
        /// Its process, which is stopped. Who sends it SIGCONT lets it go, with no need of an octet
        /// and of waking the gate, which finds out by itself.
        pid: i32,
    },
    /// The command will be executed; it could not be held, or was not to be.
    ToBeExecuted,
    /// The gate has let the command go.
    LetGo,
    /// The command could not be executed after all.
    Failed,
}

const HELD: u8 = b'H';
const TO_BE_EXECUTED: u8 = b'X';
const LET_GO: u8 = b'B';
const FAILED: u8 = b'E';

/// The octet by which whoever has let a held command go with SIGCONT says so; any other has the
/// gate let it go.
pub const HAS_BEGUN: u8 = b'C';

impl Progress {
    /// The first that `octets` tell of, and the octets behind it; `None` where they are not all
    /// there yet, or mean nothing.
    pub fn first_of(octets: &[u8]) -> Option<(Self, &[u8])> {
        let (first, rest) = octets.split_first()?;
        match *first {
            HELD => {
                let (pid, rest) = rest.split_first_chunk()?;
                Some((Self::Held { pid: i32::from_be_bytes(*pid) }, rest))
            }
            TO_BE_EXECUTED => Some((Self::ToBeExecuted, rest)),
            LET_GO => Some((Self::LetGo, rest)),
            FAILED => Some((Self::Failed, rest)),
            _ => None,
        }
    }

    /// The octets that tell of it, of which only the first count.
    fn octets(self) -> ([u8; 5], usize) {
        let one = |octet| ([octet, 0, 0, 0, 0], 1);
        match self {
            Self::Held { pid } => {
                let [a, b, c, d] = pid.to_be_bytes();
                ([HELD, a, b, c, d], 5)
            }
            Self::ToBeExecuted => one(TO_BE_EXECUTED),
            Self::LetGo => one(LET_GO),
            Self::Failed => one(FAILED),
        }
    }
}

impl Cue {
    /// Takes the descriptor of the trigger, if it has one.
    pub(crate) fn of(trigger: Trigger) -> Result<Self, Errno> {
        let descriptor = match trigger {
            Trigger::Instant { .. } => None,
            Trigger::Descriptor(number) => Some(Fd::inherited(number)?),
        };
        Ok(Self { descriptor, said: None, can_begin: false })
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
        self.said = Some(match octet {
            _ if !heard => Event::Closed,
            [HAS_BEGUN] if self.can_begin => Event::Begun,
            _ => Event::Told,
        });
        self.said
    }

    /// Tells of the progress; nobody may be there to hear it.
    pub(crate) fn tell(&mut self, progress: Progress) {
        self.can_begin |= matches!(progress, Progress::Held { .. });
        if let Some(descriptor) = &self.descriptor {
            let (octets, count) = progress.octets();
            let _ = descriptor.send(&octets[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood_and_a_part_of_it_is_waited_for() {
        let all = [
            Progress::Held { pid: 4_711_000 },
            Progress::ToBeExecuted,
            Progress::LetGo,
            Progress::Failed,
        ];
        let mut octets = [0; 16];
        let mut length = 0;
        for progress in all {
            let (told, count) = progress.octets();
            octets[length..length + count].copy_from_slice(&told[..count]);
            length += count;
            for part in 0..count {
                assert_eq!(Progress::first_of(&told[..part]), None);
            }
        }
        let mut rest = &octets[..length];
        for progress in all {
            let (first, behind) = Progress::first_of(rest).unwrap();
            assert_eq!(first, progress);
            rest = behind;
        }
        assert!(rest.is_empty() && Progress::first_of(b"?").is_none());
    }
}
