//! Kubernetes' CronJob as a schedule, and back where nothing is lost.

use super::Imported;
use crate::files;
use crate::targets::form::{RETRIES_MAX, TIMEOUT_S_MAX};
use crate::zones::Zones;
use serde_json::{Map, Value, json};
use timeball_api::cron_job::{CatchUpPolicy, ClockPolicy, ConcurrencyPolicy, PreciseCronJob, Spec};
use timeball_schedule::language::{Dialect, DstPolicy, Schedule, Zone};

/// The largest catch-up window: a CronJob has none, and one run is caught up in any case.
const WINDOW_S: i64 = 366 * 86_400;
/// What a Job has where it says nothing.
const BACKOFF_LIMIT: i64 = 6;
const KEPT: [&str; 6] = [
    "timeZone",
    "suspend",
    "startingDeadlineSeconds",
    "concurrencyPolicy",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
];

/// Turns a CronJob into a schedule of one machine; what that cannot carry is a remark.
pub(super) fn import(job: &Value, imported: &mut Imported, zones: &mut Zones) {
    let given = job["metadata"]["name"].as_str().unwrap_or("unnamed");
    // A CronJob's name may have dots.
    let name = given.replace('.', "-");
    if name != given {
        imported.remark(&format!("{given}: is called {name} here"));
    }
    let mut remarks = Vec::new();
    let converted = convert(job, &name, &mut remarks);
    remarks.iter().for_each(|remark| imported.remark(remark));
    match converted {
        Ok(mut document) => {
            if let Some(namespace) = job["metadata"]["namespace"].as_str() {
                document["metadata"]["namespace"] = json!(namespace);
            }
            imported.take(&name, document, zones);
        }
        Err(reason) => imported.leave_out(&format!("{name}: {reason}")),
    }
}

fn convert(job: &Value, name: &str, remarks: &mut Vec<String>) -> Result<Value, String> {
    let spec = &job["spec"];
    let expression = spec["schedule"].as_str().ok_or("spec.schedule is missing")?;
    Schedule::parse(expression, Dialect::Kubernetes, &Zone::utc(), None)
        .map_err(|error| format!("spec.schedule: {error}"))?;
    let job_spec = &spec["jobTemplate"]["spec"];
    let pod = &job_spec["template"]["spec"];
    let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [container] = containers else {
        return Err(format!("has {} containers; one is what `exec` can run", containers.len()));
    };
    let mut command = Vec::new();
    for part in ["command", "args"] {
        command.extend(container[part].as_array().into_iter().flatten().cloned());
    }
    if !container["command"].is_array() {
        return Err("has no command: its image's own entry point is not known here".to_owned());
    }
    let exec = exec(name, command, container, job_spec, remarks);
    drop_others(name, job, container, remarks);
    if spec["timeZone"].is_null() {
        remarks.push(format!(
            "{name}: has no timeZone; it is taken to be Etc/UTC, as most controllers run in"
        ));
    }
    let mut new = Map::new();
    new.insert("schedule".to_owned(), json!(expression));
    new.insert("dialect".to_owned(), json!("kubernetes"));
    new.insert("timeZone".to_owned(), json!("Etc/UTC"));
    for field in KEPT {
        if !spec[field].is_null() {
            new.insert(field.to_owned(), spec[field].clone());
        }
    }
    let catch_up = json!({ "policy": "Latest", "windowSeconds": WINDOW_S, "limit": 1 });
    new.insert("catchUp".to_owned(), catch_up);
    new.insert("target".to_owned(), json!({ "exec": exec }));
    Ok(super::document(name, Value::Object(new)))
}

/// The target of a container's command.
fn exec(
    name: &str,
    command: Vec<Value>,
    container: &Value,
    job_spec: &Value,
    remarks: &mut Vec<String>,
) -> Map<String, Value> {
    let mut exec = Map::new();
    exec.insert("command".to_owned(), Value::Array(command));
    if let Some(directory) = container["workingDir"].as_str() {
        exec.insert("workingDirectory".to_owned(), json!(directory));
    }
    let variables = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let literal: Vec<&Value> = variables.iter().filter(|each| each["value"].is_string()).collect();
    if literal.len() < variables.len() {
        remarks.push(format!("{name}: variables with `valueFrom` are dropped"));
    }
    if !literal.is_empty() {
        exec.insert("env".to_owned(), json!(literal));
    }
    let mut at_most = |field: &str, absent: i64, most: i64| {
        let given = job_spec[field].as_i64().unwrap_or(absent);
        if given > most {
            remarks.push(format!("{name}: {field} is {given}, and becomes {most}, the most here"));
        }
        json!(given.min(most))
    };
    let timeout = at_most("activeDeadlineSeconds", TIMEOUT_S_MAX, TIMEOUT_S_MAX);
    exec.insert("timeoutSeconds".to_owned(), timeout);
    let retries = at_most("backoffLimit", BACKOFF_LIMIT, RETRIES_MAX);
    exec.insert("retries".to_owned(), json!({ "limit": retries }));
    exec
}

/// Names the fields that the schedule cannot carry, wherever they stand.
fn drop_others(name: &str, job: &Value, container: &Value, remarks: &mut Vec<String>) {
    let spec = &job["spec"];
    let template = &spec["jobTemplate"];
    let pod = &template["spec"]["template"];
    let of_spec = [&["schedule", "jobTemplate"], &KEPT[..]].concat();
    // Names that templates give mean nothing to Kubernetes either.
    let names = ["name", "namespace"];
    for (place, value, kept) in [
        ("containers[0]", container, &["name", "command", "args", "workingDir", "env"][..]),
        ("pod", &pod["spec"], &["containers", "restartPolicy"]),
        ("pod's metadata", &pod["metadata"], &names),
        ("pod template", pod, &["metadata", "spec"]),
        ("job", &template["spec"], &["template", "activeDeadlineSeconds", "backoffLimit"]),
        ("job's metadata", &template["metadata"], &names),
        ("job template", template, &["metadata", "spec"]),
        ("spec", spec, &of_spec),
        ("metadata", &job["metadata"], &names),
    ] {
        let fields = value.as_object().into_iter().flatten();
        // Tools write `creationTimestamp: null`.
        let given = fields.filter(|(_, value)| !value.is_null()).map(|(field, _)| field.as_str());
        let dropped: Vec<&str> = given.filter(|field| !kept.contains(field)).collect();
        if !dropped.is_empty() {
            remarks.push(format!("{name}: dropped from the {place}: {}", dropped.join(", ")));
        }
    }
}

/// Turns a schedule into a CronJob that runs in `image`, or says all that would be lost.
pub(super) fn export(job: &PreciseCronJob, image: &str) -> Result<Value, Vec<String>> {
    let mut lost = Vec::new();
    let spec = &job.spec;
    let expression = expression(job, &mut lost);
    lose_policies(spec, &mut lost);
    let deadline = match (spec.starting_deadline_seconds, spec.starting_deadline_milliseconds) {
        (None, Some(millis)) if millis % 1_000 != 0 => {
            lost.push(format!(
                "startingDeadlineMilliseconds {millis}: a CronJob has whole seconds"
            ));
            None
        }
        (seconds, millis) => seconds.or(millis.map(|millis| millis / 1_000)),
    };
    let Some(exec) = &spec.target.exec else {
        lost.push("target: only `exec` can become the command of a container".to_owned());
        return Err(lost);
    };
    if exec.user.as_ref().is_some_and(|user| !user.is_empty()) {
        lost.push("target.exec.user: a container's user is a number of its image".to_owned());
    }
    if !lost.is_empty() {
        return Err(lost);
    }
    let mut container = json!({ "name": "main", "image": image, "command": exec.command });
    if let Some(directory) = &exec.working_directory {
        container["workingDir"] = json!(directory);
    }
    if !exec.env.is_empty() {
        container["env"] = json!(exec.env);
    }
    let mut new = json!({
        "schedule": expression,
        "timeZone": spec.time_zone.as_deref().unwrap_or("Etc/UTC"),
        "suspend": spec.suspend,
        "concurrencyPolicy": spec.concurrency_policy,
        "successfulJobsHistoryLimit": spec.successful_jobs_history_limit,
        "failedJobsHistoryLimit": spec.failed_jobs_history_limit,
        "jobTemplate": { "spec": {
            "activeDeadlineSeconds": exec.timeout_seconds,
            "backoffLimit": exec.retries.limit,
            "template": { "spec": { "restartPolicy": "Never", "containers": [container] } },
        } },
    });
    if let Some(seconds) = deadline {
        new["startingDeadlineSeconds"] = json!(seconds);
    }
    let metadata = json!({ "name": job.metadata.name, "namespace": job.metadata.namespace });
    Ok(json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": new }))
}

/// Says which policies a CronJob has not.
fn lose_policies(spec: &Spec, lost: &mut Vec<String>) {
    let caught_up = spec.catch_up.policy == CatchUpPolicy::Latest && spec.catch_up.limit == 1;
    for (is_lost, what) in [
        (
            spec.concurrency_policy == ConcurrencyPolicy::BufferOne,
            "concurrencyPolicy BufferOne: a CronJob has Allow, Forbid and Replace",
        ),
        (spec.pause_on_failure != 0, "pauseOnFailure: a CronJob goes on however often it fails"),
        (
            spec.jitter_milliseconds != 0,
            "jitterMilliseconds: a CronJob starts all at the full minute",
        ),
        (
            spec.clock != ClockPolicy::default(),
            "clock: a CronJob follows its controller's clock, whatever its error",
        ),
        (!caught_up, "catchUp: a CronJob catches up the latest run and no other"),
    ] {
        if is_lost {
            lost.push(what.to_owned());
        }
    }
    for (field, calendars) in [("include", &spec.include), ("exclude", &spec.exclude)] {
        if !calendars.is_empty() {
            let names: Vec<&str> = calendars.iter().map(|named| named.calendar.as_str()).collect();
            lost.push(format!("{field}: a CronJob has no calendars ({})", names.join(", ")));
        }
    }
}

/// The expression as a CronJob understands it, if it means the same there.
fn expression(job: &PreciseCronJob, lost: &mut Vec<String>) -> String {
    let spec = &job.spec;
    let (dialect, dst) = (files::dialect(spec), files::dst(spec));
    let text = &spec.schedule;
    // In UTC the rule for changes of the clocks has nothing to do, so the times alone are compared.
    let utc = Zone::utc();
    let ours = Schedule::parse(text, dialect, &utc, None);
    let theirs = Schedule::parse(text, Dialect::Kubernetes, &utc, None);
    match (ours, theirs) {
        (Err(error), _) => lost.push(format!("schedule `{text}`: {error}")),
        (Ok(_), Err(error)) => lost.push(format!("schedule `{text}`: as a CronJob's: {error}")),
        (Ok(ours), Ok(theirs)) if !ours.names_the_same_times(&theirs) => {
            lost.push(format!("schedule `{text}`: means other days in dialect kubernetes"));
        }
        _ => {}
    }
    let has_seasons = !matches!(spec.time_zone.as_deref(), None | Some("UTC" | "Etc/UTC"));
    if has_seasons && dst.unwrap_or(dialect.dst()) != DstPolicy::Kubernetes {
        lost.push(
            "dst: a CronJob skips what a change of the clocks skips, and runs twice what it repeats \
             (that is `dst: kubernetes`)"
                .to_owned(),
        );
    }
    text.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron_job() -> Value {
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": { "name": "hello" },
            "spec": {
                "schedule": "*/5 * * * *", "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": 30,
                "jobTemplate": { "spec": { "backoffLimit": 2, "activeDeadlineSeconds": 10,
                    "template": { "spec": { "restartPolicy": "Never", "containers": [
                        { "name": "main", "image": "busybox", "command": ["date"], "args": ["-u"] }
                    ] } } } },
            },
        })
    }

    #[test]
    fn a_cron_job_comes_in_and_goes_out_the_same() {
        let mut imported = Imported::default();
        import(&cron_job(), &mut imported, &mut Zones::new());
        assert_eq!(imported.left_out, Vec::<String>::new());
        let document = imported.documents.remove(0);
        assert_eq!(document["spec"]["dialect"], "kubernetes");
        assert!(imported.remarks.iter().any(|remark| remark.contains("image")));
        let typed: PreciseCronJob = serde_json::from_value(document).unwrap();
        let out = export(&typed, "busybox").unwrap();
        let (was, is) = (cron_job(), out);
        for field in ["schedule", "timeZone", "concurrencyPolicy", "startingDeadlineSeconds"] {
            assert_eq!(is["spec"][field], was["spec"][field], "{field}");
        }
        let job = &is["spec"]["jobTemplate"]["spec"];
        assert_eq!((&job["backoffLimit"], &job["activeDeadlineSeconds"]), (&json!(2), &json!(10)));
        let container = &job["template"]["spec"]["containers"][0];
        assert_eq!(container["command"], json!(["date", "-u"]));
    }

    #[test]
    fn all_that_a_schedule_cannot_carry_is_named_with_its_place() {
        let mut job = cron_job();
        job["metadata"] = json!({ "name": "hello", "creationTimestamp": null, "uid": "1" });
        job["spec"]["surprise"] = json!(1);
        let template = &mut job["spec"]["jobTemplate"];
        template["metadata"] = json!({ "name": "hello", "labels": {}, "annotations": {} });
        template["spec"]["ttlSecondsAfterFinished"] = json!(5);
        template["spec"]["template"]["metadata"] = json!({ "labels": { "a": "b" } });
        template["spec"]["template"]["spec"]["volumes"] = json!([]);
        let mut imported = Imported::default();
        import(&job, &mut imported, &mut Zones::new());
        let expected = [
            "containers[0]: image",
            "pod: volumes",
            "pod's metadata: labels",
            "job: ttlSecondsAfterFinished",
            "job's metadata: annotations, labels",
            "spec: surprise",
            "metadata: uid",
        ];
        let expected = expected.map(|what| format!("hello: dropped from the {what}"));
        assert_eq!(imported.remarks, expected);
    }

    #[test]
    fn an_export_says_all_that_would_be_lost() {
        let mut document = super::super::document(
            "tick",
            json!({
                "schedule": "*/0.5 * * * * *", "timeZone": "Europe/Berlin", "jitterMilliseconds": 5,
                "concurrencyPolicy": "BufferOne", "startingDeadlineMilliseconds": 500,
                "exclude": [{ "calendar": "holidays" }],
                "target": { "exec": { "command": ["true"] } },
            }),
        );
        let typed = |document: &Value| serde_json::from_value(document.clone()).unwrap();
        let lost = export(&typed(&document), "busybox").unwrap_err().join("\n");
        for part in
            ["fields", "BufferOne", "jitter", "Milliseconds 500", "dst: kubernetes", "holidays"]
        {
            assert!(lost.contains(part), "{part} in {lost}");
        }
        document["spec"] =
            json!({ "schedule": "0 0 */2 * MON", "target": { "exec": { "command": ["true"] } } });
        let lost = export(&typed(&document), "busybox").unwrap_err();
        assert!(lost[0].contains("other days"), "{lost:?}");
    }

    #[test]
    fn a_cron_job_that_exec_cannot_run_is_left_out() {
        let mut job = cron_job();
        job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"] = json!([{}, {}]);
        let mut imported = Imported::default();
        import(&job, &mut imported, &mut Zones::new());
        assert!(imported.left_out[0].contains("2 containers"), "{:?}", imported.left_out);
    }
}
