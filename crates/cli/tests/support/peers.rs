//! Real peers: chronyd and ntpdig as `cargo xtask peers` unpacks them.
//!
//! chronyd runs with `-x` or `-Q`, and as a user that may not set a clock, so no test can move this
//! machine's.

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

use super::Scratch;

/// The user `nobody`, who owns nothing and has no capability.
const NOBODY: u32 = 65_534;

/// Where the peers are, in a copy that every user may run.
pub struct Peers {
    root: PathBuf,
    /// For their files; removed at the end.
    scratch: Scratch,
}

impl Peers {
    /// Finds them; without them the test fails in CI, and is skipped loudly elsewhere.
    pub fn find(what: &str) -> Option<Self> {
        let root = match std::env::var_os("TIMEBALL_PEERS") {
            Some(directory) => PathBuf::from(directory),
            None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers"),
        };
        if !root.join("usr/sbin/chronyd").is_file() {
            let missing =
                format!("{what}: no peers in {}; run `cargo xtask peers`", root.display());
            assert!(!super::is_ci(), "{missing}");
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
    pub fn chronyd(&self) -> Chronyd {
        self.chronyd_at(&format!("127.0.0.1:{}", free_port()))
    }

    /// The same where an earlier one was, `127.0.0.1:port`.
    pub fn chronyd_at(&self, address: &str) -> Chronyd {
        self.chronyd_as(address, "")
    }

    /// The same on a free port, with the keys of such a file.
    pub fn chronyd_with_keys(&self, keys: &str) -> Chronyd {
        self.chronyd_as(&format!("127.0.0.1:{}", free_port()), keys)
    }

    fn chronyd_as(&self, address: &str, keys: &str) -> Chronyd {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port: u16 = port.expect("host:port");
        let directory = self.directory_of_nobody(&format!("chronyd-{port}"));
        let settings = directory.join("chrony.conf");
        let text = format!(
            "port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nbindaddress ::1\nallow ::1\n\
             local stratum 1\ncmdport 0\n\
             bindcmdaddress /\npidfile {}/pid\nkeyfile {}\n",
            directory.display(),
            key_file(&directory, keys).display()
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
    pub fn chronyd_measures(&self, server: &str) -> f64 {
        let (wrong_by, text) = self.chronyd_client(server, "", "maxsamples 4", 20);
        wrong_by.unwrap_or_else(|| panic!("chronyd took no answer of {server}: {text}"))
    }

    /// The same as a client with the keys of such a file and further options of `server`; `None`
    /// where it takes no answer in 8 s.
    pub fn chronyd_measures_with(&self, server: &str, keys: &str, options: &str) -> Option<f64> {
        self.chronyd_client(server, keys, options, 8).0
    }

    fn chronyd_client(
        &self,
        server: &str,
        keys: &str,
        options: &str,
        patience_s: u32,
    ) -> (Option<f64>, String) {
        let (host, port) = server.rsplit_once(':').expect("host:port");
        let directory = self.directory_of_nobody(&format!("client-{port}"));
        let mut command = self.program("usr/sbin/chronyd");
        // -Q: print the offset and end; -t: give up then.
        command.args(["-x", "-Q", "-U", "-u", "root"]);
        command.args(["-t", &patience_s.to_string()]);
        command.arg(format!("server {host} port {port} iburst {options}"));
        command.arg(format!("keyfile {}", key_file(&directory, keys).display()));
        command.arg(format!("pidfile {}/pid", directory.display())).args(["cmdport 0"]);
        let output = command.stdin(Stdio::null()).output().expect("chronyd starts");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("Disabled control of system clock"), "{text}");
        let wrong_by = text
            .split_once("System clock wrong by ")
            .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        (wrong_by, text)
    }

    /// ntpdig's answer about a server.
    pub fn ntpdig(&self, server: &str) -> Value {
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
pub struct Chronyd {
    child: Child,
    port: u16,
}

impl Chronyd {
    /// Where it answers, as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it answers over IPv6.
    pub fn second_address(&self) -> String {
        format!("[::1]:{}", self.port)
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

/// A file of keys that nobody's programs may read.
fn key_file(directory: &Path, keys: &str) -> PathBuf {
    let path = directory.join("keys");
    fs::write(&path, keys).expect("keys");
    set_mode(&path, 0o644);
    path
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

/// Sets the permissions of a file or directory of the test.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}
