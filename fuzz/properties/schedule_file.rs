//! Any text as a schedule file: it is refused as a whole, in words and without its control
//! characters, or each schedule that is taken of it means the same again when written as JSON.

use timeball_scheduler::fuzz_support::read_schedule_file;

pub(crate) fn check(octets: &[u8]) {
    let Ok(text) = core::str::from_utf8(octets) else { return };
    let file = read_schedule_file(text);
    assert!(file.problems.is_empty() || file.schedules.is_empty(), "{file:?} is taken in part");
    for problem in &file.problems {
        assert!(!problem.message.is_empty());
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!problem.message.contains(control), "{:?} has control characters", problem.message);
    }
    for schedule in file.schedules.iter().filter(|schedule| !schedule.names_calendars) {
        // DEL and the C1 characters are sound in JSON and are not in YAML.
        if schedule.document.contains(char::is_control) {
            continue;
        }
        let again = read_schedule_file(&schedule.document);
        assert!(again.problems.is_empty(), "{} is refused: {again:?}", schedule.document);
        let [again] = &again.schedules[..] else { panic!("{again:?} is not one schedule") };
        assert_eq!(again.meaning, schedule.meaning);
        assert_eq!(again.document, schedule.document);
    }
}
