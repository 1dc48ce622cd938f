//! What waits for an instant while the machine is paused, or somebody sets the clock.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::machine::Machine;
use crate::{PATIENCE, World, say};

const SECOND_NS: i64 = 1_000_000_000;
/// Between two instants of the schedules.
const PERIOD_NS: i64 = 2 * SECOND_NS;
const HOUR_S: i64 = 3_600;

#[test]
fn what_waits_for_an_instant_is_right_when_the_machine_is_paused_and_when_the_clock_is_set() {
    let Some(world) = World::find("a clock that is set while something waits") else { return };
    let (mut machine, _chronyd) = world.boot(0);
    a_gate_begins_when_the_clock_is_set_past_its_instant(&mut machine);
    a_gate_misses_an_instant_that_the_clock_is_set_too_far_past(&mut machine);
    a_gate_waits_anew_when_the_clock_is_set_back(&mut machine);
    ticks_go_on_with_the_next_instant_of_the_new_time(&mut machine);
    machine.set_to_truth();
    every_instant_of_a_schedule_has_one_outcome(&mut machine);
}

/// Runs a shell script whose `$t` is the present time; returns the whole numbers that it prints.
fn numbers(machine: &mut Machine, script: &str) -> Vec<i64> {
    let text = machine.run(&format!("t=$(date +%s); {script}"));
    let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("`{script}` said {text}"));
    text.split_whitespace().map(number).collect()
}

fn a_gate_begins_when_the_clock_is_set_past_its_instant(machine: &mut Machine) {
    let script = "timeball gate --at @$((t + 1000)) -- date +%s >/tmp/begun & \
                  sleep 1; date -s @$((t + 1010)) >/dev/null; wait $!; echo $? $t; cat /tmp/begun";
    let [status, t, begun] = numbers(machine, script)[..] else { panic!("three numbers") };
    assert_eq!(status, 0);
    assert!(begun >= t + 1_010, "{} s after the instant", begun - t - 1_000);
    say(&format!("set 10 s past a gate's instant: begun {} s after it", begun - t - 1_000));
}

fn a_gate_misses_an_instant_that_the_clock_is_set_too_far_past(machine: &mut Machine) {
    let script = "timeball gate --at @$((t + 1000)) --not-after +5s -- date +%s \
                  >/tmp/begun 2>/tmp/said & \
                  sleep 1; date -s @$((t + 1010)) >/dev/null; wait $!; echo $?; cat /tmp/begun";
    assert_eq!(numbers(machine, script), [123]);
    let said = machine.run("cat /tmp/said");
    assert!(said.contains("missed: the instant passed 1"), "{said}");
}

fn a_gate_waits_anew_when_the_clock_is_set_back(machine: &mut Machine) {
    // Half a second past, for `date` may read a clock that is some milliseconds behind.
    let script = "timeball gate --at @$((t + 3)).5 -- date +%s >/tmp/begun & \
                  date -s @$((t - 1000)) >/dev/null; sleep 4; cat /tmp/begun; \
                  date -s @$((t + 1)) >/dev/null; wait $!; echo $? $t; cat /tmp/begun";
    let [status, t, begun] = numbers(machine, script)[..] else {
        panic!("it began by the time that was taken back")
    };
    assert_eq!(status, 0);
    assert!(begun >= t + 3, "{} s early", t + 3 - begun);
}

fn ticks_go_on_with_the_next_instant_of_the_new_time(machine: &mut Machine) {
    let script = "t=$(date +%s); timeball tick --every 1s --output json >/tmp/ticks & sleep 2; \
                  date -s @$((t + 1000)) >/dev/null; sleep 2; \
                  date -s @$((t + 100)) >/dev/null; sleep 2; kill $!; cat /tmp/ticks";
    let text = machine.run(script);
    let ticks: Vec<Value> = text.lines().flat_map(serde_json::from_str).collect();
    for (sequence, tick) in (0..).zip(&ticks) {
        let scheduled = tick["scheduled"].as_str().expect("an instant").trim_end_matches('Z');
        let real = tick["real"].as_str().expect("a time").trim_end_matches('Z');
        assert!(real > scheduled, "early: {tick}");
        let skipped = tick["skipped"].as_u64().expect("a number");
        assert_eq!(tick["sequence"].as_u64(), Some(sequence + skipped));
    }
    // Nothing in a burst: six seconds have passed, and not nine hundred.
    assert!((2..=8).contains(&ticks.len()), "{text}");
}

/// A schedule that follows this clock. What it asks for is cheap: a guest is slow at starting
/// programs.
fn schedule(follow: &str) -> String {
    format!(
        "{{\"apiVersion\": \"timeball.dev/v1alpha1\", \"kind\": \"PreciseCronJob\", \
         \"metadata\": {{\"name\": \"{}\"}}, \"spec\": {{\"schedule\": \"@every 2s\", \
         \"clock\": {{\"follow\": \"{follow}\"}}, \
         \"target\": {{\"http\": {{\"url\": \"http://127.0.0.1:9133/healthz\", \
         \"method\": \"GET\"}}}}}}}}",
        follow.to_lowercase()
    )
}

fn every_instant_of_a_schedule_has_one_outcome(machine: &mut Machine) {
    machine.run("mkdir /tmp/schedules");
    for follow in ["Auto", "System"] {
        machine.run(&format!("echo '{}' >/tmp/schedules/{follow}.json", schedule(follow)));
    }
    machine.run(
        "timeball up --config /etc/timeball.toml --state /tmp/state --schedules /tmp/schedules \
         --output json >/dev/null 2>/dev/ttyS0 &",
    );
    let synchronized = |machine: &mut Machine| {
        let fired = Outcomes::of(machine, "auto").count("fired");
        (machine.status()["clock"]["state"] == "synchronized" && fired > 3).then_some(())
    };
    machine.wait_for("synchronized", PATIENCE, synchronized);

    machine.pause(Duration::from_secs(4));
    let (offset_s, _) = machine.wait_for("noticed", PATIENCE, |machine| {
        let offset_s = machine.status()["clock"]["offset_ns"].as_i64()? as f64 * 1e-9;
        (offset_s > 3.0).then_some(offset_s)
    });
    for name in ["auto", "system"] {
        let fired = Outcomes::of(machine, name).count("fired");
        machine.wait_for("firing on", PATIENCE, |machine| {
            (Outcomes::of(machine, name).count("fired") > fired + 2).then_some(())
        });
    }
    say(&format!("paused for 4 s: the clock is {offset_s:.1} s behind, and fires go on"));

    let missed = Outcomes::of(machine, "auto").count("missed");
    let before_s = numbers(machine, "date -s @$((t + 3600)) >/dev/null; echo $t")[0];
    machine.wait_for("firing by the new time", PATIENCE, |machine| {
        let fired = Outcomes::of(machine, "system").last_fired_s();
        (fired > before_s + HOUR_S + 2).then_some(())
    });
    let outcomes = Outcomes::of(machine, "system");
    let passed = outcomes.0.iter().find(|outcome| outcome["count"].as_u64() > Some(1_500));
    let passed = passed.expect("most of an hour in one record");
    assert_eq!(passed["reason"], "ClockStepped", "{passed}");
    say(&format!("set an hour forward: {} x {}", passed["count"], passed["reason"]));
    // For a while the time loop can tell nothing, and its estimate is carried on.
    let fired = Outcomes::of(machine, "auto").count("fired");
    machine.wait_for("firing by the estimate", PATIENCE, |machine| {
        (Outcomes::of(machine, "auto").count("fired") > fired + 2).then_some(())
    });
    let outcomes = Outcomes::of(machine, "auto");
    assert_eq!(outcomes.count("missed"), missed, "{:#?}", outcomes.0);

    machine.run("date -s @$(($(date +%s) - 3600)) >/dev/null");
    thread::sleep(Duration::from_secs(4));
    for name in ["auto", "system"] {
        let outcomes = Outcomes::of(machine, name);
        say(&format!("set back: {name} has {} outcomes, one each", outcomes.total()));
    }
}

/// What became of a schedule's instants, oldest first.
struct Outcomes(Vec<Value>);

impl Outcomes {
    /// Asks for them. There must be one for each instant, without a gap, and not two.
    fn of(machine: &mut Machine, name: &str) -> Self {
        let ask = format!("timeball schedule history {name} --state /tmp/state --output json");
        let (text, _) = machine.try_run(&ask);
        let history: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let mut outcomes = history["outcomes"].as_array().cloned().unwrap_or_default();
        outcomes.reverse();
        let mut next_ns = None;
        for outcome in &outcomes {
            let [from_ns, until_ns] =
                ["scheduled_ns", "until_ns"].map(|key| outcome[key].as_i64().expect("an instant"));
            assert!(next_ns.is_none_or(|next_ns| next_ns == from_ns), "{name}: {history:#}");
            let count = (until_ns - from_ns) / PERIOD_NS + 1;
            assert_eq!(outcome["count"].as_i64(), Some(count), "{name}: {history:#}");
            next_ns = Some(until_ns + PERIOD_NS);
        }
        Self(outcomes)
    }

    fn count(&self, result: &str) -> u64 {
        let with = self.0.iter().filter(|outcome| outcome["result"] == result);
        with.filter_map(|outcome| outcome["count"].as_u64()).sum()
    }

    fn total(&self) -> u64 {
        self.0.iter().filter_map(|outcome| outcome["count"].as_u64()).sum()
    }

    /// The last instant that was fired, in seconds since 1970; 0 before the first.
    fn last_fired_s(&self) -> i64 {
        let mut fired = self.0.iter().filter(|outcome| outcome["result"] == "fired");
        fired.next_back().and_then(|outcome| outcome["until_ns"].as_i64()).unwrap_or(0) / SECOND_NS
    }
}
