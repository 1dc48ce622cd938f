//! Other schedulers at their finest period, all at the same instants as the firing thread.

use super::{Series, bare};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use timeball_runtime::read_clocks;
use timeball_scheduler::bench_support::{FiringThread, Rounds};
use timeball_timebase::{Span, Timestamp};

const FIRES: i64 = 60;
/// Until the slowest of them runs.
const START: i64 = 5;

/// Runs the programs of a directory for a minute. Each prints a line a fire: how late it was, in
/// nanoseconds.
pub(super) fn run(directory: &Path) -> Vec<Series> {
    let mut programs: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory of the peers can be read")
        .map(|entry| entry.expect("its entries too").path())
        .collect();
    programs.sort_unstable();
    let (said, lines) = mpsc::channel();
    let mut running: Vec<Child> = Vec::new();
    for (number, program) in programs.iter().enumerate() {
        running.push(start(program, number, said.clone()));
    }
    drop(said);
    let first = read_clocks().system.unix_seconds() + START;
    let instants: Vec<Timestamp> =
        (0..FIRES).map(|second| Timestamp::from_unix(first + second, 0)).collect();
    let bare = {
        let instants = instants.clone();
        std::thread::spawn(move || bare(&instants, None, false))
    };
    let ours = FiringThread::start(Span::ZERO).expect("the thread can be started").fire(&instants);
    std::thread::sleep(Duration::from_millis(700));
    for peer in &mut running {
        // One that has ended by itself has said why on standard error.
        let _ = peer.kill();
        let _ = peer.wait();
    }
    let bare = bare.join().expect("a sleeping thread does not panic");
    let mut late = vec![Vec::new(); programs.len()];
    for (number, nanos) in lines {
        late[number].push(nanos);
    }
    let nanos = |spans: Vec<Span>| spans.into_iter().map(Span::as_nanos).collect();
    let own = [("clock_nanosleep", nanos(bare)), ("firing thread", nanos(ours))];
    let own = own.map(|(name, late)| series(name, late));
    let names = programs.iter().map(|program| program.file_name().unwrap_or_default());
    let theirs = names.zip(late).map(|(name, late)| series(&name.to_string_lossy(), late));
    own.into_iter().chain(theirs).collect()
}

fn series(name: &str, late: Vec<i64>) -> Series {
    let (is_bare, class) = (name == "clock_nanosleep", "every second".to_owned());
    let mut only_round = Rounds::default();
    only_round.push(late);
    let name = format!("every second: {name}");
    Series { name, class, is_bare, late: only_round, targets: &[] }
}

fn start(program: &Path, number: usize, said: Sender<(usize, i64)>) -> Child {
    let mut child = Command::new(program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let output = child.stdout.take().expect("it is piped");
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        for nanos in lines.filter_map(|line| line.trim().parse().ok()) {
            // Whoever does not listen any more has enough.
            if said.send((number, nanos)).is_err() {
                return;
            }
        }
    });
    child
}
