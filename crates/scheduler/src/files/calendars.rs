//! Calendars of a schedules directory: days that its schedules include and exclude.

use super::checks::{check_name, expect, fingerprint};
use super::document::{self, Document};
use super::error::DocumentError;
use super::read_text;
use crate::zones::Zones;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use timeball_api::calendar::{Calendar, CalendarDays, KIND};
use timeball_api::cron_job::{API_VERSION, CalendarReference};
use timeball_runtime::nearest;
use timeball_schedule::language::{DayCalendar, DayEntry};

/// Most calendars that a schedule includes, and that it excludes.
const REFERENCES_MAX: usize = 16;
const NAME_OCTETS_MAX: usize = 63;

/// The calendars of a directory, by namespace and name.
#[derive(Default)]
pub(super) struct Calendars(BTreeMap<(String, String), Entry>);

struct Entry {
    days: DayCalendar,
    /// Changes whenever the calendar's days do.
    fingerprint: u64,
    file: PathBuf,
}

/// The calendars that a schedule names.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) days: Vec<DayCalendar>,
    /// Their names, each with what changes when its days do.
    pub(super) definition: String,
}

impl Calendars {
    /// Takes up a calendar of a file.
    pub(super) fn add(
        &mut self,
        document: &Calendar,
        file: &Path,
        zones: &mut Zones,
    ) -> Result<(), DocumentError> {
        let days = compile(document, zones)?;
        let key = (document.metadata.namespace.clone(), document.metadata.name.clone());
        if let Some(first) = self.0.get(&key) {
            return Err(DocumentError::Duplicate { first: first.file.clone() });
        }
        let mut hasher = DefaultHasher::new();
        fingerprint(&document.spec, days.zone(), &mut hasher);
        let entry = Entry { days, fingerprint: hasher.finish(), file: file.to_owned() };
        self.0.insert(key, entry);
        Ok(())
    }

    /// Forgets what was taken of a file that is wrong after all.
    pub(super) fn forget(&mut self, file: &Path) {
        self.0.retain(|_, entry| entry.file != file);
    }

    /// The calendars of a list of a schedule, `spec.include` or `spec.exclude`.
    pub(super) fn choose(
        &self,
        field: &'static str,
        namespace: &str,
        references: &[CalendarReference],
    ) -> Result<Chosen, DocumentError> {
        if references.len() > REFERENCES_MAX {
            let count = references.len();
            return Err(DocumentError::TooManyCalendars { field, count, most: REFERENCES_MAX });
        }
        let mut chosen = Chosen::default();
        for CalendarReference { calendar: name } in references {
            let found = self.0.get(&(namespace.to_owned(), name.clone()));
            let Some(entry) = found else { return Err(self.missing(field, namespace, name)) };
            chosen.days.push(entry.days.clone());
            chosen.definition += &format!(" {name}@{:016x}", entry.fingerprint);
        }
        Ok(chosen)
    }

    fn missing(&self, field: &'static str, namespace: &str, name: &str) -> DocumentError {
        let of_namespace = self.0.keys().filter(|(of, _)| of == namespace);
        let known: Vec<&str> = of_namespace.map(|(_, name)| name.as_str()).collect();
        let near = nearest(name, &known).map(str::to_owned);
        let (name, namespace) = (name.escape_debug().to_string(), namespace.to_owned());
        DocumentError::NoCalendar { field, name, namespace, near }
    }
}

/// Reads the calendars of a file of their own, as `timeball schedule explain` takes them.
///
/// # Errors
/// What is wrong with the file, in a sentence for people.
pub fn read_calendars(path: &Path, zones: &mut Zones) -> Result<Vec<DayCalendar>, String> {
    let text = read_text(path).map_err(|source| format!("cannot be read: {source}"))?;
    let documents = document::parse(&text).map_err(|error| error.to_string())?;
    let mut calendars = Vec::new();
    for document in &documents {
        if let Document::Calendar(calendar) = document {
            let name = calendar.metadata.name.escape_debug();
            let days = compile(calendar, zones).map_err(|error| format!("`{name}`: {error}"))?;
            calendars.push(days);
        }
    }
    if calendars.is_empty() {
        return Err(format!("has no document of kind {KIND}"));
    }
    Ok(calendars)
}

fn compile(document: &Calendar, zones: &mut Zones) -> Result<DayCalendar, DocumentError> {
    let Calendar { api_version, kind, metadata, spec } = document;
    expect("apiVersion", api_version, API_VERSION)?;
    expect("kind", kind, KIND)?;
    check_name("metadata.name", &metadata.name, NAME_OCTETS_MAX)?;
    check_name("metadata.namespace", &metadata.namespace, NAME_OCTETS_MAX)?;
    let zone = spec.time_zone.as_deref().map(|name| zones.zone(name)).transpose()?;
    let entries: Vec<DayEntry<'_>> = spec
        .days
        .iter()
        .enumerate()
        .map(|(index, days)| entry(days).ok_or(DocumentError::CalendarDays { index }))
        .collect::<Result<_, _>>()?;
    Ok(DayCalendar::new(&metadata.name, zone, &entries)?)
}

/// The one form in which days are given; `None` where there is none, or two.
fn entry(days: &CalendarDays) -> Option<DayEntry<'_>> {
    let CalendarDays { date, from, to, cron, rule } = days;
    let parts = [date, from, to, cron, rule].map(Option::as_deref);
    match parts {
        [Some(date), None, None, None, None] => Some(DayEntry::Date(date)),
        [None, Some(from), Some(to), None, None] => Some(DayEntry::Range { from, to }),
        [None, None, None, Some(cron), None] => Some(DayEntry::Cron(cron)),
        [None, None, None, None, Some(rule)] => Some(DayEntry::Rule(rule)),
        _ => None,
    }
}
