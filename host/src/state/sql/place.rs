//! Where a database is: what `--state` says.

use std::{
    fmt,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use sqlx::{any::AnyConnectOptions, postgres::PgConnectOptions};

use super::{Access, Dialect};

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file of SQLite.
    Sqlite(PathBuf),
    /// On a server of PostgreSQL, as this URL says, which may have a password.
    Postgres(Box<str>),
}

/// Why a text says of no database where it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// It is of another kind.
    #[error("it must be memory, sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Unknown,
    /// There is no path, or one that is no text.
    #[error("sqlite: must be followed by the path of a file, as in sqlite:tenantry.db")]
    Path,
    /// It is no URL of PostgreSQL.
    #[error("{0}; write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url(String),
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" | ":memory:" => Err(PlaceError::Path),
                path => Ok(Self::Sqlite(path.into())),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = text.parse::<PgConnectOptions>();
            options.map_err(|error| PlaceError::Url(error.to_string()))?;
            return Ok(Self::Postgres(text.into()));
        }
        Err(PlaceError::Unknown)
    }
}

impl fmt::Display for Place {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let Ok(options) = url.parse::<PgConnectOptions>() else {
                    return f.write_str("postgres");
                };
                let database = options.get_database().unwrap_or_default();
                let (host, port) = (options.get_host(), options.get_port());
                let user = options.get_username();
                write!(f, "postgres://{user}@{host}:{port}/{database}")
            }
        }
    }
}

impl fmt::Debug for Place {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Place {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// How to connect.
    pub(super) fn connect_options(&self, access: Access) -> Result<AnyConnectOptions, sqlx::Error> {
        match self {
            Self::Sqlite(path) => {
                let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
                let path = path
                    .to_str()
                    .ok_or_else(|| sqlx::Error::Configuration("the path is not UTF-8".into()))?;
                // What else means something in a URL.
                let path = path
                    .replace('%', "%25")
                    .replace('?', "%3F")
                    .replace('#', "%23");
                let mode = match access {
                    Access::Read => "rw",
                    Access::Write => "rwc",
                };
                format!("sqlite://{path}?mode={mode}").parse()
            }
            Self::Postgres(url) => url.parse(),
        }
    }
}

/// A lock on a file beside the database: one server writes to it, and nobody else.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closed, and so unlocked, however this process ends.
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is being started at this moment may have a copy of the open file.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock for the database at `path`; `None` where somebody else has it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_a_url() {
        for (text, shown) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("sqlite:///var/lib/a b?.db", "sqlite:/var/lib/a b?.db"),
            (
                "postgres://me:secret@db:5433/chat",
                "postgres://me@db:5433/chat",
            ),
        ] {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.to_string(), shown);
            assert!(!format!("{place:?}").contains("secret"));
        }
        for (text, said) in [
            ("sqlite:", "sqlite:tenantry.db"),
            ("sqlite::memory:", "path of a file"),
            ("mysql://x", "it must be memory"),
            ("", "it must be memory"),
            ("postgres://host:port/x", "postgres://USER:PASSWORD@HOST"),
        ] {
            let error = text.parse::<Place>().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
