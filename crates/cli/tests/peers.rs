//! Real peers: chronyd as our source, chronyd and ntpdig as clients of our server.
//!
//! `cargo xtask peers` unpacks them. chronyd runs with `-x` or `-Q`, and as a user that may not set
//! a clock, so no test can move this machine's.

mod support;

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Liar, Lie, Scratch, Up, stdout};

/// The user `nobody`, who owns nothing and has no capability.
const NOBODY: u32 = 65_534;
/// What two readings of one clock through loopback may differ by on a busy machine.
const LOOPBACK_ERROR_S: f64 = 0.005;

#[test]
fn the_peers_agree_with_each_other() {
    // What the other tests blame on us must not be the peers' own doing.
    let Some(peers) = Peers::find("the peers among themselves") else { return };
    let chronyd = peers.chronyd();
    let wrong_by = peers.chronyd_measures(&chronyd.address());
    assert!(wrong_by.abs() < LOOPBACK_ERROR_S, "chronyd measures {wrong_by} s");
    let answer = peers.ntpdig(&chronyd.address());
    assert!(answer["offset"].as_f64().is_some_and(|s| s.abs() < LOOPBACK_ERROR_S), "{answer}");
}

#[test]
fn a_real_chronyd_is_a_source_whose_bound_holds() {
    let Some(peers) = Peers::find("chronyd as a source of `up`") else { return };
    let (scratch, chronyd) = (Scratch::new("chronyd-source"), peers.chronyd());
    let up = Up::start(&scratch.join("state"), &["--source", &chronyd.address()]);
    assert_eq!(up.next_event("sources")["answering"], serde_json::json!([chronyd.address()]));
    let second = up.wait_for(|line| line["state"] == "synchronized");
    let (offset, bound) = (whole(&second["offset_ns"]), whole(&second["bound_ns"]));
    // Both read the same clock, so the true offset is zero.
    assert!(offset.abs() <= bound, "{second}");
    assert!(bound < 20_000_000, "loopback is closer than that: {second}");
    let status = up.ask(&["status"]);
    let source = &status["sources"][0];
    assert_eq!(source["stratum"], 1, "{source}");
    assert!(source["problem"].is_null(), "{source}");
    assert!(up.interrupt().success());
}

#[test]
fn chronyd_is_a_client_of_our_server() {
    let Some(peers) = Peers::find("chronyd as a client of our server") else { return };
    let (scratch, source) = (Scratch::new("chronyd-client"), peers.chronyd());
    let up = synchronized(&scratch, &source.address());
    let wrong_by = peers.chronyd_measures(up.ntp());
    assert!(wrong_by.abs() < LOOPBACK_ERROR_S, "chronyd measures {wrong_by} s");
}

#[test]
fn ntpdig_is_a_client_of_our_server() {
    let Some(peers) = Peers::find("ntpdig as a client of our server") else { return };
    let (scratch, source) = (Scratch::new("ntpdig-client"), peers.chronyd());
    let up = synchronized(&scratch, &source.address());
    let answer = peers.ntpdig(up.ntp());
    let offset = answer["offset"].as_f64().expect("an offset");
    assert!(offset.abs() < LOOPBACK_ERROR_S, "{answer}");
    assert_eq!(answer["stratum"], 2, "one below chronyd's: {answer}");
    assert_eq!(answer["leap"], "no-leap", "{answer}");
}

#[test]
fn clients_of_our_server_are_told_the_estimate_and_not_the_system_clock() {
    let Some(peers) = Peers::find("the sign of what our server tells") else { return };
    // A clock that both sides read would hide a wrong sign, so the source lies.
    for lie in [0.077, -1.5] {
        let scratch = Scratch::new("served-lie");
        let liar = Liar::start(Lie { offset_s: lie, ..Lie::default() });
        let up = synchronized(&scratch, &liar.address());
        let offset = peers.ntpdig(up.ntp())["offset"].as_f64().expect("an offset");
        assert!((offset - lie).abs() < LOOPBACK_ERROR_S, "ntpdig says {offset}, true is {lie}");
        let wrong_by = peers.chronyd_measures(up.ntp());
        assert!((wrong_by - lie).abs() < LOOPBACK_ERROR_S, "chronyd: {wrong_by}, lie: {lie}");
    }
}

#[test]
fn query_measures_chronyd_and_our_own_server_alike() {
    let Some(peers) = Peers::find("`timeball query` of chronyd") else { return };
    let (scratch, chronyd) = (Scratch::new("query"), peers.chronyd());
    let up = synchronized(&scratch, &chronyd.address());
    for (server, stratum) in [(chronyd.address(), 1), (up.ntp().to_owned(), 2)] {
        let text = stdout(&["query", &server, "--output", "json"]);
        let answers: Value = serde_json::from_str(&text).expect("JSON");
        let answer = answers.get(0).unwrap_or(&answers);
        let (offset, delay) = (whole(&answer["offset_ns"]), whole(&answer["delay_ns"]));
        assert!(offset.abs() <= delay.max(1_000_000), "{server}: {answer}");
        assert!(delay < 50_000_000, "{server}: {answer}");
        assert_eq!(answer["stratum"], stratum, "{server}: {answer}");
    }
}

/// Where the peers are, in a copy that every user may run.
struct Peers {
    root: PathBuf,
    /// For their files; removed at the end.
    scratch: Scratch,
}

impl Peers {
    /// Finds them; without them the test fails in CI, and is skipped loudly elsewhere.
    fn find(what: &str) -> Option<Self> {
        let root = match std::env::var_os("TIMEBALL_PEERS") {
            Some(directory) => PathBuf::from(directory),
            None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers"),
        };
        if !root.join("usr/sbin/chronyd").is_file() {
            let missing =
                format!("{what}: no peers in {}; run `cargo xtask peers`", root.display());
            let is_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
            assert!(!is_ci, "{missing}");
            // Written past the test harness, which hides what a passing test prints.
            writeln!(std::io::stderr(), "SKIPPED: {missing}").expect("stderr");
            return None;
        }
        let scratch = Scratch::new("peers");
        set_mode(scratch.path(), 0o755);
        // A checkout may lie where only its owner may look, and chronyd runs as nobody.
        for directory in ["usr/sbin", "usr/lib"] {
            copy(&root.join(directory), &scratch.path().join(directory));
        }
        Some(Self { root, scratch })
    }

    /// Starts a chronyd that serves this machine's clock as stratum 1, on a free port of loopback.
    fn chronyd(&self) -> Chronyd {
        let port = free_port();
        let directory = self.directory_of_nobody(&format!("chronyd-{port}"));
        let settings = directory.join("chrony.conf");
        let text = format!(
            "port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 1\ncmdport 0\n\
             bindcmdaddress /\npidfile {}/pid\n",
            directory.display()
        );
        fs::write(&settings, text).expect("settings");
        // -x: never control the clock. -U -u root: stay who you are, which is nobody.
        let mut command = self.program("usr/sbin/chronyd");
        command.args(["-x", "-d", "-U", "-u", "root", "-f"]).arg(&settings);
        let child = command.stderr(Stdio::null()).spawn().expect("chronyd starts");
        let chronyd = Chronyd { child, port };
        chronyd.wait_until_it_answers();
        chronyd
    }

    /// What chronyd finds this machine's clock wrong by, in seconds: what it would add to it.
    fn chronyd_measures(&self, server: &str) -> f64 {
        let (host, port) = server.rsplit_once(':').expect("host:port");
        let directory = self.directory_of_nobody(&format!("client-{port}"));
        let mut command = self.program("usr/sbin/chronyd");
        // -Q: print the offset and end; -t: give up then.
        command.args(["-x", "-Q", "-U", "-u", "root", "-t", "20"]);
        command.arg(format!("server {host} port {port} iburst maxsamples 4"));
        command.arg(format!("pidfile {}/pid", directory.display())).args(["cmdport 0"]);
        let output = command.stdin(Stdio::null()).output().expect("chronyd starts");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("Disabled control of system clock"), "{text}");
        let wrong_by = text
            .split_once("System clock wrong by ")
            .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        wrong_by.unwrap_or_else(|| panic!("chronyd took no answer of {server}: {text}"))
    }

    /// ntpdig's answer about a server.
    fn ntpdig(&self, server: &str) -> Value {
        // ntpdig only asks port 123, which takes root to serve on: its look-up of the address is
        // told the port instead, and the rest is ntpdig as it is.
        const OTHER_PORT: &str = "import runpy, socket, sys
look_up, port = socket.getaddrinfo, int(sys.argv.pop(1))
socket.getaddrinfo = lambda host, service, *rest: look_up(
    host, port if service == 123 else service, *rest)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name='__main__')
";
        let (host, port) = server.rsplit_once(':').expect("host:port");
        // Debian's own, because the module beside ntpdig is built for it.
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-B", "-c", OTHER_PORT, port]).arg(self.root.join("usr/bin/ntpdig"));
        command.args(["--json", "--timeout", "5", host]);
        command.env("PYTHONPATH", self.root.join("usr/lib/python3/dist-packages"));
        let output = command.output().expect("python3 starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ntpdig took no answer of {server}: {errors}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// A command that runs a peer's program as nobody; as ourselves where we are not root.
    fn program(&self, path: &str) -> Command {
        let mut command = Command::new(self.scratch.path().join(path));
        command.env_clear().env("LD_LIBRARY_PATH", self.libraries());
        command.current_dir("/");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Libraries that the packages brought because this machine does not have them.
    fn libraries(&self) -> PathBuf {
        let libraries = fs::read_dir(self.scratch.path().join("usr/lib")).expect("unpacked");
        let is_libraries = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu");
        libraries.flatten().map(|entry| entry.path()).find(is_libraries).unwrap_or_default()
    }

    fn directory_of_nobody(&self, name: &str) -> PathBuf {
        let directory = self.scratch.path().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        if is_root() {
            std::os::unix::fs::chown(&directory, Some(NOBODY), Some(NOBODY)).expect("given away");
        }
        set_mode(&directory, 0o700);
        directory
    }
}

/// A running chronyd; ended when dropped.
struct Chronyd {
    child: Child,
    port: u16,
}

impl Chronyd {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// It answers with stratum 16 until its local reference is on: waits for better.
    fn wait_until_it_answers(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let mut request = [0_u8; 48];
            request[0] = 0x23; // leap 0, version 4, mode 3
            let _ = socket.send_to(&request, self.address());
            let mut answer = [0_u8; 128];
            if socket.recv(&mut answer).is_ok_and(|octets| octets >= 48) && answer[1] == 1 {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("chronyd does not serve on port {}", self.port);
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An `up` that has its time from one source.
fn synchronized(scratch: &Scratch, source: &str) -> Up {
    let up = Up::start(&scratch.join("state"), &["--source", source]);
    up.wait_for(|line| line["state"] == "synchronized");
    up
}

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("a whole number instead of {value}"))
}

/// A port that is free now; between that and its use another program could take it, which the next
/// run would not repeat.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound").port()
}

fn is_root() -> bool {
    // The owner of our own process directory is who we are.
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").expect("Linux")) == 0
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    set_mode(to, 0o755);
    for entry in fs::read_dir(from).expect("unpacked").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            fs::copy(&path, &target).expect("copied with its mode");
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}
