//! The node agent: measures this machine's clock against NTP servers, keeps it right if told to,
//! and serves the time and what is known of it.
//!
//! One thread owns the engine and all its sockets ([`Agent::start`], or alone [`run_bare`]);
//! whatever may block is elsewhere. Nothing here writes the clock unless the configuration says
//! `discipline`.
#![deny(missing_docs)]

mod address;
mod agent;
mod config;
mod constraints;
mod control;
mod drift;
mod errno;
mod hardware_clock;
mod host_sources;
mod kept;
mod kernel_clock;
mod leap_file;
mod metrics;
mod notices;
mod ntp_server;
mod outlets;
mod own_addresses;
mod patience;
mod presets;
mod query;
mod reference;
mod remembered;
mod resolver;
mod set_once;
mod status;
mod sys;
mod time_loop;
mod trace;
mod udp;

pub use address::{AddressError, HostPort, NTP_PORT};
pub use agent::{Agent, AgentOptions, StartError, run_bare};
pub use config::{
    ALLOWED_MAX, AgentConfig, ConfigError, HTTPS_MAX, KEYS_MAX, KeyFileError, LISTEN_MAX,
    LineProblem, POOL_MAX, Problem, SOURCES_MAX, parse_keys, read_key, source,
};
pub use constraints::{ConstraintConfig, HttpsError, HttpsServer, TrustError, ask_constraint};
pub use host_sources::{HostSources, host_sources};
pub use leap_file::{LeapFileError, parse_leap_seconds};
pub use presets::{PRESETS, preset};
pub use query::{QueryError, QueryResult, TARGETS_MAX, query};
pub use reference::{
    SHARED_MEMORY_OCTETS, SOCKET_SAMPLE_OCTETS, SharedSample, parse_shared_memory,
    parse_socket_sample,
};
pub use remembered::{RememberedError, format_remembered, parse_remembered};
pub use set_once::{SetOnce, SetOnceError, set_once};
pub use status::StatusReader;
pub use timeball_ntp::association::ResponseError;
pub use timeball_ntp::engine::{
    AdjustError, ClockMode, Constraint, LeapPolicy, PollRange, ReferenceClock, ReferenceDevice,
    ReferenceError, ReferenceReading, ResolveError, RtcPolicy, SendError, SourceConfig,
    SourceOptions, StepPolicy,
};
pub use timeball_ntp::query::QueryAnswer;
pub use timeball_ntp::server::{Network, NetworkError, RateLimit};
