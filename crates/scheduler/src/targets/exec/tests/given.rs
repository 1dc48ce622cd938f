//! What a program is given, and what is taken with it when it is stopped.

use super::*;
use std::process::Command;

/// Runs a program twice: held before its instant, and started at it.
fn run_both_ways(program: &Program) -> [Ended; 2] {
    [true, false].map(|is_held| {
        let (runner, ended) = runner(4);
        if is_held {
            let release = prepare(&runner, program.clone());
            held(program);
            release();
        } else {
            release(&runner, 0, program.clone());
        }
        ended.recv_timeout(Duration::from_secs(30)).unwrap()
    })
}

#[test]
fn a_program_has_our_umask_limits_and_path_whether_it_is_held_or_not() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:\t")).unwrap();
    let ours = Command::new("sh").args(["-c", "ulimit -n"]).output().unwrap();
    let limit = String::from_utf8(ours.stdout).unwrap();
    let path = std::env::var("PATH").unwrap();
    let expected = format!("{umask}\n{}\n{path}\nempty", limit.trim());
    let program = shell("umask; ulimit -n; echo $PATH; read line || echo empty");
    for ended in run_both_ways(&program) {
        assert_eq!((ended.outcome, &ended.message), (Outcome::Fired, &expected));
    }
}

#[test]
fn a_program_has_its_directory_and_plain_signals_and_no_descriptor_of_ours() {
    let script = "pwd; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -c18-; ls /proc/self/fd";
    // Whoever runs the tests may have left some open for everybody.
    let mut plain = Command::new("sh");
    plain.args(["-c", "ls /proc/self/fd"]).stdin(std::process::Stdio::null());
    let descriptors = String::from_utf8(plain.output().unwrap().stdout).unwrap();
    // glibc keeps its two internal signals (32, 33) ignored, beyond the 28 bits shown here.
    let expected = format!("/usr\n0000000\n0000000\n{}", descriptors.trim());
    let program = Program { directory: c"/usr".to_owned(), ..shell(script) };
    for ended in run_both_ways(&program) {
        assert_eq!((ended.outcome, &ended.message), (Outcome::Fired, &expected));
    }
}

#[test]
fn a_program_is_in_a_process_group_of_its_own_with_its_gate_if_it_has_one() {
    let ours = Command::new("sh").args(["-c", "ps -o pgid= $$"]).output().unwrap();
    let ours = String::from_utf8(ours.stdout).unwrap();
    let groups = run_both_ways(&shell("echo $$ $PPID $(ps -o pgid= $$)")).map(|ended| {
        let words: Vec<String> = ended.message.split_whitespace().map(str::to_owned).collect();
        let [program, parent, group] = &words[..] else { panic!("{}", ended.message) };
        assert_ne!(group, ours.trim());
        [group == parent, group == program]
    });
    assert_eq!(groups, [[true, false], [false, true]]);
}

#[test]
fn a_program_that_cannot_be_held_is_started_at_its_instant_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("echo");
    // By another program: what this one has open for writing cannot be executed.
    let install = Command::new("install").args(["-m", "4755", "/bin/echo"]).arg(&path).status();
    assert!(install.unwrap().success());
    let path = CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
    let arguments = vec![c"echo".to_owned(), c"begun".to_owned()];
    let (runner, ended) = runner(4);
    let release = prepare(&runner, Program { path, arguments, ..shell("") });
    std::thread::sleep(Duration::from_millis(100));
    release();
    let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(ended.outcome, Outcome::Fired);
    assert!(ended.message.contains("its file gives privileges"), "{}", ended.message);
    assert!(ended.message.ends_with("\nbegun"), "{}", ended.message);
}

/// Runs a shell that has something in the background, stops it once that is there, and returns the
/// end and the state of what was in the background then.
fn stopped_with(background: &str) -> (Ended, Option<char>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("background");
    let (runner, ended) = runner(4);
    let script = format!("{background} & echo $! > {}; sleep 1000", file.display());
    release(&runner, 0, shell(&script));
    let started = Instant::now();
    let background = loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if text.ends_with('\n') {
            break text.trim().to_owned();
        }
        assert!(started.elapsed() < Duration::from_secs(30), "it does not begin");
        std::thread::sleep(Duration::from_millis(2));
    };
    runner.stop_all(Reason::Stopped);
    let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{background}/stat")).ok();
    let state = stat.and_then(|stat| stat.rsplit(") ").next()?.chars().next());
    (ended, state)
}

#[test]
fn what_a_program_has_in_the_background_is_stopped_with_it_when_we_stop() {
    // The second one is to be killed, although its shell ends when it is asked to.
    for background in ["sleep 1000", "(trap '' TERM; exec sleep 1000)"] {
        let (ended, state) = stopped_with(background);
        assert_eq!(ended.outcome, Outcome::Failed(Reason::Stopped));
        let expected = "the scheduler was stopped; asked to end, and ended with signal 15";
        assert_eq!(ended.message, expected);
        // Nobody may have waited for what was killed.
        assert!(matches!(state, None | Some('Z' | 'X')), "{background}: {state:?}");
    }
}

#[test]
fn a_held_program_of_another_user_is_that_users() {
    if !crate::sys::effective_user_is_root() {
        return;
    }
    let account = crate::sys::account("nobody").unwrap();
    let program = Program { account, ..shell("id -un; test $(ps -o pgid= $$) -ne $$ && echo led") };
    let (runner, ended) = runner(4);
    let release = prepare(&runner, program.clone());
    held(&program);
    release();
    let ended = ended.recv_timeout(Duration::from_secs(30)).unwrap();
    // The gate leads the process group.
    assert_eq!((ended.outcome, ended.message.as_str()), (Outcome::Fired, "nobody\nled"));
}
