//! `timeball schedule import` and `timeball schedule export`: crontabs and CronJobs as schedules,
//! and schedules as CronJobs.

use crate::arguments::{ExportArguments, ImportArguments, ImportFormat};
use crate::error::CliError;
use crate::output;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use timeball_scheduler::Zones;
use timeball_scheduler::foreign::{
    self, CrontabOptions, ForeignError, export_cron_jobs, import_cron_jobs, import_crontab,
};

/// Largest file that is read, in octets.
const OCTETS_MAX: u64 = 1024 * 1024;

/// Writes the schedules of a crontab or of CronJobs as YAML; exits with 1 if something is left out.
pub(crate) fn import(arguments: &ImportArguments) -> Result<ExitCode, CliError> {
    let text = read(&arguments.file)?;
    let mut zones = Zones::new();
    let format = arguments.from.unwrap_or_else(|| format_of(&text));
    let imported = match format {
        ImportFormat::Crontab => {
            let options = CrontabOptions {
                system: arguments.system || is_of_the_system(&arguments.file),
                zone: arguments.zone.as_deref(),
                name: &label(&arguments.file),
            };
            import_crontab(&text, &options, &mut zones)
        }
        ImportFormat::Cronjob => import_cron_jobs(&text, &mut zones)
            .map_err(|error| not_read(&arguments.file, &error))?,
    };
    for remark in &imported.remarks {
        output::talk(&format!("note: {remark}"));
    }
    for reason in &imported.left_out {
        output::talk(&format!("left out: {reason}"));
    }
    if imported.documents.is_empty() && imported.left_out.is_empty() {
        output::talk(&format!("note: {} has no entry", arguments.file.display()));
    }
    print(&imported.documents);
    Ok(if imported.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes schedules as CronJobs; exits with 1 where one of them would lose something.
pub(crate) fn export(arguments: &ExportArguments) -> Result<ExitCode, CliError> {
    let text = read(&arguments.file)?;
    let exported = export_cron_jobs(&text, &arguments.image)
        .map_err(|error| not_read(&arguments.file, &error))?;
    for lost in &exported.lost {
        output::talk(lost);
    }
    print(&exported.documents);
    Ok(if exported.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a file is whose form nobody said.
fn format_of(text: &str) -> ImportFormat {
    let has_version = |line: &str| {
        let line = line.trim_start_matches([' ', '\t', '-', '{', '"', '[']);
        line.strip_prefix("apiVersion").is_some_and(|rest| rest.starts_with([':', '"', ' ']))
    };
    if text.lines().any(has_version) { ImportFormat::Cronjob } else { ImportFormat::Crontab }
}

/// Whether the entries of a crontab in that place name a user.
fn is_of_the_system(path: &Path) -> bool {
    path == Path::new("/etc/crontab") || path.parent() == Some(Path::new("/etc/cron.d"))
}

fn print(documents: &[Value]) {
    if !documents.is_empty() {
        output::line(foreign::to_yaml(documents).trim_end());
    }
}

fn not_read(path: &Path, error: &ForeignError) -> CliError {
    let failed = CliError::failed(format!("{}: {error}", path.display()));
    match error {
        ForeignError::NoCronJob => failed.hint("a crontab is read with --from crontab"),
        ForeignError::Syntax(_) => failed,
    }
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
    // Editors of other systems begin a file with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_for_what_it_looks_like() {
        for (text, is_cron_job) in [
            ("*/5 * * * * echo apiVersion: 1\n", false),
            ("# kind: CronJob\n@daily true\n", false),
            ("---\napiVersion: batch/v1\nkind: CronJob\n", true),
            ("- apiVersion: batch/v1\n", true),
            ("{\"apiVersion\":\"v1\",\"kind\":\"List\"}", true),
        ] {
            let is = matches!(format_of(text), ImportFormat::Cronjob);
            assert_eq!(is, is_cron_job, "{text}");
        }
        assert!(is_of_the_system(Path::new("/etc/cron.d/backup")));
        assert!(!is_of_the_system(Path::new("crontab")));
    }
}
