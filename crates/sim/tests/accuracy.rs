//! How small the clock's error is, in worlds with the physics of the accuracy comparison.

use timeball_sim::{Oscillator, Path, Server, World, seeds};
use timeball_timebase::Span;

const LENGTH_S: i64 = 40_000;
const SETTLED_S: usize = 10_000;

fn rms_us(name: &str, runs: u64, build: impl Fn(u64) -> World) -> f64 {
    let mut all: Vec<f64> = Vec::new();
    for seed in seeds(runs) {
        let mut world = build(seed);
        world.run_for(LENGTH_S);
        assert_eq!(world.violations(), [], "{name}: seed {seed}");
        all.push(world.clock_errors().rms_from(SETTLED_S) * 1e6);
    }
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn clock(wander: f64) -> Oscillator {
    Oscillator { wander, ..Oscillator::default() }
}

fn lan(seed: u64, jitter: f64, wander: f64) -> World {
    World::new(seed)
        .with_clock(clock(wander), Span::from_millis(10))
        .with_server(Server::honest(Path::symmetric(5e-5, jitter)), 6)
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
    let rows: Vec<(&str, f64, f64)> = vec![
        ("lan10", 5.13, rms_us("lan10", runs, |s| lan(s, 1e-5, 1e-9))),
        ("lan100", 20.9, rms_us("lan100", runs, |s| lan(s, 1e-4, 1e-9))),
        ("lan100-w8", 51.4, rms_us("lan100-w8", runs, |s| lan(s, 1e-4, 1e-8))),
        ("wan1", 103.0, rms_us("wan1", runs, |s| wan(s, 1))),
        ("wan1x4", 59.9, rms_us("wan1x4", runs, |s| wan(s, 4))),
    ];
    for (name, chrony, ours) in rows {
        println!("{name:12} {ours:8.2} {chrony:8.2} {:.3}", ours / chrony);
    }
}
