//! Setting the clock once, before anything starts that relies on it: the sources are asked a few
//! times in a row, and the clock is stepped by what their majority says, however much that is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use timeball_api::status::{Source, Status};
use timeball_ntp::engine::{AdjustError, ClockMode, SourceConfig};
use timeball_runtime::{Shutdown, read_clocks};
use timeball_timebase::{ClockState, Frequency, Span, SyncState};

use crate::agent::{Agent, AgentOptions, StartError};
use crate::config::AgentConfig;
use crate::kernel_clock::KernelClockWriter;

/// Answers of a source after which it has had its say: so many make an estimate.
const ANSWERS: u64 = 3;
/// How long sources that say nothing are waited for where others agree: their first row of requests
/// is over by then.
const ROW: Duration = Duration::from_secs(10);
/// Time between two looks at what is known.
const LOOK: Duration = Duration::from_millis(50);

/// The clock as it was found, and what was done about it.
#[derive(Clone, Debug)]
pub struct SetOnce {
    /// True time less system time as it was found: positive where the clock was behind.
    pub offset: Span,
    /// Largest error of `offset`.
    pub bound: Span,
    /// True time less system time right after the clock was set, by the same measurements; `None`
    /// where it was only looked at, in mode `observe`.
    pub left: Option<Span>,
    /// The sources and their parts in it, and the notices.
    pub status: Arc<Status>,
}

/// Why the clock was not set. It was not touched then, save for [`SetOnceError::Write`].
#[derive(Debug, Error)]
pub enum SetOnceError {
    /// Nobody can be asked.
    #[error("the settings name no source; add a [[source]]")]
    NoSource,
    /// The sources cannot be asked.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The sources did not agree on the time, or said nothing.
    #[error("no majority of the sources within {} s: {why}", timeout.as_secs_f64())]
    NoMajority {
        /// How long was waited.
        timeout: Duration,
        /// Each source with what is wrong with it.
        why: String,
    },
    /// A step back by so much is what the settings forbid.
    #[error(
        "the clock is {} ahead, and the settings forbid steps back by more than {limit} \
         (clock.step.backward_s)",
        offset.abs()
    )]
    Backward {
        /// True time less system time, below zero.
        offset: Span,
        /// The farthest step back.
        limit: Span,
    },
    /// The kernel refused.
    #[error("the clock cannot be set: {0}")]
    Write(#[from] AdjustError),
    /// The end was asked for before there was a majority.
    #[error("interrupted before the sources had answered")]
    Interrupted,
}

/// Measures the clock until a majority of the sources says what time it is, at most for `timeout`,
/// and sets it by that if the mode is `discipline`. Nothing else of the settings is put to use: no
/// server, no segment; threshold, count of updates and panic limit do not matter.
///
/// In mode `discipline` the state directory is locked, so an agent that keeps the clock already is
/// not disturbed.
///
/// # Errors
/// Where there is no majority in time, `shutdown` is requested, a step back is forbidden, or the
/// system refuses something.
pub fn set_once(
    config: AgentConfig,
    options: AgentOptions,
    timeout: Duration,
    shutdown: &Shutdown,
) -> Result<SetOnce, SetOnceError> {
    if config.sources.is_empty() {
        return Err(SetOnceError::NoSource);
    }
    let (mode, backward) = (config.mode, config.step.backward);
    let agent = Agent::start(measuring(config), options)?;
    let agreed = agree(&agent, timeout, shutdown);
    let outcome = agreed.and_then(|state| set(&state, mode, backward, agent.status().read()));
    agent.shutdown();
    outcome
}

/// The same settings with nothing to write, and with a row of requests at the start.
fn measuring(config: AgentConfig) -> AgentConfig {
    let in_a_row = |source: SourceConfig| {
        let mut options = source.options;
        options.iburst |= source.reference.is_none();
        SourceConfig { options, ..source }
    };
    AgentConfig {
        mode: ClockMode::Observe,
        sources: config.sources.into_iter().map(in_a_row).collect(),
        server_listen: Vec::new(),
        admin_listen: None,
        segment: None,
        state_directory: config.state_directory.filter(|_| config.mode == ClockMode::Discipline),
        ..config
    }
}

/// Waits until a majority has spoken, and who else may.
fn agree(
    agent: &Agent,
    timeout: Duration,
    shutdown: &Shutdown,
) -> Result<ClockState, SetOnceError> {
    let (clock, status, begun) = (agent.clock(), agent.status(), Instant::now());
    loop {
        if shutdown.wait_for(LOOK) {
            return Err(SetOnceError::Interrupted);
        }
        let (waited, status) = (begun.elapsed(), status.read());
        let state = clock.read_at(read_clocks().raw);
        if is_told(&state, &status.sources)
            && (waited >= ROW.min(timeout) || all_have_spoken(&status.sources))
        {
            return Ok(state);
        }
        if waited >= timeout {
            return Err(SetOnceError::NoMajority { timeout, why: why(&status.sources) });
        }
    }
}

/// Whether a majority has said what time it is. That is enough to set a clock by; before it counts
/// as synchronized there are more measurements, for which a silent source makes the wait long.
fn is_told(state: &ClockState, sources: &[Source]) -> bool {
    let is_majority = matches!(state.state, SyncState::Synchronized | SyncState::Acquiring);
    is_majority && state.bound.is_some() && sources.iter().any(|each| each.selection == "chief")
}

fn all_have_spoken(sources: &[Source]) -> bool {
    let mut voters = sources.iter().filter(|source| source.selection != "not-selectable");
    !sources.is_empty() && voters.all(|source| source.received >= ANSWERS)
}

fn why(sources: &[Source]) -> String {
    let of = |source: &Source| match &source.problem {
        Some(problem) => format!("{} is {} ({problem})", source.name, source.selection),
        None => format!("{} is {}", source.name, source.selection),
    };
    sources.iter().map(of).collect::<Vec<_>>().join("; ")
}

/// Carries out what was found, if the mode says so.
fn set(
    state: &ClockState,
    mode: ClockMode,
    backward: Option<Span>,
    status: Arc<Status>,
) -> Result<SetOnce, SetOnceError> {
    let writer = match mode {
        ClockMode::Observe => None,
        ClockMode::Discipline => Some(KernelClockWriter::for_discipline()),
    };
    let found = read_clocks();
    let reading = state.reading(found);
    let offset = reading.estimate - found.system;
    let bound = reading.half_width.expect("waited until there is a bound");
    if let Some(limit) = backward.filter(|limit| offset < -*limit) {
        return Err(SetOnceError::Backward { offset, limit });
    }
    let left = writer.map(|writer| {
        // What somebody began to slew would go on after the step.
        if writer.take_over()?.is_racing() {
            writer.set_frequency(Frequency::ZERO)?;
        }
        writer.step(offset)?;
        let now = read_clocks();
        Ok::<_, AdjustError>(reading.estimate + (now.raw - found.raw) - now.system)
    });
    Ok(SetOnce { offset, bound, left: left.transpose()?, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_measure_nothing_is_served_written_or_kept_and_servers_are_asked_in_a_row() {
        let text = "[clock]\nmode = \"discipline\"\n[[source]]\naddress = \"a\"\niburst = false\n\
                    [[source]]\nshm = 1\nerror_s = 1\n[server]\nlisten = [\"127.0.0.1:123\"]\n\
                    [admin]\nlisten = \"127.0.0.1:1\"\n[state]\ndirectory = \"/a\"\n\
                    [clockbound]\nsegment = \"/b\"\n";
        let config = AgentConfig::parse(text, "a.toml").unwrap();
        let measured = measuring(config.clone());
        assert_eq!((measured.mode, measured.admin_listen), (ClockMode::Observe, None));
        assert_eq!((measured.segment, measured.server_listen.len()), (None, 0));
        let bursts: Vec<bool> = measured.sources.iter().map(|s| s.options.iburst).collect();
        assert_eq!(bursts, [true, false]);
        // An agent that keeps the clock has it, and is not to be disturbed; a look disturbs nobody.
        assert_eq!(measured.state_directory, config.state_directory);
        let looked = measuring(AgentConfig { mode: ClockMode::Observe, ..config });
        assert_eq!(looked.state_directory, None);
    }

    #[test]
    fn who_has_no_vote_is_not_waited_for() {
        let source = |selection: &str, received| Source {
            selection: selection.to_owned(),
            received,
            ..Source::default()
        };
        assert!(!all_have_spoken(&[]), "nothing is known yet");
        assert!(all_have_spoken(&[source("chief", 3), source("not-selectable", 0)]));
        assert!(!all_have_spoken(&[source("chief", 3), source("unreachable", 0)]));
    }
}
