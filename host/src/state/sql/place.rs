//! Where a database is: what `--state` says.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::LazyLock,
};

use sqlx::{any::AnyConnectOptions, postgres::PgConnectOptions};

use super::{Dialect, files, open_error};

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
            options.map_err(|error| PlaceError::Url(open_error::text(&error)))?;
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
    pub(super) fn connect_options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        match self {
            Self::Sqlite(path) => file_options(path, "mode=rw"),
            Self::Postgres(url) => {
                let mut options: AnyConnectOptions = url.parse()?;
                if postgres_options(url)?.get_application_name() == Some(application_name()) {
                    let mut pairs = options.database_url.query_pairs_mut();
                    pairs.append_pair("application_name", application_name());
                }
                Ok(options)
            }
        }
    }

    /// How to read a file that does not change, and beside which nothing can be written.
    pub(super) fn unchanging_options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        match self {
            Self::Sqlite(path) => file_options(path, "mode=ro&immutable=1"),
            Self::Postgres(_) => self.connect_options(),
        }
    }

    /// Parameters of the URL that mean nothing here. Their values may be secrets.
    #[must_use]
    pub fn unknown_parameters(&self) -> Vec<String> {
        let Self::Postgres(url) = self else {
            return Vec::new();
        };
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let pairs = form_urlencoded::parse(query.as_bytes());
        let names = pairs.map(|(name, _)| name.into_owned());
        names
            .filter(|name| !PARAMETERS.contains(&&**name) && !name.starts_with("options["))
            .collect()
    }

    /// What an operator should know about how this place is kept: a file that others may
    /// read, parameters that mean nothing.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let exposure = match self {
            Self::Sqlite(path) => files::exposure(path),
            Self::Postgres(_) => None,
        };
        let unknown = self.unknown_parameters();
        let unknown = unknown.iter().map(|name| {
            format!("{self}: the parameter {name:?} of the URL is not known, and is ignored")
        });
        exposure.into_iter().chain(unknown).collect()
    }
}

/// What the query of a PostgreSQL URL may say.
const PARAMETERS: [&str; 19] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    // A query that ends in &.
    "",
];

/// How to connect to a file of SQLite.
fn file_options(path: &Path, query: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    let path = path
        .to_str()
        .ok_or_else(|| sqlx::Error::Configuration("the path is not UTF-8".into()))?;
    // What else means something in a URL.
    let path = path
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    format!("sqlite://{path}?{query}").parse()
}

/// How to connect to PostgreSQL with this URL, under a name that says whose connection it is,
/// unless the URL or the environment gives one.
pub(super) fn postgres_options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let has_name = options
        .get_application_name()
        .is_some_and(|name| !name.is_empty());
    Ok(if has_name {
        options
    } else {
        options.application_name(application_name())
    })
}

/// Bytes that PostgreSQL keeps of a name.
const MAX_NAME: usize = 63;

/// The name of this process's connections, as pg_stat_activity shows it: `tenantry HOST/PID`.
fn application_name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let process = std::process::id();
        let mut host = host_name();
        host.retain(|letter| letter.is_ascii_graphic());
        let end = format!("/{process}");
        host.truncate(MAX_NAME - "tenantry ".len() - end.len());
        format!("tenantry {host}{end}")
    });
    &NAME
}

#[cfg(unix)]
fn host_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
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
        // The environment says the rest.
        assert!("postgres://".parse::<Place>().is_ok());
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

    #[test]
    fn connections_have_a_name_unless_the_url_gives_one() {
        let name = |url: &str| {
            let place: Place = url.parse().expect(url);
            let options = place.connect_options().expect(url);
            let mut pairs = options.database_url.query_pairs();
            let names = pairs.by_ref().filter(|(key, _)| key == "application_name");
            names.map(|(_, name)| name.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            name("postgres://h/db?sslmode=disable"),
            [application_name()]
        );
        assert_eq!(name("postgres://h/db?application_name=mine"), ["mine"]);
        assert!(application_name().starts_with("tenantry "));
        assert!(application_name().len() <= MAX_NAME);
    }

    #[test]
    fn parameters_that_mean_nothing_are_named_without_their_values() {
        let place: Place = "postgres://h/db?sslmode=disable&options[a]=b&passwrd=hush&x"
            .parse()
            .expect("a place");
        assert_eq!(place.unknown_parameters(), ["passwrd", "x"]);
        assert!(!place.warnings().concat().contains("hush"));
    }
}
