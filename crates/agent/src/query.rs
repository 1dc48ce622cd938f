//! One-shot measurements of several servers at once.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use timeball_ntp::association::ResponseError;
use timeball_ntp::engine::{ResolveError, SendError};
use timeball_ntp::mac::Key;
use timeball_ntp::query::{Query, QueryAnswer};
use timeball_runtime::read_clocks;
use timeball_timebase::Span;

use crate::address::HostPort;
use crate::errno::errno_text;
use crate::kernel_clock;
use crate::resolver::resolve;
use crate::sys;
use crate::udp::{Buffer, ReceiveError, RequestSocket};

/// Servers that one call asks; those beyond are not asked.
pub const TARGETS_MAX: usize = 64;
/// Requests are lost now and then, and names may have several addresses.
const ATTEMPTS: u32 = 3;

/// What came of asking one server.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Whom was asked for.
    pub target: HostPort,
    /// The address that was asked last; `None` where the name has none.
    pub address: Option<SocketAddr>,
    /// The measurement, or why there is none.
    pub outcome: Result<QueryAnswer, QueryError>,
}

/// Why a server was not measured.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum QueryError {
    /// Its name has no address.
    #[error("{0}; check the spelling and the resolver")]
    Resolve(#[from] ResolveError),
    /// The request could not be sent.
    #[error("the request could not be sent: {0}")]
    Send(#[from] SendError),
    /// The network sent the request back.
    #[error("{address} refuses requests: {}", errno_text(*errno))]
    Refused {
        /// Who was asked.
        address: SocketAddr,
        /// The error number.
        errno: i32,
    },
    /// No answer came in time.
    #[error("no answer in {} s; UDP to its port may be blocked on the way", timeout.as_secs_f64())]
    NoAnswer {
        /// How long was waited.
        timeout: Duration,
    },
    /// It answered, but not with a time.
    #[error("its answer is not usable: {0}")]
    Response(#[from] ResponseError),
    /// The system gives no thread or randomness.
    #[error("the system refuses what a request needs (errno {errno})")]
    System {
        /// The error number; 0 where there is none.
        errno: i32,
    },
    /// More servers were named than are asked at once.
    #[error("not asked: at most {TARGETS_MAX} servers are asked at once")]
    TooMany,
}

/// Measures all `targets` at the same time and returns the results in their order, after `timeout`
/// at the latest; with a key, requests carry its MAC and so must the answers. The system clock is
/// only read.
pub fn query(targets: &[HostPort], key: Option<&Key>, timeout: Duration) -> Vec<QueryResult> {
    let deadline = Instant::now() + timeout;
    let (post, answers) = mpsc::channel();
    let mut results: Vec<QueryResult> = targets
        .iter()
        .enumerate()
        .map(|(i, target)| {
            let error = if i < TARGETS_MAX {
                QueryError::NoAnswer { timeout }
            } else {
                QueryError::TooMany
            };
            QueryResult { target: target.clone(), address: None, outcome: Err(error) }
        })
        .collect();
    for (i, target) in targets.iter().take(TARGETS_MAX).enumerate() {
        let (post, target, key) = (post.clone(), target.clone(), key.cloned());
        let asked = thread::Builder::new().name("query".to_owned()).spawn(move || {
            // Nobody waits any more where the resolver took too long.
            let _ = post.send((i, measure(&target, key.as_ref(), timeout, deadline)));
        });
        if let Err(error) = asked {
            results[i].outcome = Err(system(&error));
        }
    }
    drop(post);
    loop {
        // A little grace, so that the thread's own word about a deadline comes first.
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(20);
        match answers.recv_timeout(left) {
            Ok((i, (address, outcome))) => {
                results[i].address = address;
                results[i].outcome = outcome;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return results,
        }
    }
}

type Measured = (Option<SocketAddr>, Result<QueryAnswer, QueryError>);

fn measure(target: &HostPort, key: Option<&Key>, timeout: Duration, deadline: Instant) -> Measured {
    let addresses = match target.host.parse() {
        Ok(literal) => Ok(vec![SocketAddr::new(literal, target.port)]),
        Err(_) => resolve(&target.host, target.port),
    };
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(error) => return (None, Err(error.into())),
    };
    let mut last: Measured = (addresses.first().copied(), Err(QueryError::NoAnswer { timeout }));
    for (attempt, &address) in (0..ATTEMPTS).zip(addresses.iter().cycle()) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let patience = left / (ATTEMPTS - attempt);
        match exchange(address, key, Instant::now() + patience) {
            Ok(None) => last.0 = Some(address),
            Ok(Some(answer)) => return (Some(address), Ok(answer)),
            Err(error) => {
                last = (Some(address), Err(error));
                // It has spoken: asking again at once would only annoy it.
                if matches!(error, QueryError::Response(_)) {
                    break;
                }
            }
        }
    }
    last
}

/// One request; `None` where nothing usable came before `until`.
fn exchange(
    to: SocketAddr,
    key: Option<&Key>,
    until: Instant,
) -> Result<Option<QueryAnswer>, QueryError> {
    let seed = sys::random_seed().map_err(|error| system(&error))?;
    let mut query = Query::new(to, seed, kernel_clock::precision()).with_key(key.cloned());
    let mut buffer = Buffer::new();
    let mut socket = RequestSocket::connect(&to)?;
    query.sent(read_clocks().system);
    socket.send(&query.request())?;
    loop {
        if let Some(stamp) = socket.transmit_stamp(&mut buffer) {
            query.sent(stamp);
        }
        match socket.receive(&mut buffer) {
            Ok(Some(datagram)) => {
                let received_at = datagram.stamp.unwrap_or_else(|| read_clocks().system);
                match query.accept(datagram.octets, datagram.from, received_at) {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(error) if is_noise(error) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(None) => {}
            Err(ReceiveError::Network { errno } | ReceiveError::System { errno }) => {
                return Err(QueryError::Refused { address: to, errno });
            }
        }
        let left = Span::from_nanos(
            i64::try_from(until.saturating_duration_since(Instant::now()).as_nanos())
                .unwrap_or(i64::MAX),
        );
        if left == Span::ZERO {
            return Ok(None);
        }
        let wait_ms = i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
        let mut fds = [socket.interest()];
        sys::poll(&mut fds, wait_ms).map_err(|error| system(&error))?;
        if fds[0].revents & libc::POLLERR != 0 {
            // Either the transmit stamp or a refusal; the stamp must not pass for an error.
            if let Some(stamp) = socket.transmit_stamp(&mut buffer) {
                query.sent(stamp);
            }
            if let Some(errno) = socket.take_error() {
                return Err(QueryError::Refused { address: to, errno });
            }
        }
    }
}

/// Whether a datagram may be anybody's, so that the server's own answer may still come.
fn is_noise(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::Truncated { .. }
            | ResponseError::Oversized { .. }
            | ResponseError::Malformed
            | ResponseError::AddressMismatch { .. }
            | ResponseError::NoRequest
            | ResponseError::Mode { .. }
            | ResponseError::Version { .. }
            | ResponseError::OriginMismatch
    )
}

fn system(error: &std::io::Error) -> QueryError {
    QueryError::System { errno: error.raw_os_error().unwrap_or(0) }
}
