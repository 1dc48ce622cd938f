//! Cron expressions: five fields, or six with seconds first, macros and `@every`.

use super::calendar::{Calendar, Days};
use super::error::ParseError;
use super::every::Every;
use super::field::{Field, Grammar, Kind};
use super::second::Seconds;
use super::{APART_US, Dialect, When};

/// Longest expression, in octets.
const OCTETS_MAX: usize = 1_024;

const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A parsed expression.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) when: When,
    /// Whether it is a "wildcard job" to Vixie's rule for changes of the clocks: a time field
    /// begins with `*`.
    pub(super) wildcard: bool,
    pub(super) canonical: String,
}

/// What differs between the cron dialects.
struct Rules {
    grammar: Grammar,
    seconds: bool,
    every: bool,
    /// Whether a day field restricts nothing, so that days must match both fields.
    unrestricted: fn(&Field) -> bool,
}

/// Parses a cron expression of one of the dialects that have five or six fields.
pub(super) fn parse(expression: &str, dialect: Dialect) -> Result<Parsed, ParseError> {
    let rules = rules(dialect).ok_or_else(|| {
        let message = format!("the dialect `{}` is not supported yet", dialect.name());
        ParseError::new(0, format!("{message}; expected `vixie`, `kubernetes` or `ocps`"))
    })?;
    if expression.len() > OCTETS_MAX {
        let message = format!("the expression is longer than {OCTETS_MAX} octets");
        return Err(ParseError::new(OCTETS_MAX, message));
    }
    if let Some((position, odd)) =
        expression.char_indices().find(|(_, c)| !matches!(c, ' ' | '\t' | '!'..='~'))
    {
        let message = format!("an expression has no {odd:?}; expected ASCII letters and signs");
        return Err(ParseError::new(position, message));
    }
    let words = words(expression);
    let Some(&(at, first)) = words.first() else {
        return Err(ParseError::new(0, "the expression is empty").suggest("* * * * *"));
    };
    if first.starts_with("TZ=") || first.starts_with("CRON_TZ=") {
        let message = "a zone is no part of the expression; give it as `timeZone`";
        return Err(ParseError::new(at, message));
    }
    if first.starts_with('@') {
        return parse_macro(&words, &rules, dialect);
    }
    parse_fields(&words, expression.len(), &rules)
}

fn rules(dialect: Dialect) -> Option<Rules> {
    let grammar = Grammar {
        fractions: false,
        step_after_number: true,
        oversize_step: false,
        seventh_day: true,
        question_mark: false,
    };
    match dialect {
        Dialect::Vixie => Some(Rules {
            grammar: Grammar { fractions: true, ..grammar },
            seconds: true,
            every: true,
            unrestricted: Field::begins_with_star,
        }),
        // As robfig/cron v3 parses it for the CronJob controller: `*/2` restricts a day field, `*`
        // or `?` in any place of the list does not; there is no day 7.
        Dialect::Kubernetes => Some(Rules {
            grammar: Grammar {
                oversize_step: true,
                seventh_day: false,
                question_mark: true,
                ..grammar
            },
            seconds: false,
            every: false,
            unrestricted: Field::has_plain_star,
        }),
        Dialect::Quartz | Dialect::Ocps | Dialect::Systemd => None,
    }
}

/// The words of an expression, each with its octet position.
fn words(expression: &str) -> Vec<(usize, &str)> {
    let start = expression.as_ptr() as usize;
    expression.split_ascii_whitespace().map(|word| (word.as_ptr() as usize - start, word)).collect()
}

fn parse_macro(
    words: &[(usize, &str)],
    rules: &Rules,
    dialect: Dialect,
) -> Result<Parsed, ParseError> {
    let (at, name) = words[0];
    let expanded = MACROS.iter().find(|(known, _)| *known == name).map(|(_, fields)| *fields);
    match (name, expanded, words) {
        (_, Some(fields), [_]) => parse_fields(&self::words(fields), fields.len(), rules),
        (_, Some(_), [_, (extra, _), ..]) => {
            Err(ParseError::new(*extra, format!("nothing follows `{name}`")))
        }
        ("@every", ..) if !rules.every => {
            let message = format!(
                "`@every` counts from whenever the controller began in dialect `{}`, which no two \
                 replicas agree on; use dialect `vixie`, where it counts from 1970",
                dialect.name()
            );
            Err(ParseError::new(at, message))
        }
        ("@every", _, [_, (at, duration)]) => {
            let every = Every::parse(duration, *at)?;
            let canonical = every.to_string();
            Ok(Parsed { when: When::Every(every), wildcard: true, canonical })
        }
        ("@every", _, [_]) => {
            let message = "a duration is missing after `@every`";
            Err(ParseError::new(at + name.len(), message).suggest("@every 10s"))
        }
        ("@every", ..) => Err(ParseError::new(words[2].0, "only one duration follows `@every`")),
        ("@reboot", ..) => {
            Err(ParseError::new(at, "`@reboot` names no instant, so it cannot be scheduled"))
        }
        _ => {
            let mut known: Vec<&str> = MACROS.iter().map(|(known, _)| *known).collect();
            known.push("@every");
            let message = format!("`{name}` is not known; expected {}", known.join(", "));
            Err(ParseError::new(at, message).suggest_near(name, &known))
        }
    }
}

fn parse_fields(
    words: &[(usize, &str)],
    length: usize,
    rules: &Rules,
) -> Result<Parsed, ParseError> {
    use Kind::{DayOfMonth, DayOfWeek, Hour, Minute, Month, Second};
    let kinds: &[Kind] = match words.len() {
        5 => &[Minute, Hour, DayOfMonth, Month, DayOfWeek],
        6 if rules.seconds => &[Second, Minute, Hour, DayOfMonth, Month, DayOfWeek],
        found => {
            let expected = if rules.seconds { "5, or 6 with seconds first" } else { "5" };
            let at = words.get(if rules.seconds { 6 } else { 5 }).map_or(length, |(at, _)| *at);
            let message = format!("the expression has {found} fields; expected {expected}");
            return Err(ParseError::new(at, message));
        }
    };
    let mut fields = Vec::with_capacity(kinds.len());
    for (kind, (at, word)) in kinds.iter().zip(words) {
        fields.push(Field::parse(*kind, word, *at, rules.grammar)?);
    }
    let canonical = fields.iter().map(Field::to_string).collect::<Vec<_>>().join(" ");
    let (seconds, times) = match &fields[..] {
        [second, rest @ ..] if kinds.len() == 6 => (compile_seconds(second, words[0].0)?, rest),
        rest => (Seconds::zero(), rest),
    };
    let [minute, hour, of_month, month, of_week] = times else {
        unreachable!("there are five fields beside seconds");
    };
    let days = Days {
        of_month: of_month.bits() as u32,
        of_week: of_week.bits() as u8,
        either: !(rules.unrestricted)(of_month) && !(rules.unrestricted)(of_week),
    };
    let wildcard = fields[..kinds.len() - 3].iter().any(Field::begins_with_star);
    let calendar =
        Calendar::new(seconds, minute.bits(), hour.bits() as u32, days, month.bits() as u16);
    Ok(Parsed { when: When::Calendar(calendar), wildcard, canonical })
}

fn compile_seconds(field: &Field, at: usize) -> Result<Seconds, ParseError> {
    Seconds::new(&field.progressions(), APART_US).map_err(|(one, other)| {
        let shown = |us: i64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
        let message = format!(
            "seconds {} and {} are less than 1 ms apart; instants are at least 1 ms apart",
            shown(one),
            shown(other)
        );
        ParseError::new(at, message)
    })
}
