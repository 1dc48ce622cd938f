//! What the tests share: the two builds of the gate, instants, and looking at processes.

pub mod sys;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long anything may take that happens at once. Machines that run tests are busy.
pub const SOON: Duration = Duration::from_secs(20);

/// The gate as it is shipped: profile `gate`, without libc. Built on first use.
pub fn freestanding() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("freestanding");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--profile", "gate", "--package", "timeball-gate"])
            // All that it needs has been fetched for the build of this test.
            .args(["--bin", "timeball-gate", "--offline", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo, which runs this test, can be run");
        assert!(status.success(), "profile `gate` does not build");
        target.join("gate/timeball-gate")
    })
}

/// The same code on top of the standard library, as any other profile builds it.
pub fn hosted() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_timeball-gate"))
}

/// Both builds.
pub fn both() -> [&'static Path; 2] {
    [freestanding(), hosted()]
}

/// Nanoseconds since 1970 on the system clock.
pub fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i128::try_from(since.as_nanos()).expect("fits")
}

/// The instant that is so many milliseconds from now.
pub fn in_millis(millis: i128) -> i128 {
    // Building the gate must not use the time up.
    freestanding();
    now() + millis * 1_000_000
}

/// An instant as `--at` takes it.
pub fn at(instant: i128) -> String {
    format!("@{}", as_seconds(instant))
}

fn as_seconds(instant: i128) -> String {
    format!("{}.{:09}", instant / 1_000_000_000, instant % 1_000_000_000)
}

/// Reads what `date +%s.%N` or `timeball-gate --now` prints.
pub fn parse_seconds(text: &[u8]) -> i128 {
    let text = String::from_utf8_lossy(text);
    let (seconds, nanos) =
        text.trim().trim_start_matches('@').split_once('.').expect("SECONDS.NANOS");
    seconds.parse::<i128>().expect("seconds") * 1_000_000_000
        + nanos.parse::<i128>().expect("nanoseconds")
}

/// A gate that waits for `instant`, with the rest of its arguments.
pub fn gate(program: &Path, instant: i128, rest: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("--at").arg(at(instant)).args(rest).stdin(Stdio::null());
    sys::with_signals(&mut command, &[], &[]);
    command
}

/// Says that a test is skipped for what is not there; in CI it must be there.
#[track_caller]
#[allow(clippy::print_stderr, reason = "a person reads what was not tested")]
pub fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}, which CI needs");
    eprintln!("SKIPPED: {what}");
}

/// Runs it to its end.
pub fn run(mut command: Command) -> Output {
    command.output().expect("the gate can be started")
}

/// Starts it with all its output caught.
pub fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the gate can be started")
}

/// What a program said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Makes a file that may be executed. Not written by this process: while it had the file open for
/// writing, another test's thread could start a program, which would have it open as well for a
/// moment, and what is open for writing cannot be executed.
pub fn install(path: &Path, mode: &str, text: &str) {
    let mut install = Command::new("install");
    install.args(["-m", mode, "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut child = install.spawn().expect("install can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("install reads it");
    drop(stdin);
    assert!(child.wait().expect("it is our child").success(), "install {}", path.display());
}

/// Makes a copy of a program, for the same reason.
pub fn install_copy(path: &Path, mode: &str, original: &Path) {
    let status = Command::new("install").args(["-m", mode]).arg(original).arg(path).status();
    assert!(status.expect("install can be started").success(), "install {}", path.display());
}

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The one child of a process, once it has one.
pub fn child_of(pid: u32) -> u32 {
    eventually("a child", || {
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        list.split_whitespace().next()?.parse().ok()
    })
}

/// A field of `/proc/PID/status`; `None` once the process is gone.
pub fn status_field(pid: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Waits until the command is held at its entry point: traced, stopped, and its own program.
pub fn held_command(gate: u32, program: &str) -> u32 {
    let pid = child_of(gate);
    eventually("the command is held", || {
        let is_stopped = status_field(pid, "State")?.starts_with(['t', 'T']);
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let is_program = exe == std::fs::canonicalize(program).ok()?;
        // The loader has mapped the C library; before that it is only on its way.
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        (is_stopped && is_program && maps.contains("libc")).then_some(pid)
    })
}

/// Waits until a process is no more.
pub fn is_gone(pid: u32) {
    eventually("the process is gone", || {
        let state = status_field(pid, "State");
        state.is_none_or(|state| state.starts_with('Z')).then_some(())
    });
}
