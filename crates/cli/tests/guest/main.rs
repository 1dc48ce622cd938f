//! The agent on a real kernel: a guest whose clock is wrong is set, slewed and kept, and its kernel
//! tells the truth about it.
//!
//! `cargo xtask guest` fetches what boots and runs this, and so does `cargo xtask test`; plain
//! `cargo test` does not.
//! Only the guest's clock is ever written. Times are judged by what the guest's kernel and this
//! machine's clock say, so a slow machine makes a reading coarser and no test fail.

mod first_set;
mod gps;
mod image;
mod leap;
mod machine;
mod ptp;
mod set_clock;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
mod timeline;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use image::{Image, Init};
use machine::{HOST, KernelClock, Machine};
use support::Scratch;
use support::peers::{Chronyd, Peers};
use timeline::Timeline;

const TWO_YEARS_S: i64 = 2 * 365 * 86_400;
/// What a boot takes at most: the guest's clock starts when qemu does.
const BOOT_S: f64 = 60.0;

#[test]
fn a_clock_that_is_two_years_behind_is_set() {
    let Some(world) = World::find("a clock that is two years behind") else { return };
    let (mut machine, _chronyd) = world.boot(-TWO_YEARS_S);
    let found = machine.clock();
    assert!((found.ahead_s + TWO_YEARS_S as f64).abs() < BOOT_S, "{found}");
    let pid = machine.start_agent();
    let set = becomes_true(&mut machine);
    say(&format!("two years behind: found {found}"));
    say(&format!("                  set   {set}"));
    first_set::an_agent_that_keeps_the_clock_is_not_disturbed(&mut machine);
    machine.stop_agent(&pid);
    first_set::a_clock_is_set_once_whatever_the_threshold_and_the_panic_limit_say(&mut machine);
}

#[test]
fn a_clock_is_set_kept_over_a_restart_and_slewed() {
    let Some(world) = World::find("a clock that is ten seconds ahead") else { return };
    let (mut machine, _chronyd) = world.boot(10);
    let found = machine.clock();
    assert!((found.ahead_s - 10.0).abs() < BOOT_S && !found.synchronized, "{found}");
    let pid = machine.start_agent();
    let set = becomes_true(&mut machine);
    say(&format!("ten seconds ahead: found {found}"));
    say(&format!("                   set   {set}"));

    machine.wait_for("measured ten times", PATIENCE, |machine| {
        (machine.status()["counters"]["updates"].as_u64() >= Some(10)).then_some(())
    });
    machine.stop_agent(&pid);
    let text = machine.run("cat /var/lib/timeball/drift");
    let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
    let [drift_ppb, error_ppb] = numbers[..] else { panic!("not a drift and its error: {text}") };
    // 5 % too fast for four seconds, and a rate that is not the one learned.
    machine.run("adjtimex -q -t 10500; sleep 4; adjtimex -q -t 10000 -f 0");
    let pushed = machine.clock();
    assert!(pushed.ahead_s > 0.1, "{pushed}");
    let (pid, restarted) = (machine.start_agent(), Instant::now());
    let (first, _) = machine.wait_for("estimated", PATIENCE, first_estimate_ppb);
    say(&format!(
        "restart: drift file {drift_ppb:+.0} ± {error_ppb:.0} ppb, first estimate {first:+.0} ppb"
    ));
    assert!((first - drift_ppb).abs() < 1_000.0, "the drift of the run before was not used");
    tells_the_truth(&mut machine, 5);
    machine.wait_for("slewed", PATIENCE, |machine| {
        let clock = machine.clock();
        (clock.is_true() && clock.synchronized && clock.max_error_s < 0.05).then_some(())
    });
    let (slewed, status) = (machine.clock(), machine.status());
    say(&format!("pushed:  {pushed}"));
    let took_s = restarted.elapsed().as_secs_f64();
    say(&format!("slewed:  {slewed}, {took_s:.1} s after the restart"));
    assert_eq!(status["counters"]["steps"], 0, "less than the threshold is not stepped: {status}");
    machine.stop_agent(&pid);
}

#[test]
fn the_kernel_is_told_that_the_server_died_and_a_second_writer_is_given_way_to() {
    let Some(world) = World::find("a server that dies, and a second writer") else { return };
    let (mut machine, chronyd) = world.boot(0);
    let pid = machine.start_agent();
    machine.wait_for("synchronized", PATIENCE, |m| m.clock().synchronized.then_some(()));
    let before = machine.clock();
    let address = chronyd.address();
    drop(chronyd);
    let (_, to_holdover) = machine.wait_for("in holdover", PATIENCE, |m| {
        (m.status()["clock"]["state"] == "holdover").then_some(())
    });
    let (after, to_flag) = machine.wait_for("unsynchronized", PATIENCE, |m| {
        let clock = m.clock();
        (!clock.synchronized).then_some(clock)
    });
    say(&format!("server alive: {before}"));
    say(&format!(
        "server dead:  {after}; no majority after {:.1} s, flagged at most {:.1} s later",
        to_holdover.as_secs_f64(),
        to_flag.as_secs_f64()
    ));
    assert!(after.is_true() && after.max_error_s < 1.0, "the bound outlives the majority: {after}");
    let (grown, _) = machine.wait_for("grown", PATIENCE, |m| {
        let clock = m.clock();
        (clock.max_error_s > after.max_error_s).then_some(clock)
    });
    assert!(grown.is_true() && !grown.synchronized, "{grown}");
    tells_the_truth(&mut machine, 3);

    let _chronyd = world.peers.chronyd_at(&address);
    let (_, took) =
        machine.wait_for("synchronized again", PATIENCE, |m| m.clock().synchronized.then_some(()));
    say(&format!("server back:  {} after {:.1} s", machine.clock(), took.as_secs_f64()));

    fight(&mut machine);
    machine.stop_agent(&pid);
}

/// Looks several times whether the kernel says no less error than there is and than the agent
/// publishes.
fn tells_the_truth(machine: &mut Machine, moments: u32) {
    for _ in 0..moments {
        let (clock, _) = machine.wait_for("told as published", PATIENCE, |machine| {
            let status = machine.status();
            let [published, kernel] = [&status["clock"], &status["kernel"]];
            let offset_ns = published["offset_ns"].as_i64()?.abs();
            let told_ns = kernel["max_error_ns"].as_i64()?;
            // What is worse is written within 50 ms, and a status may be of those.
            let is_told = told_ns + 1_000 >= offset_ns + published["bound_ns"].as_i64()?;
            let estimated_ns = kernel["estimated_error_ns"].as_i64()?;
            (is_told && estimated_ns <= told_ns).then(|| machine.clock())
        });
        assert!(clock.is_true() && clock.estimated_error_s <= clock.max_error_s, "{clock}");
    }
    say(&format!("errors:  {}", machine.clock()));
}

/// Sets the frequency again and again, as another time service does, until the agent gives way.
fn fight(machine: &mut Machine) {
    let mut changes = 0_i64;
    machine.wait_for("in conflict", PATIENCE, |machine| {
        let notices = machine.status()["notices"].to_string();
        if notices.contains("ClockConflict") {
            return Some(());
        }
        changes += 1;
        machine.run(&format!("adjtimex -q -f {}", 655_360 + changes));
        None
    });
    machine.run("adjtimex -q -f 1310720");
    machine.run("sleep 10");
    let left = machine.clock();
    say(&format!("second writer: {changes} changes, then {left}"));
    assert_eq!(left.frequency, 1_310_720, "what the other wrote stays: {left}");
}

/// How long anything may take that takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What every test needs.
struct World {
    packages: PathBuf,
    peers: Peers,
    scratch: Scratch,
}

impl World {
    /// Finds it; without it the test fails in CI, and is skipped loudly elsewhere.
    fn find(what: &str) -> Option<Self> {
        let Some(packages) = std::env::var_os("TIMEBALL_GUEST").map(PathBuf::from) else {
            let missing = format!("{what}: no guest; run `cargo xtask guest`");
            assert!(!support::is_ci(), "{missing}");
            say(&format!("SKIPPED: {missing}"));
            return None;
        };
        let peers = Peers::find(what)?;
        Some(Self { packages, peers, scratch: Scratch::new("guest") })
    }

    /// Boots a guest whose clock is `ahead_s` ahead, with a chronyd that serves this machine's.
    fn boot(&self, ahead_s: i64) -> (Machine, Chronyd) {
        let chronyd = self.peers.chronyd();
        let truth = Timeline::of_this_machine();
        (self.boot_with(&chronyd.address(), &truth, ahead_s, ""), chronyd)
    }

    /// Boots a guest whose clock is `ahead_s` ahead of `truth`, with the time server at `address`
    /// of this machine and further settings of the clock.
    fn boot_with(&self, address: &str, truth: &Timeline, ahead_s: i64, clock: &str) -> Machine {
        let port = address.rsplit(':').next().expect("host:port");
        let settings = format!(
            "{clock}[[source]]\naddress = \"{HOST}:{port}\"\npoll = {{ min = 0, max = 0 }}\n"
        );
        self.boot_settings(truth, ahead_s, &[("timeball", &settings)], &[])
    }

    /// Boots a guest whose clock is `ahead_s` ahead of `truth`, with these programs of the packages
    /// and these settings in `/etc/NAME.toml`: of the clock, then its sources.
    fn boot_settings(
        &self,
        truth: &Timeline,
        ahead_s: i64,
        settings: &[(&str, &str)],
        programs: &[&str],
    ) -> Machine {
        let file = |(name, settings): &(&str, &str)| {
            let text = format!(
                "[clock]\nmode = \"discipline\"\n{settings}\
                 [admin]\nlisten = \"127.0.0.1:9133\"\n\
                 [state]\ndirectory = \"/var/lib/timeball\"\n"
            );
            (format!("etc/{name}.toml"), text)
        };
        let files: Vec<_> = settings.iter().map(file).collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), &**text)).collect();
        let image = Image::build(&self.packages, &self.scratch, &files, programs, Init::Shell);
        Machine::boot(&image, &self.scratch, truth, ahead_s)
    }
}

/// What an agent makes of the clock: it is set once, and the kernel's flag is cleared.
fn becomes_true(machine: &mut Machine) -> KernelClock {
    let (clock, _) = machine.wait_for("synchronized", PATIENCE, |machine| {
        let clock = machine.clock();
        clock.synchronized.then_some(clock)
    });
    assert!(clock.is_true() && clock.max_error_s < 1.0, "{clock}");
    let status = machine.status();
    assert_eq!(status["counters"]["steps"], 1, "{status}");
    assert_eq!(status["counters"]["foreign_jumps"], 0, "its own step is not foreign: {status}");
    clock
}

/// The frequency of the first clock state that has an offset, in parts per 10^9.
fn first_estimate_ppb(machine: &mut Machine) -> Option<f64> {
    let (trace, _) = machine.try_run("cat /tmp/trace");
    let states = trace.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    states.into_iter().find(|state| state["offset_ns"].is_i64())?["freq_ppb"].as_f64()
}

/// Figures of a passing test are worth a line too.
fn say(text: &str) {
    use std::io::Write;
    // Past the harness, which hides what a passing test prints.
    let _ = writeln!(std::io::stderr(), "{text}");
}
