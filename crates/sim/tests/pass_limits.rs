//! chrony's own pass limits, in the worlds that correspond to its simulation tests.

use timeball_sim::seeds;
use timeball_sim::worlds::pass_limits;

#[test]
fn every_world_of_chronys_suite_is_passed() {
    let mut failures = Vec::new();
    for world in pass_limits() {
        for seed in seeds(5) {
            let run = world.scenario.run(seed);
            for exceeded in world.limits.exceeded_by(&run) {
                failures.push(format!("{}, seed {seed}: {exceeded}", world.scenario.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
