//! What fuzzers and nobody else need of the inside.

use crate::files::{self, Document, LoadedSchedule, LoadedSet};
use crate::foreign::{CrontabOptions, export_cron_jobs, import_cron_jobs, import_crontab, to_yaml};
pub use crate::store::{rewrite_image, take_changes};
use crate::targets::brokers::nats::wire::Decoder;
use crate::zones::Zones;
use serde_json::Value;
use std::cell::RefCell;
use timeball_api::cron_job::PreciseCronJob;
use timeball_api::files::FileProblem;

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

/// What came of a text as a file of others.
#[derive(Debug)]
pub struct ForeignFile {
    /// All that was said of it: why it was refused, remarks, what was left out.
    pub said: Vec<String>,
    /// The schedules that were made of it, as JSON.
    pub schedules: Vec<String>,
    /// The schedules that a reader of schedule files finds in what is written of them.
    pub read_back: Vec<String>,
    /// The same schedules after they were CronJobs; of each that would lose something, what.
    pub after_export: Result<Vec<String>, Vec<String>>,
}

thread_local! {
    /// Read once: the fuzzers would else read files and little besides.
    static ZONES: RefCell<Zones> = RefCell::new(Zones::new());
}

/// What a server of NATS says with these octets, if they arrive in pieces of this many; the last is
/// what is wrong with the rest.
pub fn read_nats(octets: &[u8], piece: usize) -> Vec<String> {
    let (mut decoder, mut words) = (Decoder::default(), Vec::new());
    for piece in octets.chunks(piece.max(1)) {
        decoder.feed(piece);
        loop {
            match decoder.word() {
                Ok(Some(word)) => words.push(format!("{word:?}")),
                Ok(None) => break,
                Err(error) => {
                    words.push(error.to_string());
                    return words;
                }
            }
        }
    }
    words
}

/// Reads a text as a crontab (`Some`, with a user before the command or without) or as CronJobs.
pub fn import(text: &str, crontab: Option<bool>) -> ForeignFile {
    let imported = ZONES.with_borrow_mut(|zones| match crontab {
        Some(system) => {
            let options = CrontabOptions { system, zone: Some("Europe/Berlin"), name: "a" };
            Ok(import_crontab(text, &options, zones))
        }
        None => import_cron_jobs(text, zones),
    });
    let imported = match imported {
        Ok(imported) => imported,
        Err(error) => {
            let (schedules, read_back) = (Vec::new(), Vec::new());
            let said = vec![error.to_string()];
            return ForeignFile { said, schedules, read_back, after_export: Ok(Vec::new()) };
        }
    };
    let yaml = to_yaml(&imported.documents);
    let after_export = match export_cron_jobs(&yaml, "busybox") {
        Ok(exported) if exported.lost.is_empty() => {
            let again = ZONES
                .with_borrow_mut(|zones| import_cron_jobs(&to_yaml(&exported.documents), zones));
            Ok(again.map(|again| forms(&again.documents)).unwrap_or_default())
        }
        Ok(exported) => Err(exported.lost),
        Err(_) => Ok(Vec::new()),
    };
    let found = files::parse(&yaml).unwrap_or_default();
    let read_back = found.iter().filter_map(|document| match document {
        Document::Schedule(job) => Some(form(job)),
        Document::Calendar(_) => None,
    });
    ForeignFile {
        schedules: forms(&imported.documents),
        read_back: read_back.collect(),
        after_export,
        said: [imported.remarks, imported.left_out].concat(),
    }
}

fn forms(documents: &[Value]) -> Vec<String> {
    let typed = documents.iter().map(|document| serde_json::from_value(document.clone()));
    typed.map(|job| form(&job.expect("it was read before it was taken"))).collect()
}

fn form(job: &PreciseCronJob) -> String {
    serde_json::to_string(job).expect("a document came from text and can go back")
}

/// Reads a text as the only file of a schedules directory, with this machine's zones and programs.
pub fn read_schedule_file(text: &str) -> ScheduleFile {
    let set = ZONES.with_borrow_mut(|zones| LoadedSet::of_text(text, zones));
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
        Self { meaning, document: form(document), names_calendars }
    }
}
