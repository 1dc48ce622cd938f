//! The units that are shipped, under a real systemd: as the first process of a guest, and as the
//! manager of a user.

use std::collections::BTreeMap;
use std::path::Path;

use crate::image::{Image, Init};
use crate::machine::{HOST, Machine};
use crate::support::is_ci;
use crate::timeline::Timeline;
use crate::{PATIENCE, World, say};

/// A shorter watchdog than the unit's, so that the test need not wait so long.
const WATCHDOG: &str = "[Service]\nWatchdogSec=10\n";
/// The manager of a user who is logged in.
const USER_MANAGER: &str = "[Service]\nType=notify\nUser=user\nDelegate=yes\n\
                            Environment=HOME=/srv/user XDG_RUNTIME_DIR=/run/user/1000\n\
                            ExecStart=/bin/systemd --user\n";
/// Talks to that manager as its user.
const USER_SYSTEMCTL: &str = "exec su user -c \"PATH=/bin XDG_RUNTIME_DIR=/run/user/1000 \
                              systemctl --user $*\"\n";
/// Scheduling policy `SCHED_FIFO` in `/proc/PID/stat`.
const SCHED_FIFO: &str = "1";

#[test]
fn the_units_start_restart_and_stop_under_a_real_systemd() {
    if !Path::new("/usr/lib/systemd/systemd").exists() {
        assert!(!is_ci(), "CI must have systemd");
        return say("SKIPPED: the units under a real systemd: it is not installed here");
    }
    let Some(world) = World::find("the units under a real systemd") else { return };
    let chronyd = world.peers.chronyd();
    let address = chronyd.address();
    let port = address.rsplit(':').next().expect("host:port");
    // Sources are found where the machine's own service has them.
    let sources = format!("server {HOST} port {port} iburst minpoll 0 maxpoll 0\n");
    let files = [
        ("etc/chrony/chrony.conf", sources.as_str()),
        (
            "etc/systemd/system/timeball.service",
            include_str!("../../../../examples/systemd/timeball.service"),
        ),
        ("etc/systemd/system/timeball.service.d/test.conf", WATCHDOG),
        ("etc/systemd/system/manager.service", USER_MANAGER),
        ("etc/user-systemctl", USER_SYSTEMCTL),
        (
            "etc/systemd/user/timeball.service",
            include_str!("../../../../examples/systemd/timeball-user.service"),
        ),
    ];
    let image = Image::build(&world.packages, &world.scratch, &files, &[], Init::Systemd);
    let mut machine = Machine::boot(&image, &world.scratch, &Timeline::of_this_machine(), 0);
    machine.run(
        "for d in /usr/local/bin /srv/user/.local/bin; do \
                 mkdir -p $d; ln -s /bin/timeball $d/timeball; done; \
                 chown -R user:user /srv/user",
    );

    let system = Unit { systemctl: "systemctl", state: "/var/lib/timeball" };
    system.starts(&mut machine);
    system.has_a_real_time_thread(&mut machine);
    system.is_restarted_after(&mut machine, "KILL");
    system.is_restarted_after(&mut machine, "STOP");
    system.stops(&mut machine);

    machine
        .run("mkdir -p /run/user/1000; chown user:user /run/user/1000; chmod 700 /run/user/1000");
    machine.run("systemctl start manager.service");
    let user =
        Unit { systemctl: "sh /etc/user-systemctl", state: "/srv/user/.local/state/timeball" };
    user.starts(&mut machine);
    user.is_restarted_after(&mut machine, "KILL");
    user.stops(&mut machine);
}

/// `timeball.service` of one manager.
struct Unit {
    /// The command that talks to the manager.
    systemctl: &'static str,
    /// Where the unit has its state.
    state: &'static str,
}

impl Unit {
    /// Starts it, which is over only when it has said that it is ready.
    fn starts(&self, machine: &mut Machine) {
        let (said, status) = machine.try_run(&format!("{} start timeball 2>&1", self.systemctl));
        let (shown, _) = machine.try_run(&format!("{} status timeball", self.systemctl));
        assert_eq!(status, "0", "{said}\n{shown}");
        let properties = self.properties(machine);
        assert_eq!(properties["ActiveState"], "active", "{properties:?}");
        assert_eq!(properties["SubState"], "running", "{properties:?}");
        // The example starts ten programs a second, which is much for a guest without KVM.
        machine
            .run(&format!("sed -i 's/every 100ms/every 1s/' {}/schedules/tick.yaml", self.state));
        self.fires(machine, 3);
        say(&format!("{}: started, and fires", self.systemctl));
    }

    /// Waits until that many fires more are done. All of them run inside the unit's sandbox.
    fn fires(&self, machine: &mut Machine, count: u64) {
        let until = self.fired(machine) + count;
        machine.wait_for("fired in the unit", PATIENCE, |machine| {
            (self.fired(machine) >= until).then_some(())
        });
    }

    fn fired(&self, machine: &mut Machine) -> u64 {
        let ask = format!("timeball schedule list --state {} --output json", self.state);
        let (text, _) = machine.try_run(&ask);
        let schedules: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let tick = schedules["schedules"].as_array().into_iter().flatten();
        let tick = tick.into_iter().find(|schedule| schedule["name"] == "tick");
        tick.and_then(|tick| tick["counts"]["fired"].as_u64()).unwrap_or(0)
    }

    /// The firing thread is what the unit's limits allow it to be, without being root.
    fn has_a_real_time_thread(&self, machine: &mut Machine) {
        let pid = &self.properties(machine)["MainPID"];
        let threads = machine.run(&format!("cat /proc/{pid}/task/*/stat"));
        let firing = threads.lines().find(|line| line.contains("(firing)")).expect("its thread");
        let after_name = firing.rsplit_once(") ").expect("a name").1;
        // proc(5): the policy is field 41, the state after the name is field 3.
        assert_eq!(after_name.split(' ').nth(41 - 3), Some(SCHED_FIFO), "{firing}");
        let owner = machine.run(&format!("stat -c %u /proc/{pid}"));
        assert_ne!(owner.trim(), "0", "it has a user of its own");
    }

    /// It is up again after this signal to its main process.
    fn is_restarted_after(&self, machine: &mut Machine, signal: &str) {
        let before = self.properties(machine);
        machine.run(&format!("kill -{signal} {}", before["MainPID"]));
        let (_, took) = machine.wait_for("restarted", PATIENCE, |machine| {
            let now = self.properties(machine);
            let is_new = now["MainPID"] != before["MainPID"] && now["MainPID"] != "0";
            (is_new && now["ActiveState"] == "active").then_some(())
        });
        self.fires(machine, 3);
        let seconds = took.as_secs_f64();
        say(&format!("{}: up again {seconds:.1} s after SIG{signal}", self.systemctl));
    }

    /// It ends by itself when it is told to, and leaves nothing.
    fn stops(&self, machine: &mut Machine) {
        machine.run(&format!("{} stop timeball", self.systemctl));
        let properties = self.properties(machine);
        assert_eq!(properties["ActiveState"], "inactive", "{properties:?}");
        assert_eq!(properties["Result"], "success", "{properties:?}");
        assert_eq!(properties["ExecMainStatus"], "0", "{properties:?}");
        let (left, _) = machine.try_run("cat /proc/[0-9]*/comm 2>/dev/null | grep -c timeball");
        assert_eq!(left.trim(), "0", "processes are left");
    }

    fn properties(&self, machine: &mut Machine) -> BTreeMap<String, String> {
        const NAMES: &str = "ActiveState,SubState,MainPID,Result,ExecMainStatus";
        let text = machine.run(&format!("{} show timeball -p {NAMES}", self.systemctl));
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
    }
}
