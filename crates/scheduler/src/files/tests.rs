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
    assert_eq!(
        (request.server.host.as_str(), request.server.port, &*request.path.to_string()),
        ("::1", 8080, "/x?y")
    );
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
        (format!("{every}  timeZone: Europe/Berln\n{TARGET}"), &["did you mean `Europe/Berlin`?"]),
        (format!("{every}  dialect: vixi\n{TARGET}"), &["line", "did you mean `vixie`?"]),
        (
            format!(
                "{every}  startingDeadlineSeconds: 1\n  startingDeadlineMilliseconds: 1\n{TARGET}"
            ),
            &["startingDeadlineSeconds and", "keep one"],
        ),
        (format!("{every}  startingDeadlineSeconds: -1\n{TARGET}"), &["is -1; it must be 0 to"]),
        (format!("{every}  catchUp: {{ limit: 5000 }}\n{TARGET}"), &["spec.catchUp.limit is 5000"]),
        (every.to_owned(), &["`target` is missing"]),
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
fn every_mistake_in_a_request_is_named_with_its_fix() {
    let http =
        |inner: &str| format!("  schedule: '@hourly'\n  target: {{ http: {{ {inner} }} }}\n");
    for (spec, parts) in [
        (http("url: 'ftp://example.org/'"), &["must begin with http:// or https://"][..]),
        (http("url: 'http://a:b@example.org/'"), &["give `auth` instead"]),
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
    assert!(problem("").contains("no schedule in it"));
    assert!(problem("a: [").contains("line 1"));
    let missing = LoadedSet::read(Path::new("/nonexistent"));
    assert!(missing.problems[0].message.contains("the directory cannot be read"));
}

#[test]
#[cfg(feature = "brokers")]
fn every_mistake_in_a_message_to_a_broker_is_named_with_its_fix() {
    let target = |kind: &str, inner: &str| {
        format!("  schedule: '@hourly'\n  target: {{ {kind}: {{ {inner} }} }}\n")
    };
    let nats = |inner: &str| target("nats", inner);
    let rabbitmq = |inner: &str| target("rabbitmq", inner);
    let kafka = |inner: &str| target("kafka", inner);
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
        (rabbitmq("url: 'http://a', routingKey: q"), &["must begin with amqp:// or amqps://"]),
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
