//! `H`: a value that the schedule's seed chooses, so that many schedules spread by themselves.
//!
//! `H` is any value, `H/15` every 15 from any of the first 15, `H(0-7)` any value of a range and
//! `H(0-29)/10` both. Each field is chosen on its own, so that minute and second differ. The days
//! of a month are chosen from 1 to 28, so that every month has them (as in Jenkins).

use super::SECOND_US;
use super::error::ParseError;
use super::field::{Base, Element, Kind};
use super::reader::{Reader, Seed};
use crate::mix::{below, mix};

/// Reads an element that begins with `H`.
pub(super) fn element(
    reader: Reader,
    base: &str,
    step: Option<&str>,
) -> Result<Element, ParseError> {
    let at = reader.at;
    let seed = match reader.grammar.seed {
        Seed::Given(seed) => seed,
        Seed::Missing => {
            let message = "`H` is chosen by the schedule's identity, and none was given; \
                give a seed (`--seed`), or write the value";
            return Err(ParseError::new(at, message));
        }
        Seed::NotInDialect => {
            let message =
                "`H` means nothing in this dialect; write the value, or use dialect vixie";
            return Err(ParseError::new(at, message));
        }
    };
    let (least, largest) = bounds(reader, base)?;
    let whole = Base::Range(least, largest);
    let unit = reader.kind.unit();
    let word = mix(seed ^ mix(reader.kind as u64));
    let Some(step) = step else {
        let choices = (largest - least) / unit + 1;
        let chosen = least + below(word, choices as u64) as i64 * unit;
        return Ok(Element { base: Base::One(chosen), step: None });
    };
    let step = reader.step(whole, step, at + base.len() + 1)?;
    if step > largest - least + unit {
        let message = "the step is longer than what `H` chooses from";
        return Err(ParseError::new(at + base.len() + 1, message));
    }
    // Where the step has a fraction of a second the phase has one too, in whole milliseconds.
    let grain = if step % unit == 0 { unit } else { (SECOND_US / 1_000).min(step) };
    let phase = below(word, (step / grain) as u64) as i64 * grain;
    // A fraction may follow the last whole second.
    let last = if grain == unit { largest } else { largest + unit - grain };
    let first = least + phase;
    // A step that leads out of the range leaves one value, and is no step in the printed form.
    Ok(match first + step > last {
        true => Element { base: Base::One(first), step: None },
        false => Element { base: Base::Range(first, last), step: Some(step) },
    })
}

/// What `H` or `H(a-b)` chooses from.
fn bounds(reader: Reader, base: &str) -> Result<(i64, i64), ParseError> {
    let (least, largest) = match reader.kind {
        Kind::DayOfMonth => (1, 28),
        _ => reader.range(),
    };
    let inner_at = reader.at + 2;
    let bad = || {
        let message = "expected `H`, `H/STEP`, `H(FIRST-LAST)` or `H(FIRST-LAST)/STEP`";
        ParseError::new(reader.at, message)
    };
    let rest = &base[1..];
    if rest.is_empty() {
        return Ok((least, largest));
    }
    let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(bad)?;
    let (from, to) = inner.split_once('-').ok_or_else(bad)?;
    let first = reader.value(from, inner_at, false)?;
    let last = reader.value(to, inner_at + from.len() + 1, true)?;
    if first > last || first % reader.kind.unit() != 0 || last % reader.kind.unit() != 0 {
        let message = format!("`{inner}` is no range of whole numbers that `H` could choose from");
        return Err(ParseError::new(inner_at, message));
    }
    Ok((first, last))
}
