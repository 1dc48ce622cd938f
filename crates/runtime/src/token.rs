//! Who may change something: a user of the UNIX socket, or who shows the token.
//!
//! The token lies in a file that only its owner can read, so a web page, another user or a
//! container cannot show it; whoever can read the file is the user himself.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use crate::http::LocalUser;
use crate::state::write_atomic;

/// Octets of randomness in a token.
const SECRET_OCTETS: usize = 32;
/// Longest token file that is read.
const FILE_OCTETS_MAX: u64 = 256;

/// A secret that allows changes; shown by clients as `Authorization: Bearer TOKEN`.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// Why there is no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file cannot be made or read.
    #[error("token file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write the file, so it is no secret.
    #[error("token file {} has mode {mode:03o}: others may use it; delete it, a new one is made", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a token.
    #[error("token file {} holds no token; delete it, a new one is made", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
    },
}

impl Token {
    /// Reads the token in `path`, or makes a random one there, readable by its owner only. Two may
    /// not do that at the same time.
    ///
    /// # Errors
    /// Where the file cannot be used, or is open to others.
    pub fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        if path.try_exists().map_err(failed)? {
            return Self::load(path);
        }
        // Whole or not at all: nobody starts with half a token, after a full disk or a crash.
        let token = random_hex().map_err(failed)?;
        write_atomic(path, format!("{token}\n").as_bytes()).map_err(failed)?;
        Ok(Self(token.into()))
    }

    /// Reads the token in `path`, as clients do.
    ///
    /// # Errors
    /// Where the file cannot be used, or is open to others.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(FILE_OCTETS_MAX).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim_end();
        let is_token =
            token.len() == 2 * SECRET_OCTETS && token.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_token {
            return Err(TokenError::Malformed { path: path.to_owned() });
        }
        Ok(Self(token.into()))
    }

    /// Whether `shown` is the token; takes as long for a near miss as for a far one.
    pub fn matches(&self, shown: &str) -> bool {
        let (ours, shown) = (self.0.as_bytes(), shown.as_bytes());
        let difference = ours.iter().zip(shown).fold(0, |sum, (a, b)| sum | (a ^ b));
        ours.len() == shown.len() && std::hint::black_box(difference) == 0
    }

    /// The token itself, for a client that shows it.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who asked for a change, in words for the record; an extension of each request that [`require`]
/// let pass.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller(pub String);

/// Lets requests pass only if they came over the UNIX socket or show the token: for
/// `axum::middleware::from_fn_with_state(token, token::require)`.
pub async fn require(State(token): State<Token>, mut request: Request, next: Next) -> Response {
    if let Some(user) = request.extensions().get::<LocalUser>() {
        let caller = Caller(user.to_string());
        request.extensions_mut().insert(caller);
        return next.run(request).await;
    }
    if !is_same_origin(request.headers()) {
        let hint = "this may be asked for by our own page only, not by another site\n";
        return (StatusCode::FORBIDDEN, hint).into_response();
    }
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match shown {
        Some(shown) if token.matches(shown) => {
            let from_page = request.headers().contains_key(header::ORIGIN);
            let caller = if from_page { "the page" } else { "a holder of the token" };
            request.extensions_mut().insert(Caller(caller.to_owned()));
            next.run(request).await
        }
        Some(_) => {
            (StatusCode::FORBIDDEN, "the token is not that of this server\n").into_response()
        }
        None => {
            let hint = "this needs `Authorization: Bearer` and the token of the state directory\n";
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], hint).into_response()
        }
    }
}

/// Whether a browser, if it was one, sent the request for a page of ours. Whoever is no browser
/// says nothing about it.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let from_here = site.is_none_or(|site| matches!(site, b"same-origin" | b"none"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    from_here && origins.all(|origin| origin.as_bytes() == format!("http://{host}").as_bytes())
}

fn random_hex() -> io::Result<String> {
    let mut octets = [0; SECRET_OCTETS];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let made = Token::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = Token::load_or_create(&path).unwrap();
        assert!(made.matches(again.secret()));
        assert!(!made.matches(""));
        assert!(!made.matches(&made.secret()[1..]));
        assert!(!made.matches(&format!("{}0", made.secret())));
        assert!(!format!("{made:?}").contains(made.secret()));
    }

    #[test]
    fn a_token_that_cannot_be_written_leaves_no_file_that_the_next_start_stumbles_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        // What cannot be written as on a full disk: a directory is where the file would be made.
        fs::create_dir(directory.path().join("token.new")).unwrap();
        assert!(matches!(Token::load_or_create(&path), Err(TokenError::File { .. })));
        assert!(!path.exists());
        fs::remove_dir(directory.path().join("token.new")).unwrap();
        Token::load_or_create(&path).unwrap();
    }

    #[test]
    fn an_exposed_or_broken_token_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        Token::load_or_create(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Token::load(&path), Err(TokenError::Exposed { mode: 0o640, .. })));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(Token::load(&path), Err(TokenError::Malformed { .. })));
    }
}
