use super::*;

const HEAD: &str = "apiVersion: timeball.dev/v1alpha1\nkind: PreciseCronJob\n";
const TARGET: &str = "  target: { exec: { command: ['true'] } }\n";

fn read(text: &str) -> LoadedSet {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), text).unwrap();
    LoadedSet::read(directory.path())
}

fn problem(text: &str) -> String {
    let set = read(text);
    assert_eq!(set.schedules.len(), 0, "{text}");
    let [problem] = &set.problems[..] else { panic!("{:?} for {text}", set.problems) };
    assert!(problem.file.ends_with("a.yaml"));
    problem.message.clone()
}

fn with(spec: &str) -> String {
    format!("{HEAD}metadata: {{ name: flush }}\nspec:\n{spec}")
}

#[test]
fn several_documents_and_json_are_taken_and_the_uid_is_made_of_the_name() {
    let one = with(&format!("  schedule: '@hourly'\n{TARGET}"));
    let two = one.replace("flush", "other");
    let set = read(&format!("{one}---\n{two}"));
    assert_eq!((set.schedules.len(), set.problems.len()), (2, 0), "{:?}", set.problems);
    let json = r#"{"apiVersion":"timeball.dev/v1alpha1","kind":"PreciseCronJob",
        "metadata":{"name":"flush"},"spec":{"schedule":"0 0 * * *","timeZone":"Europe/Berlin",
        "target":{"http":{"url":"http://[::1]:8080/x?y"}}}}"#;
    let from_json = read(json);
    assert_eq!(from_json.problems, []);
    let uid = *from_json.schedules.keys().next().unwrap();
    assert!(set.schedules.contains_key(&uid), "the same name has the same uid");
    let Target::Http(request) = &from_json.schedules[&uid].target else { panic!("no request") };
    assert_eq!(request.to_string(), "http://[::1]:8080/x?…");
}

#[test]
fn every_mistake_is_named_with_its_place_and_its_fix() {
    let every = "  schedule: '@hourly'\n";
    let exec = |inner: &str| format!("{every}  target: {{ exec: {{ {inner} }} }}\n");
    for (spec, parts) in [
        (format!("  shedule: '@hourly'\n{TARGET}"), &["line 5", "did you mean `schedule`?"][..]),
        (format!("  schedule: 'often'\n{TARGET}"), &["spec.schedule `often`"]),
        (format!("  schedule: '*/0.0 * * * * *'\n{TARGET}"), &["spec.schedule `*/0.0"]),
        (format!("  schedule: '@every 100us'\n{TARGET}"), &["spec.schedule `@every 100us`"]),
        (
            format!("  schedule: '0 0 30 2 *'\n{TARGET}"),
            &["spec.schedule `0 0 30 2 *` has no instant at all"],
        ),
        (format!("{every}  timeZone: Europe/Berln\n{TARGET}"), &["did you mean `Europe/Berlin`?"]),
        (format!("{every}  dialect: vixi\n{TARGET}"), &["line", "did you mean `vixie`?"]),
        (
            format!(
                "{every}  startingDeadlineSeconds: 1\n  startingDeadlineMilliseconds: 1\n{TARGET}"
            ),
            &["startingDeadlineSeconds and", "keep one"],
        ),
        (format!("{every}  startingDeadlineSeconds: -1\n{TARGET}"), &["is -1; it must be 1 to"]),
        (
            format!("{every}  startingDeadlineMilliseconds: 0\n{TARGET}"),
            &["spec.startingDeadlineMilliseconds is 0; it must be 1 to"],
        ),
        (format!("{every}  catchUp: {{ limit: 5000 }}\n{TARGET}"), &["spec.catchUp.limit is 5000"]),
        (every.to_owned(), &["line 5, column 3: `target` is missing here"]),
        (
            format!("{every}target: {{ exec: {{ command: [x] }} }}\n"),
            &["`target` is missing here; that of line 6", "must begin in column 3"],
        ),
        (format!("{every}  target: {{}}\n"), &["spec.target has 0 members"]),
        (
            format!("{every}  target: {{ exec: {{ command: [x] }}, http: {{ url: x }} }}\n"),
            &["spec.target has 2 members"],
        ),
        (format!("{every}  target: {{ kafka: {{}} }}\n"), &["`brokers` is missing"]),
        (format!("{every}  jobTemplate: {{}}\n"), &["starts Jobs of a cluster"]),
        (exec("command: []"), &["exec.command is empty"]),
        (exec("command: [./x]"), &["`./x` is neither an absolute path"]),
        (exec("command: [no-such-program-here]"), &["there is no program"]),
        (exec("command: [/nonexistent/x]"), &["/nonexistent/x cannot be run: No such file"]),
        (exec("command: [/etc/passwd]"), &["not executable (chmod +x"]),
        (exec("command: ['true'], workingDirectory: /nonexistent"), &["workingDirectory"]),
        (exec("command: ['true'], env: [{ name: 'A=B' }]"), &["cannot be the name of a variable"]),
        (exec("command: ['true'], timeoutSeconds: 0"), &["timeoutSeconds is 0; it must be 1 to"]),
        (exec("command: ['true'], user: no-such-user-here"), &["exec.user"]),
        (
            format!("{every}  clock: {{ onExceeded: Refuse }}\n{TARGET}"),
            &["give spec.clock.maxErrorMilliseconds"],
        ),
        (
            format!("{every}  clock: {{ follow: System, fire: NotBefore }}\n{TARGET}"),
            &["use `follow: Auto`"],
        ),
        (format!("{every}  suspend: maybe\n{TARGET}"), &["line 6"]),
    ] {
        names_all(&spec, parts);
    }
}

#[test]
fn aliases_may_stand_for_ten_thousand_values_and_no_more() {
    // A list of a thousand: its start, its end and what is between them.
    let list = "x, ".repeat(998);
    let with_copies = |copies: usize| format!("- &a [{list}]\n{}", "- *a\n".repeat(copies));
    assert!(parse_foreign(&with_copies(10)).is_ok());
    let refused = parse_foreign(&with_copies(11)).unwrap_err().to_string();
    assert!(refused.contains("aliases stand for more than 10000 values"), "{refused}");
}

#[test]
fn every_mistake_in_a_request_is_named_with_its_fix() {
    let http =
        |inner: &str| format!("  schedule: '@hourly'\n  target: {{ http: {{ {inner} }} }}\n");
    for (spec, parts) in [
        (http("url: 'ftp://example.org/'"), &["must begin with http:// or https://"][..]),
        (http("url: 'http://a:b@example.org/'"), &["give `auth` instead"]),
        (http("method: POST"), &["http needs exactly one of `url` and `urlFile`"]),
        (
            http("url: 'http://example.org/', urlFile: /etc/hostname"),
            &["http needs exactly one of `url` and `urlFile`"],
        ),
        (
            http("urlFile: /etc/hostname"),
            &["http.urlFile: what /etc/hostname holds must begin with http:// or https://"],
        ),
        (http("urlFile: /nonexistent"), &["http.urlFile: /nonexistent cannot be read: No such"]),
        (http("url: 'http://example.org/', tls: {}"), &["make it https://"]),
        (
            http("url: 'https://example.org/', tls: { caFile: ca.pem }"),
            &["http.tls.caFile `ca.pem` is no absolute path"],
        ),
        (
            http("url: 'https://example.org/', tls: { caFile: /etc/hostname }"),
            &["/etc/hostname has no certificate"],
        ),
        (
            http("url: 'https://example.org/', tls: { keyFile: /etc/hostname }"),
            &["belong together"],
        ),
        (
            http("url: 'http://example.org/', auth: { bearerTokenFile: /nonexistent }"),
            &["http.auth.bearerTokenFile: /nonexistent cannot be read: No such file"],
        ),
        (http("url: 'http://example.org/', auth: { username: ada }"), &["http.auth needs either"]),
        (
            http("url: 'http://example.org/', body: '$(TIMEBALL_FIREID)'"),
            &["no $(TIMEBALL_FIREID); there are $(TIMEBALL_FIRE_ID), "],
        ),
        (
            http("url: 'http://example.org/', headers: [{ name: A }]"),
            &["exactly one of `value` and `valueFile`"],
        ),
        (http("url: 'http://example.org/', acceptStatuses: [42]"), &["is 42; it must be 200 to"]),
        (
            http("url: 'http://example.org/', event: binary"),
            &["unknown value `binary`; did you mean `Binary`?"],
        ),
        (http("url: 'http://example.org/', method: 'GE T'"), &["`GE T` is no HTTP method"]),
        (
            http("url: 'http://example.org/', headers: [{ name: Host, value: x }]"),
            &["`Host` is set by the scheduler"],
        ),
        (
            http("url: 'http://example.org/', headers: [{ name: A, value: \"x\\ny\" }]"),
            &["is no header that can be sent"],
        ),
    ] {
        names_all(&spec, parts);
    }
}

/// The one problem of a file with this spec says all of that.
fn names_all(spec: &str, parts: &[&str]) {
    let message = problem(&with(spec));
    for part in parts {
        assert!(message.contains(part), "{message:?} lacks {part:?} for\n{spec}");
    }
}

#[test]
fn a_schedule_that_is_over_does_not_make_its_file_wrong() {
    for expression in [
        "@at 2020-01-01T00:00:00Z",
        "R3/2020-01-01T00:00Z/PT1S",
        "DTSTART:20200101T000000 RRULE:FREQ=DAILY;COUNT=3",
    ] {
        let set = read(&with(&format!("  schedule: '{expression}'\n{TARGET}")));
        assert_eq!((set.schedules.len(), set.problems.len()), (1, 0), "{:?}", set.problems);
    }
}

const CALENDAR: &str = "apiVersion: timeball.dev/v1alpha1\nkind: Calendar\n";

/// A directory with a schedule in `a.yaml` that leaves out calendar `holidays`, and this file.
fn read_beside(name: &str, text: &str) -> LoadedSet {
    let directory = tempfile::tempdir().unwrap();
    let schedule = format!(
        "  schedule: '0 9 * * *'\n  timeZone: Asia/Tokyo\n  exclude: [{{ calendar: holidays }}]\n\
         {TARGET}"
    );
    fs::write(directory.path().join("a.yaml"), with(&schedule)).unwrap();
    fs::write(directory.path().join(name), text).unwrap();
    LoadedSet::read(directory.path())
}

fn calendar(days: &str) -> String {
    format!("{CALENDAR}metadata: {{ name: holidays }}\nspec: {{ {days} }}\n")
}

#[test]
fn a_schedule_leaves_out_the_days_of_a_calendar_in_another_file() {
    let generation = |days: &str| {
        let set = read_beside("z.yaml", &calendar(days));
        assert_eq!(set.problems, [], "{days}");
        let schedule = set.schedules.values().next().unwrap().clone();
        assert!(schedule.definition.contains("| exclude holidays@"), "{}", schedule.definition);
        (schedule.spec.generation, schedule.definition)
    };
    let days = "days: [{ date: 2030-12-25 }, { from: 2030-12-28, to: 2031-01-03 }, \
                { cron: '* * SUN' }, { rule: 'DTSTART:20300101 RRULE:FREQ=YEARLY' }]";
    let one = generation(days);
    assert_eq!(one, generation(days));
    // What a calendar says is a part of what the schedule says.
    assert_ne!(one, generation("days: [{ date: 2030-12-24 }]"));
    assert_ne!(generation("days: []"), generation("timeZone: Europe/Berlin, days: []"));
    let set = read_beside(
        "z.json",
        r#"{"apiVersion":"timeball.dev/v1alpha1","kind":"Calendar",
        "metadata":{"name":"holidays"},"spec":{"days":[{"date":"2030-12-25"}]}}"#,
    );
    assert_eq!(set.problems, []);
    let schedule = &set.schedules.values().next().unwrap().spec.schedule;
    let eve = timeball_timebase::Timestamp::from_unix(1_924_300_800, 0); // 2030-12-24T00:00:00Z
    assert_eq!(schedule.next_after(eve).unwrap().to_string(), "2030-12-26T00:00:00Z");
}

#[test]
fn a_calendar_that_is_missing_or_wrong_is_named_and_the_schedule_is_not_loaded() {
    for (name, text, parts) in [
        (
            "z.txt",
            "",
            &["spec.exclude: there is no calendar `holidays` in namespace `default`"][..],
        ),
        (
            "z.yaml",
            &calendar("days: [{ date: 2030-02-30 }]"),
            &["calendar `holidays`: spec.days[0].date `2030-02-30`", "does not exist"],
        ),
        ("z.yaml", &calendar("days: [{ from: 2030-02-20 }]"), &["exactly one of: date, from with"]),
        ("z.yaml", &calendar("days: [{ day: 2030-02-20 }]"), &["line 4", "known are: date, from"]),
        ("z.yaml", &calendar("days: [{ cron: '0 0 * * *' }]"), &["5 fields; expected 3"]),
        ("z.yaml", &calendar("timeZone: Asia/Tokio, days: []"), &["did you mean `Asia/Tokyo`?"]),
        (
            "z.yaml",
            &calendar("days: []").replace("holidays", "holiday"),
            &["did you mean `holiday`?"],
        ),
        (
            "z.yaml",
            &calendar("days: [{ cron: '* * *' }]"),
            &["has no instant at all on the days that spec.include and spec.exclude leave"],
        ),
        (
            "z.yaml",
            &format!("{}---\n{}", calendar("days: []"), calendar("days: []")),
            &["calendar `holidays`: is already defined in"],
        ),
        (
            "z.yaml",
            &format!("# days\n{}---\n# more\n\n{CALENDAR}name: x\n", calendar("days: []")),
            &["line 11, column 1", "unknown field `name`"],
        ),
    ] {
        let set = read_beside(name, text);
        let usable = set.schedules.len();
        let said: String = set.problems.iter().map(|problem| problem.message.as_str()).collect();
        for part in parts {
            assert!(said.contains(part), "{said:?} lacks {part:?} for\n{text}");
        }
        assert_eq!(usable, 0, "{text}");
    }
}

#[test]
fn calendars_and_schedules_may_share_a_file_in_any_order() {
    let schedule =
        with(&format!("  schedule: '0 9 * * *'\n  include: [{{ calendar: holidays }}]\n{TARGET}"));
    let days = calendar("days: [{ cron: '1 * *' }]");
    for text in [
        format!("{schedule}---\n{days}"),
        format!("--- # first\n{days}---\n{schedule}...\n"),
        format!("%YAML 1.2\n---\n{days}\n---\n\n---\n{schedule}"),
    ] {
        let set = read(&text);
        assert_eq!((set.schedules.len(), set.problems.len()), (1, 0), "{:?}\n{text}", set.problems);
    }
}

#[test]
fn what_is_no_schedule_at_all_is_met_with_the_way_to_one() {
    let schedule = |value: &str| with(&format!("  schedule: {value}\n{TARGET}"));
    let cron_job = "apiVersion: batch/v1\nkind: CronJob\nmetadata: { name: x }\n\
                    spec: { schedule: '* * * * *', jobTemplate: {} }\n";
    for (text, parts) in [
        (schedule("* * * * *"), &["line 5, column 13", "schedule: \"*…\""][..]),
        (schedule("*/5 * * * *"), &["line 5, column 13", "schedule: \"*…\""]),
        (schedule("@every 10ms"), &["line 5, column 13", "schedule: \"@…\""]),
        (with(&format!("\tschedule: '@hourly'\n{TARGET}")), &["line 5", "no tabs", "use spaces"]),
        (cron_job.to_owned(), &["kind is `CronJob`", "`timeball schedule import`"]),
        ("* * * * * /bin/true\n".to_owned(), &["no YAML", "`timeball schedule import`"]),
        ("30 2 * * * /bin/true\n".to_owned(), &["no schedule", "`timeball schedule import`"]),
        (
            with("  schedule: '@hourly'\n  target: { exec: { command: mysql -psecret } }\n"),
            &["line 6, column 30: `command` must be a list: [\"a\", \"b\"]"],
        ),
        (
            with("  schedule: '@hourly'\n  target: exec\n"),
            &["line 6, column 11: `target` must have fields of its own"],
        ),
        (
            with(&format!("  schedule: '@hourly'\n  jitterMilliseconds: 10s\n{TARGET}")),
            &["line 6, column 23: `jitterMilliseconds` is `10s`; it must be a whole number"],
        ),
        (
            with(&format!("  schedule: '@hourly'\n  suspend: yes\n{TARGET}")),
            &["line 6, column 12: `suspend` must be true or false"],
        ),
    ] {
        let message = problem(&text);
        assert!(!message.contains("secret"), "{message}");
        for part in parts {
            assert!(message.contains(part), "{message:?} lacks {part:?} for\n{text}");
        }
    }
}

#[test]
fn names_kinds_and_duplicates_are_checked() {
    let good = with(&format!("  schedule: '@hourly'\n{TARGET}"));
    for (from, to, part) in [
        ("name: flush", "name: Flush_1", "lower case letters"),
        ("name: flush", "name: ''", "lower case letters"),
        ("v1alpha1", "v9", "apiVersion is `timeball.dev/v9`"),
        ("PreciseCronJob", "CronJob", "only `PreciseCronJob`"),
        ("name: flush", "name: flush, uid: x", "no UUID"),
    ] {
        let message = problem(&good.replace(from, to));
        assert!(message.contains(part), "{message}");
    }
    assert!(problem(&format!("{good}---\n{good}")).contains("already defined in"));
    assert!(problem("").contains("no schedule and no calendar in it"));
    assert!(problem("a: [").contains("line 1"));
    let missing = LoadedSet::read(Path::new("/nonexistent"));
    assert!(missing.problems[0].message.contains("the directory cannot be read"));
}

#[test]
fn what_is_no_file_is_named_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("a.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::create_dir(directory.path().join("b.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", directory.path().join("c.yaml")).unwrap();
    let messages = LoadedSet::read(directory.path()).problems.into_iter().map(|it| it.message);
    let messages: Vec<String> = messages.collect();
    let [fifo, directory, link] = &messages[..] else { panic!("{messages:?}") };
    assert!(fifo.contains("not a regular file") && directory.contains("not a regular file"));
    assert!(link.contains("No such file"), "{link}");
}

#[test]
fn every_mistake_in_a_message_to_nats_is_named_with_its_fix() {
    let nats =
        |inner: &str| format!("  schedule: '@hourly'\n  target: {{ nats: {{ {inner} }} }}\n");
    let servers = "servers: ['nats://a:4222']";
    for (spec, parts) in [
        (
            nats("servers: [], subject: a"),
            &["nats.servers has 0 entries; it must have 1 to 16"][..],
        ),
        (nats("servers: ['a:4222'], subject: a"), &["must be nats://host:port"]),
        (nats("servers: ['nats://u:p@a:4222'], subject: a"), &["give `auth` instead"]),
        (nats(&format!("{servers}, subject: 'a.>'")), &["nats.subject `a.>` is no subject"]),
        (nats(&format!("{servers}, subject: 'a..b'")), &["nats.subject `a..b`"]),
        (nats(&format!("{servers}, subject: a, auth: {{ username: x }}")), &["nats.auth needs"]),
        (
            nats(&format!("{servers}, subject: a, headers: [{{ name: Nats-Msg-Id, value: x }}]")),
            &["`Nats-Msg-Id` is set by the scheduler"],
        ),
        (nats("servers: ['tls://a b'], subject: a"), &["`tls://a b` is no address"]),
        (
            nats("servers: ['nats://a?token=hush'], subject: a"),
            &["`nats://a?token=…` must be nats://host:port"],
        ),
        (nats("servers: ['http://a'], subject: a"), &["must be nats://host:port or tls://"]),
        (nats("servers: ['tls://a..b'], subject: a"), &["nats.`a..b` is no name"]),
    ] {
        names_all(&spec, parts);
    }
}

#[test]
#[cfg(feature = "brokers")]
fn every_mistake_in_a_message_to_a_broker_is_named_with_its_fix() {
    let target = |kind: &str, inner: &str| {
        format!("  schedule: '@hourly'\n  target: {{ {kind}: {{ {inner} }} }}\n")
    };
    let rabbitmq = |inner: &str| target("rabbitmq", inner);
    let kafka = |inner: &str| target("kafka", inner);
    for (spec, parts) in [
        (rabbitmq("url: 'http://a', routingKey: q"), &["must begin with amqp:// or amqps://"][..]),
        (rabbitmq("url: 'amqp://a/vhost', routingKey: q"), &["give `virtualHost`"]),
        (rabbitmq("url: 'amqp://a', routingKey: q, tls: {}"), &["begins with amqp://, but `tls`"]),
        (
            rabbitmq("url: 'amqp://a', routingKey: q, headers: [{ name: 'a b', value: x }]"),
            &["rabbitmq.headers: `a b` with this value"],
        ),
        (kafka("brokers: [a], topic: t"), &["kafka.brokers `a` must be host:port"]),
        (kafka("brokers: ['a:9092'], topic: 'a b'"), &["kafka.topic `a b` is no topic"]),
        (kafka("brokers: ['a:9092'], topic: t, partition: -1"), &["kafka.partition `-1`"]),
        (
            kafka(
                "brokers: ['a:9092'], topic: t, auth: { mechanism: PLAIN, username: u, \
                passwordFile: /nonexistent }",
            ),
            &["kafka.auth.passwordFile: /nonexistent cannot be read"],
        ),
        (
            kafka("brokers: ['a:9092'], topic: t, body: '$(TIMEBALL_X)'"),
            &["kafka.body: there is no"],
        ),
    ] {
        names_all(&spec, parts);
    }
}

#[test]
#[cfg(not(feature = "brokers"))]
fn a_program_without_brokers_says_how_to_get_one_that_has_them() {
    let target = "rabbitmq: { url: 'amqp://a', routingKey: q }";
    let spec = format!("  schedule: '@hourly'\n  target: {{ {target} }}\n");
    names_all(&spec, &["spec.target.rabbitmq", "build it with `--features brokers`"]);
}
