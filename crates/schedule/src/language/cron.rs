//! Cron expressions: five fields, or six with seconds first, or seven with the year last; macros
//! and `@every`.

use super::calendar::Calendar;
use super::days::{Days, Relative};
use super::error::ParseError;
use super::every::Every;
use super::field::{Field, Kind, Numbering};
use super::pattern::Pattern;
use super::phrase::counted;
use super::reader::{Grammar, QuestionMark, Seed, Style};
use super::second::Seconds;
use super::years::Years;
use super::{APART_US, Dialect, Parsed, When, spacing_error};

const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// What differs between the cron dialects.
struct Rules {
    dialect: Dialect,
    grammar: Grammar,
    /// How many fields there may be: 6 begin with seconds, 7 end with the year too.
    counts: &'static [usize],
    expected: &'static str,
    /// Whether a day field restricts nothing, so that days must match both fields.
    unrestricted: fn(&Field) -> bool,
}

/// Parses a cron expression; its words, each with its octet position, of a text of `length` octets.
pub(super) fn parse(
    words: &[(usize, &str)],
    length: usize,
    dialect: Dialect,
    seed: Option<u64>,
) -> Result<Parsed, ParseError> {
    let rules = rules(dialect, seed);
    let (at, first) = words[0];
    if first.starts_with("TZ=") || first.starts_with("CRON_TZ=") {
        let message = "a zone is no part of the expression; give it as `timeZone`";
        return Err(ParseError::new(at, message));
    }
    if first.starts_with('@') {
        return parse_macro(words, &rules);
    }
    parse_fields(words, length, &rules)
}

fn rules(dialect: Dialect, seed: Option<u64>) -> Rules {
    let grammar = Grammar::PLAIN;
    match dialect {
        // crontab(5), and what has no other meaning in it: seconds, fractions, `H`, `L`, `W`, `#`.
        Dialect::Vixie => Rules {
            dialect,
            grammar: Grammar {
                fractions: true,
                oversize_step: false,
                sunday_ends_range: true,
                relative: Some(Style::Open),
                seed: seed.map_or(Seed::Missing, Seed::Given),
                ..grammar
            },
            counts: &[5, 6],
            expected: "5, or 6 with seconds first",
            unrestricted: Field::begins_with_star,
        },
        // As robfig/cron v3 parses it for the CronJob controller: `*/2` restricts a day field, `*`
        // or `?` in any place of the list does not; there is no day 7.
        Dialect::Kubernetes => Rules {
            dialect,
            grammar: Grammar {
                seventh_day: false,
                question_mark: QuestionMark::Star,
                empty_elements: true,
                ..grammar
            },
            counts: &[5],
            expected: "5",
            unrestricted: Field::has_plain_star,
        },
        // The year stands only in the form of seven fields (OCPS 1.2 section 4.2).
        Dialect::Ocps => Rules {
            dialect,
            grammar: Grammar {
                step_after_number: false,
                sunday_ends_range: true,
                question_mark: QuestionMark::Star,
                relative: Some(Style::Ocps),
                ..grammar
            },
            counts: &[5, 6, 7],
            expected: "5, 6 with seconds first, or 7 with the year last",
            unrestricted: Field::is_star,
        },
        Dialect::Quartz | Dialect::Systemd => Rules {
            dialect,
            grammar: Grammar {
                seventh_day: false,
                question_mark: QuestionMark::OtherDay,
                wrapping: true,
                relative: Some(Style::Quartz),
                numbering: Numbering { sunday: 1 },
                ..grammar
            },
            counts: &[6, 7],
            expected: "6 with seconds first, or 7 with the year last",
            unrestricted: Field::is_unspecified,
        },
    }
}

fn parse_macro(words: &[(usize, &str)], rules: &Rules) -> Result<Parsed, ParseError> {
    let (at, name) = words[0];
    let dialect = rules.dialect;
    if dialect == Dialect::Quartz {
        let message = format!("`{name}` is not known to Quartz; expected 6 or 7 fields");
        return Err(ParseError::new(at, message));
    }
    let expanded = MACROS.iter().find(|(known, _)| *known == name).map(|(_, fields)| *fields);
    match (name, expanded, words) {
        (_, Some(fields), [_]) => parse_fields(&super::words(fields), fields.len(), rules),
        (_, Some(_), [_, (extra, _), ..]) => {
            Err(ParseError::new(*extra, format!("nothing follows `{name}`")))
        }
        ("@every", ..) if dialect == Dialect::Kubernetes => {
            let message = "`@every` counts from whenever the controller began in dialect \
                `kubernetes`, which no two replicas agree on; use dialect `vixie`, where it counts \
                from 1970";
            Err(ParseError::new(at, message))
        }
        ("@every", ..) if dialect != Dialect::Vixie => {
            let message = format!("`@every` is not in dialect `{}`; use `vixie`", dialect.name());
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
            if dialect == Dialect::Vixie {
                known.push("@at");
            }
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
    use Kind::{DayOfMonth, DayOfWeek, Hour, Minute, Month, Second, Year};
    const KINDS: [Kind; 7] = [Second, Minute, Hour, DayOfMonth, Month, DayOfWeek, Year];
    if !rules.counts.contains(&words.len()) {
        let (found, expected) = (words.len(), rules.expected);
        let at = words.get(rules.counts[rules.counts.len() - 1]).map_or(length, |(at, _)| *at);
        let found = counted(found as i64, "field");
        let error = ParseError::new(at, format!("the expression has {found}; expected {expected}"));
        let period = words[0].1;
        let is_period = rules.dialect == Dialect::Vixie && words.len() == 1;
        return Err(match is_period && Every::parse(period, 0).is_ok() {
            true => error.suggest(format!("@every {period}")),
            false => error,
        });
    }
    let kinds = if words.len() == 5 { &KINDS[1..6] } else { &KINDS[..words.len()] };
    let mut both = false;
    let mut fields = Vec::with_capacity(kinds.len());
    for (kind, &(at, word)) in kinds.iter().zip(words) {
        // OCPS 1.4 section 4.1.2: `+` before the day of week asks for both days to match.
        let plus = rules.dialect == Dialect::Ocps && *kind == DayOfWeek && word.starts_with('+');
        let (at, word) = if plus { (at + 1, &word[1..]) } else { (at, word) };
        both |= plus;
        fields.push(Field::parse(*kind, word, at, rules.grammar)?);
    }
    let shown = |field: &Field| match field.kind {
        DayOfWeek if both => format!("+{field}"),
        _ => field.to_string(),
    };
    let canonical = fields.iter().map(shown).collect::<Vec<_>>().join(" ");
    let years = fields.iter().find(|field| field.kind == Year).filter(|field| !field.is_star());
    let years = years.map_or(Years::default(), |field| Years::new(&field.progressions()));
    let (seconds, times) = match &fields[..] {
        [second, rest @ ..] if words.len() > 5 => (compile_seconds(second, words[0].0)?, rest),
        rest => (Seconds::zero(), rest),
    };
    let [minute, hour, of_month, month, of_week, ..] = times else {
        unreachable!("there are five fields beside seconds and year");
    };
    let days = days(of_month, of_week, rules, both, words[words.len().min(6) - 1].0)?;
    let wildcard = fields.iter().take_while(|field| field.kind != DayOfMonth);
    let wildcard = wildcard.into_iter().any(Field::begins_with_star);
    let calendar =
        Calendar::new(seconds, minute.bits(), hour.bits() as u32, days, month.bits() as u16);
    let when = When::Local(Pattern::Calendar(calendar.in_years(years)));
    Ok(Parsed { when, wildcard, canonical })
}

/// What the two day fields mean together; `at` is where the day of week stands.
fn days(
    of_month: &Field,
    of_week: &Field,
    rules: &Rules,
    both: bool,
    at: usize,
) -> Result<Days, ParseError> {
    if rules.dialect == Dialect::Quartz && of_month.is_unspecified() == of_week.is_unspecified() {
        let message = "one of day of month and day of week, and not both, is `?` in this dialect";
        return Err(ParseError::new(at, message).suggest("?"));
    }
    let mut relative = Relative::default();
    of_month.add_relative(&mut relative);
    of_week.add_relative(&mut relative);
    Ok(Days {
        of_month: of_month.bits() as u32,
        of_week: of_week.bits() as u8,
        either: !both && !(rules.unrestricted)(of_month) && !(rules.unrestricted)(of_week),
        relative: (!relative.is_empty()).then(|| Box::new(relative)),
    })
}

fn compile_seconds(field: &Field, at: usize) -> Result<Seconds, ParseError> {
    Seconds::new(&field.progressions(), APART_US).map_err(|close| spacing_error(at, close))
}
