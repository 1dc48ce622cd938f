//! Reading a field of a cron expression: its list, and what each element is.

use super::error::ParseError;
use super::field::{Base, Element, Field, Kind};
use super::reader::{Grammar, QuestionMark, Reader};
use super::{hash, relative};

/// Most elements of one list; every minute of an hour can be listed.
const LISTED_MAX: usize = 60;

impl Field {
    /// Parses a field that begins at octet `at` of the expression.
    pub(super) fn parse(
        kind: Kind,
        text: &str,
        at: usize,
        grammar: Grammar,
    ) -> Result<Self, ParseError> {
        let mut elements = Vec::new();
        let mut position = at;
        for part in text.split(',') {
            if elements.len() == LISTED_MAX {
                let message =
                    format!("the {} field lists more than {LISTED_MAX} elements", kind.name());
                return Err(ParseError::new(position, message));
            }
            let skipped = part.is_empty() && grammar.empty_elements && text.len() > 1;
            if !skipped {
                elements.push(Reader { kind, grammar, at: position }.element(part)?);
            }
            position += part.len() + 1;
        }
        if elements.is_empty() {
            let message = format!("the {} field lists nothing", kind.name());
            return Err(ParseError::new(at, message));
        }
        relative::check_list(kind, &elements, grammar.relative, at)?;
        Ok(Self { kind, numbering: grammar.numbering, elements })
    }
}

impl Reader {
    fn element(self, text: &str) -> Result<Element, ParseError> {
        let (base_text, step_text) = match text.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (text, None),
        };
        if base_text.starts_with('H') {
            return hash::element(self, base_text, step_text);
        }
        if let Some(day) = relative::day(self, base_text)? {
            return match step_text {
                None => Ok(Element { base: day, step: None }),
                Some(_) => Err(ParseError::new(
                    self.at + base_text.len(),
                    format!("no step follows `{base_text}`"),
                )),
            };
        }
        let base = self
            .base(base_text, step_text.is_some())
            .map_err(|error| self.suggest_letters(base_text, error))?;
        let Some(step_text) = step_text else {
            self.check_range_of_fractions(base, base_text)?;
            return Ok(Element { base, step: None });
        };
        if matches!(base, Base::One(_)) && !self.grammar.step_after_number {
            let message = "a step follows a range or `*` in this dialect, not a number";
            let end = self.range().1 / self.kind.unit();
            return Err(
                ParseError::new(self.at, message).suggest(format!("{base_text}-{end}/{step_text}"))
            );
        }
        let step = self.step(base, step_text, self.at + base_text.len() + 1)?;
        Ok(Element { base, step: Some(step) })
    }

    fn base(self, text: &str, has_step: bool) -> Result<Base, ParseError> {
        match text {
            "*" => return Ok(Base::All),
            // Quartz takes `/15` for `0/15`.
            "" if has_step && self.grammar.wrapping => return Ok(Base::One(self.range().0)),
            "?" => return self.question_mark(),
            _ => {}
        }
        // A sign would be a range without a beginning; `split_once` finds the first hyphen.
        let Some((from_text, to_text)) = text.split_once('-') else {
            return Ok(Base::One(self.value(text, self.at, false)?));
        };
        let from = self.value(from_text, self.at, false)?;
        let to_at = self.at + from_text.len() + 1;
        let to = self.value(to_text, to_at, true)?;
        if from > to && !self.grammar.wrapping {
            let message =
                format!("the range {text} of the {} field runs backwards", self.kind.name());
            let error = ParseError::new(self.at, message);
            let (least, largest) = self.range();
            return Err(if self.kind == Kind::Second {
                error
            } else if self.kind == Kind::DayOfWeek && to == 0 && self.grammar.seventh_day {
                error.suggest(format!("{from}-7"))
            } else if self.kind == Kind::DayOfWeek && from > largest {
                // Day 7 is Sunday, with which the week begins, too.
                error.suggest(format!("{least}-{to}"))
            } else if from == largest {
                error.suggest(format!("{least}-{to},{from}"))
            } else {
                error.suggest(format!("{least}-{to},{from}-{largest}"))
            });
        }
        Ok(Base::Range(from, to))
    }

    /// Whoever writes `l` or `15w` means the letters of relative days.
    fn suggest_letters(self, text: &str, error: ParseError) -> ParseError {
        let letters = text.to_ascii_uppercase();
        let is_meant = letters != text && matches!(relative::day(self, &letters), Ok(Some(_)));
        if is_meant && error.suggestion.is_none() { error.suggest(letters) } else { error }
    }

    fn question_mark(self) -> Result<Base, ParseError> {
        let of_days = matches!(self.kind, Kind::DayOfMonth | Kind::DayOfWeek);
        let message = match self.grammar.question_mark {
            QuestionMark::Star if of_days => return Ok(Base::All),
            QuestionMark::OtherDay if of_days => return Ok(Base::Unspecified),
            QuestionMark::Refused => "`?` means nothing in this dialect",
            _ => "`?` is for day of month and day of week only",
        };
        Err(ParseError::new(self.at, message).suggest("*"))
    }

    /// `0.2-0.8` would be one value where people expect many.
    fn check_range_of_fractions(self, base: Base, text: &str) -> Result<(), ParseError> {
        match base {
            Base::Range(from, to) if from % self.kind.unit() != 0 || to % self.kind.unit() != 0 => {
                let message = format!("the range {text} between fractions needs a step");
                Err(ParseError::new(self.at, message).suggest(format!("{text}/0.1")))
            }
            _ => Ok(()),
        }
    }
}
