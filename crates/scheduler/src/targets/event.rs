//! What a message says of its fire: a CloudEvent (CloudEvents 1.0), or only its key.

use super::ScheduleName;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::fmt;
use timeball_schedule::FireId;

pub(crate) use timeball_api::targets::EventMode;

/// The type of the events that fires are.
const EVENT_TYPE: &str = "dev.timeball.fire.v1";

/// A fire as receivers see it, the same for every try.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Which.
    pub(crate) fire: FireId,
    /// By which a receiver can tell a repeat.
    pub(crate) key: String,
    /// The nominal instant, RFC 3339.
    pub(crate) at: String,
    source: String,
    uid: String,
    name: ScheduleName,
}

impl Event {
    pub(crate) fn new(fire: FireId, name: &ScheduleName) -> Self {
        Self {
            fire,
            key: fire.to_string(),
            at: fire.nominal().to_string(),
            source: format!("/timeball/{name}"),
            uid: fire.schedule.to_string(),
            name: name.clone(),
        }
    }

    /// The attributes that every CloudEvent of ours has, by their names in the specification.
    pub(crate) fn attributes(&self) -> [(&'static str, &str); 5] {
        [
            ("specversion", "1.0"),
            ("id", &self.key),
            ("source", &self.source),
            ("type", EVENT_TYPE),
            ("time", &self.at),
        ]
    }

    fn data(&self) -> Value {
        let (namespace, name) = (&self.name.namespace, &self.name.name);
        json!({
            "fireId": self.key,
            "scheduledAt": self.at,
            "schedule": { "namespace": namespace, "name": name, "uid": self.uid },
        })
    }

    fn variable(&self, variable: Variable) -> String {
        match variable {
            Variable::FireId => self.key.clone(),
            Variable::ScheduledAt => self.at.clone(),
            Variable::Schedule => self.name.to_string(),
        }
    }
}

/// The body of a message as its file asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    /// How the fire is described.
    pub(crate) mode: EventMode,
    /// The body of the file.
    pub(crate) body: Option<Template>,
    /// What the file says of the body's type.
    pub(crate) content_type: Option<String>,
    /// Whether the fire is described where the file has no body.
    pub(crate) describes: bool,
}

impl Payload {
    /// The body of one fire and its type, where it has one.
    pub(crate) fn encode(&self, event: &Event) -> (Bytes, Option<String>) {
        if self.mode == EventMode::Structured {
            let kind = "application/cloudevents+json; charset=utf-8";
            return (Bytes::from(self.envelope(event).to_string()), Some(kind.to_owned()));
        }
        match &self.body {
            Some(body) => (Bytes::from(body.expand(event)), self.content_type.clone()),
            None if self.describes => {
                let kind = self.content_type.as_deref().unwrap_or("application/json");
                (Bytes::from(event.data().to_string()), Some(kind.to_owned()))
            }
            None => (Bytes::new(), self.content_type.clone()),
        }
    }

    /// The event as a whole in JSON (CloudEvents 1.0, JSON format).
    fn envelope(&self, event: &Event) -> Value {
        let mut envelope = serde_json::Map::new();
        for (name, value) in event.attributes() {
            envelope.insert(name.to_owned(), value.into());
        }
        let given = self.body.as_ref().map(|body| body.expand(event));
        let is_json = self.content_type.as_deref().is_none_or(|kind| kind.contains("json"));
        let parsed = given.as_ref().filter(|_| is_json).and_then(|t| serde_json::from_str(t).ok());
        let (kind, data) = match (given, parsed) {
            (None, _) => ("application/json", event.data()),
            (Some(_), Some(value)) => ("application/json", value),
            (Some(text), None) => ("text/plain", Value::String(text)),
        };
        let kind = self.content_type.as_deref().unwrap_or(kind);
        envelope.insert("datacontenttype".to_owned(), kind.into());
        envelope.insert("data".to_owned(), data);
        Value::Object(envelope)
    }
}

/// A text in which `$(TIMEBALL_…)` stands for what differs from fire to fire; `$$(` is `$(`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Variable {
    FireId,
    ScheduledAt,
    Schedule,
}

const VARIABLES: [(&str, Variable); 3] = [
    ("TIMEBALL_FIRE_ID", Variable::FireId),
    ("TIMEBALL_SCHEDULED_AT", Variable::ScheduledAt),
    ("TIMEBALL_SCHEDULE", Variable::Schedule),
];

impl Template {
    /// Parses a text; gives back the name of a variable of ours that does not exist. Other
    /// variables are left as they stand: they are somebody else's.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find("$(") {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            let name = from[2..].split(')').next().unwrap_or_default();
            let known = VARIABLES.iter().find(|(known, _)| *known == name);
            rest = &from[2..];
            if plain.ends_with('$') {
                plain.push('(');
            } else if let (Some((_, variable)), Some(after)) = (known, rest.get(name.len() + 1..)) {
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Variable(*variable));
                rest = after;
            } else if name.starts_with("TIMEBALL_") {
                return Err(name.chars().take(64).collect());
            } else {
                plain.push_str("$(");
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// The text of one fire.
    pub(crate) fn expand(&self, event: &Event) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(variable) => event.variable(*variable),
        });
        parts.collect()
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = VARIABLES.iter().find(|(_, variable)| variable == self).map(|(name, _)| name);
        write!(f, "$({})", name.unwrap_or(&""))
    }
}

/// The variables that a text may have, for messages.
pub(crate) fn known_variables() -> String {
    VARIABLES.map(|(_, variable)| variable.to_string()).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_schedule::ScheduleUid;
    use timeball_timebase::Timestamp;

    fn event() -> Event {
        let scheduled_at = Timestamp::from_unix(1_795_000_000, 250_000_000);
        let fire = FireId { schedule: ScheduleUid([7; 16]), scheduled_at };
        Event::new(fire, &ScheduleName { namespace: "default".into(), name: "flush".into() })
    }

    #[test]
    fn variables_of_ours_are_replaced_and_others_left_alone() {
        let expand = |text| Template::parse(text).unwrap().expand(&event());
        let key = event().key;
        assert_eq!(expand("a$(TIMEBALL_FIRE_ID)b"), format!("a{key}b"));
        assert_eq!(
            expand("$(TIMEBALL_SCHEDULE) at $(TIMEBALL_SCHEDULED_AT)"),
            "default/flush at 2026-11-18T11:06:40.250Z"
        );
        assert_eq!(expand("$(HOME) $(x $() $"), "$(HOME) $(x $() $");
        assert_eq!(expand("$$(TIMEBALL_FIRE_ID)"), "$(TIMEBALL_FIRE_ID)");
        assert_eq!(expand(""), "");
        assert_eq!(Template::parse("$(TIMEBALL_X)"), Err("TIMEBALL_X".to_owned()));
        assert!(Template::parse("$(TIMEBALL_FIRE_ID").is_err(), "it is not closed");
    }

    #[test]
    fn a_structured_event_has_the_body_as_its_data() {
        let structured = |body: Option<&str>, content_type: Option<&str>| {
            let payload = Payload {
                mode: EventMode::Structured,
                body: body.map(|body| Template::parse(body).unwrap()),
                content_type: content_type.map(str::to_owned),
                describes: true,
            };
            let (octets, kind) = payload.encode(&event());
            assert_eq!(kind.unwrap(), "application/cloudevents+json; charset=utf-8");
            serde_json::from_slice::<Value>(&octets).unwrap()
        };
        let described = structured(None, None);
        assert_eq!(described["id"], event().key);
        assert_eq!(described["data"]["fireId"], event().key);
        let object = structured(Some("{\"run\":\"$(TIMEBALL_FIRE_ID)\"}"), None);
        assert_eq!(object["data"]["run"], event().key);
        assert_eq!(object["datacontenttype"], "application/json");
        let text = structured(Some("{ no json"), None);
        assert_eq!(
            (&text["data"], &text["datacontenttype"]),
            (&"{ no json".into(), &"text/plain".into())
        );
        let typed = structured(Some("7"), Some("text/csv"));
        assert_eq!((&typed["data"], &typed["datacontenttype"]), (&"7".into(), &"text/csv".into()));
    }
}
