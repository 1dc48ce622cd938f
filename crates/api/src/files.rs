//! What becomes of schedule files: problems, changes and the last of these
//! (`GET /v1/schedules/changes`, `POST /v1/schedules/reload`, and a part of `GET /v1/schedules`).

use serde::{Deserialize, Serialize};

/// A schedule file that could not be taken.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileProblem {
    /// The file's path.
    pub file: String,
    /// What is wrong, where, and how to mend it.
    pub message: String,
}

/// What the schedule files hold that is not in force (`GET /v1/schedules/changes`), or what a
/// reload has changed (`POST /v1/schedules/reload`).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileChanges {
    /// Schedules that are new, changed or gone, by name.
    pub changes: Vec<FileChange>,
    /// What is wrong with the files; while there is anything new, nothing is taken up.
    pub problems: Vec<FileProblem>,
    /// Whether the changes are in force now.
    pub applied: bool,
}

/// One schedule that is new, changed or gone.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileChange {
    /// `added`, `changed` or `removed`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The fields that differ, of a changed one.
    pub fields: Vec<FieldChange>,
}

/// A field that differs.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldChange {
    /// Its path, such as `spec.timeZone`.
    pub field: String,
    /// Its value in force, as JSON; empty where it has none.
    pub before: String,
    /// Its value in the file, as JSON; empty where it has none.
    pub after: String,
}

/// What came of a change of the schedule files.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reload {
    /// When, ns since 1970.
    pub at_ns: i64,
    /// Whether the changes are in force; where not, `problems` beside it says why, and the
    /// schedules go on as they were.
    pub applied: bool,
    /// Schedules that are new, changed or gone, by name; at most twenty. Values of fields below
    /// `spec.target`, which may be secret, are left empty.
    pub changes: Vec<FileChange>,
    /// How many changed.
    pub count: u64,
}
