//! What a person most likely meant by a word that is not known.

/// The known word that `word` most likely stands for: equal but for case, or one typo away (one
/// more for each four characters). `None` where no word is that near.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let typos_max = 1 + word.chars().count() / 4;
    known
        .iter()
        .map(|candidate| (typos(&word.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .filter(|(typos, _)| *typos <= typos_max)
        .min_by_key(|(typos, _)| *typos)
        .map(|(_, candidate)| candidate)
}

/// How many characters have to be changed, added or removed (Levenshtein's distance).
fn typos(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_gibberish_does_not() {
        let known = ["schedule", "timeZone", "suspend"];
        assert_eq!(nearest("shedule", &known), Some("schedule"));
        assert_eq!(nearest("timezone", &known), Some("timeZone"));
        assert_eq!(nearest("suspended", &known), Some("suspend"));
        assert_eq!(nearest("frequency", &known), None);
        assert_eq!(nearest("sources", &["clock", "source", "server"]), Some("source"));
        assert_eq!(nearest("clok", &["clock", "source", "server"]), Some("clock"));
        assert_eq!(typos("", "abc"), 3);
        assert_eq!(typos("kitten", "sitting"), 3);
    }
}
