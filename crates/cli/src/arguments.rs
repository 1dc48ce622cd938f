//! The command line. The doc comments here are the help texts.

use crate::output::Format;
#[cfg(feature = "scheduler")]
use clap::ValueEnum;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// One clock, and work on the dot.
///
/// Makes this machine's clock right and says how right; starts work at an exact millisecond.
/// Begin with `timeball up`.
#[derive(Debug, Parser)]
#[command(name = "timeball", version = VERSION, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Version and commit.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("TIMEBALL_COMMIT"), ")");

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine, unprivileged: measure the clock, serve time, fire schedules,
    /// show a live page
    #[cfg(all(feature = "agent", feature = "scheduler"))]
    Up(UpArguments),
    /// Run the time service alone, as a node of a cluster or a host does
    #[cfg(feature = "agent")]
    Agent(AgentArguments),
    /// Ask time servers once: offset, delay, and how wrong the answer can be
    #[cfg(feature = "agent")]
    Query(QueryArguments),
    /// Show what a running `timeball up` knows: the clock, its bound, the sources
    Status(AskArguments),
    /// Print the link to the page of a running `timeball up`, with the token that lets it change
    /// things; keep it to yourself
    Page(StateArguments),
    /// Work with schedules
    #[cfg(feature = "scheduler")]
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Give a running program ticks: a line, a datagram or a signal at each multiple of a period
    #[cfg(feature = "scheduler")]
    Tick(TickArguments),
}

/// Where a `timeball up` keeps what must survive.
#[derive(Args, Clone, Debug)]
pub(crate) struct StateArguments {
    /// Directory of the state [default: $XDG_STATE_HOME/timeball or ~/.local/state/timeball]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[cfg(all(feature = "agent", feature = "scheduler"))]
#[derive(Args, Debug)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) state: StateArguments,
    /// Settings file (TOML, as for `timeball agent`) [default: timeball.toml in
    /// $XDG_CONFIG_HOME/timeball or ~/.config/timeball, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of schedule files [default: `schedules` in the state directory; made with two
    /// examples when it does not exist]
    #[arg(long, value_name = "DIR")]
    pub(crate) schedules: Option<PathBuf>,
    /// Port of the page on loopback (0: any free one) [default: 9133, or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// UDP port of the NTP server on loopback (0: any free one) [default: 11123, or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) ntp_port: Option<u16>,
    /// Fire from a real-time thread (SCHED_FIFO, memory locked); where that may not be, says so and
    /// fires as usual
    #[arg(long)]
    pub(crate) real_time: bool,
    /// Watch the clock instead of sleeping for this long before each fire, at the cost of that much
    /// processor time
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) spin: u32,
    /// Time source instead of the configured ones: HOST, HOST:PORT or `[V6]:PORT`; may be repeated
    #[arg(long = "source", value_name = "HOST")]
    pub(crate) sources: Vec<String>,
    /// `table`: a line a second for eyes; `json`: one object a line
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[cfg(feature = "agent")]
#[derive(Args, Debug)]
pub(crate) struct AgentArguments {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// One thread: no admin port, no NTP server, nobody asked over HTTPS (for simulators and
    /// debuggers)
    #[arg(long)]
    pub(crate) bare: bool,
    /// Write each published clock state to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Set the clock once by a majority of the sources, however wrong it is, say what was done, and
    /// end; in mode `observe` only say what would be done
    #[arg(long, conflicts_with = "bare")]
    pub(crate) set_and_go: bool,
    /// Seconds to wait for a majority
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = timeout_s)]
    #[arg(requires = "set_and_go")]
    pub(crate) timeout: f64,
    /// Form of what --set-and-go says
    #[arg(long, value_enum, default_value_t, requires = "set_and_go")]
    pub(crate) output: Format,
}

#[cfg(feature = "agent")]
#[derive(Args, Debug)]
pub(crate) struct QueryArguments {
    /// Servers: HOST, HOST:PORT or `[V6]:PORT`
    #[arg(required = true, value_name = "HOST[:PORT]")]
    pub(crate) hosts: Vec<String>,
    /// Ask with this key, and believe only answers that are made with it
    #[arg(long, value_name = "ID", requires = "keys", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) key: Option<u32>,
    /// File of keys, a line each: `1 AES128 HEX:...`
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) keys: Option<PathBuf>,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = timeout_s)]
    pub(crate) timeout: f64,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[cfg(feature = "agent")]
fn timeout_s(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0.001 to 3600".to_owned()),
    }
}

/// Which running `up` is asked, and the form of its answer.
#[derive(Args, Debug)]
pub(crate) struct AskArguments {
    #[command(flatten)]
    pub(crate) state: StateArguments,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[cfg(feature = "scheduler")]
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Show the next instants of an expression
    Next(ExpressionArguments),
    /// Say what an expression means, when it is next, and what changes of the clocks will do to it
    Explain(ExpressionArguments),
    /// Write the entries of a crontab, or Kubernetes CronJobs, as schedule files; says what is
    /// dropped or left out
    Import(ImportArguments),
    /// Write schedule files as Kubernetes CronJobs where nothing is lost; else says what would be
    Export(ExportArguments),
    /// List the schedules of a running `timeball up`
    List(AskArguments),
    /// Show one schedule: whether it fires and why not, its next instants, how late its fires were
    Show(ShowArguments),
    /// Let a schedule rest until it is resumed, also through restarts
    Pause(ChangeArguments),
    /// Let a paused schedule go on
    Resume(ChangeArguments),
    /// Run a schedule's target now, whether the schedule rests or not
    Run(RunArguments),
    /// Run instants of a range that has passed, oldest first: those that were not fired
    Backfill(BackfillArguments),
    /// Show what the schedule files would change in a running `timeball up`
    Diff(AskArguments),
    /// Have the schedule files read now, as SIGHUP does, and show what that changed
    Reload(AskArguments),
    /// Show what became of a schedule's instants, newest first
    History(HistoryArguments),
}

/// An expression and how it is meant.
#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct ExpressionArguments {
    /// The expression, for example "*/5 * * * *", "*/0.250 * * * * *" or "@every 10ms"
    pub(crate) expression: String,
    /// Time zone (IANA name)
    #[arg(long = "tz", value_name = "ZONE", default_value = "Etc/UTC")]
    pub(crate) zone: String,
    /// Show instants strictly after this one [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub(crate) after: Option<String>,
    /// How many instants
    #[arg(short = 'n', value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// The expression's dialect
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dialect: DialectName,
    /// What happens to local times that are skipped or repeated [default: the dialect's own rule]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) dst: Option<DstName>,
    /// File with calendars (`kind: Calendar`): only their days have instants; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) include: Vec<PathBuf>,
    /// File with calendars: their days have no instants; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude: Vec<PathBuf>,
    /// Number that chooses what is written `H` (a schedule's file uses its uid)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct ImportArguments {
    /// The file; `-` for standard input
    pub(crate) file: PathBuf,
    /// What it is [default: `cronjob` where it has an `apiVersion`, else `crontab`]
    #[arg(long, value_enum)]
    pub(crate) from: Option<ImportFormat>,
    /// A crontab whose entries name a user [default for /etc/crontab and /etc/cron.d]
    #[arg(long)]
    pub(crate) system: bool,
    /// Time zone of a crontab without CRON_TZ (IANA name) [default: Etc/UTC]
    #[arg(long = "tz", value_name = "ZONE")]
    pub(crate) zone: Option<String>,
}

/// A form of schedules of others.
#[cfg(feature = "scheduler")]
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ImportFormat {
    /// crontab(5)
    Crontab,
    /// Kubernetes CronJobs in YAML or JSON
    Cronjob,
}

#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct ExportArguments {
    /// The file; `-` for standard input
    pub(crate) file: PathBuf,
    /// Image whose container runs the command
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: String,
}

#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    /// NAME or NAMESPACE/NAME
    pub(crate) name: String,
    /// At most how many records
    #[arg(short = 'n', value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct ShowArguments {
    /// NAME or NAMESPACE/NAME
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct ChangeArguments {
    /// NAME or NAMESPACE/NAME
    pub(crate) name: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) why: String,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub(crate) yes: bool,
}

#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct BackfillArguments {
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
    /// First instant of the range
    #[arg(long, value_name = "RFC3339")]
    pub(crate) from: String,
    /// Last instant of the range [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub(crate) to: Option<String>,
    /// At most how many instants; a range that has more to run is refused
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
    /// How many run at a time, as far as the schedule's concurrencyPolicy lets them
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) parallel: u32,
    /// Also those that were fired, or may have been
    #[arg(long)]
    pub(crate) again: bool,
    /// Say what would be run, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `sequence scheduled real bound`: the number of the instant, the instant, what the system clock
/// read, and by how many nanoseconds that is wrong at most (`unknown` where neither a running `up`
/// nor an agent of this machine says it in a shared segment).
#[cfg(feature = "scheduler")]
#[derive(Args, Debug)]
pub(crate) struct TickArguments {
    /// The period, and after a slash how far behind its multiples since 1970: 10ms, 1s/250ms
    #[arg(long, value_name = "PERIOD[/PHASE]")]
    pub(crate) every: String,
    /// Stop after so many ticks that somebody got [default: never]
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// After a stall give what was missed too, one tick after the other (at most 1,000), instead of
    /// the latest alone; a receiver gets ticks although it has not taken those before
    #[arg(long)]
    pub(crate) catch_up: bool,
    /// Write to this FIFO instead of stdout; ticks while nobody reads are dropped
    #[arg(long, value_name = "PATH", group = "receiver")]
    pub(crate) fifo: Option<PathBuf>,
    /// Send a datagram to this UNIX socket instead; ticks while nobody receives are dropped
    #[arg(long, value_name = "PATH", group = "receiver")]
    pub(crate) socket: Option<PathBuf>,
    /// Signal this process instead, by SIGUSR1 (10) or the signal of that number; the sequence is
    /// its value (`si_value`)
    #[arg(long, value_name = "PID[:SIGNAL]", group = "receiver")]
    pub(crate) signal: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    /// Form of a line
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// A schedule language.
#[cfg(feature = "scheduler")]
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum DialectName {
    /// crontab(5): 5 fields, or 6 with seconds first, which may have fractions; L W # H; @every,
    /// @at; ISO 8601 repeating intervals; RRULE
    #[default]
    Vixie,
    /// As batch/v1 CronJob
    Kubernetes,
    /// Quartz: 6 or 7 fields
    Quartz,
    /// The Open Cron Pattern Specification 1.0 to 1.4
    Ocps,
    /// systemd's OnCalendar
    Systemd,
}

/// A rule for local times that a change of the clocks skips or repeats.
#[cfg(feature = "scheduler")]
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DstName {
    /// Skipped fixed times run right after the jump; repeated ones once
    Vixie,
    /// Skipped times do not run; repeated ones run twice
    Kubernetes,
    /// Skipped times do not run; repeated ones once
    Ocps,
}
