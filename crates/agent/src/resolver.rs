//! Names to addresses: a port with two shells, since asking may block for long.

use std::collections::BTreeSet;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use timeball_ntp::engine::{Constraint, ResolveError, SourceId};

use crate::sys;

/// The answer to one question.
#[derive(Debug)]
pub(crate) struct Resolution {
    pub(crate) source: SourceId,
    pub(crate) result: Result<Vec<SocketAddr>, ResolveError>,
}

/// What the time loop is told by other threads.
#[derive(Debug)]
pub(crate) enum Letter {
    /// The addresses of a name, or why there are none.
    Resolved(Resolution),
    /// What is known of the time from elsewhere, if anything.
    Constrained(Option<Constraint>),
}

/// How names are looked up.
pub(crate) enum Resolver {
    /// At once, in the caller's thread: under a simulator, where another thread would stop time.
    Inline,
    /// In a thread of its own for each question; answers arrive through a [`Mailbox`].
    Threads {
        /// Where answers are put.
        post: Post,
        /// Sources whose answer is awaited; each asks one question at a time.
        waiting: BTreeSet<SourceId>,
    },
}

impl Resolver {
    /// Looks up `host`. Returns the answer if it is there at once; otherwise it is posted, unless
    /// an earlier question of the same source is still open, whose answer then serves.
    pub(crate) fn ask(&mut self, source: SourceId, host: &str, port: u16) -> Option<Resolution> {
        if let Ok(literal) = host.parse::<IpAddr>() {
            return Some(Resolution { source, result: Ok(vec![SocketAddr::new(literal, port)]) });
        }
        match self {
            Self::Inline => Some(Resolution { source, result: resolve(host, port) }),
            Self::Threads { post, waiting } => {
                if !waiting.insert(source) {
                    return None;
                }
                let (post, host) = (post.clone(), host.to_owned());
                let asked = thread::Builder::new().name("resolve".to_owned()).spawn(move || {
                    let result = resolve(&host, port);
                    post.put(Letter::Resolved(Resolution { source, result }));
                });
                asked.err().map(|_| {
                    waiting.remove(&source);
                    Resolution { source, result: Err(ResolveError::Temporary) }
                })
            }
        }
    }

    /// Notes that an answer was taken from the mailbox.
    pub(crate) fn answered(&mut self, source: SourceId) {
        if let Self::Threads { waiting, .. } = self {
            waiting.remove(&source);
        }
    }
}

/// Looks up a name in the calling thread; an error tells whether asking again may help.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    match sys::resolve(host, port) {
        Ok(addresses) if addresses.is_empty() => Err(ResolveError::NotFound),
        Ok(addresses) => Ok(addresses),
        Err(libc::EAI_NONAME | libc::EAI_NODATA | libc::EAI_FAMILY) => Err(ResolveError::NotFound),
        Err(_) => Err(ResolveError::Temporary),
    }
}

/// Wakes a thread that waits in `poll`, and hands it answers; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    answers: Sender<Letter>,
    wake: Arc<Mutex<PipeWriter>>,
}

impl Post {
    /// Tells what is known of the time from elsewhere.
    pub(crate) fn constrain(&self, constraint: Option<Constraint>) {
        self.put(Letter::Constrained(constraint));
    }

    fn put(&self, letter: Letter) {
        // The loop may have ended meanwhile; then nobody wants the answer.
        if self.answers.send(letter).is_ok() {
            self.wake();
        }
    }

    /// Makes the mailbox readable.
    pub(crate) fn wake(&self) {
        let mut pipe = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        // An error means that the reader is gone, who then needs no waking.
        let _ = pipe.write(&[0]);
    }
}

/// The receiving end of a [`Post`].
#[derive(Debug)]
pub(crate) struct Mailbox {
    answers: Receiver<Letter>,
    pipe: PipeReader,
}

impl Mailbox {
    /// Makes a mailbox and the post that fills it.
    pub(crate) fn new() -> io::Result<(Self, Post)> {
        let (pipe, wake) = io::pipe()?;
        let (post, answers) = mpsc::channel();
        let post = Post { answers: post, wake: Arc::new(Mutex::new(wake)) };
        Ok((Self { answers, pipe }, post))
    }

    /// The descriptor that becomes readable when somebody calls.
    pub(crate) fn fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// Empties the pipe; to be called only when it is readable.
    pub(crate) fn silence(&mut self) {
        // What is left makes the descriptor readable again.
        let _ = self.pipe.read(&mut [0; 64]);
    }

    /// The next answer, if one is there.
    pub(crate) fn next(&self) -> Option<Letter> {
        self.answers.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads() -> (Mailbox, Resolver) {
        let (mailbox, post) = Mailbox::new().unwrap();
        (mailbox, Resolver::Threads { post, waiting: BTreeSet::new() })
    }

    #[test]
    fn a_literal_is_answered_at_once_by_both_shells() {
        for mut resolver in [Resolver::Inline, threads().1] {
            let answer = resolver.ask(SourceId(3), "2001:db8::1", 123).unwrap();
            assert_eq!(answer.source, SourceId(3));
            assert_eq!(answer.result, Ok(vec!["[2001:db8::1]:123".parse().unwrap()]));
        }
    }

    #[test]
    fn a_name_is_asked_for_once_and_its_answer_wakes_the_loop() {
        let (mut mailbox, mut resolver) = threads();
        assert!(resolver.ask(SourceId(0), "localhost", 123).is_none());
        assert!(resolver.ask(SourceId(0), "localhost", 123).is_none());
        let mut fds = [sys::interest(mailbox.fd(), libc::POLLIN)];
        while fds[0].revents == 0 {
            sys::poll(&mut fds, 10_000).unwrap();
        }
        mailbox.silence();
        let Some(Letter::Resolved(answer)) = mailbox.next() else { panic!("no answer") };
        resolver.answered(answer.source);
        assert!(answer.result.unwrap().iter().all(|a| a.ip().is_loopback() && a.port() == 123));
        assert!(mailbox.next().is_none());
    }

    #[test]
    fn a_name_that_does_not_exist_is_said_not_to() {
        let answer = Resolver::Inline.ask(SourceId(1), "time.invalid", 123).unwrap();
        // Without a network the resolver cannot even say that much.
        assert!(answer.result.is_err());
    }
}
