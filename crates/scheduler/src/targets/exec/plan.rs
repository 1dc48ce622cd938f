//! What a program is started with.

use super::Program;
use crate::sys::SpawnPlan;
use crate::targets::ScheduleName;
use std::collections::HashMap;
use std::ffi::CString;
use timeball_schedule::FireId;

/// Variables of ours that would mislead a program: they speak to the process that a service manager
/// started.
const NOT_INHERITED: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
];
/// The path of another user's programs, since ours may have directories that are none of theirs.
const PATH_OF_OTHERS: &str = "/usr/local/bin:/usr/bin:/bin";

/// Encodes everything that the program of one fire gets.
pub(super) fn spawn_plan(fire: FireId, name: &ScheduleName, program: &Program) -> SpawnPlan {
    let mut variables: HashMap<String, String> = HashMap::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    match &program.account {
        None => {
            for (name, value) in std::env::vars_os() {
                // What is not UTF-8 cannot be meant for anything that we know of.
                if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
                    && !NOT_INHERITED.contains(&name)
                {
                    set(name, value);
                }
            }
        }
        Some(account) => {
            set("PATH", PATH_OF_OTHERS);
            set("HOME", &account.home);
            set("SHELL", &account.shell);
            set("USER", &account.name);
            set("LOGNAME", &account.name);
        }
    }
    for (name, value) in &program.variables {
        set(name, value);
    }
    set("TIMEBALL_FIRE_ID", &fire.to_string());
    set("TIMEBALL_SCHEDULED_AT", &fire.nominal().to_string());
    set("TIMEBALL_TRIGGER", fire.trigger().name());
    set("TIMEBALL_SCHEDULE", &name.to_string());
    let environment = variables
        .into_iter()
        // A file with a null octet in a variable was refused, and the system has none.
        .filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok())
        .collect();
    SpawnPlan {
        path: program.path.clone(),
        arguments: program.arguments.clone(),
        environment,
        directory: program.directory.clone(),
        account: program.account.clone(),
        passed: None,
    }
}
