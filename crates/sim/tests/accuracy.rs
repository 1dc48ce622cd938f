//! How small the clock's error is, in worlds with the physics of the accuracy comparison.

#![allow(clippy::print_stdout, reason = "the table is for whoever runs it")]
use timeball_ntp::engine::{PollRange, SourceOptions};
use timeball_sim::{Behaviour, Oscillator, Path, Server, World, seeds};
use timeball_timebase::Span;

const LENGTH_S: i64 = 40_000;
const SETTLED_S: usize = 10_000;

fn rms_us(name: &str, runs: u64, build: impl Fn(u64) -> World) -> f64 {
    let mut all: Vec<f64> = Vec::new();
    let mut est: Vec<f64> = Vec::new();
    let mut width: Vec<f64> = Vec::new();
    let mut viol = 0;
    let mut settle = Vec::new();
    let mut reqs = Vec::new();
    for seed in seeds(runs) {
        let mut world = build(seed);
        world.run_for(LENGTH_S);
        viol += world.violations().len();
        all.push(world.clock_errors().rms_from(SETTLED_S) * 1e6);
        est.push(world.estimate_errors().rms_from(SETTLED_S) * 1e6);
        width.push(world.half_widths().median_from(SETTLED_S) * 1e6);
        settle.push(world.clock_errors().settled(3e-4, 1000).unwrap_or(99999));
        reqs.push(LENGTH_S as f64 / world.report().counters.sent as f64);
    }
    all.sort_by(f64::total_cmp);
    est.sort_by(f64::total_cmp);
    width.sort_by(f64::total_cmp);
    settle.sort();
    println!(
        "{name:12} rms {:8.2} est {:8.2} width {:8.2} violations {viol} settle {} interval {:.1}",
        all[all.len() / 2],
        est[est.len() / 2],
        width[width.len() / 2],
        settle[settle.len() / 2],
        reqs[0]
    );
    all[all.len() / 2]
}

fn clock(wander: f64) -> Oscillator {
    Oscillator { wander, ..Oscillator::default() }
}

fn lan(seed: u64, jitter: f64, wander: f64) -> World {
    one(seed, clock(wander), Path::symmetric(5e-5, jitter))
}
fn one(seed: u64, clock: Oscillator, path: Path) -> World {
    World::new(seed).with_clock(clock, Span::from_millis(10)).with_server(Server::honest(path), 6)
}

#[test]
fn table() {
    let runs = 5;
    let offset = Span::from_millis(10);
    let wan = |seed: u64, n: usize| {
        let mut world = World::new(seed).with_clock(clock(1e-9), offset);
        for _ in 0..n {
            world = world.with_server(Server::honest(Path::symmetric(1e-2, 1e-3)), 6);
        }
        world
    };
    let p = |base, jit| Path::symmetric(base, jit);
    let rows: Vec<(&str, f64, f64)> = vec![
        ("lan10", 5.13, rms_us("lan10", runs, |s| lan(s, 1e-5, 1e-9))),
        ("lan100", 20.9, rms_us("lan100", runs, |s| lan(s, 1e-4, 1e-9))),
        ("lan100-w8", 51.4, rms_us("lan100-w8", runs, |s| lan(s, 1e-4, 1e-8))),
        ("wan1", 103.0, rms_us("wan1", runs, |s| wan(s, 1))),
        ("wan1x4", 59.9, rms_us("wan1x4", runs, |s| wan(s, 4))),
        (
            "def",
            82.2,
            rms_us("def", runs, |s| {
                World::new(s).with_clock(clock(1e-9), offset).with_source(
                    Server::honest(p(5e-5, 1e-4)),
                    PollRange::default(),
                    SourceOptions::default(),
                )
            }),
        ),
        (
            "spike",
            24.1,
            rms_us("spike", runs, |s| {
                one(s, clock(1e-9), Path { spike: (0.1, 2e-2), ..p(1e-3, 1e-4) })
            }),
        ),
        (
            "false4",
            64.6,
            rms_us("false4", runs, |s| {
                wan(s, 3).with_server(
                    Server::honest(p(1e-2, 1e-3))
                        .with(Behaviour::Lies { by: Span::from_millis(100), from_s: 0.0 }),
                    6,
                )
            }),
        ),
        (
            "init10",
            93.6,
            rms_us("init10", runs, |s| {
                World::new(s).with_clock(clock(1e-9), Span::from_secs(10)).with_source(
                    Server::honest(p(5e-5, 1e-4)),
                    PollRange::default(),
                    SourceOptions::default(),
                )
            }),
        ),
        (
            "fstep",
            45.8,
            rms_us("fstep", runs, |s| {
                one(
                    s,
                    Oscillator { frequency_steps: vec![(20000.0, 5e-6)], ..clock(1e-9) },
                    p(5e-5, 1e-4),
                )
            }),
        ),
        (
            "asym",
            9.86,
            rms_us("asym", runs, |s| {
                one(s, clock(1e-9), Path { jitter_up: 1e-5, jitter_down: 1.9e-4, ..p(5e-5, 1e-4) })
            }),
        ),
        (
            "temp",
            62.1,
            rms_us("temp", runs, |s| {
                one(s, Oscillator { temperature: (1e-6, 7200.0), ..clock(1e-9) }, p(5e-5, 1e-4))
            }),
        ),
        (
            "loss50",
            34.2,
            rms_us("loss50", runs, |s| one(s, clock(1e-9), Path { loss: 0.5, ..p(5e-5, 1e-4) })),
        ),
        (
            "unequal",
            186.0,
            rms_us("unequal", runs, |s| {
                let mut w = World::new(s).with_clock(clock(1e-9), offset);
                for jit in [1e-4, 1e-3, 5e-3, 1e-2] {
                    w = w.with_server(Server::honest(p(5e-3, jit)), 6);
                }
                w
            }),
        ),
        ("wan10", 1025.0, rms_us("wan10", runs, |s| one(s, clock(1e-9), p(1e-2, 1e-2)))),
        (
            "outage",
            500.0,
            rms_us("outage", runs, |s| {
                one(s, clock(1e-9), Path { outages: vec![(15000.0, 25000.0)], ..p(5e-5, 1e-4) })
            }),
        ),
        (
            "route",
            500.0,
            rms_us("route", runs, |s| {
                one(
                    s,
                    clock(1e-9),
                    Path {
                        route_changes: vec![(15000.0, 5e-3, 5e-3), (25000.0, -4e-3, -4e-3)],
                        ..p(5e-3, 1e-4)
                    },
                )
            }),
        ),
        (
            "biased4",
            500.0,
            rms_us("biased4", runs, |s| {
                let mut w = World::new(s).with_clock(clock(1e-9), offset);
                for b in [-2e-3, -1e-3, 1e-3, 2e-3] {
                    w = w.with_server(
                        Server::honest(Path {
                            base_up: 1e-2 + b,
                            base_down: 1e-2 - b,
                            ..p(1e-2, 1e-4)
                        }),
                        6,
                    );
                }
                w
            }),
        ),
        (
            "fast",
            10.0,
            rms_us("fast", 2, |s| {
                World::new(s)
                    .with_clock(clock(1e-9), offset)
                    .with_server(Server::honest(p(5e-5, 1e-4)), 0)
            }),
        ),
        (
            "slow",
            10.0,
            rms_us("slow", runs, |s| {
                World::new(s)
                    .with_clock(clock(1e-9), offset)
                    .with_server(Server::honest(p(5e-5, 1e-4)), 10)
            }),
        ),
    ];
    let g = rows.iter().take(10).map(|(_, c, o)| (o / c).ln()).sum::<f64>() / 10.0;
    for (name, chrony, ours) in rows {
        println!("{name:12} {ours:8.2} {chrony:8.2} {:.3}", ours / chrony);
    }
    println!("gm {:.3}", g.exp());
}
