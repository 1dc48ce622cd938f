//! Others' forms of schedules: crontab(5) files and Kubernetes' CronJobs become schedule files, and
//! schedules become CronJobs where nothing is lost.
//!
//! What is imported has been through the check of every schedule file, so that `up` takes it, save
//! for what its own machine lacks: a program, a user, a directory.

mod cron_job;
mod crontab;
mod references;

pub use crontab::CrontabOptions;

use crate::files::{self, Document};
use crate::zones::Zones;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use thiserror::Error;
use timeball_api::cron_job::{API_VERSION, KIND, PreciseCronJob};

/// What came of a file of others.
#[derive(Debug, Default)]
pub struct Imported {
    /// Schedules, each as the document of a schedule file.
    pub documents: Vec<Value>,
    /// What is not quite the same any more, a sentence each.
    pub remarks: Vec<String>,
    /// What is not there any more, and why, a sentence each.
    pub left_out: Vec<String>,
    /// Namespaces and names of the schedules.
    names: BTreeSet<(String, String)>,
}

/// What came of schedules that were to become CronJobs.
#[derive(Debug, Default)]
pub struct Exported {
    /// The CronJobs.
    pub documents: Vec<Value>,
    /// What would be lost of the schedules that became none, a sentence each.
    pub lost: Vec<String>,
}

/// Why a file of others is none.
#[derive(Debug, Error)]
pub enum ForeignError {
    /// Its text is no YAML, or no schedule file.
    #[error("{0}")]
    Syntax(String),
    /// It holds other things.
    #[error("the file has no document of kind CronJob")]
    NoCronJob,
}

/// Reads a crontab(5) file: each entry becomes a schedule, or is left out with its reason.
///
/// `zones` are those of the machine that checks the result.
pub fn import_crontab(text: &str, options: &CrontabOptions<'_>, zones: &mut Zones) -> Imported {
    crontab::import(text, options, zones)
}

/// Reads Kubernetes' CronJobs, in YAML or JSON, alone or in a list: each becomes a schedule of one
/// machine, or is left out with its reason.
///
/// # Errors
/// Where the text is no YAML, or holds no CronJob.
pub fn import_cron_jobs(text: &str, zones: &mut Zones) -> Result<Imported, ForeignError> {
    let documents = files::parse_foreign(text).map_err(|error| {
        let why = files::escape_control(&error.to_string());
        ForeignError::Syntax(format!("this cannot be read as YAML: {why}"))
    })?;
    let mut imported = Imported::default();
    for document in &documents {
        let items = match document["kind"].as_str() {
            Some("List" | "CronJobList") => document["items"].as_array().map(Vec::as_slice),
            _ => Some(std::slice::from_ref(document)),
        };
        for job in items.unwrap_or_default().iter().filter(|item| item["kind"] == "CronJob") {
            cron_job::import(job, &mut imported, zones);
        }
    }
    if imported.documents.is_empty() && imported.left_out.is_empty() {
        return Err(ForeignError::NoCronJob);
    }
    Ok(imported)
}

/// Makes CronJobs, which run in containers of `image`, of the schedules of a file; of each that
/// would lose something it says what.
///
/// # Errors
/// Where the text is no schedule file.
pub fn export_cron_jobs(text: &str, image: &str) -> Result<Exported, ForeignError> {
    let documents = files::parse(text).map_err(|error| ForeignError::Syntax(error.to_string()))?;
    let mut exported = Exported::default();
    for document in &documents {
        let Document::Schedule(job) = document else { continue };
        match cron_job::export(job, image) {
            Ok(document) => exported.documents.push(document),
            Err(lost) => {
                let name = &job.metadata.name;
                let lost = lost.into_iter().map(|what| format!("{name}: would be lost: {what}"));
                exported.lost.extend(lost.map(|what| files::escape_control(&what)));
            }
        }
    }
    Ok(exported)
}

/// Writes documents as one YAML file.
pub fn to_yaml(documents: &[Value]) -> String {
    let texts = documents.iter().map(|document| {
        serde_saphyr::to_string(document).expect("JSON values can be written as YAML")
    });
    texts.collect::<Vec<_>>().join("---\n")
}

impl Imported {
    fn remark(&mut self, text: &str) {
        self.remarks.push(files::escape_control(text));
    }

    fn leave_out(&mut self, text: &str) {
        self.left_out.push(files::escape_control(text));
    }

    /// Takes a schedule that `up` would take, from a place such as `line 7`.
    fn take(&mut self, place: &str, document: Value, zones: &mut Zones) {
        let job: PreciseCronJob = match serde_json::from_value(document.clone()) {
            Ok(job) => job,
            Err(error) => return self.leave_out(&format!("{place}: {error}")),
        };
        match files::check(&job, zones) {
            Ok(()) => {}
            Err(error) if error.is_of_this_machine() => {
                self.remark(&format!("{place}: this machine would refuse it: {error}"));
            }
            Err(error) => return self.leave_out(&format!("{place}: {error}")),
        }
        if self.names.insert((job.metadata.namespace, job.metadata.name)) {
            self.documents.push(document);
        } else {
            self.leave_out(&format!("{place}: is there twice; give one of them another name"));
        }
    }
}

/// A schedule file's document.
fn document(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": { "name": name }, "spec": spec,
    })
}
