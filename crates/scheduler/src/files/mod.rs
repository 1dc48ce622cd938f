//! Schedule files: a directory of YAML and JSON, read as a whole.
//!
//! Past this module no string can be wrong: expressions are compiled, zones loaded, programs found,
//! addresses parsed. Whatever is wrong is said with file, place, value and how to mend it.

mod calendars;
mod checks;
mod convert;
mod diff;
mod document;
mod error;
mod explain;
mod locate;
mod target;
mod watch;

pub use calendars::read_calendars;
pub(crate) use convert::{DETAILS_MAX, YEAR_S, dialect, dst, uid};
pub(crate) use diff::{changes, line};
pub(crate) use document::{Document, parse, parse_foreign};
pub(crate) use watch::{Seen, Watcher};

use crate::stamp::Stamped;
use crate::store::DetailLimits;
use crate::targets::{ScheduleName, Target};
use crate::zones::Zones;
use calendars::Calendars;
use error::DocumentError;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use timeball_api::cron_job::PreciseCronJob;
use timeball_api::files::FileProblem;
use timeball_schedule::ScheduleUid;
use timeball_schedule::planner::ScheduleSpec;

/// A schedule with its target, ready to be planned.
#[derive(Clone, Debug)]
pub(crate) struct LoadedSchedule {
    /// For the planner.
    pub(crate) spec: ScheduleSpec,
    /// What is done at its instants.
    pub(crate) target: Target,
    /// Whose it is.
    pub(crate) name: ScheduleName,
    /// The expression, as written.
    pub(crate) expression: String,
    /// Expression, dialect, zone and rule as one text.
    pub(crate) definition: String,
    /// How much of its history is kept in detail.
    pub(crate) limits: DetailLimits,
    /// The document that it was made of.
    pub(crate) document: Arc<PreciseCronJob>,
}

/// What a directory holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadedSet {
    /// The schedules that could be taken.
    pub(crate) schedules: BTreeMap<ScheduleUid, LoadedSchedule>,
    /// What could not, and why; by file.
    pub(crate) problems: Vec<FileProblem>,
    /// The files of the zone database that it rests on.
    pub(crate) zone_files: Stamped,
}

/// Gives the text of a file.
type ReadFile<'r> = dyn Fn(&Path) -> io::Result<String> + 'r;

/// What the schedules of a file are taken by.
struct Known<'k> {
    read: &'k ReadFile<'k>,
    calendars: &'k Calendars,
}

/// The largest schedule file that is read, octets.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;
/// The most files that are read.
const FILES_MAX: usize = 10_000;

impl LoadedSet {
    /// Reads all schedule files of `directory`, in the order of their names.
    pub(crate) fn read(directory: &Path) -> Self {
        let mut set = Self::default();
        let mut files = match schedule_files(directory) {
            Ok(files) => files,
            Err(source) => {
                let message = format!("the directory cannot be read: {source}");
                set.add_problem(directory, message);
                return set;
            }
        };
        if files.len() > FILES_MAX {
            let message = format!("more than {FILES_MAX} files; the last ones are not read");
            set.add_problem(directory, message);
            files.truncate(FILES_MAX);
        }
        set.take_files(files, &read_text, &mut Zones::new());
        set
    }

    /// What a directory would hold whose only file has this text.
    pub(crate) fn of_text(text: &str, zones: &mut Zones) -> Self {
        let mut set = Self::default();
        set.take_files(vec![PathBuf::from("a.yaml")], &|_| Ok(text.to_owned()), zones);
        set
    }

    fn take_files(&mut self, files: Vec<PathBuf>, read: &ReadFile<'_>, zones: &mut Zones) {
        let mut calendars = Calendars::default();
        // All calendars first: a schedule may name one of a file that comes later.
        let files: Vec<(PathBuf, Vec<Document>)> = files
            .into_iter()
            .filter_map(|path| {
                let documents = self.read_calendars(&path, read, &mut calendars, zones)?;
                Some((path, documents))
            })
            .collect();
        let mut origins = BTreeMap::new();
        for (path, documents) in files {
            let known = Known { read, calendars: &calendars };
            self.take_file(&path, &documents, &known, zones, &mut origins);
        }
        self.zone_files = zones.files();
    }

    /// Reads a file and takes all its calendars; `None` where something is wrong with one of them.
    fn read_calendars(
        &mut self,
        path: &Path,
        read: &ReadFile<'_>,
        calendars: &mut Calendars,
        zones: &mut Zones,
    ) -> Option<Vec<Document>> {
        let text = match read(path) {
            Ok(text) => text,
            Err(source) => {
                self.add_problem(path, format!("cannot be read: {source}"));
                return None;
            }
        };
        let documents = match parse(&text) {
            Ok(documents) => documents,
            Err(error) => {
                self.add_problem(path, error.to_string());
                return None;
            }
        };
        for document in &documents {
            let Document::Calendar(calendar) = document else { continue };
            if let Err(error) = calendars.add(calendar, path, zones) {
                let name = calendar.metadata.name.escape_debug();
                self.add_problem(path, format!("calendar `{name}`: {error}"));
                calendars.forget(path);
                return None;
            }
        }
        Some(documents)
    }

    /// Takes the schedules of a file as a whole, or none of them.
    fn take_file(
        &mut self,
        path: &Path,
        documents: &[Document],
        known: &Known<'_>,
        zones: &mut Zones,
        origins: &mut BTreeMap<ScheduleUid, PathBuf>,
    ) {
        let mut taken: BTreeMap<ScheduleUid, LoadedSchedule> = BTreeMap::new();
        for (number, document) in documents.iter().enumerate() {
            let Document::Schedule(document) = document else { continue };
            let schedule = match convert::schedule(document, known.calendars, zones) {
                Ok(schedule) => schedule,
                Err(error) => {
                    let name = document.metadata.name.escape_debug();
                    let text = (known.read)(path).unwrap_or_default();
                    let line = locate::line(&text, number, error.field());
                    let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                    return self.add_problem(path, format!("{place}schedule `{name}`: {error}"));
                }
            };
            let uid = schedule.spec.uid;
            let origin = taken.contains_key(&uid).then_some(path);
            let origin = origin.or_else(|| origins.get(&uid).map(PathBuf::as_path));
            if let Some(origin) = origin {
                let error = DocumentError::Duplicate { first: origin.to_owned() };
                let name = &schedule.name;
                return self.add_problem(path, format!("schedule `{name}`: {error}"));
            }
            taken.insert(uid, schedule);
        }
        origins.extend(taken.keys().map(|uid| (*uid, path.to_owned())));
        self.schedules.append(&mut taken);
    }

    fn add_problem(&mut self, path: &Path, message: String) {
        // What it repeats of the file must not command the terminal that shows it.
        let message = escape_control(&message);
        self.problems.push(FileProblem { file: path.display().to_string(), message });
    }
}

/// Checks a schedule as the only document of a directory.
pub(crate) fn check(job: &PreciseCronJob, zones: &mut Zones) -> Result<(), DocumentError> {
    convert::schedule(job, &Calendars::default(), zones).map(drop)
}

/// The text with its control characters shown, line ends aside.
pub(crate) fn escape_control(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The files of a directory that hold schedules, sorted. Hidden ones are an editor's.
fn schedule_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        let known = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"));
        if known && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_text(path: &Path) -> io::Result<String> {
    // A FIFO would be waited for.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_OCTETS_MAX {
        let message = format!("longer than {FILE_OCTETS_MAX} octets");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
