//! Schedules that come, change and go with their files: all or nothing.

use super::Dispatcher;
use crate::board::Progress;
use crate::fault::{self, Point};
use crate::files::{LoadedSchedule, LoadedSet, changes, line};
use crate::store::Enrolment;
use timeball_api::files::{FieldChange, FileChange, FileChanges, FileProblem, Reload};
use timeball_runtime::read_clocks;
use timeball_schedule::ScheduleUid;
use timeball_schedule::planner::Input;

/// The most changes that everybody is told of, and the most fields of each.
const TOLD_MAX: usize = 20;
/// The longest value that everybody is told, in characters.
const VALUE_MAX: usize = 200;

impl Dispatcher {
    /// Takes up what the files hold now: all of it, or nothing where something new is wrong.
    pub(super) fn take_files(&mut self, set: LoadedSet) -> FileChanges {
        let mut told = self.compare(&set);
        let refused = self.refuses(&set);
        let is_first = !std::mem::replace(&mut self.files_read, true);
        self.parts.board.set_file_problems(set.problems.clone());
        if refused && self.refused.as_ref() == Some(&told) {
            // They are read every minute, and nobody wants to be told so often.
            return told;
        }
        let was_refused = std::mem::replace(&mut self.refused, refused.then(|| told.clone()));
        let is_new = |problem: &FileProblem| !self.accepted_problems.contains(problem);
        for problem in set.problems.iter().filter(|problem| is_new(problem)) {
            tracing::error!(file = %problem.file, message = %problem.message, "schedule file");
        }
        let is_news = refused || was_refused.is_some() || !told.changes.is_empty();
        if !is_first && is_news {
            self.parts.board.set_reload(summary(&told.changes, !refused));
        }
        if refused {
            tracing::warn!("the schedules go on as they were until the files are mended");
            return told;
        }
        for change in &told.changes {
            let (name, fields) = (format!("{}/{}", change.namespace, change.name), logged(change));
            tracing::info!(schedule = %name, %fields, "schedule {}", change.kind);
        }
        let gone: Vec<ScheduleUid> =
            self.schedules.keys().filter(|uid| !set.schedules.contains_key(uid)).copied().collect();
        for uid in gone {
            self.remove(uid);
        }
        fault::pass(Point::ReloadRemoved);
        for (uid, schedule) in set.schedules {
            self.upsert(uid, schedule);
        }
        self.input(Input::Wake);
        // While a file is wrong, its schedules are not known to be gone.
        if !self.absent_settled && set.problems.is_empty() {
            self.parts.ledger.retire_absent(read_clocks().system);
            self.absent_settled = true;
        }
        self.accepted_problems = set.problems;
        told.applied = true;
        told
    }

    /// What a set of schedules would change.
    pub(super) fn compare(&self, set: &LoadedSet) -> FileChanges {
        let mut changes = changes(&self.schedules, &set.schedules);
        // While a file is wrong, its schedules are not known to be gone.
        if self.refuses(set) {
            changes.retain(|change| change.kind != "removed");
        }
        FileChanges { changes, problems: set.problems.clone(), applied: false }
    }

    /// Whether something is newly wrong with the files, so that none of them is taken up.
    fn refuses(&self, set: &LoadedSet) -> bool {
        let first = self.schedules.is_empty() && !self.absent_settled;
        !first && set.problems.iter().any(|problem| !self.accepted_problems.contains(problem))
    }

    fn remove(&mut self, uid: ScheduleUid) {
        self.schedules.remove(&uid);
        self.input(Input::Remove(uid));
        self.parts.ledger.retire(uid, read_clocks().system);
        self.parts.board.remove(uid);
    }

    fn upsert(&mut self, uid: ScheduleUid, schedule: LoadedSchedule) {
        let before = self.schedules.get(&uid);
        if before.is_some_and(|before| before.spec.generation == schedule.spec.generation) {
            return;
        }
        let now = self.clock_watch.now().by(schedule.spec.clock.follow);
        if schedule.spec.schedule.next_after(now).is_none() {
            tracing::warn!(schedule = %schedule.name, "this schedule has no instant ahead");
        }
        let enrolment = Enrolment {
            uid,
            definition: schedule.definition.clone(),
            limits: schedule.limits,
            repeatable: schedule.target.is_repeatable(),
        };
        let resume = self.parts.ledger.enroll(enrolment, now);
        let progress = match self.parts.board.panel(uid) {
            Some(panel) => panel.progress().clone(),
            None => Progress {
                last: self.parts.ledger.history(uid).next().cloned(),
                tally: self.parts.ledger.tallies(uid).0,
                requested: self.parts.ledger.tallies(uid).1,
                ..Progress::default()
            },
        };
        let spec = Box::new(schedule.spec.clone());
        self.parts.board.put(schedule.clone(), progress);
        self.show_control(uid);
        self.schedules.insert(uid, schedule);
        self.input(Input::Upsert { spec, resume });
        fault::pass(Point::ReloadUpserted);
    }
}

/// What everybody is told of changes.
fn summary(changes: &[FileChange], applied: bool) -> Reload {
    let told = changes.iter().take(TOLD_MAX).map(|change| FileChange {
        fields: change.fields.iter().take(TOLD_MAX).map(shown).collect(),
        ..change.clone()
    });
    Reload {
        at_ns: read_clocks().system.as_unix_nanos(),
        applied,
        changes: told.collect(),
        count: changes.len() as u64,
    }
}

/// A change as it is logged: who reads the log may not be who may read the files.
fn logged(change: &FileChange) -> String {
    line(&FileChange { fields: change.fields.iter().map(shown).collect(), ..change.clone() })
}

/// A changed field, without what may be secret and without the end of what is long.
fn shown(FieldChange { field, before, after }: &FieldChange) -> FieldChange {
    let value = |value: &str| match value.char_indices().nth(VALUE_MAX) {
        _ if field.starts_with("spec.target") => String::new(),
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    };
    FieldChange { field: field.clone(), before: value(before), after: value(after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_and_logged_of_a_change_has_no_value_of_a_target() {
        let field = |field: &str, before: &str, after: &str| {
            let text = str::to_owned;
            FieldChange { field: text(field), before: text(before), after: text(after) }
        };
        let change = FileChange {
            kind: "changed".to_owned(),
            namespace: "default".to_owned(),
            name: "yearly".to_owned(),
            fields: vec![
                field("spec.schedule", "\"@yearly\"", ""),
                field("spec.target.exec.env", "[\"hush\"]", "[\"hushed\"]"),
                field("spec.target.http.headers.Authorization", "", "\"hush\""),
            ],
        };
        assert_eq!(
            logged(&change),
            "spec.schedule: \"@yearly\" -> (none), spec.target.exec.env, \
             spec.target.http.headers.Authorization"
        );
        let told = summary(&[change], true);
        assert!(!format!("{told:?}").contains("hush"), "{told:?}");
    }
}
