//! `$(NAME)` in a container's command, arguments and variables, as Kubernetes replaces it: by the
//! value of that variable of the container, and left as it is where there is none; `$$` stands for
//! `$`. Nothing of that happens to a program of ours.

use std::collections::{BTreeMap, BTreeSet};

/// Most octets that all texts of one container may come to; Linux itself takes some 2 MiB.
const OCTETS_MAX: usize = 1024 * 1024;

/// The variables of a container with their values, while its texts are replaced.
#[derive(Debug, Default)]
pub(super) struct References {
    values: BTreeMap<String, String>,
    /// Names that stand in `$(NAME)` and have no value here.
    pub(super) unknown: BTreeSet<String>,
    octets: usize,
}

impl References {
    /// Makes a variable known to the texts that come after it, as those of its container.
    pub(super) fn define(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// The text as the container's program would get it.
    ///
    /// # Errors
    /// Where the texts of the container become too long: each variable may stand in others twice.
    pub(super) fn replace(&mut self, text: &str) -> Result<String, String> {
        let (mut replaced, mut rest) = (String::new(), text);
        // Looked for once: looking for it behind each `$(` would take the square of the length.
        let last_end = text.rfind(')').unwrap_or(0);
        while let Some(at) = rest.find('$') {
            replaced.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            let may_end = text.len() - tail.len() < last_end;
            let inside = tail.strip_prefix('(').filter(|_| may_end);
            let reference = inside.and_then(|inside| inside.split_once(')'));
            rest = if let Some((name, after)) = reference {
                match self.values.get(name) {
                    Some(value) => replaced.push_str(value),
                    None => {
                        replaced.extend(["$(", name, ")"]);
                        self.unknown.insert(name.to_owned());
                    }
                }
                after
            } else {
                replaced.push('$');
                tail.strip_prefix('$').unwrap_or(tail)
            };
            self.limit(replaced.len())?;
        }
        replaced.push_str(rest);
        self.octets += replaced.len();
        self.limit(0).map(|()| replaced)
    }

    fn limit(&self, octets: usize) -> Result<(), String> {
        if self.octets + octets <= OCTETS_MAX {
            return Ok(());
        }
        Err("command and variables are longer than 1 MiB where $(NAME) is replaced".to_owned())
    }
}

/// The text in which Kubernetes finds nothing to replace but what gives this text again.
pub(super) fn escaped(text: &str) -> String {
    let is_read_otherwise = text.contains("$$") || text.contains("$(");
    if is_read_otherwise { text.replace('$', "$$") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_kubernetes_does() {
        let mut references = References::default();
        references.define("A", "x");
        references.define("B", "$(A)");
        for (text, expected) in [
            ("$(A) and $(A)$(A)", "x and xx"),
            ("$$(A) $$$(A) $$$$(A)", "$(A) $x $$(A)"),
            ("$(B)", "$(A)"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(C) $() $(A", "$(C) $() $(A"),
            ("$($(A))", "$($(A))"),
            ("5$$ für $(A)€", "5$ für x€"),
        ] {
            assert_eq!(references.replace(text).unwrap(), expected, "{text}");
        }
        let unknown: Vec<&str> = references.unknown.iter().map(String::as_str).collect();
        assert_eq!(unknown, ["", "$(A", "C"]);
    }

    #[test]
    fn what_goes_out_escaped_comes_in_as_it_was() {
        let mut references = References::default();
        references.define("A", "x");
        for text in ["$HOME", "$(A)", "$$", "$$(A) $(date)", "a$", "$$$", "$(", "no", "€$$€"] {
            assert_eq!(references.replace(&escaped(text)).unwrap(), text);
        }
        assert_eq!(escaped("echo $HOME $1"), "echo $HOME $1");
        assert!(references.unknown.is_empty());
    }

    #[test]
    fn variables_that_double_each_other_find_an_end() {
        let mut references = References::default();
        references.define("A", &"x".repeat(1_000));
        let mut doubled = || {
            let value = references.replace("$(A)$(A)")?;
            references.define("A", &value);
            Ok::<_, String>(())
        };
        let error = (0..64).find_map(|_| doubled().err()).unwrap();
        assert!(error.contains("1 MiB"), "{error}");
    }
}
