//! How late the firing thread is, beside bare `clock_nanosleep` and tokio's timer, in one run.
//!
//! Rounds of five seconds, with sixty fires a second spaced or sixty at one instant, in the usual
//! scheduling class and, where this process may, in SCHED_FIFO; in each round every way has its
//! turn, in random order. The bare sleep appears twice (A/A): what differs between its two rows is
//! noise. Ratios are those to the bare sleep of the same class in the same round; how sure their
//! median is, and what that says of the targets, stands with them; it fails where one is not held.
//! `cargo xtask bench fire --help` names the arguments; sixty rounds are five minutes of spaced
//! fires for each way. With `--load`, twice as many busy threads as processors; with `--judged`,
//! only the bare sleep and the firing thread that is compared with it, in the usual class, or under
//! load in SCHED_FIFO.
//!
//! Other schedulers fire every second at the finest; where `TIMEBALL_BENCH_PEERS` names a directory
//! of them (`cargo xtask bench fire` makes it), they do so for a minute beside the firing thread.
#![allow(clippy::print_stdout)]

mod peers;
mod plot;
mod report;

use report::{Series, Target};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use timeball_runtime::read_clocks;
use timeball_scheduler::bench_support::{FiringThread, Rounds, note_in_journal, shuffled};
use timeball_scheduler::{Tick, Ticker};
use timeball_timebase::{Span, Timestamp};

/// Sixty a second.
const APART: Span = Span::from_micros(16_667);
const FIRES_PER_ROUND: i64 = 300;
/// How many have the same instant where that is measured, and how far those instants are apart.
const AT_ONCE: i64 = 60;
const BURSTS_APART: Span = Span::from_millis(200);
/// Until the first fire: on a loaded machine this thread is slow to arm them.
const AHEAD: Span = Span::from_millis(250);
const PRIORITY: u8 = 50;

/// A way to be somewhere at an instant.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    kind: Kind,
    /// The priority in SCHED_FIFO; `None`: the usual class.
    real_time: Option<u8>,
    /// Whether all fires of a round have the same instant.
    at_once: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Bare,
    /// Sleeps once to instants that several fires have.
    BareOnce,
    Firing,
    Spinning,
    Tick,
    Tokio,
}

const WAYS: [Way; 18] = {
    use Kind::{Bare, BareOnce, Firing, Spinning, Tick, Tokio};
    const fn way(name: &'static str, kind: Kind, real_time: Option<u8>, at_once: bool) -> Way {
        Way { name, kind, real_time, at_once }
    }
    const FIFO: Option<u8> = Some(PRIORITY);
    [
        way("clock_nanosleep (A)", Bare, None, false),
        way("clock_nanosleep (A again)", Bare, None, false),
        way("firing thread", Firing, None, false),
        way("firing thread, spin 200 us", Spinning, None, false),
        way("ticks of `timeball tick`", Tick, None, false),
        way("tokio sleep", Tokio, None, false),
        way("FIFO: clock_nanosleep (A)", Bare, FIFO, false),
        way("FIFO: clock_nanosleep (A again)", Bare, FIFO, false),
        way("FIFO: firing thread", Firing, FIFO, false),
        way("FIFO: firing thread, spin 200 us", Spinning, FIFO, false),
        way("60 at once: clock_nanosleep (A)", Bare, None, true),
        way("60 at once: clock_nanosleep (A again)", Bare, None, true),
        way("60 at once: firing thread", Firing, None, true),
        way("60 at once: one clock_nanosleep for all", BareOnce, None, true),
        way("60 at once, FIFO: clock_nanosleep (A)", Bare, FIFO, true),
        way("60 at once, FIFO: clock_nanosleep (A again)", Bare, FIFO, true),
        way("60 at once, FIFO: firing thread", Firing, FIFO, true),
        way("60 at once, FIFO: one clock_nanosleep for all", BareOnce, FIFO, true),
    ]
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let position = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = position.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(12);
    let (json, loaded) = (has("--json"), has("--load"));
    let judged = arguments.iter().position(|argument| argument == "--judged");
    let judged = judged.map(|at| arguments.get(at + 1).is_some_and(|which| which == "at-once"));
    let is_wanted =
        |way: &Way| judged.is_none_or(|at_once| way.at_once == at_once && way.is_judged(loaded));
    let bench = Bench::new();
    let load = loaded.then(Load::start);
    let mut late: [Rounds; WAYS.len()] = Default::default();
    let mut seed = read_clocks().system.as_unix_nanos().unsigned_abs();
    for _ in 0..rounds {
        for way in shuffled(WAYS.len(), &mut seed) {
            if !is_wanted(&WAYS[way]) {
                continue;
            }
            late[way].push(bench.round(WAYS[way]).into_iter().map(Span::as_nanos).collect());
        }
    }
    let of = |(way, late): (&Way, Rounds)| way.series(late, loaded);
    let wanted = WAYS.iter().zip(late).filter(|(way, _)| is_wanted(way));
    let mut all: Vec<Series> = wanted.map(of).collect();
    if let Some(peers) = std::env::var_os("TIMEBALL_BENCH_PEERS").filter(|_| judged.is_none()) {
        all.extend(peers::run(peers.as_ref()));
    }
    drop(load);
    let bars = report::report(&all, json);
    if !json {
        report_journal();
    }
    bars.exit()
}

impl Way {
    /// Whether it is the firing thread in the class in which that is judged, or the bare sleep of
    /// that class.
    fn is_judged(&self, loaded: bool) -> bool {
        matches!(self.kind, Kind::Bare | Kind::Firing) && self.real_time.is_some() == loaded
    }

    fn series(&self, late: Rounds, loaded: bool) -> Series {
        let is_bare = matches!(self.kind, Kind::Bare);
        let class = format!("{:?} {}", self.real_time, self.at_once);
        let targets = match self.kind {
            // On a machine whose processors are all busy the usual class promises nothing.
            _ if loaded && self.real_time.is_none() => &[][..],
            Kind::Firing => &[Target::OverBare(0.5, 1.2), Target::OverBare(0.99, 1.5)],
            Kind::Spinning => &[Target::Micros(0.5, 2.0)],
            Kind::Bare | Kind::BareOnce | Kind::Tick | Kind::Tokio => &[],
        };
        Series { name: self.name.to_owned(), class, is_bare, late, targets }
    }
}

struct Bench {
    /// The firing threads by class: the usual one, and SCHED_FIFO where that is allowed.
    plain: [Option<FiringThread>; 2],
    spinning: [Option<FiringThread>; 2],
    tokio: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let spin = Span::from_micros(200);
        let usual = |spin| FiringThread::start(spin).expect("the thread can be started");
        let real_time = |spin| {
            FiringThread::start_in(spin, Some(PRIORITY))
                .inspect_err(|error| println!("rows of FIFO are left out: {error}"))
                .ok()
        };
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self {
            plain: [Some(usual(Span::ZERO)), real_time(Span::ZERO)],
            spinning: [Some(usual(spin)), real_time(spin)],
            tokio: tokio.expect("the runtime can be built"),
        }
    }

    /// How late each fire of a round was; nothing where the class is not to be had.
    fn round(&self, way: Way) -> Vec<Span> {
        let start = read_clocks().system + AHEAD;
        let after = |n| if way.at_once { BURSTS_APART * (n / AT_ONCE) } else { APART * n };
        let instants: Vec<Timestamp> = (0..FIRES_PER_ROUND).map(|n| start + after(n)).collect();
        let class = usize::from(way.real_time.is_some());
        let fire = |thread: &Option<FiringThread>| {
            thread.as_ref().map(|thread| thread.fire(&instants)).unwrap_or_default()
        };
        match way.kind {
            Kind::Bare => bare(&instants, way.real_time, false),
            Kind::BareOnce => bare(&instants, way.real_time, true),
            Kind::Firing => fire(&self.plain[class]),
            Kind::Spinning => fire(&self.spinning[class]),
            Kind::Tick => tick(start),
            Kind::Tokio => self.tokio.block_on(sleep(&instants)),
        }
    }
}

/// Threads that keep all processors busy, until this is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..2 * processors {
            let goes_on = Arc::clone(&goes_on);
            std::thread::spawn(move || {
                let mut number = 1_u64;
                while goes_on.load(Ordering::Relaxed) {
                    for _ in 0..10_000 {
                        number =
                            std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
                    }
                }
            });
        }
        Self(goes_on)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What noting a fire before its effect costs its target's thread.
fn report_journal() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut spans = note_in_journal(directory.path(), 20_000).expect("a journal can be written");
    spans.sort_unstable();
    let at =
        |share: f64| spans[((spans.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1e3;
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    println!("\nnoting a fire in the journal: p50 {p50:.1} us, p99 {p99:.1} us, max {max:.1} us");
}

/// A thread of its own with a slack of 1 ns, as the firing thread has, that only sleeps: for each
/// of the instants, or `once` for all that are the same.
fn bare(instants: &[Timestamp], real_time: Option<u8>, once: bool) -> Vec<Span> {
    let instants = instants.to_vec();
    let thread = std::thread::spawn(move || {
        FiringThread::sleep_bare_prepare();
        if FiringThread::sleep_bare_in(real_time).is_err() {
            return Vec::new();
        }
        let mut last = None;
        let late = |at: &Timestamp| {
            if !once || last.replace(*at) != Some(*at) {
                FiringThread::sleep_bare(*at);
            }
            read_clocks().system - *at
        };
        instants.iter().map(late).collect()
    });
    thread.join().expect("a sleeping thread does not panic")
}

/// Ticks of a thread of its own; where it stalls, those that it leaves out are missing.
fn tick(first: Timestamp) -> Vec<Span> {
    let thread = std::thread::spawn(move || {
        let mut ticker = Ticker::start(first, APART, false).expect("a descriptor is left");
        let ticks = std::iter::repeat_with(|| ticker.wait().expect("an alarm can be waited for"));
        let of_round = |tick: &Tick| tick.sequence < FIRES_PER_ROUND.unsigned_abs();
        ticks.take_while(of_round).map(|tick| tick.real - tick.scheduled).collect()
    });
    thread.join().expect("a ticking thread does not panic")
}

async fn sleep(instants: &[Timestamp]) -> Vec<Span> {
    let mut late = Vec::new();
    for at in instants {
        let wait = (*at - read_clocks().system).as_nanos().max(0).unsigned_abs();
        tokio::time::sleep(Duration::from_nanos(wait)).await;
        late.push(read_clocks().system - *at);
    }
    late
}
