//! The gate with real programs: when they begin, what they are given, how it ends.
#![allow(dead_code, unreachable_pub, clippy::print_stderr, reason = "a test says what it skips")]

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use support::sys::{is_root, with_signals, without_ptrace};
use support::{
    both, eventually, freestanding, gate, hosted, in_millis, install, install_copy, now,
    parse_seconds, run, said, start, status_field,
};

/// Later than this is no start at the instant, on the busiest machine.
const LATENESS_NS_MAX: i128 = 2_000_000_000;

fn assert_on_time(instant: i128, began: i128, what: &str) {
    let late = began - instant;
    assert!((0..LATENESS_NS_MAX).contains(&late), "{what}: began {late} ns after the instant");
}

#[test]
fn programs_begin_at_the_instant_and_never_before() {
    let this = freestanding().to_str().unwrap();
    let programs: [(&str, &[&str]); 4] = [
        ("dynamic", &["date", "+%s.%N"]),
        ("dynamic, by its path", &["/bin/date", "+%s.%N"]),
        ("an interpreter", &["sh", "-c", "date +%s.%N"]),
        ("static, without libc", &[this, "--now"]),
    ];
    for program in both() {
        for mode in ["entry", "exec"] {
            for (what, command) in programs {
                let instant = in_millis(100);
                let rest = [&["--mode", mode, "--"], command].concat();
                let output = run(gate(program, instant, &rest));
                assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
                assert_on_time(instant, parse_seconds(&output.stdout), &format!("{mode}, {what}"));
            }
        }
    }
}

#[test]
fn python_begins_after_the_instant_too() {
    if Command::new("python3").arg("--version").output().is_err() {
        support::skip("python3 is not there");
        return;
    }
    let instant = in_millis(300);
    let program = "import time; t = time.time_ns(); print(f'{t // 10**9}.{t % 10**9:09}')";
    let output = run(gate(freestanding(), instant, &["--", "python3", "-c", program]));
    assert_on_time(instant, parse_seconds(&output.stdout), "python3");
}

#[test]
fn a_script_is_run_by_its_interpreter() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    install(&script, "755", "#!/bin/sh\necho \"$0 $1\"; exit 4\n");
    let path = script.to_str().unwrap();
    let output = run(gate(freestanding(), in_millis(50), &["--", path, "one"]));
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{path} one\n"));
}

#[test]
fn an_instant_that_has_passed_is_now() {
    for program in both() {
        for instant in [in_millis(-5_000), 0, 1] {
            let before = now();
            let output = run(gate(program, instant, &["--", "date", "+%s.%N"]));
            assert_on_time(before, parse_seconds(&output.stdout), "late");
        }
    }
}

#[test]
fn what_is_too_late_is_missed_and_never_begins() {
    for mode in ["entry", "exec"] {
        let rest = ["--not-after", "+1s", "--mode", mode, "--", "echo", "began"];
        let output = run(gate(freestanding(), in_millis(-5_000), &rest));
        assert_eq!(output.status.code(), Some(123), "{mode}");
        assert_eq!(output.stdout, b"", "{mode}");
        assert!(said(&output).contains("missed: the instant passed 5"), "{}", said(&output));
        let output = run(gate(freestanding(), in_millis(-500), &rest));
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"began\n"[..]));
    }
}

#[test]
fn exit_status_and_deadly_signals_are_passed_on() {
    for program in both() {
        for mode in ["entry", "exec"] {
            for status in [0, 1, 2, 7, 122, 255] {
                let script = format!("exit {status}");
                let rest = ["--mode", mode, "--", "sh", "-c", &script];
                let output = run(gate(program, in_millis(20), &rest));
                assert_eq!(output.status.code(), Some(status), "{mode}");
            }
            for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV, libc::SIGPIPE] {
                let script = format!("ulimit -c 0; kill -{signal} $$");
                let rest = ["--mode", mode, "--", "sh", "-c", &script];
                let output = run(gate(program, in_millis(20), &rest));
                assert_eq!(output.status.signal(), Some(signal), "{mode}");
            }
        }
    }
}

#[test]
fn a_command_that_is_not_there_or_cannot_be_run_is_said_before_the_instant() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: &str, text: &str| {
        let path = directory.path().join(name);
        install(&path, mode, text);
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain", "644", "#!/bin/sh\n");
    let nothing = file("nothing", "755", "no program\n");
    let lost = file("lost", "755", "#!/nowhere/interpreter\n");
    let here = directory.path().to_str().unwrap().to_owned();
    for (command, status, message) in [
        ("/nowhere/program", 127, "not found; check its name"),
        ("no-such-program", 127, "found in no directory of PATH"),
        (plain.as_str(), 126, "cannot be run: permission denied"),
        (here.as_str(), 126, "cannot be run: permission denied"),
        (nothing.as_str(), 126, "a script needs a first line such as #!/bin/sh"),
        (lost.as_str(), 126, "cannot be run: no such file or directory"),
    ] {
        let instant = in_millis(3_600_000);
        let output = run(gate(freestanding(), instant, &["--", command]));
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{command}: {said}");
        assert!(said.contains(command) && said.contains(message), "{command}: {said}");
    }
}

#[test]
fn wrong_arguments_name_the_argument_and_the_fix() {
    for program in both() {
        let output = run(gate(program, in_millis(10), &["--when"]));
        assert_eq!(output.status.code(), Some(125));
        let expected =
            "timeball-gate: `--when` is no option; before COMMAND put `--`, and see --help\n";
        assert_eq!(said(&output), expected);
        let output = Command::new(program).arg("--help").output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("122 revoked, 123 missed"));
    }
}

#[test]
fn standard_streams_environment_and_directory_are_passed_on() {
    for program in both() {
        for mode in ["entry", "exec"] {
            let script = "pwd; echo $GIVEN; cat; echo said >&2";
            let mut command = gate(program, in_millis(50), &["--mode", mode]);
            command.args(["--", "sh", "-c", script]).env("GIVEN", "a b=c").current_dir("/usr");
            command.stdin(Stdio::piped());
            let mut child = start(command);
            child.stdin.take().unwrap().write_all(b"line one\nline two").unwrap();
            let output = child.wait_with_output().unwrap();
            let expected = b"/usr\na b=c\nline one\nline two";
            assert_eq!(output.stdout, expected, "{mode}");
            assert_eq!(said(&output), "said\n", "{mode}");
        }
    }
}

#[test]
fn signal_mask_and_dispositions_and_descriptors_are_those_that_the_gate_was_given() {
    const BLOCKED: &[i32] = &[libc::SIGUSR1, libc::SIGTERM, libc::SIGTRAP, libc::SIGCHLD];
    const IGNORED: &[i32] = &[libc::SIGHUP, libc::SIGUSR2, libc::SIGCHLD];
    let look = ["grep", "-E", "^Sig(Blk|Ign|Cgt)|^NoNewPrivs|^Seccomp:", "/proc/self/status"];
    let mut direct = Command::new(look[0]);
    direct.args(&look[1..]);
    with_signals(&mut direct, BLOCKED, IGNORED);
    let expected = direct.output().unwrap().stdout;
    let count = ["sh", "-c", "ls /proc/self/fd | wc -l"];
    let mut direct = Command::new(count[0]);
    let descriptors = direct.args(&count[1..]).stdin(Stdio::null()).output().unwrap().stdout;
    for program in both() {
        for mode in ["entry", "exec"] {
            let mut command = gate(program, in_millis(50), &["--mode", mode, "--"]);
            command.args(look);
            with_signals(&mut command, BLOCKED, IGNORED);
            let output = run(command);
            let (found, wanted) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&expected));
            assert_eq!(found, wanted, "{mode}: {}", said(&output));
            let mut command = gate(program, in_millis(50), &["--mode", mode, "--"]);
            command.args(count);
            assert_eq!(run(command).stdout, descriptors, "{mode}");
        }
    }
}

#[test]
fn where_it_may_not_trace_the_command_is_executed_at_the_instant_and_that_is_said() {
    for program in both() {
        let instant = in_millis(100);
        let mut command = gate(program, instant, &["--", "date", "+%s.%N"]);
        without_ptrace(&mut command);
        let output = run(command);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_on_time(instant, parse_seconds(&output.stdout), "fallback");
        let reason = "it may not be traced: operation not permitted (errno 1)";
        assert!(said(&output).contains(reason), "{}", said(&output));
        assert!(said(&output).contains("executed at the instant instead"), "{}", said(&output));
    }
}

#[test]
fn a_signal_disposition_that_a_breakpoint_would_change_is_left_alone() {
    let mut command =
        gate(freestanding(), in_millis(50), &["--", "grep", "SigIgn", "/proc/self/status"]);
    with_signals(&mut command, &[], &[libc::SIGTRAP]);
    let output = run(command);
    assert!(said(&output).contains("SIGTRAP is set to be ignored"), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let ignored = u64::from_str_radix(text.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(ignored >> (libc::SIGTRAP - 1) & 1, 1, "{text}");
}

#[test]
fn a_setuid_program_keeps_its_privilege() {
    if !is_root() {
        support::skip("a setuid program can only be made by root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (id, program) = (directory.path().join("id"), directory.path().join("gate"));
    install_copy(&id, "4755", "/usr/bin/id".as_ref());
    install_copy(&program, "755", freestanding());
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let as_nobody = |mut command: Command| {
        use std::os::unix::process::CommandExt;
        command.uid(65_534).gid(65_534).current_dir("/");
        run(command)
    };
    let mut direct = Command::new(&id);
    direct.arg("-u");
    if as_nobody(direct).stdout != b"0\n" {
        support::skip("setuid has no effect in the temporary directory");
        return;
    }
    let rest = ["--", id.to_str().unwrap(), "-u"];
    let output = as_nobody(gate(&program, in_millis(50), &rest));
    assert_eq!(output.stdout, b"0\n");
    assert!(said(&output).contains("its file gives privileges"), "{}", said(&output));
}

#[test]
fn a_stopped_process_goes_on_at_the_instant() {
    let mut sleeper = Command::new("sh").args(["-c", "kill -STOP $$; exit 6"]).spawn().unwrap();
    eventually("the process has stopped", || {
        status_field(sleeper.id(), "State").filter(|state| state.starts_with('T'))
    });
    let instant = in_millis(200);
    let pid = sleeper.id().to_string();
    let output = run(gate(freestanding(), instant, &["--mode", "signal", &pid]));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(sleeper.wait().unwrap().code(), Some(6));
    assert_on_time(instant, now(), "signal");
    let output = run(gate(freestanding(), in_millis(60_000), &["--mode", "signal", &pid]));
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("no such process"), "{}", said(&output));
}

#[test]
fn a_process_that_ends_before_the_instant_is_said_when_it_ends() {
    let mut sleeper = Command::new("sleep").arg("0.2").spawn().unwrap();
    let pid = sleeper.id().to_string();
    let waiting = start(gate(freestanding(), in_millis(3_600_000), &["--mode", "signal", &pid]));
    sleeper.wait().unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("has ended before the instant"), "{}", said(&output));
}

#[test]
fn a_fifo_gets_one_octet_at_the_instant() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let fifo = path.to_str().unwrap();
    let instant = in_millis(300);
    let waiting = start(gate(freestanding(), instant, &["--mode", "fifo", fifo]));
    // Opening for reading returns at once, because the gate has the other end open.
    let mut octets = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut octets).unwrap();
    assert_on_time(instant, now(), "fifo");
    assert_eq!(octets, b"\n");
    assert!(waiting.wait_with_output().unwrap().status.success());

    let output = run(gate(freestanding(), in_millis(50), &["--mode", "fifo", fifo]));
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("nobody has the FIFO open"), "{}", said(&output));
    let output = run(gate(freestanding(), in_millis(50), &["--mode", "fifo", "/dev/null"]));
    assert!(said(&output).contains("that is no FIFO"), "{}", said(&output));
}

#[test]
fn the_program_is_small_static_and_needs_no_loader() {
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    let octets = std::fs::read(freestanding()).unwrap();
    assert!(octets.len() <= 64 * 1024, "{} octets", octets.len());
    assert_eq!(&octets[..5], b"\x7fELF\x02");
    let half = |at: usize| usize::from(u16::from_le_bytes([octets[at], octets[at + 1]]));
    let table = u64::from_le_bytes(octets[32..40].try_into().unwrap()) as usize;
    let (size, count) = (half(54), half(56));
    assert!(count > 0);
    for at in (0..count).map(|index| table + index * size) {
        let kind = u32::from_le_bytes(octets[at..at + 4].try_into().unwrap());
        assert!(kind != PT_INTERP && kind != PT_DYNAMIC, "segment of type {kind}");
    }
    // And the other build is not it by mistake.
    assert_ne!(std::fs::read(hosted()).unwrap().len(), octets.len());
}

#[test]
fn sixty_commands_at_one_instant_all_begin_then() {
    let instant = in_millis(3_000);
    let waiting: Vec<_> =
        (0..60).map(|_| start(gate(freestanding(), instant, &["--", "date", "+%s.%N"]))).collect();
    for child in waiting {
        let output = child.wait_with_output().unwrap();
        assert_on_time(instant, parse_seconds(&output.stdout), "one of sixty");
    }
}
