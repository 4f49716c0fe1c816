//! Who may use the admin API: whoever has a token.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::header;
use parking_lot::RwLock;
use subtle::ConstantTimeEq as _;

use super::{
    clients::{Client, Clients},
    problem::Problem,
};
use crate::{
    input::{Input, Kinds},
    server::RequestId,
    state::Author,
};

/// Characters that a token has, at least.
const MIN_CHARS: usize = 16;

/// Bytes of a token file, at most. What is longer is another file.
const MAX_BYTES: u64 = 4096;

/// Who does something where the file gives a token no name.
const UNNAMED: &str = "admin";

/// The secrets that open the admin API, and whose each is. Clones have the same ones, whenever
/// they are read again.
#[derive(Clone)]
pub struct Tokens {
    path: PathBuf,
    tokens: Arc<RwLock<Vec<Token>>>,
}

#[derive(Clone)]
struct Token {
    who: Box<str>,
    secret: Box<str>,
}

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
    #[error("{}: the admin token file is larger than {MAX_BYTES} bytes; it is to hold tokens and nothing else", .0.display())]
    TooLong(PathBuf),
    /// The token is too easily guessed.
    #[error(
        "{}: an admin token has {found} characters and must have at least {MIN_CHARS}; \
         make one, as with openssl rand -hex 32",
        path.display()
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// A line is no token that can be sent in a header.
    #[error(
        "{}: a line has an admin token, or a name and a token, of letters, digits and signs of \
         ASCII, with no white space inside; make a token as with openssl rand -hex 32",
        .0.display()
    )]
    Characters(PathBuf),
}

impl Tokens {
    /// Reads a file that has a token on each line, and in front of it, if there is one, the
    /// name of whoever has it. Without a name that is `admin`. Blank lines say nothing.
    ///
    /// # Errors
    /// The file cannot be read or is too large, other users may read or change it (where the
    /// system says so), there is no token, one is shorter than 16 characters, or no header can
    /// hold it.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let tokens = read(path, Kinds::Pipes)?;
        Ok(Self {
            path: path.to_owned(),
            tokens: Arc::new(RwLock::new(tokens)),
        })
    }

    /// Reads the file again, and takes its tokens in place of those that there are. Returns how
    /// many there are now.
    ///
    /// # Errors
    /// Those of [`Tokens::read`], and that the file is no regular one: then the tokens stay as
    /// they were.
    pub(crate) fn read_again(&self) -> Result<usize, TokenError> {
        let tokens = read(&self.path, Kinds::Regular)?;
        let count = tokens.len();
        *self.tokens.write() = tokens;
        Ok(count)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose token these bytes are. How long that takes says no more than which tokens have as
    /// many.
    #[must_use]
    pub fn who(&self, bytes: &[u8]) -> Option<String> {
        let mut who = None;
        for token in &*self.tokens.read() {
            let is_it: bool = token.secret.as_bytes().ct_eq(bytes).into();
            if is_it {
                who = Some(token.who.clone().into());
            }
        }
        who
    }

    /// The value of the header `authorization` that holds the first one.
    #[must_use]
    pub fn header(&self) -> String {
        let tokens = self.tokens.read();
        let first = tokens.first().map_or("", |token| &token.secret);
        format!("Bearer {first}")
    }
}

/// Reads a token file.
fn read(path: &Path, kinds: Kinds) -> Result<Vec<Token>, TokenError> {
    let unreadable = |source| TokenError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let input = Input::open(path, kinds).map_err(unreadable)?;
    if is_exposed(input.metadata()) {
        return Err(TokenError::Exposed(path.to_owned()));
    }
    let text = input.read(MAX_BYTES).map_err(unreadable)?;
    let text = text.ok_or_else(|| TokenError::TooLong(path.to_owned()))?;
    let no_token = || TokenError::Characters(path.to_owned());
    let text = str::from_utf8(&text).map_err(|_| no_token())?;
    let mut tokens = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (who, secret) = match (words.next(), words.next(), words.next()) {
            (None, ..) => continue,
            (Some(secret), None, _) => (UNNAMED, secret),
            (Some(who), Some(secret), None) => (who, secret),
            _ => return Err(no_token()),
        };
        let is_graphic = |word: &str| word.bytes().all(|byte| byte.is_ascii_graphic());
        if !(is_graphic(who) && is_graphic(secret)) {
            return Err(no_token());
        }
        let found = secret.len();
        if found < MIN_CHARS {
            let path = path.to_owned();
            return Err(TokenError::TooShort { path, found });
        }
        tokens.push(Token {
            who: who.into(),
            secret: secret.into(),
        });
    }
    if tokens.is_empty() {
        let path = path.to_owned();
        return Err(TokenError::TooShort { path, found: 0 });
    }
    Ok(tokens)
}

impl fmt::Debug for Tokens {
    /// Does not show them: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
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

/// Lets a request through that has a token, and says whose that is.
pub(super) async fn check(
    State((tokens, clients)): State<(Arc<Tokens>, Arc<Clients>)>,
    Extension(id): Extension<RequestId>,
    Extension(client): Extension<Arc<Client>>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let Some(given) = given.and_then(|value| bearer(value.as_bytes())) else {
        return Problem::no_token().into_response();
    };
    let Some(who) = tokens.who(given) else {
        return Problem::wrong_token().into_response();
    };
    if !clients.trust(&client) {
        return Problem::too_busy().into_response();
    }
    let by = Author {
        who,
        request_id: id.to_string(),
    };
    request.extensions_mut().insert(by);
    next.run(request).await
}

/// What stands behind the word `Bearer`, which may be written in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii_start())
}
