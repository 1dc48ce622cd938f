//! What fuzzers and nobody else need of the inside.

use crate::files::{LoadedSchedule, LoadedSet};
use timeball_api::schedules::FileProblem;

/// What came of a text as a schedule file.
#[derive(Debug)]
pub struct ScheduleFile {
    /// What is wrong with it; nothing of it is taken then.
    pub problems: Vec<FileProblem>,
    /// The schedules that were taken of it.
    pub schedules: Vec<TakenSchedule>,
}

/// A schedule that was taken.
#[derive(Debug)]
pub struct TakenSchedule {
    /// What of it decides what happens when: identity, definition, policies, target.
    pub meaning: String,
    /// Its document as JSON.
    pub document: String,
    /// Whether its instants depend on calendars, which its document does not hold.
    pub names_calendars: bool,
}

/// Reads a text as the only file of a schedules directory, with this machine's zones and programs.
pub fn read_schedule_file(text: &str) -> ScheduleFile {
    let set = LoadedSet::of_text(text);
    let schedules = set.schedules.values().map(TakenSchedule::new).collect();
    ScheduleFile { problems: set.problems, schedules }
}

impl TakenSchedule {
    fn new(schedule: &LoadedSchedule) -> Self {
        let LoadedSchedule { spec, target, name, definition, limits, document, .. } = schedule;
        // The generation is made of the document and of nothing that is printed of it.
        let (uid, generation) = (spec.uid, spec.generation);
        let meaning = format!("{uid} {generation:x} {name} {definition} {limits:?} {target}");
        let names_calendars =
            !document.spec.include.is_empty() || !document.spec.exclude.is_empty();
        let document = serde_json::to_string(&**document);
        let document = document.expect("a document came from text and can go back");
        Self { meaning, document, names_calendars }
    }
}
