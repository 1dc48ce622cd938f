//! Others' files become schedules that a real `up` takes, and go out again as what they were.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking and says so")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Liar, Lie, Scratch, Up, run, stdout};

/// `schedule import` of a file, into the schedules directory.
fn import(scratch: &Scratch, name: &str, text: &str, options: &[&str]) -> String {
    let (from, to) = (scratch.join(name), scratch.join(&format!("files/{name}.yaml")));
    std::fs::write(&from, text).unwrap();
    std::fs::create_dir_all(scratch.join("files")).unwrap();
    let imported = stdout(&[&["schedule", "import", &from], options].concat());
    std::fs::write(&to, imported).unwrap();
    to
}

/// Starts `up` on the imported files.
fn start(scratch: &Scratch, source: &Liar) -> Up {
    let options = ["--source", &source.address(), "--schedules", &scratch.join("files")];
    Up::start(&scratch.join("state"), &options)
}

/// The schedules in force, by name.
fn in_force(up: &Up) -> Vec<Value> {
    let all = up.ask(&["schedule", "list"]);
    assert_eq!(all["problems"], json!([]));
    all["schedules"].as_array().unwrap().clone()
}

/// The one outcome that a schedule has, once it is there.
fn outcome(up: &Up, name: &str) -> Value {
    let start = Instant::now();
    loop {
        let history = up.ask(&["schedule", "history", name]);
        match history["outcomes"].as_array().unwrap().first() {
            Some(outcome) => return outcome.clone(),
            None => assert!(start.elapsed() < Duration::from_secs(20), "{history}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The instants that `schedule next` gives after the start of 2027.
fn next(expression: &str, zone: &str, dialect: &str) -> Vec<Value> {
    let command = ["schedule", "next", expression, "--tz", zone, "--dialect", dialect];
    let options = ["--after", "2027-01-01T00:00:00Z", "-n", "5", "--output", "json"];
    let next: Value = serde_json::from_str(&stdout(&[&command[..], &options].concat())).unwrap();
    let instants = next.as_array().unwrap();
    assert_eq!(instants.len(), 5, "{next}");
    instants.clone()
}

#[test]
fn a_crontab_runs_as_schedules_and_an_export_says_what_would_be_lost() {
    let (scratch, source) = (Scratch::new("crontab"), Liar::start(Lie::default()));
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout);
    // Only root may run programs as a user, so others read the form without one.
    let is_root = user.unwrap().trim() == "root";
    let (user, form) = if is_root { ("root ", &["--system"][..]) } else { ("", &[][..]) };
    let text = format!(
        "# of this machine\nSHELL=/bin/sh\nGREETING=\"good morning\"\nCRON_TZ=Europe/Berlin\n\n\
         17 3 1 jan * {user}echo \"$GREETING, $TIMEBALL_TRIGGER, 100\\%\"\n\
         CRON_TZ=Etc/UTC\n*/20 * * * * {user}true\n"
    );
    let file = import(&scratch, "crontab", &text, &[&["--from", "crontab"], form].concat());
    let up = start(&scratch, &source);
    let schedules = in_force(&up);
    let of = |name: &str| schedules.iter().find(|one| one["name"] == name).unwrap();
    let (morning, often) = (of("crontab-6"), of("crontab-8"));
    assert_eq!(
        (&morning["schedule"], &morning["time_zone"]),
        (&json!("17 3 1 jan *"), &json!("Europe/Berlin"))
    );
    assert_eq!(
        (&often["schedule"], &often["time_zone"]),
        (&json!("*/20 * * * *"), &json!("Etc/UTC"))
    );

    // The command runs as cron would run it: by the shell, with the variables, as the user.
    up.ask(&["schedule", "run", "crontab-6", "--yes"]);
    let outcome = outcome(&up, "crontab-6");
    assert_eq!(outcome["result"], "fired", "{outcome}");
    let message = outcome["message"].as_str().unwrap();
    assert!(message.contains("good morning, manual, 100%"), "{outcome}");

    // A CronJob has no user and another rule for changes of the clocks: said, and not done.
    let output = run(&["schedule", "export", &file, "--image", "busybox"]);
    let lost = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{lost}");
    assert!(output.stdout.is_empty());
    for (part, is_said) in [
        ("crontab-6: would be lost: target.exec.user", is_root),
        ("dst: kubernetes", true),
        ("catchUp", true),
    ] {
        assert_eq!(lost.contains(part), is_said, "{part} in {lost}");
    }
}

const CRON_JOB: &str = "apiVersion: batch/v1
kind: CronJob
metadata:
  { name: report, namespace: accounts, labels: { app: report }, annotations: { owner: ada } }
spec:
  schedule: '30 6 */2 * MON'
  timeZone: America/New_York
  suspend: true
  concurrencyPolicy: Replace
  startingDeadlineSeconds: 200
  successfulJobsHistoryLimit: 5
  failedJobsHistoryLimit: 2
  jobTemplate:
    spec:
      backoffLimit: 3
      template:
        spec:
          restartPolicy: Never
          activeDeadlineSeconds: 90
          containers:
            - name: main
              image: busybox
              workingDir: /tmp
              command: [echo]
              args: [hello, 'a $(LEVEL) b']
              env: [{ name: LEVEL, value: '7' }]
";

#[test]
fn a_cron_job_comes_in_is_taken_by_up_and_goes_out_with_the_same_meaning() {
    let (scratch, source) = (Scratch::new("cronjob"), Liar::start(Lie::default()));
    let file = import(&scratch, "report", CRON_JOB, &["--from", "cronjob"]);
    let up = start(&scratch, &source);
    let schedules = in_force(&up);
    assert_eq!(schedules.len(), 1);
    let report = &schedules[0];
    assert_eq!((&report["namespace"], &report["name"]), (&json!("accounts"), &json!("report")));
    assert_eq!(report["suspended"], true);
    up.ask(&["schedule", "run", "accounts/report", "--yes"]);
    let outcome = outcome(&up, "accounts/report");
    assert_eq!(outcome["result"], "fired", "{outcome}");
    assert!(outcome["message"].as_str().unwrap().contains("hello a 7 b"), "{outcome}");

    let before: Value = yaml(CRON_JOB);
    let exported = stdout(&["schedule", "export", &file, "--image", "busybox"]);
    let after: Value = yaml(&exported);
    assert_eq!(after["metadata"], before["metadata"]);
    let (mut was, is) = (before["spec"].clone(), &after["spec"]);
    // Command and arguments are one list now, with the variable's value: a container runs it alike.
    let container = &mut was["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    container.as_object_mut().unwrap().remove("args");
    container["command"] = json!(["echo", "hello", "a 7 b"]);
    assert_eq!(*is, was);

    // Either day, as Kubernetes means it: every second day of the month, and Mondays.
    let meant = next("30 6 */2 * MON", "America/New_York", "kubernetes");
    assert_ne!(meant, next("30 6 */2 * MON", "America/New_York", "vixie"));
    let again = import(&scratch, "again", &exported, &["--from", "cronjob"]);
    assert_eq!(std::fs::read_to_string(again).unwrap(), std::fs::read_to_string(file).unwrap());
}

#[test]
fn files_of_other_systems_and_files_without_an_entry_are_read_for_what_they_are() {
    let scratch = Scratch::new("marks");
    let read = |text: &str| {
        let file = scratch.join("given");
        std::fs::write(&file, text).unwrap();
        let output = run(&["schedule", "import", &file]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        (String::from_utf8(output.stdout).unwrap(), said)
    };
    // A byte order mark, and lines that end as on Windows.
    let (crontab, _) = read("\u{feff}0 4 * * * /bin/true\r\n5 4 * * * /bin/true\r\n");
    let names = ["name: given-1", "name: given-2", "- /bin/true\n"];
    assert!(names.iter().all(|name| crontab.contains(name)), "{crontab}");
    let marked = format!("\u{feff}{}", CRON_JOB.replace('\n', "\r\n"));
    let (cron_job, _) = read(&marked);
    assert_eq!(yaml(&cron_job)["metadata"]["name"], "report");
    for nothing in ["", "# nothing yet\nPATH=/bin\n"] {
        let (written, said) = read(nothing);
        assert_eq!((written.as_str(), said.contains("has no entry")), ("", true), "{said}");
    }
}
