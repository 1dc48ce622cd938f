//! The agent as a whole: time loop, NTP server and what others read of them.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use thiserror::Error;
use timeball_api::routes;
use timeball_api::status::Status;
use timeball_ntp::engine::{
    ClockMode, ConstraintPolicy, Engine, EngineConfig, KernelClock, ReferenceDevice, SourceConfig,
};
use timeball_ntp::mac::KeyRing;
use timeball_runtime::health::{self, Heartbeat};
use timeball_runtime::metrics::Metrics;
use timeball_runtime::segment::{SegmentOpenError, SegmentWriter};
use timeball_runtime::state::StateError;
use timeball_runtime::{ClockCell, StatusCell, read_clocks, signals};
use timeball_timebase::{Frequency, Now, Span};

use crate::config::{AgentConfig, KeyFileError};
use crate::constraints::{self, Asker, TrustError};
use crate::hardware_clock::HardwareClock;
use crate::kept::{Former, Kept};
use crate::kernel_clock::{self, KernelClockWriter};
use crate::leap_file::{LeapFile, LeapFileError};
use crate::metrics;
use crate::ntp_server::{NtpServer, ServerTally};
use crate::outlets::Outlets;
use crate::own_addresses::OwnAddresses;
use crate::resolver::{Mailbox, Post, Resolver};
use crate::status::{StatusPublisher, StatusReader};
use crate::sys;
use crate::time_loop::{Surroundings, TimeLoop};
use crate::trace::Trace;
use crate::udp::ServerSocket;

/// How long the loop waits at most, so that status and sign of life stay fresh.
const WAIT_MAX: Span = Span::from_secs(1);
/// The same with nobody watching, not even a segment; it only has to notice a signal that came
/// before `poll` did.
const WAIT_MAX_BARE: Span = Span::from_secs(10);

/// What the composer of an agent decides.
#[derive(Clone, Debug, Default)]
pub struct AgentOptions {
    /// Version and commit, as the status is to tell.
    pub version: String,
    /// Where the agent's metrics are added, and what its `/metrics` shows.
    pub metrics: Metrics,
    /// Where each published clock state is traced; nowhere where `None`.
    pub trace: Option<std::path::PathBuf>,
}

/// Why an agent does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The NTP server cannot have an address.
    #[error("NTP server: cannot listen on {address}: {source}; {}", listen_hint(source))]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file of keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The list of leap seconds cannot be used.
    #[error(transparent)]
    LeapFile(#[from] LeapFileError),
    /// The certificates that HTTPS servers are judged by cannot be read.
    #[error("constraints: {0}")]
    Constraints(#[from] TrustError),
    /// The shared segment cannot be written.
    #[error("shared segment {0}")]
    Segment(#[from] SegmentOpenError),
    /// The trace cannot be written.
    #[error("trace {}: {source}", path.display())]
    Trace {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refuses a thread, a pipe, a signal handler or randomness.
    #[error("the system refuses what the agent needs: {0}")]
    System(#[from] io::Error),
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    clock: Arc<ClockCell>,
    status: StatusReader,
    heartbeat: Heartbeat,
    metrics: Metrics,
    server: Option<(NtpServer, ServerTally)>,
    time: TimeThread,
    asker: Option<Asker>,
}

impl Agent {
    /// Starts the time loop, and the NTP server where one is configured.
    ///
    /// `admin_listen` of the configuration is the caller's to serve, with [`Agent::router`].
    ///
    /// # Errors
    /// Where a port, the state directory or the trace cannot be used.
    pub fn start(config: AgentConfig, options: AgentOptions) -> Result<Self, StartError> {
        let clock = Arc::new(ClockCell::new());
        let status = Arc::new(StatusCell::new());
        let heartbeat = Heartbeat::new();
        // What can fail comes first, so that a failed start leaves nothing behind.
        let sockets = bind(&config.server_listen)?;
        let tally = tally(&sockets)?;
        config.constraints.as_ref().map(constraints::check).transpose()?;
        let prepared = Prepared::new(&config, options.trace.as_deref())?;

        let publisher = StatusPublisher::new(
            Arc::clone(&status),
            options.version.clone(),
            &config,
            tally.clone(),
            prepared.now.raw,
        );
        let (precision, keys) = (prepared.precision, prepared.engine.keys.clone());
        let outlets = prepared.outlets(&clock, &heartbeat, Some(publisher));
        let time = TimeThread::start(outlets, tally.clone())?;
        let post = time.post.clone();
        let asker = config.constraints.clone().map(|c| Asker::start(c, post)).transpose()?;
        let server = match tally {
            None => None,
            Some(tally) => {
                let seed = sys::random_seed()?;
                let server_config = config.server(precision, keys, seed);
                let clock = Arc::clone(&clock);
                let server = NtpServer::start(sockets, server_config, clock, tally.clone())?;
                Some((server, tally))
            }
        };
        let tally = server.as_ref().map(|(_, tally)| tally.clone());
        let status = StatusReader::new(status, Arc::clone(&clock), heartbeat.clone());
        metrics::add(&options.metrics, &options.version, &clock, &status, tally);
        Ok(Self { clock, status, heartbeat, metrics: options.metrics, server, time, asker })
    }

    /// The clock state as the time loop publishes it.
    pub fn clock(&self) -> Arc<ClockCell> {
        Arc::clone(&self.clock)
    }

    /// The status as the time loop publishes it, at least once a second.
    pub fn status(&self) -> StatusReader {
        self.status.clone()
    }

    /// Where the NTP server answers; the ports are the real ones where the kernel chose.
    pub fn server_addresses(&self) -> &[SocketAddr] {
        self.server.as_ref().map_or(&[], |(_, tally)| &tally.addresses)
    }

    /// The routes `/v1/status`, `/metrics`, `/healthz` and `/readyz`.
    pub fn router(&self) -> Router {
        Router::new()
            .route(routes::STATUS, get(show_status).with_state(self.status()))
            .merge(self.metrics.router())
            .merge(health::router(self.heartbeat.clone(), self.clock()))
    }

    /// Ends both threads, writes what must be kept, and frees the ports.
    pub fn shutdown(self) {
        if let Some((server, _)) = self.server {
            server.stop();
        }
        if let Some(asker) = self.asker {
            asker.stop();
        }
        self.time.stop();
    }
}

/// Runs an agent in the calling thread alone until SIGINT or SIGTERM: for simulators and debuggers.
///
/// No other thread, no NTP server, no admin port, no status; a trace of each published clock state
/// goes to `trace`.
///
/// # Errors
/// Where the state directory or the trace cannot be used.
pub fn run_bare(config: AgentConfig, trace: Option<&Path>) -> Result<(), StartError> {
    signals::catch()?;
    let clock = Arc::new(ClockCell::new());
    if config.constraints.is_some() {
        tracing::warn!("alone, the agent asks no HTTPS servers");
    }
    let config = AgentConfig { constraints: None, ..config };
    let prepared = Prepared::new(&config, trace)?.outlets(&clock, &Heartbeat::new(), None);
    let surroundings = Surroundings {
        is_stopped: Box::new(signals::raised),
        wait_max: if config.segment.is_some() { WAIT_MAX } else { WAIT_MAX_BARE },
        mailbox: None,
        clock_set: None,
        leap_file: None,
        hardware_clock: None,
        resolver: Resolver::Inline,
        own_addresses: None,
    };
    prepared.time_loop(surroundings).run();
    Ok(())
}

async fn show_status(State(status): State<StatusReader>) -> Json<Status> {
    Json(Arc::unwrap_or_clone(status.read()))
}

/// All that a time loop needs but its surroundings and outlets.
struct Prepared {
    now: Now,
    precision: Span,
    engine: EngineConfig,
    seed: [u8; 32],
    writer: Option<KernelClockWriter>,
    kept: Option<Kept>,
    trace: Option<Trace>,
    segment: Option<SegmentWriter>,
    leap_file: Option<LeapFile>,
}

impl Prepared {
    fn new(config: &AgentConfig, trace: Option<&Path>) -> Result<Self, StartError> {
        let directory = config.state_directory.as_deref();
        let (kept, former) = directory.map(Kept::open).transpose()?.unzip();
        let trace = trace
            .map(|path| {
                Trace::create(path)
                    .map_err(|source| StartError::Trace { path: path.to_owned(), source })
            })
            .transpose()?;
        let keys = config.read_keys()?;
        let now = read_clocks();
        let leap_file = config.leap_file.as_deref();
        let leap_file = leap_file.map(|path| LeapFile::open(path, now.raw)).transpose()?;
        let (leap_file, leap_table) = leap_file.unzip();
        let segment = config.segment.as_deref().map(SegmentWriter::open).transpose()?;
        let seed = sys::random_seed()?;
        let (writer, kernel) = take_clock(config.mode);
        let precision = kernel_clock::precision();
        let engine = engine_config(config, keys, precision, kernel, former.unwrap_or_default());
        let engine = EngineConfig { leap_table, ..engine };
        let now = read_clocks();
        Ok(Self { now, precision, engine, seed, writer, kept, trace, segment, leap_file })
    }

    fn outlets(
        self,
        clock: &Arc<ClockCell>,
        heartbeat: &Heartbeat,
        status: Option<StatusPublisher>,
    ) -> PreparedLoop {
        let outlets = Outlets {
            clock: Arc::clone(clock),
            status,
            trace: self.trace,
            kept: self.kept,
            segment: self.segment,
            heartbeat: heartbeat.clone(),
            status_as_of: None,
            segment_failed: false,
            segment_as_of: None,
        };
        let device = |source: &SourceConfig| Some(source.reference.as_ref()?.device.clone());
        let references = self.engine.sources.iter().map(device).collect();
        let engine = Engine::new(self.engine, self.seed, self.now);
        let (writer, leap_file) = (self.writer, self.leap_file);
        PreparedLoop { engine, references, writer, leap_file, outlets }
    }
}

struct PreparedLoop {
    engine: Engine,
    references: Vec<Option<ReferenceDevice>>,
    writer: Option<KernelClockWriter>,
    leap_file: Option<LeapFile>,
    outlets: Outlets,
}

impl PreparedLoop {
    fn time_loop(self, surroundings: Surroundings) -> TimeLoop {
        let Self { engine, references, writer, leap_file, outlets } = self;
        let surroundings = Surroundings { leap_file, ..surroundings };
        TimeLoop::new(engine, references, writer, surroundings, outlets)
    }
}

/// The thread of the time loop and how to end it.
#[derive(Debug)]
struct TimeThread {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    post: Post,
}

impl TimeThread {
    fn start(prepared: PreparedLoop, tally: Option<ServerTally>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (mailbox, post) = Mailbox::new()?;
        let clock_set = sys::clock_set_timer()
            .inspect_err(|error| tracing::warn!(%error, "settings of the clock are found late"))
            .ok();
        let is_stopped = Arc::clone(&stop);
        let surroundings = Surroundings {
            is_stopped: Box::new(move || is_stopped.load(Ordering::Acquire)),
            wait_max: WAIT_MAX,
            mailbox: Some(mailbox),
            clock_set,
            leap_file: None,
            hardware_clock: Some(HardwareClock::of_machine()),
            resolver: Resolver::Threads { post: post.clone(), waiting: BTreeSet::new() },
            own_addresses: tally.map(OwnAddresses::new),
        };
        let time_loop = prepared.time_loop(surroundings);
        let thread =
            thread::Builder::new().name("time".to_owned()).spawn(move || time_loop.run())?;
        Ok(Self { thread, stop, post })
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.post.wake();
        if self.thread.join().is_err() {
            tracing::error!("the time loop ended by a panic");
        }
    }
}

fn bind(listen: &[SocketAddr]) -> Result<Vec<ServerSocket>, StartError> {
    let bind = |address: &SocketAddr| {
        ServerSocket::bind(address)
            .map_err(|source| StartError::Listen { address: *address, source })
    };
    listen.iter().map(bind).collect()
}

fn tally(sockets: &[ServerSocket]) -> io::Result<Option<ServerTally>> {
    if sockets.is_empty() {
        return Ok(None);
    }
    let addresses: io::Result<Vec<_>> = sockets.iter().map(ServerSocket::address).collect();
    addresses.map(|addresses| Some(ServerTally::new(addresses)))
}

/// In discipline mode, and only then, makes the clock's writer. That the kernel refuses is no
/// reason not to start: measuring goes on, the status says so, and writing is tried again.
fn take_clock(mode: ClockMode) -> (Option<KernelClockWriter>, Option<KernelClock>) {
    if mode == ClockMode::Observe {
        return (None, None);
    }
    let writer = KernelClockWriter::for_discipline();
    let taken = writer.take_over().or_else(|error| {
        tracing::error!(%error, "the clock cannot be taken over; it is only measured for now");
        kernel_clock::read()
    });
    (Some(writer), taken.ok())
}

fn engine_config(
    config: &AgentConfig,
    keys: KeyRing,
    precision: Span,
    kernel: Option<KernelClock>,
    former: Former,
) -> EngineConfig {
    EngineConfig {
        mode: config.mode,
        step: config.step,
        leap: config.leap,
        rtc: config.rtc,
        sources: config.sources.clone(),
        keys,
        min_sources: config.min_sources,
        constraints: match &config.constraints {
            None => ConstraintPolicy::None,
            Some(constraints) if constraints.required => ConstraintPolicy::Require,
            Some(_) => ConstraintPolicy::Wait,
        },
        precision,
        kernel,
        drift: former.drift.as_ref().map(|drift| drift.frequency),
        drift_error: former.drift.map_or(Frequency::ZERO, |drift| drift.error),
        drift_is_of_this_boot: former.drift_is_of_this_boot,
        remembered: former.sources,
        ..EngineConfig::default()
    }
}

fn listen_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has it; choose another port",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        _ => "choose another address",
    }
}
