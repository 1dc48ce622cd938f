//! A leap second of the kernel's, its hardware clock, and what it says meanwhile; and a pause, of
//! which the hardware clock is the witness.

use std::thread;
use std::time::Duration;

use crate::machine::Machine;
use crate::timeline::Timeline;
use crate::{PATIENCE, World, say};

/// The beginning of 2029. In this world a second is inserted before it.
const LEAP_AT_S: i64 = 1_861_920_000;
/// TAI is 38 s ahead of UTC from there on. Times are seconds since 1900.
const LEAP_FILE: &str = "#@\t4102444800\n3692217600\t37\n4070908800\t38\n";
/// An agent that starts has this long until the leap second; it takes a few seconds.
const BEFORE_S: i64 = 20;
/// Whether a second is announced is looked at no later than this before it.
const NO_LATER_S: f64 = 6.0;
/// Longer than `panic_limit_s` in the settings.
const PAUSE: Duration = Duration::from_secs(9);
/// What the hardware clock is off by at the start.
const RTC_AHEAD_S: f64 = 600.0;

#[test]
fn a_leap_second_is_inserted_and_the_hardware_clock_follows_unless_it_is_not_to_be_written() {
    let Some(world) = World::find("a leap second, and the hardware clock") else { return };
    let truth = Timeline::with_leap_second(LEAP_AT_S, LEAP_AT_S - 6 * 3_600);
    let server = truth.serve();
    let settings = "leap_file = \"/tmp/leap-seconds.list\"\nrtc = \"never\"\n\
                    panic_limit_s = 5\n";
    let mut machine = world.boot_with(&server.address(), &truth, RTC_AHEAD_S as i64, settings);
    for line in LEAP_FILE.lines() {
        machine.run(&format!("echo '{line}' >>/tmp/leap-seconds.list"));
    }
    the_hardware_clock_is_left_alone(&mut machine, &truth);
    machine.run("sed -i 's/rtc = \"never\"/rtc = \"kernel\"/' /etc/timeball.toml");
    let pid = start_before_the_leap_second(&mut machine, &truth);
    the_hardware_clock_follows(&mut machine, &truth);
    assert_eq!(tai_offset_s(&mut machine), 37);
    the_leap_second_comes(&mut machine, &truth);
    a_pause_is_stepped_away(&mut machine);
    machine.stop_agent(&pid);
}

fn the_hardware_clock_is_left_alone(machine: &mut Machine, truth: &Timeline) {
    let pid = machine.start_agent();
    machine.wait_for("synchronized but for the flag", PATIENCE, |machine| {
        let (clock, status) = (machine.clock(), machine.status());
        let is_good = clock.max_error_s < 1.0 && clock.ahead_s.abs() < 1.0;
        (status["clock"]["state"] == "synchronized" && is_good).then_some(())
    });
    // Longer than the kernel takes where it may.
    machine.run("sleep 3");
    let (clock, rtc_s) = (machine.clock(), hardware_clock_ahead_s(machine, truth));
    say(&format!("rtc = \"never\":  {clock}; hardware clock {rtc_s:+.0} s"));
    assert!(!clock.synchronized && clock.is_true() && clock.max_error_s < 1.0, "{clock}");
    assert!((rtc_s - RTC_AHEAD_S).abs() < 60.0, "{rtc_s}");
    machine.stop_agent(&pid);
}

/// Starts an agent in time for the leap second: a slow machine is given another try.
fn start_before_the_leap_second(machine: &mut Machine, truth: &Timeline) -> String {
    for _ in 0..4 {
        truth.restart(LEAP_AT_S - BEFORE_S);
        let pid = machine.start_agent();
        while truth.now_s() < LEAP_AT_S as f64 - NO_LATER_S {
            let clock = machine.clock();
            if clock.synchronized && clock.inserting {
                let left_s = LEAP_AT_S as f64 - truth.now_s();
                say(&format!("rtc = \"kernel\": {clock}, {left_s:.0} s before the leap second"));
                let status = machine.status();
                assert_eq!(status["sources"][0]["leap"], "insert", "{status}");
                assert_eq!(status["clock"]["leap"], "insert", "{status}");
                return pid;
            }
            thread::sleep(Duration::from_millis(200));
        }
        machine.stop_agent(&pid);
    }
    panic!("no agent had armed the kernel in time: {}\n{:#}", machine.clock(), machine.status());
}

fn the_hardware_clock_follows(machine: &mut Machine, truth: &Timeline) {
    let (rtc_s, took) = machine.wait_for("copied to the hardware clock", PATIENCE, |machine| {
        let rtc_s = hardware_clock_ahead_s(machine, truth);
        (rtc_s.abs() < 3.0).then_some(rtc_s)
    });
    say(&format!("                hardware clock {rtc_s:+.0} s after {:.1} s", took.as_secs_f64()));
}

fn the_leap_second_comes(machine: &mut Machine, truth: &Timeline) {
    machine.run(&format!("timeball gate --at @{LEAP_AT_S} -- adjtimex >/tmp/gate 2>&1 &"));
    while truth.since_leap_s() < -3.0 {
        thread::sleep(Duration::from_millis(100));
    }
    // While this machine reads its clock from outside, the guest writes down what it sees itself.
    machine.run("(while [ ! -e /tmp/enough ]; do adjtimex; done >/tmp/readings) &");
    while truth.since_leap_s() < 3.5 {
        let begun_s = truth.since_leap_s();
        let clock = machine.clock();
        // The kernel's own leap is as far from the true one as its clock is from true time.
        if begun_s > 0.1 || truth.since_leap_s() < -0.1 {
            assert!(clock.is_true(), "{begun_s} s after the leap second: {clock}");
        }
        thread::sleep(Duration::from_millis(300));
    }
    machine.run("touch /tmp/enough; sleep 1");
    let readings = Reading::all(&machine.run(&format!("cat /tmp/readings | {COMPACT}")));
    judge(&readings);

    let began = Reading::all(&machine.run(&format!("cat /tmp/gate | {COMPACT}")));
    let [began] = began[..] else { panic!("{began:?}") };
    assert!(began.second >= LEAP_AT_S, "a gate must not take the second before for it: {began:?}");
    assert_eq!(tai_offset_s(machine), 38);
    let (clock, _) = machine.wait_for("disarmed", PATIENCE, |machine| {
        let clock = machine.clock();
        (!clock.inserting).then_some(clock)
    });
    assert!(clock.synchronized && clock.is_true(), "{clock}");
    let status = machine.status();
    assert_eq!(status["clock"]["leap"], "none", "{status}");
    assert_eq!(status["clock"]["leap_at"], "2029-01-01T00:00:00Z", "{status}");
    assert_eq!(status["counters"]["foreign_jumps"], 0, "{status}");
    assert_eq!(status["counters"]["steps"], 1, "only the one at the start: {status}");
    say(&format!("leap second:    {} readings, then {clock}", readings.len()));
}

fn a_pause_is_stepped_away(machine: &mut Machine) {
    machine.pause(PAUSE);
    let (_, took) = machine.wait_for("right again after a pause", PATIENCE, |machine| {
        let (clock, status) = (machine.clock(), machine.status());
        let is_noticed = status["counters"]["suspends"] == 1;
        let is_right = clock.synchronized && clock.is_true() && clock.max_error_s < 1.0;
        (is_noticed && is_right).then_some(())
    });
    let (clock, status) = (machine.clock(), machine.status());
    assert_eq!(status["counters"]["steps"], 2, "the pause is no reason for doubt: {status}");
    let (pause_s, seconds) = (PAUSE.as_secs(), took.as_secs_f64());
    say(&format!("paused for {pause_s} s: {clock} after {seconds:.1} s"));
}

/// What the kernel's clock said while the leap second came, in order.
fn judge(readings: &[Reading]) {
    let mut states: Vec<i64> = readings.iter().map(|reading| reading.state).collect();
    states.dedup();
    let expected = [TIME_INS, TIME_OOP, TIME_WAIT, TIME_OK];
    assert_eq!(states, expected, "the kernel's states, one after the other");
    for state in [TIME_INS, TIME_OOP] {
        let is_shown = |r: &Reading| r.state == state && r.second == LEAP_AT_S - 1;
        assert!(readings.iter().any(is_shown), "the last second was not shown in state {state}");
    }
    for reading in readings {
        let is_after = reading.state == TIME_WAIT || reading.state == TIME_OK;
        assert_eq!(reading.second >= LEAP_AT_S, is_after, "{reading:?}");
        assert!(reading.estimated_error_us <= reading.max_error_us, "{reading:?}");
    }
}

/// States of the kernel's clock, as adjtimex(2) names them.
const TIME_OK: i64 = 0;
const TIME_INS: i64 = 1;
const TIME_OOP: i64 = 3;
const TIME_WAIT: i64 = 4;

/// Makes a line of numbers of each reading of busybox's `adjtimex`.
const COMPACT: &str = "awk '/maxerror:/ { m = $2 } /esterror:/ { e = $2 } \
                       /time.tv_sec:/ { s = $2 } /return value:/ { print s, $3, m, e }'";

/// One reading of the kernel's clock.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Whole seconds since 1970.
    second: i64,
    state: i64,
    max_error_us: i64,
    estimated_error_us: i64,
}

impl Reading {
    fn all(text: &str) -> Vec<Self> {
        let numbers = |line: &str| -> Vec<i64> { line.split(' ').flat_map(str::parse).collect() };
        let reading = |line| match numbers(line)[..] {
            [second, state, max_error_us, estimated_error_us] => {
                Self { second, state, max_error_us, estimated_error_us }
            }
            _ => panic!("no reading: {line}"),
        };
        text.lines().filter(|line| !line.is_empty()).map(reading).collect()
    }
}

/// The hardware clock less true time, to the second.
fn hardware_clock_ahead_s(machine: &mut Machine, truth: &Timeline) -> f64 {
    let text = machine.run("cat /sys/class/rtc/rtc0/since_epoch");
    text.trim().parse::<f64>().expect("seconds since 1970") - truth.now_s()
}

/// CLOCK_TAI less CLOCK_REALTIME, as the kernel's list of timers has them.
fn tai_offset_s(machine: &mut Machine) -> i64 {
    let text = machine.run("awk '/offset:/ { print $2 }' /proc/timer_list");
    let offsets: Vec<i64> = text.split_whitespace().flat_map(str::parse).collect();
    // Monotonic, realtime, boot time, TAI.
    let [_, realtime, _, tai, ..] = offsets[..] else { panic!("{text}") };
    (tai - realtime) / 1_000_000_000
}
