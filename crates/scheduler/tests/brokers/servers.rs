//! Real brokers: started on loopback in a directory of their own, and ended with it.

use crate::house::wait_for;
use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Where `cargo xtask brokers` has put `part`; `None`, and a line that says so, where it has not.
pub(crate) fn peer(part: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("TIMEBALL_BROKERS").map(PathBuf::from);
    let found = directory.map(|directory| directory.join(part)).filter(|path| path.exists());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
        assert!(!ci, "{part} is not there, and CI must have it");
        // Written past the test harness, which hides what a passing test prints.
        writeln!(
            std::io::stderr(),
            "SKIPPED: {part} is not there; `cargo xtask brokers` fetches it"
        )
        .expect("stderr");
    }
    found
}

/// A certificate or key of the tests, made for `localhost` and 127.0.0.1.
pub(crate) fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// The field `tls` of a target whose server's authority is ours, with or without our certificate.
pub(crate) fn tls(shows_certificate: bool) -> String {
    let path = |name: &str| certificate(name).display().to_string();
    let ours = if shows_certificate {
        format!(
            ", certificateFile: '{}', keyFile: '{}'",
            path("client.pem"),
            path("client.key.pem")
        )
    } else {
        String::new()
    };
    format!("tls: {{ caFile: '{}'{ours} }}", path("authority.pem"))
}

/// What starts a broker in a directory, listening on a port.
type Commands = Box<dyn Fn(&Path, u16) -> Vec<Command>>;

/// A running broker.
pub(crate) struct Server {
    /// Where clients reach it.
    pub(crate) port: u16,
    /// What it keeps, and its output.
    pub(crate) home: TempDir,
    children: Vec<Child>,
    commands: Commands,
}

impl Server {
    /// Starts what `commands` makes of a directory and a port, and waits until it listens.
    pub(crate) fn start(commands: impl Fn(&Path, u16) -> Vec<Command> + 'static) -> Self {
        let port = free_port();
        let (home, commands) = (tempfile::tempdir().unwrap(), Box::new(commands));
        let mut server = Self { port, home, children: Vec::new(), commands };
        server.restart();
        server
    }

    /// Starts it again where it was, with what it has kept.
    pub(crate) fn restart(&mut self) {
        for mut command in (self.commands)(self.home.path(), self.port) {
            let log = self.home.path().join("output");
            let log = File::options().create(true).append(true).open(log).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            // A broker is a family of processes, which is ended as a whole.
            self.children.push(command.process_group(0).spawn().unwrap());
        }
        wait_for("the broker listens", || {
            self.assert_running();
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// Ends it as a loss of power would.
    pub(crate) fn kill(&mut self) {
        for child in &mut self.children {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
        }
        self.children.clear();
    }

    /// What it has said.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    fn assert_running(&mut self) {
        for child in &mut self.children {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the broker ended with {status}: {}", self.output());
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A TCP port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
