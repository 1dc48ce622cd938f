//! `L`, `W` and `#`: days that are not the same number in every month.

use super::error::ParseError;
use super::field::{Base, Element, Kind, RelativeDay};
use super::reader::{Reader, Style};

/// Reads a relative day; `None` where the text is none.
pub(super) fn day(reader: Reader, text: &str) -> Result<Option<Base>, ParseError> {
    let found = match (reader.kind, reader.grammar.relative) {
        (_, None) => None,
        (Kind::DayOfMonth, Some(style)) => of_month(reader, text, style)?.map(Base::Relative),
        (Kind::DayOfWeek, Some(Style::Quartz)) if text == "L" => Some(Base::One(7)),
        (Kind::DayOfWeek, Some(_)) => of_week(reader, text)?.map(Base::Relative),
        _ => None,
    };
    Ok(found)
}

/// Refuses what OCPS 1.3 section 4.3 does: `W` beside others.
pub(super) fn check_list(
    kind: Kind,
    elements: &[Element],
    style: Option<Style>,
    at: usize,
) -> Result<(), ParseError> {
    let nearest =
        |element: &Element| matches!(element.base, Base::Relative(RelativeDay::Nearest(_)));
    if style == Some(Style::Ocps) && elements.len() > 1 && elements.iter().any(nearest) {
        let message = format!("`W` stands alone in the {} field of this dialect", kind.name());
        return Err(ParseError::new(at, message));
    }
    Ok(())
}

fn of_month(reader: Reader, text: &str, style: Style) -> Result<Option<RelativeDay>, ParseError> {
    if text == "L" {
        return Ok(Some(RelativeDay::FromEnd(0)));
    }
    if let Some(rest) = text.strip_prefix('L') {
        let refused = || {
            let message = format!("`{text}` is no day of a month; expected `L` for the last");
            ParseError::new(reader.at, message)
        };
        if style == Style::Ocps {
            return Err(refused());
        }
        let (rest, nearest) = match rest.strip_suffix('W') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let before_last = if rest.is_empty() {
            0
        } else {
            rest.strip_prefix('-').and_then(|n| number(n, 30)).ok_or_else(refused)?
        };
        return Ok(Some(match nearest {
            true => RelativeDay::NearestFromEnd(before_last),
            false => RelativeDay::FromEnd(before_last),
        }));
    }
    let Some(day) = text.strip_suffix('W') else { return Ok(None) };
    match number(day, 31).filter(|day| *day > 0) {
        Some(day) => Ok(Some(RelativeDay::Nearest(day))),
        None => {
            let message = format!("`{text}` is no weekday nearest to a day; expected 1W to 31W");
            Err(ParseError::new(reader.at, message).suggest("15W"))
        }
    }
}

fn of_week(reader: Reader, text: &str) -> Result<Option<RelativeDay>, ParseError> {
    let weekday = |text: &str| {
        let value = reader.value(text, reader.at, false)?;
        Ok(((value - reader.grammar.numbering.sunday) % 7) as u8)
    };
    if let Some((day, which)) = text.split_once('#') {
        let day = weekday(day)?;
        let which_at = reader.at + text.len() - which.len();
        return match (which, number(which, 5)) {
            ("L", _) => Ok(Some(RelativeDay::LastOf(day))),
            (_, Some(n @ 1..=5)) => Ok(Some(RelativeDay::Nth(day, n))),
            _ => {
                let message = format!("found `{which}` after `#`; expected 1 to 5, or L for last");
                Err(ParseError::new(which_at, message))
            }
        };
    }
    match text.strip_suffix('L') {
        Some(day) if !day.is_empty() => Ok(Some(RelativeDay::LastOf(weekday(day)?))),
        _ => Ok(None),
    }
}

/// A decimal number of at most two digits up to `most`.
fn number(text: &str, most: u8) -> Option<u8> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= most)
}
