//! What a new set of schedules changes, schedule by schedule and field by field.

use super::LoadedSchedule;
use serde_json::Value;
use std::collections::BTreeMap;
use timeball_api::files::{FieldChange, FileChange};
use timeball_schedule::ScheduleUid;

/// The schedules that are new, changed or gone, by namespace and name.
pub(crate) fn changes(
    before: &BTreeMap<ScheduleUid, LoadedSchedule>,
    after: &BTreeMap<ScheduleUid, LoadedSchedule>,
) -> Vec<FileChange> {
    let mut changes = Vec::new();
    for (uid, schedule) in after {
        match before.get(uid) {
            None => changes.push(change("added", schedule, Vec::new())),
            Some(known) if known.spec.generation != schedule.spec.generation => {
                changes.push(change("changed", schedule, fields(known, schedule)));
            }
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|(uid, _)| !after.contains_key(uid));
    changes.extend(gone.map(|(_, schedule)| change("removed", schedule, Vec::new())));
    changes.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    changes
}

/// A change in one line, for a log; of a field without values its name alone.
pub(crate) fn line(change: &FileChange) -> String {
    let fields = change.fields.iter().map(|FieldChange { field, before, after }| {
        let shown =
            |value: &str| if value.is_empty() { "(none)".to_owned() } else { value.to_owned() };
        if before.is_empty() && after.is_empty() {
            return field.clone();
        }
        format!("{field}: {} -> {}", shown(before), shown(after))
    });
    fields.collect::<Vec<_>>().join(", ")
}

/// The fields of two documents that differ. Where none does, the rules of the zone or the days of a
/// calendar do.
pub(crate) fn fields(before: &LoadedSchedule, after: &LoadedSchedule) -> Vec<FieldChange> {
    let value = |schedule: &LoadedSchedule| {
        serde_json::to_value(&*schedule.document)
            .expect("a document came from text and can go back")
    };
    let mut changes = Vec::new();
    compare("", Some(&value(before)), Some(&value(after)), &mut changes);
    if changes.is_empty() {
        let (before, after) = (String::new(), String::new());
        let field = "(rules of the time zone, or days of a calendar)".to_owned();
        changes.push(FieldChange { field, before, after });
    }
    changes
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, to: &mut Vec<FieldChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, a.get(key), b.get(key), to);
            }
        }
        (before, after) => {
            let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
            let field = path.to_owned();
            to.push(FieldChange { field, before: text(before), after: text(after) });
        }
    }
}

fn change(kind: &str, schedule: &LoadedSchedule, fields: Vec<FieldChange>) -> FileChange {
    FileChange {
        kind: kind.to_owned(),
        namespace: schedule.name.namespace.clone(),
        name: schedule.name.name.clone(),
        fields,
    }
}
