//! Where in a file a field stands: asked only once something is wrong with it.

use super::document::yaml;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, from_multiple_with_options};
use std::fmt;

/// The line (1+) of the field at `path` (such as `spec.timeZone`) in the document of that number in
/// the file, or of the nearest field around it; `None` where the text cannot be understood.
pub(super) fn line(text: &str, document: usize, path: &str) -> Option<u64> {
    let documents: Vec<Spanned<Node>> = from_multiple_with_options(text, yaml()).ok()?;
    let mut found = documents.get(document)?;
    for name in path.split('.') {
        match found.value.0.iter().find(|(key, _)| key == name) {
            Some((_, node)) => found = node,
            None => break,
        }
    }
    Some(found.referenced.line()).filter(|line| *line > 0)
}

/// The fields of a mapping; none for anything else.
struct Node(Vec<(String, Spanned<Node>)>);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node(Vec::new()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node(Vec::new()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node(Vec::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node(Vec::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node(Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node(Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: a\nspec:\n  schedule: '1'\n  target:\n    exec: { command: [x, 1] }\n\
         ---\n{ \"spec\": {\n  \"timeZone\": \"Mars\" } }\n";

    #[test]
    fn a_field_is_found_in_its_document_or_else_what_is_around_it() {
        assert_eq!(line(FILE, 0, "spec.schedule"), Some(3));
        assert_eq!(line(FILE, 0, "spec.target.exec.command"), Some(5));
        assert_eq!(line(FILE, 0, "spec.dst"), line(FILE, 0, "spec"));
        assert_eq!(line(FILE, 1, "spec.timeZone"), Some(8));
        assert_eq!(line(FILE, 2, "spec"), None);
        assert_eq!(line(": [", 0, "spec"), None);
    }
}
