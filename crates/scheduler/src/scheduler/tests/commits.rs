//! Schedules of short periods share their durable commits.

use super::receiver::Receiver;
use super::{PATIENCE, fired, start_in, write};
use std::fs;
use std::time::{Duration, Instant};

/// For how long commits are counted at least, and over how many fires of each.
const COUNTED: Duration = Duration::from_secs(8);
const FIRES: u64 = 100;

#[test]
fn schedules_of_ten_milliseconds_cost_no_more_than_two_durable_commits_a_second() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("schedules")).unwrap();
    let hook = Receiver::start();
    let period = "  schedule: '@every 10ms'\n";
    let program = "  target: { exec: { command: ['true'] } }\n";
    write(root.path(), "exec", &format!("{period}{program}"));
    let target = format!("  target: {{ http: {{ url: 'http://127.0.0.1:{}/all' }} }}\n", hook.port);
    write(root.path(), "http", &format!("{period}{target}"));
    let scheduler = start_in(root.path());
    let all = || fired(&scheduler, "exec").min(fired(&scheduler, "http"));
    let begun = Instant::now();
    let wait_for = |fires: u64| {
        while all() < fires {
            assert!(begun.elapsed() < PATIENCE, "{} of {fires} fires", all());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_for(20);
    let commits = || scheduler.totals().ledger.commits;
    let (start, first, fired) = (Instant::now(), commits(), all());
    std::thread::sleep(COUNTED);
    wait_for(fired + FIRES);
    let (made, seconds) = (commits() - first, start.elapsed().as_secs_f64());
    scheduler.shutdown();
    assert!(made as f64 <= 2.0 * seconds + 1.0, "{made} durable commits in {seconds} s");
}
