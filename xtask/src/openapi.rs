//! The OpenAPI 3.1 document of the local API: paths of `timeball_api::routes`, schemas of its
//! types.

use anyhow::{Result, ensure};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use timeball_api::control::{Accepted, Backfill, Change, Refused};
use timeball_api::events::ClockPoint;
use timeball_api::files::FileChanges;
use timeball_api::health::{Health, Readiness};
use timeball_api::routes;
use timeball_api::schedules::{History, Schedules};
use timeball_api::status::Status;

const ABOUT: &str = "What a running `timeball up` answers on loopback, and on the UNIX socket \
    `control.sock` of its state directory. `timeball agent` with `[admin]` answers `/v1/status`, \
    `/metrics`, `/healthz` and `/readyz` alone.\n\n\
    Keys are snake_case with the unit last; instants are nanoseconds since 1970 (UTC), and an \
    unknown value is `null`, never 0. Fields may be added; clients leave out of account what they \
    do not know.\n\n\
    A request names localhost or an address of this machine as its host, else it is answered with \
    421. What changes something is answered over the UNIX socket of the same user, who needs no \
    token, or with the token of the state directory.";

/// Makes the whole document.
///
/// # Errors
/// Where its paths are not those of [`routes::ALL`].
pub(crate) fn document() -> Result<Value> {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut types = Types {
        answers: settings().for_serialize().into_generator(),
        requests: settings().for_deserialize().into_generator(),
    };
    let mut paths = Map::new();
    for (method, path) in routes::ALL {
        let operation = read(&mut types, path).or_else(|| change(&mut types, path));
        let Some(mut operation) = operation else {
            anyhow::bail!("{path} is not described in xtask/src/openapi.rs");
        };
        if routes::is_guarded(method, path) {
            add_failures(&mut operation["responses"], &["401", "403"]);
            operation["security"] = json!([{ "token": [] }]);
        }
        ensure!(operation["requestBody"].is_null() || method == "post", "{path}: {method}");
        paths.insert(path.to_owned(), json!({ method: operation }));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Timeball's local API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "http://127.0.0.1:9133", "description": "The page's address, as \
        `up` prints it." }],
        "security": [],
        "paths": paths,
        "components": {
            "schemas": types.definitions(),
            "responses": failures(),
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "The file `token` of the state directory, readable by its owner \
                alone.",
            } },
        },
    });
    plain_descriptions(&mut document);
    Ok(document)
}

/// Schemas by what they are for: an answer has all its fields, a request may leave out those with
/// a default.
struct Types {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
}

impl Types {
    fn answer<T: JsonSchema>(&mut self, description: &str) -> Value {
        body(description, &self.answers.subschema_for::<T>())
    }

    fn request<T: JsonSchema>(&mut self) -> Value {
        let schema = self.requests.subschema_for::<T>();
        json!({ "required": true, "content": { "application/json": { "schema": schema } } })
    }

    /// Of answers and requests; no type is both.
    fn definitions(&mut self) -> Map<String, Value> {
        let mut all = self.answers.take_definitions(true);
        all.extend(self.requests.take_definitions(true));
        all
    }
}

fn body(description: &str, schema: &Schema) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn text(description: &str, media_type: &str) -> Value {
    let schema = json!({ "type": "string" });
    json!({ "description": description, "content": { media_type: { "schema": schema } } })
}

/// What only reads.
fn read(types: &mut Types, path: &str) -> Option<Value> {
    let mut parameters = Vec::new();
    let (id, summary, mut responses) = match path {
        routes::STATUS => {
            let answer = types.answer::<Status>("How the clock is now; at most a second old.");
            ("status", "The clock, its sources and counts", json!({ "200": answer }))
        }
        routes::SCHEDULES => {
            let answer = types.answer::<Schedules>("All schedules, by namespace and name.");
            ("schedules", "All schedules and how they fare", json!({ "200": answer }))
        }
        routes::FILE_CHANGES => (
            "fileChanges",
            "What the schedule files hold that is not in force",
            json!({
                "200": types.answer::<FileChanges>("Schedules that are new, changed or gone."),
                "503": types.answer::<Refused>("The scheduler does not answer (`NoAnswer`)."),
            }),
        ),
        routes::HISTORY => {
            parameters = whose();
            parameters.push(query(
                "limit",
                "At most how many outcomes, the newest; all that are kept where absent.",
                &json!({ "type": "integer", "minimum": 0 }),
            ));
            let responses = json!({
                "200": types.answer::<History>("Newest instant first."),
                "400": text("The limit is no whole number.", TEXT),
                "404": types.answer::<Refused>("There is no such schedule (`NoSuchSchedule`)."),
                "503": types.answer::<Refused>("The scheduler does not answer (`NoAnswer`)."),
            });
            ("history", "What became of each instant, and what people did", responses)
        }
        routes::HEALTHZ => (
            "healthz",
            "Whether the process works",
            json!({
                "200": types.answer::<Health>("The time loop runs."),
                "503": types.answer::<Health>("The time loop has not run for ten seconds."),
            }),
        ),
        routes::READYZ => {
            parameters.push(query(
                "max_error_ms",
                "Also ask that the system clock is certainly within so many milliseconds of true \
                 time.",
                &json!({ "type": "number", "exclusiveMinimum": 0 }),
            ));
            let responses = json!({
                "200": types.answer::<Readiness>("The clock may be relied on."),
                "400": text("The query is no positive number, or names something else.", TEXT),
                "503": types.answer::<Readiness>("It may not, and why."),
            });
            ("readyz", "Whether the clock may be relied on", responses)
        }
        routes::EVENTS => ("events", "The page's stream", events(types)),
        routes::METRICS => {
            let answer = text("OpenMetrics text; names begin with `timeball_`.", OPENMETRICS);
            ("metrics", "Numbers for Prometheus", json!({ "200": answer }))
        }
        routes::OPENAPI => ("openapi", "This document", itself()),
        _ => return None,
    };
    add_failures(&mut responses, &["421", "504"]);
    let parameters = if parameters.is_empty() { Value::Null } else { json!(parameters) };
    Some(operation(id, summary, &parameters, responses))
}

/// What changes something.
fn change(types: &mut Types, path: &str) -> Option<Value> {
    let (id, summary, body) = match path {
        routes::PAUSE => {
            ("pause", "Pauses a schedule until it is resumed", types.request::<Change>())
        }
        routes::RESUME => ("resume", "Ends a pause", types.request::<Change>()),
        routes::RUN => ("run", "Runs the target once, now", types.request::<Change>()),
        routes::BACKFILL => {
            ("backfill", "Runs instants that have passed", types.request::<Backfill>())
        }
        routes::RELOAD => {
            ("reload", "Takes the schedule files up now, all or nothing", Value::Null)
        }
        _ => return None,
    };
    let mut responses = json!({
        "503": types.answer::<Refused>("It could not be stored (`NotStored`), or the scheduler \
        does not answer (`NoAnswer`)."),
    });
    if body.is_null() {
        responses["200"] = types
            .answer::<FileChanges>("What was taken up; `applied` is false where a file is wrong.");
    } else {
        responses["200"] = types.answer::<Accepted>("Taken, and durable.");
        for (status, why) in [
            ("400", "The body is no JSON (`BadRequest`)."),
            ("404", "There is no such schedule (`NoSuchSchedule`)."),
            (
                "409",
                "It cannot be done as things are (`AlreadyPaused`, `NotPaused`, `NothingToRun`, \
                `TooOften`).",
            ),
            ("413", "The body is too long (`BadRequest`)."),
            ("415", "The body is not `application/json` (`BadRequest`)."),
            (
                "422",
                "A field is missing, unknown or out of range (`BadRequest`, `WhyTooLong`, \
                `OutOfRange`, `NotPast`, `TooMany`).",
            ),
        ] {
            responses[status] = types.answer::<Refused>(why);
        }
    }
    add_failures(&mut responses, &["421", "504"]);
    let parameters = if body.is_null() { Value::Null } else { json!(whose()) };
    let mut operation = operation(id, summary, &parameters, responses);
    if !body.is_null() {
        operation["requestBody"] = body;
    }
    Some(operation)
}

const TEXT: &str = "text/plain";
const OPENMETRICS: &str = "application/openmetrics-text";

fn operation(id: &str, summary: &str, parameters: &Value, responses: Value) -> Value {
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": responses });
    if !parameters.is_null() {
        operation["parameters"] = parameters.clone();
    }
    operation
}

/// The stream: OpenAPI 3.1 cannot say what its events hold, so an extension does.
fn events(types: &mut Types) -> Value {
    let point = types.answers.subschema_for::<ClockPoint>();
    let mut stream = text(
        "Server-sent events, each with a name and one line of JSON: `backlog` (the last ten \
        minutes) first, then `clock`, `status` and \
         `schedules` once a second. `x-events` has the schema of each.",
        "text/event-stream",
    );
    stream["x-events"] = json!({
        "backlog": { "type": "array", "items": point },
        "clock": point,
        "status": types.answers.subschema_for::<Status>(),
        "schedules": types.answers.subschema_for::<Schedules>(),
    });
    json!({ "200": stream, "503": text("Too many streams are open; `Retry-After` says when to \
    come again.", TEXT) })
}

/// The answer that brings this document.
fn itself() -> Value {
    let media = json!({ "application/json": { "schema": { "type": "object" } } });
    json!({
        "200": { "description": "OpenAPI 3.1.", "content": media },
        "304": { "description": "The tag in `If-None-Match` is still right." },
    })
}

/// Which schedule a path means.
fn whose() -> Vec<Value> {
    let one = |name: &str| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    vec![one("namespace"), one("name")]
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

/// Answers that come before a route is reached, in words for a person.
fn failures() -> Value {
    json!({
        "401": text("No token is shown, and the request did not come over the UNIX socket.", TEXT),
        "403": text("The token is not this server's, or a browser asks for another site.", TEXT),
        "421": text("The request names a host that is not this machine.", TEXT),
        "504": { "description": "No answer within ten seconds." },
    })
}

fn add_failures(responses: &mut Value, statuses: &[&str]) {
    for status in statuses {
        responses[*status] = json!({ "$ref": format!("#/components/responses/{status}") });
    }
}

/// Turns rustdoc's links in descriptions into plain code, and Rust's word for nothing into JSON's.
fn plain_descriptions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "description" => {
                        *text =
                            text.replace("[`", "`").replace("`]", "`").replace("`None`", "`null`");
                    }
                    field => plain_descriptions(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_descriptions),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_in_the_document_leads_to_something() {
        let document = document().unwrap();
        let text = document.to_string();
        let references: Vec<&str> =
            text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 50, "{references:?}");
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn what_is_guarded_asks_for_the_token_and_nothing_else_does() {
        let document = document().unwrap();
        for (method, path) in routes::ALL {
            let operation = &document["paths"][path][method];
            assert_eq!(
                operation["security"].is_array(),
                routes::is_guarded(method, path),
                "{path}"
            );
        }
    }
}
