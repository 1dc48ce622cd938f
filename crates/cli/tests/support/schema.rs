//! Judges JSON by the part of JSON Schema that our OpenAPI document uses. A keyword that it does
//! not know is a failure, so nothing is waved through.

use serde_json::{Map, Value};

/// Keywords that say nothing about validity.
const REMARKS: [&str; 4] = ["description", "default", "format", "title"];

/// Why `value` is not what `schema` of `document` says, with the place of each fault; empty where
/// it is. A field that the schema does not name is a fault too: it is not documented.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    judge(document, schema, value, "$", &mut faults);
    faults
}

fn judge(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let keywords = schema.as_object().expect("a schema is an object");
    for (keyword, says) in keywords {
        let holds = match keyword.as_str() {
            "$ref" => {
                let pointer = says.as_str().and_then(|says| says.strip_prefix('#'));
                let target = pointer.and_then(|pointer| document.pointer(pointer));
                let target = target.unwrap_or_else(|| panic!("{says} leads nowhere"));
                judge(document, target, value, at, faults);
                true
            }
            "type" => is_of_type(says, value),
            "anyOf" => {
                let choices = says.as_array().expect("choices");
                choices.iter().any(|choice| self::faults(document, choice, value).is_empty())
            }
            "minimum" => value.is_null() || value.as_f64() >= says.as_f64(),
            "maximum" => value.is_null() || value.as_f64() <= says.as_f64(),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    judge(document, says, item, &format!("{at}[{index}]"), faults);
                }
                true
            }
            "required" => {
                let names = says.as_array().expect("names").iter().filter_map(Value::as_str);
                names.into_iter().all(|name| value.get(name).is_some())
            }
            "properties" | "additionalProperties" => {
                judge_fields(document, keywords, value, at, faults);
                true
            }
            known if REMARKS.contains(&known) => true,
            unknown => panic!("{at}: the test does not know the keyword `{unknown}`"),
        };
        if !holds {
            faults.push(format!("{at}: {value} is against {keyword} {says}"));
        }
    }
}

fn judge_fields(
    document: &Value,
    schema: &Map<String, Value>,
    value: &Value,
    at: &str,
    faults: &mut Vec<String>,
) {
    for (name, field) in value.as_object().into_iter().flatten() {
        let known = schema.get("properties").and_then(|properties| properties.get(name));
        let place = format!("{at}.{name}");
        match known.or_else(|| schema.get("additionalProperties")) {
            Some(says @ Value::Object(_)) => judge(document, says, field, &place, faults),
            _ => faults.push(format!("{place}: is not documented")),
        }
    }
}

fn is_of_type(says: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().expect("a type's name") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the test does not know the type `{other}`"),
    };
    says.as_array().map_or_else(|| is(says), |names| names.iter().any(is))
}
