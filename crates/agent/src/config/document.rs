//! Walking a TOML document so that every complaint names file, line, field, value and fix.

use std::ops::RangeInclusive;

use timeball_runtime::nearest;
use timeball_timebase::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};

/// The text being read, for positions.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Document<'_> {
    /// An error at the octet `at` of the text.
    pub(super) fn error(&self, at: usize, field: &str, problem: Problem) -> ConfigError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        let (file, field) = (self.file.to_owned(), field.to_owned());
        ConfigError { file, line, column, field, problem: Box::new(problem) }
    }
}

/// A table of the document, with only the keys that are known there.
pub(super) struct Table<'a> {
    document: Document<'a>,
    path: String,
    at: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Takes a table, refusing keys other than `known`.
    pub(super) fn new(
        document: Document<'a>,
        path: String,
        at: usize,
        entries: &'a DeTable<'a>,
        known: &'static [&'static str],
    ) -> Result<Self, ConfigError> {
        for (key, _) in entries {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let problem = Problem::UnknownKey {
                    key: name.to_owned(),
                    nearest: nearest(name, known),
                    known,
                };
                return Err(document.error(key.span().start, &join(&path, name), problem));
            }
        }
        Ok(Self { document, path, at, entries })
    }

    /// The value of a key, if it is given.
    pub(super) fn value(&self, key: &str) -> Option<Value<'a>> {
        let value = self.entries.get(key)?;
        Some(Value { document: self.document, path: join(&self.path, key), value })
    }

    /// The value of a key that must be given.
    pub(super) fn required(
        &self,
        key: &'static str,
        example: &'static str,
    ) -> Result<Value<'a>, ConfigError> {
        self.value(key).ok_or_else(|| {
            self.document.error(self.at, &self.path, Problem::Missing { key, example })
        })
    }
}

/// A value of the document.
pub(super) struct Value<'a> {
    document: Document<'a>,
    path: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    /// A complaint about this value.
    pub(super) fn error(&self, problem: Problem) -> ConfigError {
        self.document.error(self.value.span().start, &self.path, problem)
    }

    /// The value as written in the file.
    pub(super) fn source(&self) -> &'a str {
        self.document.text.get(self.value.span()).unwrap_or_default().trim()
    }

    pub(super) fn string(&self) -> Result<&'a str, ConfigError> {
        self.value.get_ref().as_str().ok_or_else(|| self.wrong_type("a string in quotes"))
    }

    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, ConfigError> {
        let DeValue::Integer(integer) = self.value.get_ref() else {
            return Err(self.wrong_type("a whole number"));
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.error(Problem::OutOfRange {
                value: self.source().to_owned(),
                min: range.start().to_string(),
                max: range.end().to_string(),
            })),
        }
    }

    /// A length of time given in seconds, more than zero and at most `max`.
    pub(super) fn seconds(&self, max: Span) -> Result<Span, ConfigError> {
        self.span(Span::NANOSECOND, max)
    }

    /// A length of time given in seconds, in a range.
    pub(super) fn span(&self, min: Span, max: Span) -> Result<Span, ConfigError> {
        let text = match self.value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => return Err(self.wrong_type("a number of seconds")),
        };
        let span = text.parse().ok().and_then(Span::from_seconds_f64);
        span.filter(|&span| span >= min && span <= max).ok_or_else(|| {
            self.error(Problem::OutOfRange {
                value: self.source().to_owned(),
                min: if min == Span::NANOSECOND {
                    "0.000000001".to_owned()
                } else {
                    min.as_seconds_f64().to_string()
                },
                max: max.as_seconds_f64().to_string(),
            })
        })
    }

    /// One of the known words.
    pub(super) fn word(&self, known: &'static [&'static str]) -> Result<&str, ConfigError> {
        let word = self.string()?;
        if known.contains(&word) {
            return Ok(word);
        }
        let (value, nearest) = (word.to_owned(), nearest(word, known));
        Err(self.error(Problem::UnknownWord { value, nearest, known }))
    }

    /// A number of seconds, or `inf` for none.
    pub(super) fn seconds_or_inf(&self, max: Span) -> Result<Option<Span>, ConfigError> {
        match self.value.get_ref() {
            DeValue::Float(float) if matches!(float.as_str(), "inf" | "+inf") => Ok(None),
            _ => self.seconds(max).map(Some),
        }
    }

    pub(super) fn table(&self, known: &'static [&'static str]) -> Result<Table<'a>, ConfigError> {
        let entries = self.value.get_ref().as_table();
        let entries = entries.ok_or_else(|| self.wrong_type("a table"))?;
        Table::new(self.document, self.path.clone(), self.value.span().start, entries, known)
    }

    pub(super) fn array(&self, items_max: usize) -> Result<Vec<Self>, ConfigError> {
        let items = self.value.get_ref().as_array();
        let expected = match self.value.get_ref() {
            DeValue::Table(_) => "a list, whose items have double brackets as `[[source]]`,",
            _ => "a list",
        };
        let items = items.ok_or_else(|| self.wrong_type(expected))?;
        if items.len() > items_max {
            return Err(self.error(Problem::TooMany { count: items.len(), max: items_max }));
        }
        let item = |(i, value)| Self {
            document: self.document,
            path: format!("{}[{i}]", self.path),
            value,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    fn wrong_type(&self, expected: &'static str) -> ConfigError {
        let value: String = self.source().chars().take(60).collect();
        let found = self.value.get_ref().type_str();
        self.error(Problem::WrongType { value, found, expected })
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
