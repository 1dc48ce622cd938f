//! What HTTPS servers say of the time: roughly, but from somebody whom to forge is hard.
//!
//! A thread of its own asks all servers in turn, makes one constraint of what a majority of them
//! says, and posts it to the time loop. No source is believed that contradicts it.

mod exchange;
mod trust;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use timeball_ntp::engine::Constraint;
use timeball_runtime::time_asleep;
use timeball_timebase::Span;

use crate::resolver::Post;
pub use exchange::HttpsError;
use trust::Roots;
pub use trust::TrustError;

/// How often the servers are asked while they answer, and the first pause after they did not.
const INTERVAL: Duration = Duration::from_secs(3_600);
const RETRY_MIN: Duration = Duration::from_secs(16);
/// What the raw clock may lose while the servers are asked: dates are of whole seconds.
const ASLEEP_NEGLIGIBLE: Span = Span::from_millis(10);

/// The settings of the constraints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConstraintConfig {
    /// Who is asked, at least one.
    pub servers: Vec<HttpsServer>,
    /// How far from what they say a source may be, either way; above zero.
    pub within: Span,
    /// Whether no source is believed where they say nothing.
    pub required: bool,
    /// Certificates of the authorities that are trusted (PEM); the system's where `None`.
    pub authorities: Option<PathBuf>,
}

/// An HTTPS server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpsServer {
    /// Host name or address literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What is asked for, beginning with a slash.
    pub path: String,
}

/// Sees that the certificates of the authorities can be read. They are read anew in each round.
pub(crate) fn check(config: &ConstraintConfig) -> Result<(), TrustError> {
    Roots::read(config.authorities.as_deref()).map(drop)
}

/// Asks each server once, and tells what a majority of them says; `None` where fewer answer as they
/// should, or the machine slept meanwhile. What is wrong with one is logged.
///
/// # Errors
/// Where the certificates of the authorities cannot be read.
pub fn ask_constraint(config: &ConstraintConfig) -> Result<Option<Constraint>, TrustError> {
    let roots = Roots::read(config.authorities.as_deref())?;
    let ask = |server: &HttpsServer| {
        let outcome = exchange::ask(server, &roots);
        outcome
            .inspect_err(|error| {
                tracing::warn!(server = %server.host, %error, "no time from an HTTPS server");
            })
            .ok()
    };
    let asleep = time_asleep();
    let answers: Vec<Constraint> = config.servers.iter().filter_map(ask).collect();
    if time_asleep() - asleep > ASLEEP_NEGLIGIBLE {
        tracing::warn!("the machine slept while HTTPS servers were asked: they are asked again");
        return Ok(None);
    }
    Ok(agreed(&answers, config.servers.len(), config.within))
}

/// The medians of the earliest and of the latest times that the servers admit, widened: whatever a
/// minority of them says, each lies between what two of the others say.
fn agreed(answers: &[Constraint], asked: usize, within: Span) -> Option<Constraint> {
    if answers.len() <= asked / 2 {
        return None;
    }
    let at = answers.iter().map(|answer| answer.at).max()?;
    let median = |of: &dyn Fn(&Constraint) -> timeball_timebase::Timestamp| {
        let mut times: Vec<_> = answers.iter().map(|a| of(a) + (at - a.at)).collect();
        times.sort();
        times
    };
    let (earliest, latest) = (median(&|answer| answer.earliest), median(&|answer| answer.latest));
    // Of an even number the outer one of the two in the middle, either way.
    let (lower, upper) = ((answers.len() - 1) / 2, answers.len() / 2);
    Some(Constraint { at, earliest: earliest[lower] - within, latest: latest[upper] + within })
}

/// The thread that asks.
#[derive(Debug)]
pub(crate) struct Asker {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Asker {
    /// Begins to ask.
    pub(crate) fn start(config: ConstraintConfig, post: Post) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("constraints".to_owned()).spawn(move || {
            let mut retry = RETRY_MIN;
            while !is_stopped.load(Ordering::Acquire) {
                let constraint = ask_constraint(&config)
                    .inspect_err(|error| tracing::error!(%error, "no HTTPS server can be asked"))
                    .unwrap_or_default();
                post.constrain(constraint);
                let pause = if constraint.is_some() { INTERVAL } else { retry };
                retry = if constraint.is_some() { RETRY_MIN } else { (retry * 2).min(INTERVAL) };
                thread::park_timeout(pause);
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Lets the thread end; it may still be waiting for a server, so it is not waited for.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_timebase::{MonoTime, Timestamp};

    fn answer(at_s: i64, says_s: i64) -> Constraint {
        let earliest = Timestamp::from_unix(1_795_000_000 + says_s, 0);
        let at = MonoTime::ZERO + Span::from_secs(at_s);
        Constraint { at, earliest, latest: earliest + Span::from_secs(2) }
    }

    #[test]
    fn a_minority_moves_the_constraint_no_further_than_others_say() {
        let within = Span::from_secs(10);
        let said = |answers: &[Constraint], asked| {
            let second =
                |time: Timestamp| (time - Timestamp::from_unix(1_795_000_000, 0)) / 1_000_000_000;
            agreed(answers, asked, within)
                .map(|c| (second(c.earliest).as_nanos(), second(c.latest).as_nanos()))
        };
        let honest = [answer(0, 0), answer(1, 1), answer(2, 2)];
        assert_eq!(said(&honest, 3), Some((-8, 14)));
        let liar = answer(2, 1_000_000);
        assert_eq!(said(&[honest[0], honest[1], liar], 3), Some((-8, 14)));
        // Of two that contradict each other none is refused.
        assert_eq!(said(&[honest[2], liar], 2), Some((-8, 1_000_012)));
        // Fewer than a majority say nothing.
        assert_eq!(said(&honest[..1], 2), None);
        assert_eq!(said(&[], 0), None);
    }
}
