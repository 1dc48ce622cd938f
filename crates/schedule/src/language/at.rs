//! `@at INSTANT[,INSTANT…]`: instants that are listed.

use super::error::ParseError;
use super::moment::{Moment, in_years, timestamp};
use super::{APART_US, MIN_US, Parsed, When, Zone};

/// Most instants of one list.
const LISTED_MAX: usize = 60;

/// Listed instants, ascending.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct At(Box<[i64]>);

/// Parses what follows `@at`: instants with their offset, separated by commas or spaces.
pub(super) fn parse(
    words: &[(usize, &str)],
    end: usize,
    zone: &Zone,
) -> Result<Parsed, ParseError> {
    let mut instants = Vec::new();
    for &(at, word) in words {
        let mut position = at;
        for text in word.split(',') {
            if !text.is_empty() {
                instants.push(parse_one(text, position, zone)?);
            }
            position += text.len() + 1;
        }
        if instants.len() > LISTED_MAX {
            let message = format!("more than {LISTED_MAX} instants are listed");
            return Err(ParseError::new(at, message));
        }
    }
    if instants.is_empty() {
        let message = "an instant is missing after `@at`";
        return Err(ParseError::new(end, message).suggest("@at 2027-01-01T00:00:00.250Z"));
    }
    instants.sort_unstable();
    instants.dedup();
    if let Some(pair) = instants.windows(2).find(|pair| pair[1] - pair[0] < APART_US) {
        let message = format!(
            "{} and {} are less than 1 ms apart; instants are at least 1 ms apart",
            timestamp(pair[0]),
            timestamp(pair[1])
        );
        return Err(ParseError::new(words[0].0, message));
    }
    let listed: Vec<String> = instants.iter().map(|at| timestamp(*at).to_string()).collect();
    let canonical = format!("@at {}", listed.join(","));
    Ok(Parsed { when: When::At(At(instants.into())), wildcard: true, canonical })
}

fn parse_one(text: &str, at: usize, zone: &Zone) -> Result<i64, ParseError> {
    let moment = Moment::parse(text, at)?;
    if moment.offset.is_none() {
        let utc = timestamp(moment.instant(zone));
        let message = format!("`{text}` has no offset from UTC, so it is no instant");
        return Err(ParseError::new(at + text.len(), message).suggest(format!("@at {utc}")));
    }
    in_years(moment.instant(zone), at)
}

impl At {
    /// The instants, ascending.
    pub(super) fn instants(&self) -> &[i64] {
        &self.0
    }

    /// The first instant that is at least `at`.
    pub(super) fn next(&self, at: i64) -> Option<i64> {
        self.0.get(self.below(at)).copied()
    }

    /// The last instant that is at most `at`.
    pub(super) fn previous(&self, at: i64) -> Option<i64> {
        self.below(at + 1).checked_sub(1).map(|index| self.0[index])
    }

    /// How many instants lie in `from..=until`.
    pub(super) fn count(&self, from: i64, until: i64) -> u64 {
        self.below(until.max(MIN_US) + 1).saturating_sub(self.below(from)) as u64
    }

    fn below(&self, at: i64) -> usize {
        self.0.partition_point(|instant| *instant < at)
    }
}
