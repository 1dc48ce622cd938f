//! crontab(5) files as schedules.

use super::Imported;
use crate::targets::form::TIMEOUT_S_MAX;
use crate::zones::Zones;
use serde_json::{Map, Value, json};
use timeball_schedule::language::{Dialect, Schedule, Zone};

/// Longest file, in lines.
const LINES_MAX: usize = 10_000;

/// How a crontab is read.
#[derive(Clone, Copy, Debug)]
pub struct CrontabOptions<'o> {
    /// Whether a user stands before the command, as in /etc/crontab.
    pub system: bool,
    /// The IANA zone of the times where the file has no `CRON_TZ`; `None` where nobody said.
    pub zone: Option<&'o str>,
    /// What the schedules' names begin with, a DNS label of at most 40 octets; the number of the
    /// entry's line follows.
    pub name: &'o str,
}

/// What lines above set.
struct Environment {
    shell: String,
    zone: Option<String>,
    directory: Option<String>,
    variables: Vec<(String, String)>,
}

/// Turns each entry into a schedule; what cannot be one is left out with its reason.
pub(super) fn import(text: &str, options: &CrontabOptions<'_>, zones: &mut Zones) -> Imported {
    let mut imported = Imported::default();
    let mut environment = Environment {
        shell: "/bin/sh".to_owned(),
        zone: options.zone.map(str::to_owned),
        directory: None,
        variables: Vec::new(),
    };
    let (mut without_directory, mut without_path) = (false, false);
    for (index, line) in text.lines().enumerate() {
        if index == LINES_MAX {
            imported.leave_out(&format!("lines after {LINES_MAX}: a crontab has no more"));
            break;
        }
        let (number, line) = (index + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = variable(line) {
            match name {
                "SHELL" => environment.shell = value,
                "CRON_TZ" => environment.zone = Some(value),
                "MAILTO" | "MAILFROM" => imported.remark(&format!(
                    "line {number}: {name} is dropped: output is kept in the history, not mailed"
                )),
                "RANDOM_DELAY" => imported.remark(&format!(
                    "line {number}: RANDOM_DELAY is dropped: use `jitterMilliseconds`"
                )),
                _ => {
                    if name == "HOME" {
                        environment.directory = Some(value.clone());
                    }
                    environment.variables.retain(|(known, _)| known != name);
                    environment.variables.push((name.to_owned(), value));
                }
            }
            continue;
        }
        match entry(line, number, &environment, options) {
            Ok(document) => {
                without_directory |= environment.directory.is_none();
                without_path |= !environment.variables.iter().any(|(name, _)| name == "PATH");
                imported.take(&format!("line {number}"), document, zones);
            }
            Err(reason) => imported.leave_out(&format!("line {number}: {reason}")),
        }
    }
    if !imported.documents.is_empty() && environment.zone.is_none() {
        imported.remark(
            "the times are taken to be in Etc/UTC, and cron took them in the machine's own zone: \
             give --tz ZONE",
        );
    }
    if without_directory {
        imported.remark(
            "where no HOME is set cron began commands in their user's home directory, and they \
             begin in `/` here: set HOME in the crontab, or `workingDirectory`",
        );
    }
    if without_path {
        imported.remark(
            "where no PATH is set cron had PATH=/usr/bin:/bin, and it is that of `up` here: set \
             PATH in the crontab, or `env`",
        );
    }
    imported
}

/// `NAME = value`, with or without quotes.
fn variable(line: &str) -> Option<(&str, String)> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    sound.then(|| (name, value.to_owned()))
}

fn entry(
    line: &str,
    number: usize,
    environment: &Environment,
    options: &CrontabOptions<'_>,
) -> Result<Value, String> {
    // cronie's `-` only keeps the run out of the system's log.
    let line = line.strip_prefix('-').unwrap_or(line);
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let (expression, rest) = split(line, fields).ok_or("no command follows the schedule")?;
    let (user, command) = match options.system {
        false => (None, rest),
        true => {
            let (user, command) = split(rest, 1).ok_or("no command follows the user")?;
            (Some(user), command)
        }
    };
    Schedule::parse(&expression, Dialect::Vixie, &Zone::utc(), None)
        .map_err(|error| format!("{error} (in `{expression}`)"))?;
    let command = unescape(command)?;
    let mut exec = Map::new();
    exec.insert("command".to_owned(), json!([environment.shell, "-c", command]));
    // cron has no limit, and this is the largest here.
    exec.insert("timeoutSeconds".to_owned(), json!(TIMEOUT_S_MAX));
    if let Some(directory) = &environment.directory {
        exec.insert("workingDirectory".to_owned(), json!(directory));
    }
    if let Some(user) = user {
        exec.insert("user".to_owned(), json!(user));
    }
    if !environment.variables.is_empty() {
        let variables = environment.variables.iter();
        let variables: Vec<Value> =
            variables.map(|(name, value)| json!({ "name": name, "value": value })).collect();
        exec.insert("env".to_owned(), Value::Array(variables));
    }
    let zone = environment.zone.as_deref().unwrap_or("Etc/UTC");
    Ok(super::document(
        &format!("{}-{number}", options.name),
        // cron does not run what it missed while it was off.
        json!({
            "schedule": expression,
            "timeZone": zone,
            "catchUp": { "policy": "None" },
            "target": { "exec": exec },
        }),
    ))
}

/// The first words, joined by one space, and what stands behind them.
fn split(text: &str, words: usize) -> Option<(String, &str)> {
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    for _ in 0..words {
        let (word, tail) = rest.split_once([' ', '\t'])?;
        found.push(word);
        rest = tail.trim_start();
    }
    (!rest.is_empty()).then(|| (found.join(" "), rest))
}

/// `\%` is a percent sign; a plain one would begin the command's standard input.
fn unescape(command: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(command.len());
    let mut before = ' ';
    for c in command.chars() {
        if c == '%' {
            if before != '\\' {
                return Err("`%` gives the command a standard input, which `exec` has not; \
                    write it as a pipe (printf … | command)"
                    .to_owned());
            }
            plain.pop();
        }
        plain.push(c);
        before = c;
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(text: &str, system: bool) -> Imported {
        let zone = Some("Europe/Berlin");
        super::import(text, &CrontabOptions { system, zone, name: "crontab" }, &mut Zones::new())
    }

    #[test]
    fn entries_become_schedules_with_the_lines_above_them() {
        let text = "# backups\nSHELL=/bin/bash\nPATH=/usr/bin:/bin\nMAILTO=root\n\n\
            30 2 * * mon-fri  backup --to 'a b'\n@daily date +\\%F\n";
        let imported = import(text, false);
        assert_eq!(imported.left_out, Vec::<String>::new());
        assert_eq!(imported.documents.len(), 2);
        let first = &imported.documents[0];
        assert_eq!(first["metadata"]["name"], "crontab-6");
        assert_eq!(first["spec"]["schedule"], "30 2 * * mon-fri");
        assert_eq!(first["spec"]["timeZone"], "Europe/Berlin");
        let exec = &first["spec"]["target"]["exec"];
        assert_eq!(exec["command"], json!(["/bin/bash", "-c", "backup --to 'a b'"]));
        assert_eq!(exec["env"], json!([{ "name": "PATH", "value": "/usr/bin:/bin" }]));
        let second = &imported.documents[1]["spec"]["target"]["exec"]["command"][2];
        assert_eq!(second, "date +%F");
        assert!(imported.remarks[0].contains("MAILTO"), "{:?}", imported.remarks);
        let typed: timeball_api::cron_job::PreciseCronJob =
            serde_json::from_value(first.clone()).unwrap();
        assert_eq!(typed.metadata.name, "crontab-6");
    }

    #[test]
    fn what_cron_gives_by_itself_and_we_do_not_is_said() {
        let said = |text| {
            let remarks = import(text, false).remarks;
            ["HOME", "PATH"].map(|name| remarks.iter().any(|remark| remark.contains(name)))
        };
        assert_eq!(said("* * * * * true\n"), [true, true]);
        assert_eq!(said("HOME=/srv\n* * * * * true\nPATH=/bin\n"), [false, true]);
        assert_eq!(said("HOME=/srv\nPATH=/bin\n* * * * * true\n"), [false, false]);
        assert_eq!(said("# nothing\n61 * * * * true\n"), [false, false]);
    }

    #[test]
    fn a_system_crontab_has_users() {
        let imported = import("17 * * * * root cd / && run-parts x\n", true);
        let exec = &imported.documents[0]["spec"]["target"]["exec"];
        assert_eq!(
            (&exec["user"], &exec["command"][2]),
            (&json!("root"), &json!("cd / && run-parts x"))
        );
    }

    #[test]
    fn what_cannot_be_a_schedule_is_left_out_with_its_reason() {
        let text = "@reboot start\n61 * * * * x\n* * * * *\n* * * * * mail%hello\n";
        let imported = import(text, false);
        assert!(imported.documents.is_empty());
        for (line, part) in
            [(0, "@reboot"), (1, "out of range"), (2, "no command"), (3, "standard input")]
        {
            assert!(imported.left_out[line].contains(part), "{:?}", imported.left_out);
        }
    }
}
