//! How late the firing thread is, beside bare `clock_nanosleep` and tokio's timer, in one run.
//!
//! Rounds of fires a few milliseconds apart; in each round every way has its turn, in random order.
//! The bare sleep appears twice (A/A): what differs between its two rows is noise.
//! `cargo bench -p timeball-scheduler --bench fire [-- --json] [-- --rounds N]`
#![allow(clippy::print_stdout)]

use std::time::Duration;
use timeball_runtime::read_clocks;
use timeball_scheduler::bench_support::{FiringThread, note_in_journal};
use timeball_timebase::{Span, Timestamp};

const FIRES_PER_ROUND: usize = 60;
const APART: Span = Span::from_micros(3_700);
const WAYS: [&str; 5] = [
    "clock_nanosleep (A)",
    "clock_nanosleep (A again)",
    "firing thread",
    "firing thread, spin 200 us",
    "tokio sleep",
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let position = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = position.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(20);
    let plain = FiringThread::start(Span::ZERO).expect("the thread can be started");
    let spinning = FiringThread::start(Span::from_micros(200)).expect("the thread can be started");
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("the runtime can be built");
    let mut late: [Vec<i64>; WAYS.len()] = Default::default();
    let mut seed = read_clocks().system.as_unix_nanos().unsigned_abs();
    for _ in 0..rounds {
        for way in shuffled(&mut seed) {
            let start = read_clocks().system + Span::from_millis(20);
            let instants: Vec<Timestamp> =
                (0..FIRES_PER_ROUND).map(|n| start + APART * n as i64).collect();
            let spans = match way {
                0 | 1 => bare(&instants),
                2 => plain.fire(&instants),
                3 => spinning.fire(&instants),
                _ => tokio.block_on(sleep(&instants)),
            };
            late[way].extend(spans.into_iter().map(Span::as_nanos));
        }
    }
    report(&mut late, json);
    if !json {
        report_journal();
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
fn bare(instants: &[Timestamp]) -> Vec<Span> {
    let instants = instants.to_vec();
    let thread = std::thread::spawn(move || {
        FiringThread::sleep_bare_prepare();
        instants
            .iter()
            .map(|at| {
                FiringThread::sleep_bare(*at);
                read_clocks().system - *at
            })
            .collect()
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

fn shuffled(seed: &mut u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..WAYS.len()).collect();
    for last in (1..order.len()).rev() {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (*seed >> 33) as usize % (last + 1));
    }
    order
}

fn report(late: &mut [Vec<i64>; WAYS.len()], json: bool) {
    let mut rows = Vec::new();
    for (way, late) in WAYS.iter().zip(late) {
        late.sort_unstable();
        let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
        rows.push((*way, late.len(), at(0.5), at(0.99), at(1.0)));
    }
    let (_, _, p50_base, p99_base, _) = rows[0];
    if json {
        for (way, n, p50, p99, max) in rows {
            println!(
                "{{\"way\":\"{way}\",\"fires\":{n},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\
                 \"max_us\":{max:.1},\"p50_ratio\":{:.2},\"p99_ratio\":{:.2}}}",
                p50 / p50_base,
                p99 / p99_base
            );
        }
        return;
    }
    println!("| way | fires | p50 us | p99 us | max us | p50 ratio | p99 ratio |");
    println!("|---|---|---|---|---|---|---|");
    for (way, n, p50, p99, max) in rows {
        let (a, b) = (p50 / p50_base, p99 / p99_base);
        println!("| {way} | {n} | {p50:.1} | {p99:.1} | {max:.1} | {a:.2} | {b:.2} |");
    }
}
