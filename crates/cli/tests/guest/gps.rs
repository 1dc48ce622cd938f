//! A GPS receiver: a real gpsd reads one of the test and the kernel's pulses, and tells both to the
//! agent by shared memory and by a socket.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::ptp::{Kept, LOAD, PHC_CTL, TAI_AHEAD_S, start, synchronized};
use crate::timeline::Timeline;
use crate::{PATIENCE, World, say};

/// gpsd's first device has units 0 and 1, for its sentences and its pulses (this one has none); the
/// second, which has pulses only, has unit 2, and a socket by its own name.
const SETTINGS: &str = "[[source]]\nshm = 0\nerror_s = 2\noffset_s = 0.3\n\
                        [[source]]\nshm = 2\nerror_s = 0.001\nrefid = \"GPS\"\n\
                        [[source]]\nsock = \"/run/chrony.pps0.sock\"\nerror_s = 0.001\n";
/// What only pulses can give, and no sentences.
const NEAR_S: f64 = 0.02;
/// How long after the beginning of a second it is told which one it is.
const TELLS_AFTER_S: f64 = 0.3;

#[test]
fn a_clock_is_kept_by_what_a_gpsd_writes_to_shared_memory_and_to_a_socket() {
    let Some(world) = World::find("a gpsd") else { return };
    let truth = Timeline::of_this_machine();
    let programs = [PHC_CTL, "usr/sbin/gpsd"];
    let mut machine = world.boot_settings(&truth, 10, &[("gps", SETTINGS)], &programs);
    machine.run(LOAD);
    machine.run("phc_ctl /dev/ptp0 -- adj -10");
    let _receiver = Receiver::start(&mut machine);
    let pid = start(&mut machine, "gps");
    // gpsd writes to a socket that is there when it starts.
    machine.wait_for("listening", PATIENCE, |machine| {
        (machine.try_run("[ -S /run/chrony.pps0.sock ]").1 == "0").then_some(())
    });
    machine.run("gpsd -N -n -b -s 9600 -f 8N1 /dev/ttyS2 /dev/pps0 >/dev/ttyS0 2>&1 &");
    machine.wait_for("set by gpsd", PATIENCE, synchronized);
    // On a machine that stands still for a second, gpsd itself may take one second for another.
    let (kept, took) = machine.wait_for("kept by pulses", PATIENCE, |machine| {
        let kept = Kept::read(machine);
        let is_near = kept.is_true() && kept.claimed_s < NEAR_S;
        (is_near && used(machine) == ["shm:0", "shm:2", "/run/chrony.pps0.sock"]).then_some(kept)
    });
    let Kept { ahead_s, claimed_s } = kept;
    say(&format!(
        "kept by gpsd: {:.1} µs off after {:.1} s, where the kernel claims {:.0}",
        ahead_s.abs() * 1e6,
        took.as_secs_f64(),
        claimed_s * 1e6
    ));
    machine.stop_agent(&pid);
}

/// The sources that have a part in the clock.
fn used(machine: &mut Machine) -> Vec<String> {
    let status = machine.status();
    let sources = status["sources"].as_array().into_iter().flatten();
    let is_used = |part: &str| ["chief", "combined", "candidate"].contains(&part);
    let used = sources.filter(|source| source["selection"].as_str().is_some_and(is_used));
    used.filter_map(|source| source["name"].as_str().map(str::to_owned)).collect()
}

/// What a receiver says on its serial line, a second's sentences after its pulse.
pub(crate) struct Receiver {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one on the guest's third serial port, whose time is that of the guest's crystal.
    pub(crate) fn start(machine: &mut Machine) -> Self {
        let (told_s, at) = crystal(machine);
        let mut line = UnixStream::connect(&machine.serial).expect("the guest's serial port");
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut second = (told_s - TELLS_AFTER_S) as i64 + 1;
            while !is_over.load(Ordering::Relaxed) {
                let wait_s = second as f64 + TELLS_AFTER_S - told_s - at.elapsed().as_secs_f64();
                thread::sleep(Duration::from_secs_f64(wait_s.max(0.0)));
                // Who does not listen any more ends the test in its own way.
                let _ = line.write_all(sentences(second).as_bytes());
                second += 1;
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the crystal says in seconds since 1970 UTC, and when it said so, to a tenth of a second.
fn crystal(machine: &mut Machine) -> (f64, Instant) {
    loop {
        let before = Instant::now();
        let said = machine.run("phc_ctl /dev/ptp0 get");
        let took = before.elapsed();
        if took < Duration::from_millis(200) {
            let seconds = said.split_once("clock time is ").expect(&said).1;
            let seconds = seconds.split_whitespace().next().expect("a number");
            let seconds: f64 = seconds.parse().expect("seconds");
            return (seconds - TAI_AHEAD_S, before + took / 2);
        }
    }
}

/// The sentences of a receiver that stands still and sees enough satellites.
fn sentences(second: i64) -> String {
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("@{second}"), "+%H%M%S.00 %d%m%y %d,%m,%Y"]);
    let told = String::from_utf8(date.output().expect("date starts").stdout).expect("UTF-8");
    let words: Vec<&str> = told.split_whitespace().collect();
    let [time, day, date] = words[..] else { panic!("{told}") };
    let place = "5000.0000,N,00800.0000,E";
    let texts = [
        format!("GPRMC,{time},A,{place},0.0,0.0,{day},,,A"),
        format!("GPGGA,{time},{place},1,08,1.0,100.0,M,47.0,M,,"),
        "GPGSA,A,3,01,02,03,04,05,06,07,08,,,,,1.5,1.0,1.1".to_owned(),
        format!("GPZDA,{time},{date},00,00"),
    ];
    texts.map(|text| format!("${text}*{:02X}\r\n", text.bytes().fold(0, |sum, c| sum ^ c))).concat()
}
