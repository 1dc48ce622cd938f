//! `timeball agent --set-and-go`: a clock that is set once, and left alone from then on.

use serde_json::Value;

use crate::machine::Machine;
use crate::{TWO_YEARS_S, say};

const COMMAND: &str =
    "timeball agent --config /etc/timeball.toml --set-and-go --timeout 150 --output json";

/// Runs it on a clock that is `ahead_s` seconds ahead.
fn set(machine: &mut Machine, ahead_s: i64) -> Value {
    machine.set_to_truth();
    machine.run(&format!("date -s @$(($(date +%s) + {ahead_s})) >/dev/null"));
    let told = machine.run(COMMAND);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// Sets a clock that is years behind, and one that is a little ahead of what the threshold lets
/// pass; afterwards nobody keeps it. No agent runs.
pub(crate) fn a_clock_is_set_once_whatever_the_threshold_and_the_panic_limit_say(
    machine: &mut Machine,
) {
    for ahead_s in [-TWO_YEARS_S, 3_600, 0] {
        let told = set(machine, ahead_s);
        assert_eq!(told["set"], true, "{told:#}");
        let [offset_s, bound_s, left_s] = ["offset_ns", "bound_ns", "left_ns"]
            .map(|key| told[key].as_i64().expect("nanoseconds") as f64 * 1e-9);
        // The clock was set to the second, or two on a busy machine.
        assert!((offset_s + ahead_s as f64).abs() < 5.0, "{told:#}");
        assert!(left_s.abs() < 0.1, "{told:#}");
        let clock = machine.clock();
        // Nobody has kept it since, by a rate that is some 100 ppm off at most.
        assert!(clock.ahead_s.abs() < bound_s + clock.within_s + 0.1, "{clock} after {told:#}");
        assert!(!clock.synchronized, "nobody keeps it: {clock}");
        say(&format!("--set-and-go: {offset_s:+.3} s set, left {:+.0} µs", left_s * 1e6));
    }
}

/// While an agent keeps the clock, it is left to that one.
pub(crate) fn an_agent_that_keeps_the_clock_is_not_disturbed(machine: &mut Machine) {
    let (said, status) = machine.try_run(&format!("{COMMAND} 2>&1"));
    assert_eq!(status, "1", "{said}");
    assert!(said.contains("/var/lib/timeball"), "{said}");
}
