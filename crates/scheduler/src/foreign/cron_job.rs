//! Kubernetes' CronJob as a schedule, and back where nothing is lost.

use super::Imported;
use super::references::{References, escaped};
use crate::files;
use crate::targets::form::{RETRIES_MAX, TIMEOUT_S_MAX};
use crate::zones::Zones;
use serde_json::{Map, Value, json};
use timeball_api::cron_job::{
    CatchUpPolicy, ClockPolicy, ConcurrencyPolicy, EnvVar, PreciseCronJob, Spec,
};
use timeball_schedule::language::{Dialect, DstPolicy, Schedule, Zone};

/// The largest catch-up window: a CronJob has none, and one run is caught up in any case.
const WINDOW_S: i64 = files::YEAR_S;
/// What only kubectl reads: the manifest itself once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The shortest deadline that Kubernetes advises: its controller once looked every 10 s.
const DEADLINE_S_MIN: i64 = 10;
/// What a CronJob calls our BufferOne.
const FORBID: &str = "Forbid";
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
            for field in ["namespace", "labels", "annotations"] {
                if !job["metadata"][field].is_null() {
                    document["metadata"][field] = job["metadata"][field].clone();
                }
            }
            let annotations = document.pointer_mut("/metadata/annotations");
            if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
                annotations.remove(LAST_APPLIED);
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
    if !container["command"].is_array() {
        return Err("has no command: its image's own entry point is not known here".to_owned());
    }
    let mut exec = exec(name, container, remarks)?;
    limit(name, job_spec, &mut exec, remarks);
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
            new.insert(field.to_owned(), kept(name, field, &spec[field], remarks));
        }
    }
    let catch_up = json!({ "policy": "Latest", "windowSeconds": WINDOW_S, "limit": 1 });
    new.insert("catchUp".to_owned(), catch_up);
    new.insert("target".to_owned(), json!({ "exec": exec }));
    Ok(super::document(name, Value::Object(new)))
}

/// A field of a CronJob as ours, with the same meaning.
fn kept(name: &str, field: &str, value: &Value, remarks: &mut Vec<String>) -> Value {
    let most = match field {
        // The controller starts the latest instant that came during a run when that ends, as long
        // as its deadline allows.
        "concurrencyPolicy" if value == FORBID => return json!(ConcurrencyPolicy::BufferOne),
        "startingDeadlineSeconds" => files::YEAR_S,
        "successfulJobsHistoryLimit" | "failedJobsHistoryLimit" => files::DETAILS_MAX,
        _ => return value.clone(),
    };
    match value.as_i64().filter(|given| *given > most) {
        None => value.clone(),
        Some(given) => {
            remarks.push(format!("{name}: {field} is {given}, and becomes {most}, the most here"));
            json!(most)
        }
    }
}

/// The target of a container's command, without its limits.
fn exec(
    name: &str,
    container: &Value,
    remarks: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let mut references = References::default();
    let variables = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut literal, mut dropped) = (Vec::new(), Vec::new());
    for variable in variables {
        let of = variable["name"].as_str().unwrap_or_default();
        let is_literal = variable["valueFrom"].is_null();
        let Some(value) = variable["value"].as_str().or(is_literal.then_some("")) else {
            dropped.push(of);
            continue;
        };
        let value = references.replace(value)?;
        references.define(of, &value);
        let mut variable = variable.clone();
        variable["value"] = json!(value);
        literal.push(variable);
    }
    if !dropped.is_empty() {
        let dropped = dropped.join(", ");
        remarks.push(format!("{name}: variables with `valueFrom` are dropped: {dropped}"));
    }
    let mut command = Vec::new();
    for part in ["command", "args"] {
        for word in container[part].as_array().into_iter().flatten() {
            // What is no text is refused where the schedule is checked.
            command.push(match word.as_str() {
                Some(text) => json!(references.replace(text)?),
                None => word.clone(),
            });
        }
    }
    for unknown in &references.unknown {
        remarks.push(format!(
            "{name}: $({unknown}) stays as it is: no variable of the container has that name and \
             a value"
        ));
    }
    let mut exec = Map::new();
    exec.insert("command".to_owned(), Value::Array(command));
    // Where a container names none, it is its image's; here it is always this one.
    let directory = container["workingDir"].as_str().unwrap_or("/");
    exec.insert("workingDirectory".to_owned(), json!(directory));
    if !literal.is_empty() {
        exec.insert("env".to_owned(), json!(literal));
    }
    Ok(exec)
}

/// Adds how long each try may take, and how many there are.
///
/// A pod that is never restarted is one try, so its `activeDeadlineSeconds` is our limit. That of
/// the Job is one of all tries together, which there is none of here.
fn limit(name: &str, job_spec: &Value, exec: &mut Map<String, Value>, remarks: &mut Vec<String>) {
    let pod = &job_spec["template"]["spec"];
    let given = [&job_spec["activeDeadlineSeconds"], &pod["activeDeadlineSeconds"]];
    let [of_job, of_pod] = given.map(Value::as_i64);
    let is_restarted = pod["restartPolicy"] == "OnFailure";
    let of_try = of_pod.filter(|_| !is_restarted);
    let of_all = [of_job, of_pod.filter(|_| is_restarted)].into_iter().flatten().min();

    let mut at_most = |what: &str, given: i64, most: i64| {
        if given > most {
            remarks.push(format!("{name}: {what} is {given}, and becomes {most}, the most here"));
        }
        given.min(most)
    };
    let limit = of_try.into_iter().chain(of_all).min().unwrap_or(TIMEOUT_S_MAX);
    let limit = at_most("activeDeadlineSeconds", limit, TIMEOUT_S_MAX);
    let retries = job_spec["backoffLimit"].as_i64().unwrap_or(BACKOFF_LIMIT);
    let retries = at_most("backoffLimit", retries, RETRIES_MAX);
    let tries = retries.saturating_add(1);
    if let Some(all) = of_all.filter(|all| tries.saturating_mul(limit) > *all) {
        remarks.push(format!(
            "{name}: activeDeadlineSeconds limits all tries to {all} s; here each of {tries} may \
             take {limit} s"
        ));
    }
    exec.insert("timeoutSeconds".to_owned(), json!(limit));
    exec.insert("retries".to_owned(), json!({ "limit": retries }));
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
        ("pod", &pod["spec"], &["containers", "restartPolicy", "activeDeadlineSeconds"]),
        ("pod's metadata", &pod["metadata"], &names),
        ("pod template", pod, &["metadata", "spec"]),
        ("job", &template["spec"], &["template", "activeDeadlineSeconds", "backoffLimit"]),
        ("job's metadata", &template["metadata"], &names),
        ("job template", template, &["metadata", "spec"]),
        ("spec", spec, &of_spec),
        ("metadata", &job["metadata"], &["name", "namespace", "labels", "annotations"]),
        (
            "annotations",
            &json!({ LAST_APPLIED: job["metadata"]["annotations"][LAST_APPLIED] }),
            &[],
        ),
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
    if job.metadata.uid.is_some() {
        lost.push("metadata.uid: the cluster gives a CronJob one of its own".to_owned());
    }
    lose_policies(spec, &mut lost);
    let deadline = deadline(spec, &mut lost);
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
    let command: Vec<String> = exec.command.iter().map(|word| escaped(word)).collect();
    let mut container = json!({
        "name": "main", "image": image, "command": command,
        // Ours where the schedule names none; a container's would be its image's.
        "workingDir": exec.working_directory.as_deref().unwrap_or("/"),
    });
    if !exec.env.is_empty() {
        let variables = exec.env.iter();
        let variables = variables
            .map(|EnvVar { name, value }| json!({ "name": name, "value": escaped(value) }));
        container["env"] = variables.collect();
    }
    let mut new = json!({
        "schedule": expression,
        "timeZone": spec.time_zone.as_deref().unwrap_or("Etc/UTC"),
        "suspend": spec.suspend,
        "concurrencyPolicy": match spec.concurrency_policy {
            ConcurrencyPolicy::BufferOne => json!(FORBID),
            policy => json!(policy),
        },
        "successfulJobsHistoryLimit": spec.successful_jobs_history_limit,
        "failedJobsHistoryLimit": spec.failed_jobs_history_limit,
        "jobTemplate": { "spec": {
            "backoffLimit": exec.retries.limit,
            // Of the pod, which is one try, and not of the Job, which is all of them.
            "template": { "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": exec.timeout_seconds,
                "containers": [container],
            } },
        } },
    });
    if let Some(seconds) = deadline {
        new["startingDeadlineSeconds"] = json!(seconds);
    }
    let mut metadata = json!({ "name": job.metadata.name, "namespace": job.metadata.namespace });
    for (field, entries) in
        [("labels", &job.metadata.labels), ("annotations", &job.metadata.annotations)]
    {
        if !entries.is_empty() {
            metadata[field] = json!(entries);
        }
    }
    Ok(json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": new }))
}

/// How late a run may start, in the whole seconds of a CronJob: also how far back it catches up,
/// which our window says where it is the smaller.
fn deadline(spec: &Spec, lost: &mut Vec<String>) -> Option<i64> {
    let deadline = match (spec.starting_deadline_seconds, spec.starting_deadline_milliseconds) {
        (None, Some(millis)) if millis % 1_000 != 0 => {
            lost.push(format!(
                "startingDeadlineMilliseconds {millis}: a CronJob has whole seconds"
            ));
            None
        }
        (seconds, millis) => seconds.or(millis.map(|millis| millis / 1_000)),
    };
    let window = spec.catch_up.window_seconds;
    if window >= deadline.unwrap_or(WINDOW_S) {
        return deadline;
    }
    if window < DEADLINE_S_MIN {
        lost.push(format!(
            "catchUp.windowSeconds {window}: a CronJob has a startingDeadlineSeconds, of at least \
             {DEADLINE_S_MIN}, which holds for runs on time too"
        ));
    }
    Some(window)
}

/// Says which policies a CronJob has not.
fn lose_policies(spec: &Spec, lost: &mut Vec<String>) {
    let caught_up = spec.catch_up.policy == CatchUpPolicy::Latest && spec.catch_up.limit == 1;
    for (is_lost, what) in [
        (
            spec.concurrency_policy == ConcurrencyPolicy::Forbid,
            "concurrencyPolicy Forbid: a CronJob that forbids starts the latest instant that came \
             during a run at the end of the run (that is BufferOne)",
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
    // In UTC the rule for changes of the clocks has nothing to do, so the times alone are compared.
    let utc = Zone::utc();
    let seed = files::uid(&job.metadata).map_or(0, |uid| uid.seed());
    let ours = Schedule::parse_seeded(&spec.schedule, dialect, &utc, None, seed);
    let text = &match (&ours, Schedule::parse(&spec.schedule, dialect, &utc, None)) {
        // It has an `H`, and a CronJob has what that chose.
        (Ok(chosen), Err(_)) => chosen.to_string(),
        _ => spec.schedule.clone(),
    };
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
mod tests;
