//! CronJobs that come in and go out, and what is said of each that does so changed.

use super::super::document as document_of;
use super::*;

fn cron_job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": { "name": "hello" },
        "spec": {
            "schedule": "*/5 * * * *", "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 30,
            "jobTemplate": { "spec": { "backoffLimit": 2, "template": { "spec": {
                "restartPolicy": "Never", "activeDeadlineSeconds": 10, "containers": [
                    { "name": "main", "image": "busybox", "command": ["date"], "args": ["-u"] }
                ] } } } },
        },
    })
}

fn imported(job: &Value) -> Imported {
    let mut imported = Imported::default();
    import(job, &mut imported, &mut Zones::new());
    assert_eq!(imported.left_out, Vec::<String>::new());
    imported
}

/// The schedule of a CronJob, and all that was said of it but that its image is dropped.
fn schedule(job: &Value) -> (Value, Vec<String>) {
    let Imported { mut documents, mut remarks, .. } = imported(job);
    remarks.retain(|remark| !remark.ends_with("containers[0]: image"));
    (documents.remove(0), remarks)
}

/// That the schedule, gone out as this CronJob, comes in as it was and nothing is said of it.
fn assert_comes_back(document: &Value, job: &Value) {
    let (again, remarks) = schedule(job);
    assert_eq!(remarks, Vec::<String>::new());
    let [was, is] = [document, &again].map(typed);
    assert_eq!(is, was);
}

fn typed(document: &Value) -> PreciseCronJob {
    serde_json::from_value(document.clone()).unwrap()
}

fn exported(document: &Value) -> Result<Value, Vec<String>> {
    export(&typed(document), "busybox")
}

/// A schedule of ours with these fields beside the required ones.
fn ours(fields: Value) -> Value {
    let mut document = document_of(
        "flush",
        json!({ "schedule": "*/5 * * * *", "dst": "kubernetes",
            "target": { "exec": { "command": ["true"] } } }),
    );
    for (field, value) in fields.as_object().unwrap() {
        document["spec"][field] = value.clone();
    }
    document
}

#[test]
fn a_cron_job_comes_in_and_goes_out_the_same() {
    let mut was = cron_job();
    was["metadata"] = json!({ "name": "hello", "namespace": "default",
        "labels": { "app": "hello" }, "annotations": { "owner": "ada" } });
    let (document, remarks) = schedule(&was);
    assert_eq!((&document["spec"]["dialect"], remarks), (&json!("kubernetes"), vec![]));
    let is = exported(&document).unwrap();
    assert_eq!(is["metadata"], was["metadata"]);
    for field in ["schedule", "timeZone", "concurrencyPolicy", "startingDeadlineSeconds"] {
        assert_eq!(is["spec"][field], was["spec"][field], "{field}");
    }
    let job = &is["spec"]["jobTemplate"]["spec"];
    assert_eq!((&job["backoffLimit"], &job["activeDeadlineSeconds"]), (&json!(2), &json!(null)));
    let pod = &job["template"]["spec"];
    assert_eq!(
        (&pod["activeDeadlineSeconds"], &pod["restartPolicy"]),
        (&json!(10), &json!("Never"))
    );
    let container = &pod["containers"][0];
    assert_eq!(container["command"], json!(["date", "-u"]));
    assert_eq!(container["workingDir"], "/", "as it ran here, whatever the image says");
    assert_comes_back(&document, &is);
}

#[test]
fn what_a_cron_job_calls_forbid_is_buffer_one_here() {
    for (theirs, ours) in [("Forbid", "BufferOne"), ("Allow", "Allow"), ("Replace", "Replace")] {
        let mut was = cron_job();
        was["spec"]["concurrencyPolicy"] = json!(theirs);
        let (document, remarks) = schedule(&was);
        assert_eq!(document["spec"]["concurrencyPolicy"], ours);
        assert_eq!(remarks, Vec::<String>::new());
        let is = exported(&document).unwrap();
        assert_eq!(is["spec"]["concurrencyPolicy"], theirs);
    }
}

#[test]
fn numbers_that_are_too_large_here_become_the_largest_and_that_is_said() {
    let mut job = cron_job();
    job["spec"]["startingDeadlineSeconds"] = json!(999_999_999);
    job["spec"]["failedJobsHistoryLimit"] = json!(20_000);
    let (document, remarks) = schedule(&job);
    let spec = &document["spec"];
    assert_eq!(
        (&spec["startingDeadlineSeconds"], &spec["failedJobsHistoryLimit"]),
        (&json!(31_622_400), &json!(10_000))
    );
    let expected =
        "hello: startingDeadlineSeconds is 999999999, and becomes 31622400, the most here";
    assert_eq!((remarks.len(), &*remarks[0]), (2, expected));
}

#[test]
fn a_limit_of_all_tries_becomes_one_of_each_and_that_is_said() {
    let said = |seconds: i64, tries: i64| {
        vec![format!(
            "hello: activeDeadlineSeconds limits all tries to {seconds} s; here each of {tries} \
             may take {seconds} s"
        )]
    };
    // Of the Job, of the pod, retries, restart policy; what comes of it.
    for (of_job, of_pod, retries, restart, limit, expected) in [
        (json!(10), json!(null), json!(2), "Never", 10, said(10, 3)),
        (json!(10), json!(null), json!(null), "Never", 10, said(10, 7)),
        (json!(10), json!(null), json!(0), "Never", 10, vec![]),
        (json!(null), json!(10), json!(2), "OnFailure", 10, said(10, 3)),
        (json!(null), json!(10), json!(null), "Never", 10, vec![]),
        (json!(30), json!(10), json!(2), "Never", 10, vec![]),
        (json!(null), json!(null), json!(2), "Never", TIMEOUT_S_MAX, vec![]),
    ] {
        let mut job = cron_job();
        let spec = &mut job["spec"]["jobTemplate"]["spec"];
        (spec["activeDeadlineSeconds"], spec["backoffLimit"]) = (of_job, retries.clone());
        let pod = &mut spec["template"]["spec"];
        (pod["activeDeadlineSeconds"], pod["restartPolicy"]) = (of_pod, json!(restart));
        let (document, remarks) = schedule(&job);
        assert_eq!(remarks, expected);
        let exec = &document["spec"]["target"]["exec"];
        assert_eq!(exec["timeoutSeconds"], limit);
        assert_eq!(exec["retries"]["limit"], if retries.is_null() { json!(6) } else { retries });
    }
    let mut job = cron_job();
    job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] = json!(15);
    let expected = "limits all tries to 15 s; here each of 3 may take 10 s";
    let (_, remarks) = schedule(&job);
    assert!(remarks[0].ends_with(expected), "{remarks:?}");
}

#[test]
fn what_kubernetes_replaces_in_a_command_is_replaced_when_it_comes_in() {
    let mut job = cron_job();
    let container = &mut job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(["/bin/sh", "-c", "echo $(GREETING) $$(id) $HOME $(date)"]);
    container["args"] = json!(["$(POD)"]);
    container["env"] = json!([{ "name": "NAME", "value": "$(NONE)Ada" }, { "name": "EMPTY" },
        { "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
        { "name": "GREETING", "value": "good day $(NAME)$(EMPTY)" }]);
    let (document, remarks) = schedule(&job);
    let exec = &document["spec"]["target"]["exec"];
    let command = "echo good day $(NONE)Ada $(id) $HOME $(date)";
    assert_eq!(exec["command"], json!(["/bin/sh", "-c", command, "$(POD)"]));
    assert_eq!(exec["env"][2]["value"], "good day $(NONE)Ada");
    let stays = |name| {
        format!(
            "hello: $({name}) stays as it is: no variable of the container has that name and a value"
        )
    };
    let dropped = "hello: variables with `valueFrom` are dropped: POD".to_owned();
    assert_eq!(remarks, [dropped, stays("NONE"), stays("POD"), stays("date")]);

    let is = exported(&document).unwrap();
    let container = &is["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    let command = "echo good day $$(NONE)Ada $$(id) $$HOME $$(date)";
    assert_eq!(container["command"], json!(["/bin/sh", "-c", command, "$$(POD)"]));
    assert_eq!(container["env"][2]["value"], "good day $$(NONE)Ada");
    assert_comes_back(&document, &is);
}

#[test]
fn how_far_back_a_schedule_catches_up_becomes_the_deadline_of_a_cron_job() {
    // Deadline and window; what a CronJob has.
    for (deadline, window, expected) in [
        (json!(null), json!(WINDOW_S), json!(null)),
        (json!(null), json!(86_400), json!(86_400)),
        (json!(30), json!(86_400), json!(30)),
        (json!(90_000), json!(86_400), json!(86_400)),
        (json!(5), json!(5), json!(5)),
    ] {
        let document = ours(json!({ "startingDeadlineSeconds": deadline,
            "catchUp": { "policy": "Latest", "windowSeconds": window, "limit": 1 } }));
        let is = exported(&document).unwrap();
        assert_eq!(is["spec"]["startingDeadlineSeconds"], expected, "{document}");
    }
    let lost = exported(&ours(json!({ "catchUp": { "windowSeconds": 5 } }))).unwrap_err();
    let expected = "catchUp.windowSeconds 5: a CronJob has a startingDeadlineSeconds, of at least 10, \
                    which holds for runs on time too";
    assert_eq!(lost, [expected]);
}

#[test]
fn what_h_chose_goes_out_and_means_the_same() {
    let document = ours(json!({ "schedule": "H H(0-7) * * MON-FRI" }));
    let schedule = exported(&document).unwrap()["spec"]["schedule"].clone();
    let schedule = schedule.as_str().unwrap();
    let seed = files::uid(&typed(&document).metadata).unwrap().seed();
    let here = document["spec"]["schedule"].as_str().unwrap();
    let here = Schedule::parse_seeded(here, Dialect::Vixie, &Zone::utc(), None, seed).unwrap();
    let there = Schedule::parse(schedule, Dialect::Kubernetes, &Zone::utc(), None).unwrap();
    assert!(here.names_the_same_times(&there), "{schedule}");
    let lost = exported(&ours(json!({ "schedule": "H * * * * *" }))).unwrap_err();
    assert!(lost[0].contains("6 fields"), "{lost:?}");
}

#[test]
fn an_identity_of_its_own_keeps_a_schedule_from_going_out() {
    let mut document = ours(json!({}));
    document["metadata"]["uid"] = json!("6f3c6c52-6d0c-5a3e-9d3e-3f1f4a2b1c0d");
    let lost = exported(&document).unwrap_err();
    assert_eq!(lost, ["metadata.uid: the cluster gives a CronJob one of its own"]);
}

#[test]
fn all_that_a_schedule_cannot_carry_is_named_with_its_place() {
    let mut job = cron_job();
    job["metadata"] = json!({ "name": "hello", "creationTimestamp": null, "uid": "1",
        "annotations": { LAST_APPLIED: "{}" } });
    job["spec"]["surprise"] = json!(1);
    let template = &mut job["spec"]["jobTemplate"];
    template["metadata"] = json!({ "name": "hello", "labels": {}, "annotations": {} });
    template["spec"]["ttlSecondsAfterFinished"] = json!(5);
    template["spec"]["template"]["metadata"] = json!({ "labels": { "a": "b" } });
    template["spec"]["template"]["spec"]["volumes"] = json!([]);
    let imported = imported(&job);
    let expected = [
        "containers[0]: image",
        "pod: volumes",
        "pod's metadata: labels",
        "job: ttlSecondsAfterFinished",
        "job's metadata: annotations, labels",
        "spec: surprise",
        "metadata: uid",
        "annotations: kubectl.kubernetes.io/last-applied-configuration",
    ];
    let expected = expected.map(|what| format!("hello: dropped from the {what}"));
    assert_eq!(imported.remarks, expected);
}

#[test]
fn an_export_says_all_that_would_be_lost() {
    let mut document = document_of(
        "tick",
        json!({
            "schedule": "*/0.5 * * * * *", "timeZone": "Europe/Berlin", "jitterMilliseconds": 5,
            "concurrencyPolicy": "Forbid", "startingDeadlineMilliseconds": 500,
            "exclude": [{ "calendar": "holidays" }],
            "target": { "exec": { "command": ["true"] } },
        }),
    );
    let lost = exported(&document).unwrap_err().join("\n");
    for part in
        ["fields", "that is BufferOne", "jitter", "Milliseconds 500", "dst: kubernetes", "holidays"]
    {
        assert!(lost.contains(part), "{part} in {lost}");
    }
    document["spec"] =
        json!({ "schedule": "0 0 */2 * MON", "target": { "exec": { "command": ["true"] } } });
    let lost = exported(&document).unwrap_err();
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
