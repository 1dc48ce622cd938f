//! How late the firing thread is, beside bare `clock_nanosleep` and tokio's timer, in one run.
//!
//! Rounds of sixty fires, spaced over a second or all at one instant, in the usual scheduling class
//! and, where this process may, in SCHED_FIFO; in each round every way has its turn, in random
//! order. The bare sleep appears twice (A/A): what differs between its two rows is noise. Ratios
//! are those to the bare sleep of the same class.
//! `cargo bench -p timeball-scheduler --bench fire [-- --json] [-- --rounds N] [-- --load]`; with
//! `--load`, twice as many busy threads as processors.
//!
//! Other schedulers fire every second at the finest; where `TIMEBALL_BENCH_PEERS` names a directory
//! of them (`cargo xtask bench fire` makes it), they do so for a minute beside the firing thread.
#![allow(clippy::print_stdout)]

mod peers;
mod plot;

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use timeball_runtime::read_clocks;
use timeball_scheduler::bench_support::{FiringThread, note_in_journal, shuffled};
use timeball_timebase::{Span, Timestamp};

/// Sixty a second.
const APART: Span = Span::from_micros(16_667);
const FIRES_PER_ROUND: usize = 60;
/// Until the first fire: on a loaded machine this thread is slow to arm them.
const AHEAD: Span = Span::from_millis(250);
/// The priority of what is real time.
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
    Firing,
    Spinning,
    Tokio,
}

const WAYS: [Way; 13] = {
    use Kind::{Bare, Firing, Spinning, Tokio};
    const fn way(name: &'static str, kind: Kind, real_time: Option<u8>, at_once: bool) -> Way {
        Way { name, kind, real_time, at_once }
    }
    const FIFO: Option<u8> = Some(PRIORITY);
    // The first of each class, spaced or at once, is what its others are compared with.
    [
        way("clock_nanosleep (A)", Bare, None, false),
        way("clock_nanosleep (A again)", Bare, None, false),
        way("firing thread", Firing, None, false),
        way("firing thread, spin 200 us", Spinning, None, false),
        way("tokio sleep", Tokio, None, false),
        way("FIFO: clock_nanosleep (A)", Bare, FIFO, false),
        way("FIFO: clock_nanosleep (A again)", Bare, FIFO, false),
        way("FIFO: firing thread", Firing, FIFO, false),
        way("FIFO: firing thread, spin 200 us", Spinning, FIFO, false),
        way("60 at once: clock_nanosleep", Bare, None, true),
        way("60 at once: firing thread", Firing, None, true),
        way("60 at once, FIFO: clock_nanosleep", Bare, FIFO, true),
        way("60 at once, FIFO: firing thread", Firing, FIFO, true),
    ]
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let position = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = position.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(10);
    let json = has("--json");
    let bench = Bench::new();
    let _load = has("--load").then(Load::start);
    let mut late: [Vec<i64>; WAYS.len()] = Default::default();
    let mut seed = read_clocks().system.as_unix_nanos().unsigned_abs();
    for _ in 0..rounds {
        for way in shuffled(WAYS.len(), &mut seed) {
            late[way].extend(bench.round(WAYS[way]).into_iter().map(Span::as_nanos));
        }
    }
    let of = |(way, late): (&Way, Vec<i64>)| Series {
        name: way.name.to_owned(),
        class: format!("{:?} {}", way.real_time, way.at_once),
        late,
    };
    let mut all: Vec<Series> = WAYS.iter().zip(late).map(of).collect();
    if let Some(peers) = std::env::var_os("TIMEBALL_BENCH_PEERS") {
        all.extend(peers::run(peers.as_ref()));
    }
    report(all, json);
    if !json {
        report_journal();
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
        let apart = if way.at_once { Span::ZERO } else { APART };
        let instants: Vec<Timestamp> =
            (0..FIRES_PER_ROUND).map(|n| start + apart * n as i64).collect();
        let class = usize::from(way.real_time.is_some());
        let fire = |thread: &Option<FiringThread>| {
            thread.as_ref().map(|thread| thread.fire(&instants)).unwrap_or_default()
        };
        match way.kind {
            Kind::Bare => bare(&instants, way.real_time),
            Kind::Firing => fire(&self.plain[class]),
            Kind::Spinning => fire(&self.spinning[class]),
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

/// A thread of its own with a slack of 1 ns, as the firing thread has, that only sleeps.
fn bare(instants: &[Timestamp], real_time: Option<u8>) -> Vec<Span> {
    let instants = instants.to_vec();
    let thread = std::thread::spawn(move || {
        FiringThread::sleep_bare_prepare();
        if FiringThread::sleep_bare_in(real_time).is_err() {
            return Vec::new();
        }
        let late = |at: &Timestamp| {
            FiringThread::sleep_bare(*at);
            read_clocks().system - *at
        };
        instants.iter().map(late).collect()
    });
    thread.join().expect("a sleeping thread does not panic")
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

/// How late the fires of one way were.
struct Series {
    name: String,
    /// Ways of the same class are compared; the first of them is a bare sleep.
    class: String,
    /// Nanoseconds.
    late: Vec<i64>,
}

/// What one way came to.
struct Row {
    name: String,
    fires: usize,
    /// Percentiles of lateness, microseconds.
    p50: f64,
    p99: f64,
    max: f64,
    /// Over the bare sleep of the same class.
    p50_ratio: f64,
    p99_ratio: f64,
}

fn rows(all: Vec<Series>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut base: Option<(String, f64, f64)> = None;
    for Series { name, class, mut late } in all.into_iter().filter(|all| !all.late.is_empty()) {
        late.sort_unstable();
        let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        if base.as_ref().is_none_or(|(of, ..)| *of != class) {
            base = Some((class, p50, p99));
        }
        let (p50_base, p99_base) = base.as_ref().map_or((p50, p99), |base| (base.1, base.2));
        let (p50_ratio, p99_ratio) = (p50 / p50_base, p99 / p99_base);
        rows.push(Row { name, fires: late.len(), p50, p99, max, p50_ratio, p99_ratio });
    }
    rows
}

fn report(all: Vec<Series>, json: bool) {
    let rows = rows(all);
    if json {
        for row in rows {
            println!(
                "{{\"way\":\"{}\",\"fires\":{},\"p50_us\":{:.1},\"p99_us\":{:.1},\
                 \"max_us\":{:.1},\"p50_ratio\":{:.2},\"p99_ratio\":{:.2}}}",
                row.name, row.fires, row.p50, row.p99, row.max, row.p50_ratio, row.p99_ratio
            );
        }
        return;
    }
    match plot::write(Path::new(env!("CARGO_TARGET_TMPDIR")), &rows) {
        Ok(path) => println!("median to 99th percentile: {}\n", path.display()),
        Err(error) => println!("the plot could not be written: {error}\n"),
    }
    println!("| way | fires | p50 us | p99 us | max us | p50 ratio | p99 ratio |");
    println!("|---|---|---|---|---|---|---|");
    for Row { name, fires, p50, p99, max, p50_ratio, p99_ratio } in rows {
        println!(
            "| {name} | {fires} | {p50:.1} | {p99:.1} | {max:.1} | {p50_ratio:.2} | {p99_ratio:.2} |"
        );
    }
}
