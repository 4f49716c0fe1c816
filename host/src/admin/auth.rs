//! Who may use the admin API: whoever has the token.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::header;
use subtle::ConstantTimeEq as _;

use super::problem::Problem;

/// Characters that a token has, at least.
const MIN_CHARS: usize = 16;

/// Bytes of a token file, at most. What is longer is another file.
const MAX_BYTES: u64 = 4096;

/// The secret that opens the admin API.
#[derive(Clone)]
pub struct Token(Box<str>);

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be read.
    #[error("{}: the admin token file cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Everybody on this machine may read it, or change it.
    #[error(
        "{}: every user of this machine may read or change the admin token file; \
         forbid that, as with chmod 600",
        .0.display()
    )]
    Exposed(PathBuf),
    /// It is of more than 4096 bytes.
    #[error("{}: the admin token file is larger than {MAX_BYTES} bytes; it is to hold the token and nothing else", .0.display())]
    TooLong(PathBuf),
    /// The token is too easily guessed.
    #[error(
        "{}: the admin token has {found} characters and must have at least {MIN_CHARS}; \
         make one, as with openssl rand -hex 32",
        path.display()
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// The token cannot be sent in a header.
    #[error(
        "{}: the admin token may have letters, digits and signs of ASCII, and no white space \
         inside; make one, as with openssl rand -hex 32",
        .0.display()
    )]
    Characters(PathBuf),
}

impl Token {
    /// Reads a file's text as a token, without the white space around it.
    ///
    /// # Errors
    /// The file cannot be read or is too large, other users may read or change it (where the
    /// system says so), or the text is shorter than 16 characters, or no header can hold it.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let file = fs::File::open(path).map_err(unreadable)?;
        let is_exposed = is_exposed(&file.metadata().map_err(unreadable)?);
        let mut text = Vec::new();
        let mut file = file.take(MAX_BYTES + 1);
        file.read_to_end(&mut text).map_err(unreadable)?;
        if is_exposed {
            return Err(TokenError::Exposed(path.to_owned()));
        }
        if text.len() as u64 > MAX_BYTES {
            return Err(TokenError::TooLong(path.to_owned()));
        }
        let text = text.trim_ascii();
        if !text.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Characters(path.to_owned()));
        }
        let found = text.len();
        if found < MIN_CHARS {
            let path = path.to_owned();
            return Err(TokenError::TooShort { path, found });
        }
        let text = text.iter().copied().map(char::from);
        Ok(Self(text.collect::<String>().into()))
    }

    /// Whether these are the token's bytes. How long that takes says no more than whether
    /// there are as many.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(bytes).into()
    }

    /// The value of the header `authorization` that holds it.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    /// Does not show it: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(unix)]
fn is_exposed(file: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.permissions().mode() & 0o006 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &fs::Metadata) -> bool {
    false
}

/// Lets a request through that has the token.
pub(super) async fn check(
    State(token): State<Arc<Token>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| bearer(value.as_bytes()));
    match given {
        Some(given) if token.is(given) => next.run(request).await,
        Some(_) => Problem::wrong_token().into_response(),
        None => Problem::no_token().into_response(),
    }
}

/// What stands behind the word `Bearer`, which may be written in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii_start())
}
