//! `timeball schedule import` and `timeball schedule export`: crontabs and CronJobs as schedules,
//! and schedules as CronJobs.

mod cron_job;
mod crontab;

use crate::arguments::{ExportArguments, ImportArguments, ImportFormat};
use crate::error::CliError;
use crate::output;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use timeball_api::cron_job::{API_VERSION, KIND, PreciseCronJob};

/// Largest file that is read, in octets.
const OCTETS_MAX: u64 = 1024 * 1024;

/// What came of a file.
#[derive(Default)]
struct Imported {
    documents: Vec<Value>,
    /// What is not quite the same any more.
    remarks: Vec<String>,
    /// What is not there any more, and why.
    left_out: Vec<String>,
}

/// Writes the schedules of a crontab or of CronJobs as YAML; exits with 1 if something is left out.
pub(crate) fn import(arguments: &ImportArguments) -> Result<ExitCode, CliError> {
    let text = read(&arguments.file)?;
    let imported = match arguments.from {
        ImportFormat::Crontab => {
            let options = crontab::Options {
                system: arguments.system,
                zone: arguments.zone.as_deref(),
                name: &label(&arguments.file),
            };
            crontab::import(&text, &options)
        }
        ImportFormat::Cronjob => cron_jobs(&text)?,
    };
    for remark in &imported.remarks {
        output::talk(&format!("note: {remark}"));
    }
    for reason in &imported.left_out {
        output::talk(&format!("left out: {reason}"));
    }
    print(&imported.documents)?;
    Ok(if imported.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes schedules as CronJobs; exits with 1 where one of them would lose something.
pub(crate) fn export(arguments: &ExportArguments) -> Result<ExitCode, CliError> {
    let jobs: Vec<PreciseCronJob> = serde_saphyr::from_multiple(&read(&arguments.file)?)
        .map_err(|error| CliError::failed(format!("{}: {error}", arguments.file.display())))?;
    let mut documents = Vec::new();
    let mut all = true;
    for job in &jobs {
        match cron_job::export(job, &arguments.image) {
            Ok(document) => documents.push(document),
            Err(lost) => {
                all = false;
                for reason in lost {
                    output::talk(&format!("{}: would be lost: {reason}", job.metadata.name));
                }
            }
        }
    }
    print(&documents)?;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A schedule file's document.
fn document(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": { "name": name }, "spec": spec,
    })
}

fn cron_jobs(text: &str) -> Result<Imported, CliError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| CliError::failed(format!("this is no YAML: {error}")))?;
    let mut imported = Imported::default();
    for document in documents {
        let items = match document["kind"].as_str() {
            Some("List" | "CronJobList") => {
                document["items"].as_array().cloned().unwrap_or_default()
            }
            _ => vec![document],
        };
        for item in items {
            if item["kind"] == "CronJob" {
                cron_job::import(&item, &mut imported);
            }
        }
    }
    if imported.documents.is_empty() && imported.left_out.is_empty() {
        return Err(CliError::failed("the file has no document of kind CronJob")
            .hint("a crontab is read with --from crontab"));
    }
    Ok(imported)
}

fn print(documents: &[Value]) -> Result<(), CliError> {
    for (index, document) in documents.iter().enumerate() {
        let text = serde_saphyr::to_string(document)
            .map_err(|error| CliError::failed(format!("cannot be written as YAML: {error}")))?;
        let separator = if index == 0 { "" } else { "---\n" };
        output::line(&format!("{separator}{}", text.trim_end()));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, CliError> {
    let failed = |error| CliError::failed(format!("{}: {error}", path.display()));
    let mut text = String::new();
    if path == Path::new("-") {
        let read = std::io::stdin().take(OCTETS_MAX + 1).read_to_string(&mut text);
        read.map_err(failed)?;
    } else {
        let file = fs::File::open(path).map_err(failed)?;
        file.take(OCTETS_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    }
    if text.len() as u64 > OCTETS_MAX {
        return Err(CliError::failed(format!("{} is larger than 1 MiB", path.display())));
    }
    Ok(text)
}

/// A DNS label made of a file's name.
fn label(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
    let stem = stem.unwrap_or_default();
    let letters = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let label: String = letters.take(40).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "crontab".to_owned() } else { label.to_owned() }
}
