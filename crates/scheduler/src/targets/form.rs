//! What is alike in the forms of all targets.

use super::event::known_variables;
use super::secret::SecretError;
use super::tls::TlsError;
use std::time::Duration;
use thiserror::Error;

/// What is wrong with the form of a message; begins with the field's name below `spec.target`.
#[derive(Debug, Error)]
pub(crate) enum FormError {
    #[error("{field} is {value}; it must be {least} to {most}")]
    Range { field: &'static str, value: i64, least: i64, most: i64 },
    #[error("http.url `{}` {problem}", told(url))]
    Url { url: String, problem: &'static str },
    #[error("http needs exactly one of `url` and `urlFile`")]
    HttpAddress,
    #[error("http.urlFile: {0}")]
    AddressFile(String),
    #[error("http.method `{method}` is no HTTP method")]
    Method { method: String },
    #[error("{field}: `{name}` with this value is no header that can be sent")]
    Header { field: &'static str, name: String },
    #[error("{field}: `{name}` is set by the scheduler; leave it out")]
    ReservedHeader { field: &'static str, name: String },
    #[error("{field}: `{name}` needs exactly one of `value` and `valueFile`")]
    HeaderValue { field: &'static str, name: String },
    #[error("{field} has {count} entries; at most {count_max} are sent")]
    Headers { field: &'static str, count: usize, count_max: usize },
    #[error("{field} has {octets} octets; at most {octets_max} are sent")]
    Long { field: &'static str, octets: usize, octets_max: usize },
    #[error("{field}: there is no $({name}); there are {}", known_variables())]
    Variable { field: &'static str, name: String },
    #[error("http.auth needs either `bearerTokenFile`, or `username` and `passwordFile`")]
    HttpAuth,
    #[error("{field}: {problem}")]
    Username { field: &'static str, problem: &'static str },
    #[error("{field}: {source}")]
    Secret { field: &'static str, source: SecretError },
    #[error("nats.auth needs either `tokenFile`, or `username` and `passwordFile`")]
    NatsAuth,
    #[error("{field} `{}` {problem}", told(value))]
    Value { field: &'static str, value: String, problem: &'static str },
    #[error("{field} has {count} entries; it must have 1 to {count_max}")]
    Servers { field: &'static str, count: usize, count_max: usize },
    #[cfg(not(feature = "brokers"))]
    #[error("{target}: this program was built without brokers; build it with `--features brokers`")]
    NoBrokers { target: &'static str },
    #[error("http.tls is given, but the address begins with http://; make it https://")]
    TlsWithoutHttps,
    #[error("{field}.{source}")]
    Tls { field: &'static str, source: TlsError },
}

/// The longest try, seconds.
pub(crate) const TIMEOUT_S_MAX: i64 = 7 * 86_400;
/// The most tries after the first.
pub(crate) const RETRIES_MAX: i64 = 10;

/// How long one try may take.
pub(crate) fn timeout(field: &'static str, value: i64) -> Result<Duration, FormError> {
    let seconds = range(field, value, 1, TIMEOUT_S_MAX)?;
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}

/// How often a failure is tried again.
pub(crate) fn retries(field: &'static str, value: i32) -> Result<u32, FormError> {
    let value = range(field, i64::from(value), 0, RETRIES_MAX)?;
    Ok(u32::try_from(value).expect("the range was checked"))
}

pub(super) fn range(
    field: &'static str,
    value: i64,
    least: i64,
    most: i64,
) -> Result<i64, FormError> {
    let within = (least..=most).contains(&value);
    if within { Ok(value) } else { Err(FormError::Range { field, value, least, most }) }
}

/// An address that is wrong as it may be told: anybody may read problems of files, and before an
/// `@` may be a password.
fn told(address: &str) -> String {
    let Some((user, server)) = address.rsplit_once('@') else { return without_values(address) };
    let scheme = user.find("://").map_or("", |end| &user[..end + 3]);
    format!("{scheme}…@{}", without_values(server))
}

/// An address as anybody may read it: what its query says is often a secret, so each value of that
/// is left out, and whatever has no name.
pub(super) fn without_values(address: &str) -> String {
    let Some((place, query)) = address.split_once('?') else { return address.to_owned() };
    let shown = |part: &str| match part.split_once('=') {
        Some((name, _)) => format!("{name}=…"),
        None => "…".to_owned(),
    };
    let shown: Vec<String> = query.split('&').map(shown).collect();
    format!("{place}?{}", shown.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_that_is_wrong_no_password_and_no_value_is_told() {
        for (url, told) in [
            ("http://ada:hush@host/x", "http.url `http://…@host/x` is no address"),
            ("ada:hu@sh@host", "http.url `…@host` is no address"),
            ("http://host/x", "http.url `http://host/x` is no address"),
            ("http://host/x?token=hush", "http.url `http://host/x?token=…` is no address"),
            ("http://ada:hu?sh@host?t=hush", "http.url `http://…@host?t=…` is no address"),
        ] {
            let error = FormError::Url { url: url.to_owned(), problem: "is no address" };
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn of_an_address_anybody_may_read_all_but_the_values_of_its_query() {
        for (address, shown) in [
            ("https://host:8443/a/@b=c", "https://host:8443/a/@b=c"),
            ("https://host/?", "https://host/?…"),
            ("https://host/x?a=1&b=2=3&hush&=4", "https://host/x?a=…&b=…&…&=…"),
            ("https://host/x?a=hush?b", "https://host/x?a=…"),
        ] {
            assert_eq!(without_values(address), shown);
        }
    }
}
