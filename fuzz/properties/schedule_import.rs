//! Any text as a crontab or as CronJobs: what is said of it commands no terminal; each schedule
//! that is made of it is found by a reader of schedule files in what is written, and a CronJob that
//! goes out again comes in as the same schedule.
//!
//! The first octet chooses the form; the rest is the text.

use timeball_scheduler::fuzz_support::import;

pub(crate) fn check(octets: &[u8]) {
    let Some((&choice, text)) = octets.split_first() else { return };
    let Ok(text) = core::str::from_utf8(text) else { return };
    let crontab = [None, Some(false), Some(true)][usize::from(choice) % 3];
    let file = import(text, crontab);
    for said in &file.said {
        assert!(!said.is_empty());
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    }
    assert_eq!(file.read_back, file.schedules, "read otherwise than written");
    match file.after_export {
        Ok(again) if crontab.is_none() => assert_eq!(again, file.schedules),
        Ok(again) => assert_eq!(again.len(), file.schedules.len()),
        Err(lost) => assert!(crontab.is_some(), "a CronJob lost {lost:?}"),
    }
}
