//! What a program is started with.

use super::Program;
use crate::sys::{Account, SpawnPlan};
use crate::targets::ScheduleName;
use std::collections::HashMap;
use std::ffi::{CString, OsString};
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
    let mut variables = match &program.account {
        None => inherited(std::env::vars_os()),
        Some(account) => of_account(account),
    };
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
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

/// What of our own environment a program gets.
fn inherited(ours: impl Iterator<Item = (OsString, OsString)>) -> HashMap<String, String> {
    // What is not UTF-8 cannot be meant for anything that we know of.
    ours.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !NOT_INHERITED.contains(&name.as_str()))
        .collect()
}

/// What another user's program gets instead.
fn of_account(account: &Account) -> HashMap<String, String> {
    let variables = [
        ("PATH", PATH_OF_OTHERS),
        ("HOME", &account.home),
        ("SHELL", &account.shell),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn what_a_service_manager_said_to_us_is_kept_from_programs() {
        let pair = |(name, value): (&str, &str)| (OsString::from(name), OsString::from(value));
        let ours = NOT_INHERITED.map(|name| (name, "x")).into_iter();
        let ours = ours.chain([("PATH", "/bin"), ("NOTIFY_SOCKETS", "y")]).map(pair);
        let not_text = (OsString::from("N"), OsString::from_vec(vec![0xff]));
        let expected = [("PATH", "/bin"), ("NOTIFY_SOCKETS", "y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(inherited(ours.chain([not_text])), expected.into());
    }

    #[test]
    fn another_user_has_none_of_our_variables() {
        let Ok(Some(nobody)) = crate::sys::account("nobody") else { return };
        let variables = of_account(&nobody);
        let mut names: Vec<&str> = variables.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LOGNAME", "PATH", "SHELL", "USER"]);
        assert_eq!((&*variables["USER"], &*variables["PATH"]), ("nobody", PATH_OF_OTHERS));
    }
}
