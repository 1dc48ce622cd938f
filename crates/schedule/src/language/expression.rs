//! Which language an expression is written in.

use super::error::ParseError;
use super::pattern::Pattern;
use super::{Dialect, Parsed, When, Zone, at, cron, interval_parse, rrule, systemd, words};

/// Longest expression, in octets.
const OCTETS_MAX: usize = 1_024;

/// Parses an expression of any dialect.
pub(super) fn parse(
    expression: &str,
    dialect: Dialect,
    zone: &Zone,
    seed: Option<u64>,
) -> Result<Parsed, ParseError> {
    if expression.len() > OCTETS_MAX {
        let message = format!("the expression is longer than {OCTETS_MAX} octets");
        return Err(ParseError::new(OCTETS_MAX, message));
    }
    if let Some((position, odd)) =
        expression.char_indices().find(|(_, c)| !matches!(c, ' ' | '\t' | '\r' | '\n' | '!'..='~'))
    {
        let message = format!("an expression has no {odd:?}; expected ASCII letters and signs");
        return Err(ParseError::new(position, message));
    }
    let words = words(expression);
    if words.is_empty() {
        return Err(ParseError::new(0, "the expression is empty").suggest("* * * * *"));
    }
    let end = expression.len();
    match dialect {
        Dialect::Vixie if words[0].1 == "@at" => at::parse(&words[1..], end, zone),
        Dialect::Vixie if interval_parse::begins(words[0].1) => match words.get(1) {
            None => interval_parse::parse(words[0].1, words[0].0, zone),
            Some((extra, _)) => Err(ParseError::new(*extra, "nothing follows an interval")),
        },
        Dialect::Vixie if rrule::begins(words[0].1) => {
            let (rule, canonical) = rrule::parse(&words, end, zone)?;
            let wildcard = rule.is_below_a_day();
            let when = When::Local(Pattern::Rule(Box::new(rule)));
            Ok(Parsed { when, wildcard, canonical })
        }
        Dialect::Systemd => systemd::parse(&words, expression.len(), zone),
        _ => cron::parse(&words, expression.len(), dialect, seed),
    }
}
