//! What can be wrong in a configuration file.

use thiserror::Error;
use timeball_ntp::server::NetworkError;

use crate::address::AddressError;

/// What is wrong in a configuration file, and where.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{file}:{line}:{column}: {}{problem}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct ConfigError {
    /// The file, as named by the caller.
    pub file: String,
    /// The line (1+).
    pub line: usize,
    /// The column in characters (1+).
    pub column: usize,
    /// The field, as `source[0].poll.min`; empty where the file is no TOML.
    pub field: String,
    /// What is wrong, and the fix.
    pub problem: Box<Problem>,
}

/// What can be wrong with a setting.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Problem {
    /// Not TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// A key that means nothing there.
    #[error("unknown key `{key}`; {}", suggestion(*nearest, known))]
    UnknownKey {
        /// The key.
        key: String,
        /// The key that was most likely meant.
        nearest: Option<&'static str>,
        /// All keys that mean something there.
        known: &'static [&'static str],
    },
    /// A word that means nothing there.
    #[error("`{value}` means nothing here; {}", suggestion(*nearest, known))]
    UnknownWord {
        /// The word.
        value: String,
        /// The word that was most likely meant.
        nearest: Option<&'static str>,
        /// All words that mean something there.
        known: &'static [&'static str],
    },
    /// A value of another type.
    #[error("`{value}` is of type {found}, but {expected} is needed")]
    WrongType {
        /// The value as written.
        value: String,
        /// Its type.
        found: &'static str,
        /// What is needed.
        expected: &'static str,
    },
    /// A number outside its range.
    #[error("{value} is out of range; write a number from {min} to {max}")]
    OutOfRange {
        /// The number as written.
        value: String,
        /// The least.
        min: String,
        /// The greatest.
        max: String,
    },
    /// A shortest interval above the longest.
    #[error("min = {min} is above max = {max}; write the smaller one as min")]
    PollOrder {
        /// The shortest, log2 s.
        min: i64,
        /// The longest, log2 s.
        max: i64,
    },
    /// Not the name of a server.
    #[error("`{value}`: {error}")]
    Address {
        /// As written.
        value: String,
        /// What is wrong with it.
        error: AddressError,
    },
    /// Not an address to listen on.
    #[error(
        "`{value}` is not an address to listen on; write it as `127.0.0.1:{port}` or `[::1]:{port}`"
    )]
    Listen {
        /// As written.
        value: String,
        /// The usual port, for the example.
        port: u16,
    },
    /// Not a network.
    #[error("`{value}`: {error}")]
    Network {
        /// As written.
        value: String,
        /// What is wrong with it.
        error: NetworkError,
    },
    /// Nobody would be answered.
    #[error("no network is named, so nobody would be answered; name one, or remove `allow`")]
    NoNetworks,
    /// The same twice.
    #[error(
        "`{value}` is given twice; a source that counts twice could outvote others, so remove one"
    )]
    Twice {
        /// What is given twice.
        value: String,
    },
    /// Too many entries.
    #[error("{count} entries, but at most {max} are supported; remove some")]
    TooMany {
        /// How many.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A key that must be there.
    #[error("`{key}` is missing; add for example `{example}`")]
    Missing {
        /// The key.
        key: &'static str,
        /// How it might be written.
        example: &'static str,
    },
    /// More sources must agree than there are.
    #[error(
        "{min_sources} sources must agree, but only {sources} can be selected; add sources or lower it"
    )]
    TooFewSources {
        /// How many must agree.
        min_sources: usize,
        /// How many there are that are not `noselect`: of the trusted ones, if there are any.
        sources: usize,
    },
    /// A key without a file of keys.
    #[error(
        "key {id} is named, but no file of keys; add `[keys]` with `file = \"/etc/timeball/keys\"`"
    )]
    NoKeyFile {
        /// The key's identifier.
        id: u32,
    },
    /// No server to ask for the date.
    #[error("no server is named; write for example `https = [\"https://www.example.org\"]`")]
    NoServers,
    /// Not an HTTPS address.
    #[error("`{value}` is no HTTPS address; write it as `https://host`, `https://host:port/path`")]
    Https {
        /// As written.
        value: String,
    },
    /// A source that is two things.
    #[error("a source is one thing, and `{first}` is given already; remove `{second}`")]
    TwoKinds {
        /// What is given.
        first: &'static str,
        /// What is given too.
        second: &'static str,
    },
    /// A setting of another kind of source.
    #[error("`{key}` means nothing for this kind of source; remove it")]
    OtherKind {
        /// The setting.
        key: &'static str,
    },
    /// Not what clients may be told that a clock is.
    #[error("`{value}` is no reference identifier; write one to four letters, such as `GPS`")]
    ReferenceId {
        /// As written.
        value: String,
    },
    /// A path that the system does not take for a socket.
    #[error("{count} octets, but at most {max} are possible for a socket; choose a shorter path")]
    PathTooLong {
        /// How long it is.
        count: usize,
        /// How long it may be.
        max: usize,
    },
    /// A directory that depends on where the process was started.
    #[error("`{value}` is not absolute; write the whole path, beginning with `/`")]
    NotAbsolute {
        /// As written.
        value: String,
    },
}

fn suggestion(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known here: `{}`", known.join("`, `")),
    }
}
