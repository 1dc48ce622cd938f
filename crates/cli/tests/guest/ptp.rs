//! PTP hardware clocks: the kernel's own devices, ioctls and hot-unplugging over a crystal of the
//! test (`ptp_clock`). What they say is judged by linuxptp's `phc_ctl`, which reads them by itself,
//! and which ioctl the agent chose by the driver's counts.

use std::thread;
use std::time::Duration;

use crate::machine::{HOST, KernelClock, Machine};
use crate::timeline::Timeline;
use crate::{PATIENCE, World, say};

/// What the crystal is ahead of UTC by: it keeps TAI.
pub(crate) const TAI_AHEAD_S: f64 = 37.0;
/// The crystal's rate, which the system clock has to take on.
const RATE_PPM: f64 = 60.0;
/// What `error_s` is where the crystal is the truth.
const ERROR_S: f64 = 0.0001;
/// How late every reading is, and so half of that wrong.
const LAG_US: u32 = 4_000;
/// Who reads the crystal beside the agent.
pub(crate) const PHC_CTL: &str = "usr/sbin/phc_ctl";
/// The driver's switches and counts.
const PARAMETERS: &str = "/sys/module/timeball_ptp/parameters";
/// The ways in which it can be read.
const WAYS: [&str; 3] = ["precise", "extended", "plain"];
/// Loads the driver; its crystal goes on from the system clock, as a card's does.
pub(crate) const LOAD: &str = "insmod /timeball_ptp.ko ahead_s=37";

#[test]
fn a_clock_is_set_and_kept_by_a_ptp_clock_alone_whatever_its_driver_can() {
    let Some(world) = World::find("a PTP clock alone") else { return };
    let precise = phc("ptp0", ERROR_S);
    let lagging = format!("{}{}", phc("ptp1", ERROR_S), phc("ptp2", ERROR_S));
    let truth = Timeline::of_this_machine();
    let settings = [("precise", precise.as_str()), ("lagging", &lagging)];
    let mut machine = world.boot_settings(&truth, 10, &settings, &[PHC_CTL]);
    machine.run(LOAD);
    let now_s = truth.now_s() + TAI_AHEAD_S;
    machine.run(&format!("phc_ctl /dev/ptp0 set {now_s:.6}"));
    machine.run(&format!("phc_ctl /dev/ptp0 freq {}", RATE_PPM * 1e3));

    let pid = start(&mut machine, "precise");
    let (set, _) = machine.wait_for("set by the PTP clock", PATIENCE, synchronized);
    assert_eq!(machine.status()["counters"]["steps"], 1);
    // The crystal was set when the line came, which is a little after it was written.
    assert!(set.ahead_s.abs() < 5.0, "{set}");
    machine.wait_for("as fast as the PTP clock", PATIENCE, |machine| {
        let frequency_ppm = machine.clock().frequency as f64 / 65_536.0;
        ((frequency_ppm - RATE_PPM).abs() < 10.0).then_some(())
    });
    assert_eq!(ways_of_the_agent(&mut machine), ["precise"]);
    is_kept(&mut machine, "both clocks at once", 3);

    a_card_that_cannot_stamp_both_clocks_is_read_all_the_same(&mut machine);
    a_driver_that_fails_is_named(&mut machine);
    a_driver_that_goes_is_named_and_used_when_it_is_back(&mut machine);
    machine.stop_agent(&pid);

    set_parameter(&mut machine, "lag_us", LAG_US);
    machine.run("date -s @$(($(date +%s) - 5)) >/dev/null");
    let pid = start(&mut machine, "lagging");
    machine.wait_for("set by late readings", PATIENCE, synchronized);
    assert_eq!(ways_of_the_agent(&mut machine), ["extended", "plain"]);
    let kept = is_kept(&mut machine, "late readings", 3);
    let biased_s = f64::from(LAG_US) * 0.5e-6;
    assert!(kept.claimed_s > biased_s, "nobody can know that a reading is not late: {kept:?}");
    machine.stop_agent(&pid);
}

#[test]
fn a_ptp_clock_that_is_wrong_is_found_out_by_servers_and_used_once_it_is_right() {
    let Some(world) = World::find("a PTP clock beside servers") else { return };
    let servers = [world.peers.chronyd(), world.peers.chronyd()];
    let truth = Timeline::of_this_machine();
    // Alone, it would be believed until the servers answer.
    let mut settings = format!("min_sources = 2\n{}", phc("ptp2", 0.25));
    for server in &servers {
        let address = server.address();
        let port = address.rsplit(':').next().expect("host:port");
        settings +=
            &format!("[[source]]\naddress = \"{HOST}:{port}\"\npoll = {{ min = 0, max = 0 }}\n");
    }
    // The driver takes over what the system clock says, so both are wrong at first.
    let settings = [("beside", settings.as_str())];
    let mut machine = world.boot_settings(&truth, 10, &settings, &[PHC_CTL]);
    machine.run(LOAD);
    let pid = start(&mut machine, "beside");
    machine.wait_for("set by the servers", PATIENCE, synchronized);
    found_out(&mut machine);
    machine.run(&format!("phc_ctl /dev/ptp0 set; phc_ctl /dev/ptp0 adj {TAI_AHEAD_S}"));
    let (_, took) = machine.wait_for("used", PATIENCE, |machine| {
        let status = machine.status();
        let part = status["sources"][0]["selection"].as_str()?;
        (part == "chief" || part == "combined").then_some(())
    });
    say(&format!("a PTP clock that is set right is used after {:.1} s", took.as_secs_f64()));
    machine.run("phc_ctl /dev/ptp0 -- adj -3");
    found_out(&mut machine);
    machine.stop_agent(&pid);
}

/// While most others agree, a clock that does not is a falseticker, and moves nothing.
fn found_out(machine: &mut Machine) {
    machine.wait_for("found out", PATIENCE, |machine| {
        (machine.status()["sources"][0]["selection"] == "falseticker").then_some(())
    });
    // What is worse than it was is written within 50 ms.
    machine.run("sleep 1");
    let (clock, status) = (machine.clock(), machine.status());
    assert!(clock.synchronized && clock.is_true(), "{clock}");
    assert_eq!(status["counters"]["steps"], 1, "{status:#}");
    say(&format!("a PTP clock that is wrong beside two servers: {clock}"));
}

fn a_card_that_cannot_stamp_both_clocks_is_read_all_the_same(machine: &mut Machine) {
    // ENODEV: the system's clock runs on a counter that the card knows nothing of.
    set_parameter(machine, "cross_fail", 19);
    machine.wait_for("read in another way", PATIENCE, |machine| {
        (ways_of_the_agent(machine) == ["extended"]).then_some(())
    });
    assert!(problem(machine).is_none(), "{:#}", machine.status());
    is_kept(machine, "one clock between two readings of the other", 1);
    set_parameter(machine, "cross_fail", 0);
}

fn a_driver_that_fails_is_named(machine: &mut Machine) {
    for (errno, text) in [(1, "Operation not permitted"), (5, "Input/output error")] {
        set_parameter(machine, "fail", errno);
        machine.wait_for("named", PATIENCE, |machine| {
            problem(machine).filter(|problem| problem.contains(text))
        });
    }
    set_parameter(machine, "fail", 0);
    machine.wait_for("read again", PATIENCE, |m| problem(m).is_none().then_some(()));
    is_kept(machine, "after failures", 1);
}

fn a_driver_that_goes_is_named_and_used_when_it_is_back(machine: &mut Machine) {
    machine.run("rmmod timeball_ptp");
    let (said, _) = machine.wait_for("missed", PATIENCE, problem);
    assert!(said.contains("No such "), "{said}");
    let (flagged, took) = machine.wait_for("unsynchronized", PATIENCE, |machine| {
        let clock = machine.clock();
        (!clock.synchronized).then_some(clock)
    });
    say(&format!("PTP clock gone: flagged {:.1} s after, {flagged}", took.as_secs_f64()));
    machine.run(LOAD);
    machine.run(&format!("phc_ctl /dev/ptp0 freq {}", RATE_PPM * 1e3));
    machine.wait_for("synchronized again", PATIENCE, synchronized);
    is_kept(machine, "the driver is back", 1);
}

/// The settings of a source that is this clock.
fn phc(device: &str, error_s: f64) -> String {
    format!(
        "[[source]]\nphc = \"/dev/{device}\"\nerror_s = {error_s}\ntai_offset_s = {TAI_AHEAD_S}\n"
    )
}

/// Starts the agent with the settings of this name; returns its process id.
pub(crate) fn start(machine: &mut Machine, name: &str) -> String {
    machine.run(&format!("cp /etc/{name}.toml /etc/timeball.toml"));
    machine.start_agent()
}

pub(crate) fn synchronized(machine: &mut Machine) -> Option<KernelClock> {
    let clock = machine.clock();
    (clock.synchronized && clock.max_error_s < 1.0).then_some(clock)
}

fn set_parameter(machine: &mut Machine, name: &str, value: u32) {
    machine.run(&format!("echo {value} >{PARAMETERS}/{name}"));
}

/// What the status says of the first source's trouble.
fn problem(machine: &mut Machine) -> Option<String> {
    let status = machine.status();
    let source = status["sources"].get(0)?;
    source["problem"].as_str().map(str::to_owned)
}

/// Looks several times whether the system clock is as near to the crystal as `maxerror` claims.
fn is_kept(machine: &mut Machine, what: &str, moments: u32) -> Kept {
    let mut worst_s = 0.0_f64;
    let mut kept = Kept::read(machine);
    for moment in 1..=moments {
        if !kept.is_true() {
            // What is worse than it was is written within 50 ms.
            machine.run("sleep 1");
            kept = Kept::read(machine);
        }
        assert!(kept.is_true(), "{what}: {kept:?}");
        worst_s = worst_s.max(kept.ahead_s.abs());
        if moment < moments {
            thread::sleep(Duration::from_millis(700));
            kept = Kept::read(machine);
        }
    }
    let (worst_us, claimed_us) = (worst_s * 1e6, kept.claimed_s * 1e6);
    say(&format!("{what}: at most {worst_us:.1} µs off, where the kernel claims {claimed_us:.0}"));
    kept
}

/// How well the system clock follows the crystal, by another program's reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// The system clock less the crystal's UTC, in seconds.
    pub(crate) ahead_s: f64,
    /// `maxerror` before or after, whichever is larger.
    pub(crate) claimed_s: f64,
}

impl Kept {
    /// Reads both clocks.
    pub(crate) fn read(machine: &mut Machine) -> Self {
        let before = machine.clock();
        let said = machine.run("phc_ctl /dev/ptp0 cmp");
        let after = machine.clock();
        let word = said.split_whitespace().last().and_then(|word| word.strip_suffix("ns"));
        let apart_ns: i64 = word.and_then(|word| word.parse().ok()).expect(&said);
        let ahead_s = apart_ns as f64 * 1e-9 + TAI_AHEAD_S;
        Self { ahead_s, claimed_s: before.max_error_s.max(after.max_error_s) }
    }

    /// Whether the crystal's time is within what the kernel claims.
    pub(crate) fn is_true(&self) -> bool {
        self.ahead_s.abs() <= self.claimed_s
    }
}

/// The ways in which the driver is read while nobody but the agent reads it, every second.
fn ways_of_the_agent(machine: &mut Machine) -> Vec<&'static str> {
    let before = counts(machine);
    thread::sleep(Duration::from_millis(2_500));
    let after = counts(machine);
    (0..WAYS.len()).filter(|&way| after[way] > before[way]).map(|way| WAYS[way]).collect()
}

/// How often the driver was read in each way.
fn counts(machine: &mut Machine) -> [u64; WAYS.len()] {
    let files = WAYS.map(|way| format!("{PARAMETERS}/{way}_readings")).join(" ");
    let text = machine.run(&format!("cat {files}"));
    let counts: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
    counts.try_into().expect("a count of each way")
}
