//! Why an expression was refused, and what to write instead.

/// Why an expression was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Octet position in the expression where the trouble begins.
    pub position: usize,
    /// What is wrong and what was expected, with a suggestion where there is one.
    pub message: String,
    /// What to write instead of the part in question, where that can be guessed.
    pub suggestion: Option<String>,
}

impl ParseError {
    /// Says what is wrong at `position`.
    pub(super) fn new(position: usize, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), suggestion: None }
    }

    /// Adds what to write instead, shown as `did you mean …?`.
    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        let suggestion = suggestion.into();
        self.message = format!("{}; did you mean `{suggestion}`?", self.message);
        self.suggestion = Some(suggestion);
        self
    }

    /// Adds the nearest of `words` as a suggestion, if one is near.
    pub(super) fn suggest_near(self, word: &str, words: &[&str]) -> Self {
        match nearest(word, words) {
            Some(near) => self.suggest(near),
            None => self,
        }
    }
}

/// The word that is at most two letters away, the nearest first.
fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    // Whoever writes a name in full means the name that it begins with.
    let full = words.iter().find(|known| {
        known.len() >= 3 && word.get(..known.len()).is_some_and(|w| w.eq_ignore_ascii_case(known))
    });
    full.copied().or_else(|| {
        words
            .iter()
            .map(|known| (distance(word, known), *known))
            .filter(|(distance, known)| *distance <= 2 && *distance < known.len())
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, known)| known)
    })
}

/// Levenshtein distance of two short words, letter case aside.
fn distance(a: &str, b: &str) -> usize {
    const LETTERS_MAX: usize = 24;
    if a.len() > LETTERS_MAX || b.len() > LETTERS_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let names = ["MON", "TUE", "@hourly"];
        assert_eq!(nearest("monday", &names), Some("MON"));
        assert_eq!(nearest("TEU", &names), Some("TUE"));
        assert_eq!(nearest("@horuly", &names), Some("@hourly"));
        assert_eq!(nearest("xyz", &names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
