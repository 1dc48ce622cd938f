//! A Rust file as tokens: enough of the language for our rules, and quick to compile.

use crate::project::ProjectFile;

/// A Rust file, read.
pub(crate) struct Source {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// Its text, for rules about comments and lines.
    pub(crate) text: String,
    /// Its tokens, without comments.
    pub(crate) tokens: Vec<Token>,
}

/// A word, a mark, or a literal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Token {
    /// A word as it stands, `::`, one mark, or for a string, character or lifetime only its opening
    /// mark.
    pub(crate) text: String,
    /// 1-based.
    pub(crate) line: usize,
    /// Whether it stands in an item that is compiled for tests only.
    pub(crate) in_test: bool,
}

impl Source {
    pub(crate) fn read(file: &ProjectFile) -> Self {
        let mut tokens = Lexer::new(&file.text).tokens();
        if is_test_file(&file.path) {
            tokens.iter_mut().for_each(|token| token.in_test = true);
        }
        mark_test_items(&mut tokens);
        Self { path: file.path.clone(), text: file.text.clone(), tokens }
    }

    /// The crate's directory name and the module path of a file under `crates/NAME/src` or
    /// `xtask/src`.
    pub(crate) fn module(&self) -> Option<(String, Vec<String>)> {
        let (package, inside) = self.path.split_once("/src/")?;
        let name = package.strip_prefix("crates/").unwrap_or(package);
        let mut parts: Vec<&str> = inside.strip_suffix(".rs")?.split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
            parts.pop();
        }
        Some((name.to_owned(), parts.into_iter().map(str::to_owned).collect()))
    }

    /// Whether the words at `at` are exactly these.
    pub(crate) fn has(&self, at: usize, words: &[&str]) -> bool {
        at + words.len() <= self.tokens.len()
            && words.iter().zip(&self.tokens[at..]).all(|(word, token)| token.text == *word)
    }
}

impl Token {
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// The index of the bracket that closes the one at `open`; the last token if there is none.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len().saturating_sub(1)
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/benches/")
}

/// Marks every item under `#[cfg(test)]`, `#[cfg(all(test, …))]` or `#[test]`.
fn mark_test_items(tokens: &mut [Token]) {
    let mut index = 0;
    while index < tokens.len() {
        if !(tokens[index].text == "#" && index + 1 < tokens.len() && tokens[index + 1].text == "[")
        {
            index += 1;
            continue;
        }
        let end = closing(tokens, index + 1);
        let inside = &tokens[index + 2..end];
        let words = |word: &str| inside.iter().any(|token| token.text == word);
        let for_tests = inside.first().is_some_and(|first| first.text == "test")
            || (words("cfg") && words("test") && !words("not") && !words("any"));
        if !for_tests {
            index = end + 1;
            continue;
        }
        let last = item_end(tokens, end + 1);
        for token in &mut tokens[index..=last] {
            token.in_test = true;
        }
        index = last + 1;
    }
}

/// The last token of the item that begins at `start`: its `;`, or the brace that closes its body.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut index = start;
    while index < tokens.len() {
        match tokens[index].text.as_str() {
            ";" => return index,
            "{" => return closing(tokens, index),
            "(" | "[" => index = closing(tokens, index),
            _ => {}
        }
        index += 1;
    }
    tokens.len().saturating_sub(1)
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn new(text: &str) -> Self {
        Self { characters: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() }
    }

    fn tokens(mut self) -> Vec<Token> {
        while let Some(character) = self.peek(0) {
            match (character, self.peek(1)) {
                ('/', Some('/')) => self.skip_while(|character| character != '\n'),
                ('/', Some('*')) => self.skip_block_comment(),
                ('"', _) => self.string(),
                ('\'', _) => self.quote(),
                (':', Some(':')) => self.push("::", 2),
                _ if character.is_whitespace() => self.advance(1),
                _ if character.is_alphanumeric() || character == '_' => self.word(),
                _ => self.push(&character.to_string(), 1),
            }
        }
        self.tokens
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn advance(&mut self, count: usize) {
        let end = (self.at + count).min(self.characters.len());
        self.line += self.characters[self.at..end].iter().filter(|&&c| c == '\n').count();
        self.at = end;
    }

    fn push(&mut self, text: &str, length: usize) {
        self.tokens.push(Token { text: text.to_owned(), line: self.line, in_test: false });
        self.advance(length);
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.advance(1);
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(character) = self.peek(0) {
            match (character, self.peek(1)) {
                ('/', Some('*')) => {
                    depth += 1;
                    self.advance(2);
                }
                ('*', Some('/')) => {
                    depth -= 1;
                    self.advance(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.advance(1),
            }
        }
    }

    /// A string with escapes; the token is only its opening mark.
    fn string(&mut self) {
        self.push("\"", 1);
        while let Some(character) = self.peek(0) {
            self.advance(if character == '\\' { 2 } else { 1 });
            if character == '"' {
                return;
            }
        }
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        let is_lifetime = self.peek(1).is_some_and(|c| c.is_alphabetic() || c == '_')
            && self.peek(2) != Some('\'');
        self.push("'", 1);
        if is_lifetime {
            return self.skip_while(|character| character.is_alphanumeric() || character == '_');
        }
        self.advance(if self.peek(0) == Some('\\') { 2 } else { 1 });
        self.skip_while(|character| character != '\'');
        self.advance(1);
    }

    /// A word or a number; `r"…"`, `br#"…"#`, `b'…'` and `c"…"` are literals with a prefix.
    fn word(&mut self) {
        let (start, line) = (self.at, self.line);
        self.skip_while(|character| character.is_alphanumeric() || character == '_');
        let text: String = self.characters[start..self.at].iter().collect();
        let raw = matches!(text.as_str(), "r" | "br" | "cr");
        match self.peek(0) {
            Some('"' | '#') if raw && self.raw_string() => {}
            // A raw identifier: the name alone matters.
            Some('#') if text == "r" => self.advance(1),
            Some('"') if matches!(text.as_str(), "b" | "c") => self.string(),
            Some('\'') if text == "b" => self.quote(),
            _ => self.tokens.push(Token { text, line, in_test: false }),
        }
    }

    /// A raw string at the marks after its prefix; `false` if it is none.
    fn raw_string(&mut self) -> bool {
        let hashes = self.characters[self.at..].iter().take_while(|&&c| c == '#').count();
        if self.peek(hashes) != Some('"') {
            return false;
        }
        self.push("\"", hashes + 1);
        while self.peek(0).is_some() {
            let closes = self.peek(0) == Some('"')
                && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            self.advance(if closes { hashes + 1 } else { 1 });
            if closes {
                break;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sources;

    fn words(text: &str) -> Vec<String> {
        let source = &sources(&[("crates/a/src/lib.rs", text)])[0];
        source.tokens.iter().map(|token| token.text.clone()).collect()
    }

    #[test]
    fn comments_and_the_inside_of_literals_are_no_tokens() {
        let text = "a /* x /* y */ z */ b // c\n\"d \\\" e\" r#\"f \" g\"# 'h' '\\'' b'i' &'j k";
        assert_eq!(words(text), ["a", "b", "\"", "\"", "'", "'", "'", "&", "'", "k"]);
    }

    #[test]
    fn paths_are_words_with_one_mark_between() {
        assert_eq!(
            words("crate::a::{b}; r#type"),
            ["crate", "::", "a", "::", "{", "b", "}", ";", "type"]
        );
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let source = &sources(&[("crates/a/src/lib.rs", "/*\n*/ \"\n\"\nlast")])[0];
        assert_eq!(source.tokens.last().map(|token| token.line), Some(4));
    }

    #[test]
    fn items_for_tests_are_marked_and_what_follows_is_not() {
        let text = "fn a() {} #[cfg(test)] mod tests { fn b() { {} } } fn c() {}\n\
                    #[cfg(not(test))] fn d() {}";
        let source = &sources(&[("crates/a/src/lib.rs", text)])[0];
        let in_test = |word: &str| {
            source.tokens.iter().find(|token| token.text == word).map(|token| token.in_test)
        };
        assert_eq!(in_test("a"), Some(false));
        assert_eq!(in_test("b"), Some(true));
        assert_eq!(in_test("c"), Some(false));
        assert_eq!(in_test("d"), Some(false));
    }

    #[test]
    fn a_file_has_its_module_path() {
        let module = |path: &str| sources(&[(path, "")])[0].module();
        let expected = |name: &str, path: &[&str]| {
            Some((name.to_owned(), path.iter().map(|part| (*part).to_owned()).collect()))
        };
        assert_eq!(module("crates/ntp/src/engine/mod.rs"), expected("ntp", &["engine"]));
        assert_eq!(module("crates/ntp/src/engine/io.rs"), expected("ntp", &["engine", "io"]));
        assert_eq!(module("xtask/src/main.rs"), expected("xtask", &[]));
        assert_eq!(module("fuzz/build.rs"), None);
    }
}
