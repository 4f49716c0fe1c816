//! Why a database cannot be used, and whether waiting may help.

use std::{io, path::PathBuf, time::Duration};

use sqlx::{migrate::MigrateError, postgres::PgDatabaseError};

use super::Place;

/// What a database or its driver said. Drivers repeat the text of a cause in their own, so
/// this is all of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

impl From<sqlx::Error> for Said {
    fn from(error: sqlx::Error) -> Self {
        Self(text(&error))
    }
}

/// What an error says, each part once, and without the line of PostgreSQL's own source.
pub(super) fn text(error: &sqlx::Error) -> String {
    use sqlx::Error::{Configuration, Database, Io, Migrate, Protocol, Tls};
    match error {
        Database(error) => match (error.code(), is_postgres(error.as_ref())) {
            (Some(code), true) => format!("{} (SQLSTATE {code})", error.message()),
            (Some(code), false) => format!("{} (SQLite code {code})", error.message()),
            (None, _) => error.message().to_owned(),
        },
        Io(error) => error.to_string(),
        Tls(error) => format!("TLS: {error}"),
        Configuration(error) => error.to_string(),
        Protocol(what) => what.clone(),
        Migrate(error) => match &**error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => text(error),
            error => error.to_string(),
        },
        other => other.to_string(),
    }
}

fn is_postgres(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<PgDatabaseError>().is_some()
}

/// Why a database cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process writes to it.
    #[error(
        "{place}: another server, or an import, uses this file; stop it, or use postgres:// \
         for several servers"
    )]
    InUse {
        /// The database.
        place: Place,
    },
    /// The file of the lock cannot be made.
    #[error(
        "{place}: the file PATH.lock beside it cannot be written; is its folder there, and may this user write to it?"
    )]
    Lock {
        /// The database.
        place: Place,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no such file.
    #[error(
        "{place}: there is no such file; is the path right? `tenantry import` makes a database \
         with the tenants of a file, `tenantry serve --state-create` one without tenants"
    )]
    Missing {
        /// The database.
        place: Place,
    },
    /// It is not there, and its write-ahead log is.
    #[error(
        "{place}: the file PATH-wal beside it is the log of a database that is gone; put that \
         database back, or move the log away"
    )]
    LogAlone {
        /// The database.
        place: Place,
    },
    /// It has none of this program's tables.
    #[error(
        "{place}: the database is empty: it has no schema; `tenantry import` and `tenantry \
         migrate` make it, and so does `tenantry serve --state-create`"
    )]
    Empty {
        /// The database.
        place: Place,
    },
    /// A newer version of this program has used it.
    #[error(
        "{place}: its schema has version {found}, and this program knows those up to {known}; \
         use the newer program, or restore a backup"
    )]
    Newer {
        /// The database.
        place: Place,
        /// The version of its schema.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A read-only use found a database that is older than this program.
    #[error("{place}: its schema is older than this program; run `tenantry migrate` first")]
    Older {
        /// The database.
        place: Place,
    },
    /// Its migrations are not this program's.
    #[error("{place}: its schema was not made by this program; name another database")]
    Foreign {
        /// The database.
        place: Place,
        /// What is different.
        #[source]
        source: MigrateError,
    },
    /// It is damaged.
    #[error("{place}: the file is damaged: {what}; restore a backup")]
    Damaged {
        /// The database.
        place: Place,
        /// What was found.
        what: String,
    },
    /// What was committed last cannot be read.
    #[error(
        "{place}: it cannot be read whole: {} has changes that cannot be read here, because \
         files beside the database cannot be written; copy the database and the files beside \
         it to a folder that can be written, and read that",
        log.display()
    )]
    NotWhole {
        /// The database.
        place: Place,
        /// The write-ahead log.
        log: PathBuf,
    },
    /// Somebody wrote to it while it was read as a file that does not change.
    #[error(
        "{place}: it was changed while it was read, and files beside it cannot be written from \
         here; stop the server, or read it as the server's user"
    )]
    Changed {
        /// The database.
        place: Place,
    },
    /// A connection was taken, or refused, by nobody.
    #[error(
        "{place}: no answer within {}; is that the right host and port, is it overloaded, and \
         does a firewall drop what is sent to it?",
        humantime::format_duration(*.waited)
    )]
    NoAnswer {
        /// The database.
        place: Place,
        /// For how long.
        waited: Duration,
    },
    /// It takes no writes.
    #[error(
        "{place}: PostgreSQL takes no writes here: it is a standby, or \
         default_transaction_read_only is on; name the primary"
    )]
    ReadOnly {
        /// The database.
        place: Place,
    },
    /// A pooler hands statements of one connection to several.
    #[error(
        "{place}: a connection pooler shares server connections between transactions, which \
         breaks prepared statements, LISTEN and locks; use pool_mode = session (PgBouncer), or \
         connect to PostgreSQL directly"
    )]
    Pooled {
        /// The database.
        place: Place,
    },
    /// It cannot be reached, or does not do what it is asked.
    #[error("{place}: {hint}")]
    Failed {
        /// The database.
        place: Place,
        /// What to look at.
        hint: &'static str,
        /// Whether it may pass by itself.
        may_pass: bool,
        /// What happened.
        #[source]
        source: Said,
    },
    /// The program was told to stop before it was open.
    #[error("{place}: stopped before it was open")]
    Stopped {
        /// The database.
        place: Place,
    },
    /// There is no runtime for it.
    #[error("the store's threads cannot be started")]
    Runtime(#[source] io::Error),
}

impl OpenError {
    /// The error of a database that fails while it is opened.
    pub(super) fn failed(place: &Place, source: sqlx::Error) -> Self {
        let place = place.clone();
        let is_sqlite = matches!(place, Place::Sqlite(_));
        let code = match &source {
            sqlx::Error::Database(error) => error.code().map(std::borrow::Cow::into_owned),
            _ => None,
        };
        if is_sqlite
            && matches!(code.as_deref(), Some("11" | "26" | "267" | "523"))
            && let sqlx::Error::Database(error) = &source
        {
            let what = error.message().to_owned();
            return Self::Damaged { place, what };
        }
        let (hint, may_pass) = match code {
            // Busy, and locked.
            Some(code) if is_sqlite => (SQLITE_HINT, matches!(&*code, "5" | "261" | "517")),
            None if is_sqlite => (SQLITE_HINT, false),
            Some(code) if code == "25006" => return Self::ReadOnly { place },
            Some(code) => refusal(&code, &text(&source)),
            None => {
                let may_pass = match &source {
                    sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
                    // A proxy without a server behind it breaks off the handshake.
                    sqlx::Error::Tls(error) => error.is::<io::Error>(),
                    _ => false,
                };
                let hint = match &source {
                    sqlx::Error::Tls(_) => {
                        "PostgreSQL cannot be spoken to over TLS; are sslmode and sslrootcert \
                         right?"
                    }
                    _ => {
                        "PostgreSQL cannot be reached; is it running, and are host and port right?"
                    }
                };
                (hint, may_pass)
            }
        };
        Self::Failed {
            place,
            hint,
            may_pass,
            source: source.into(),
        }
    }

    /// Whether the same may succeed later, without anybody changing the configuration.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::NoAnswer { .. } | Self::ReadOnly { .. } => true,
            // An import may be on its way. A file's path is more likely to be mistyped.
            Self::Empty { place } => matches!(place, Place::Postgres(_)),
            Self::Failed { may_pass, .. } => *may_pass,
            _ => false,
        }
    }

    /// What is wrong, in few words that name no user, host or path.
    pub(super) fn in_brief(&self) -> String {
        match self {
            Self::InUse { .. } => "another process uses its file".to_owned(),
            Self::Empty { .. } => "it has no schema yet: an import makes it".to_owned(),
            Self::NoAnswer { .. } => "it does not answer".to_owned(),
            Self::ReadOnly { .. } => "it takes no writes".to_owned(),
            Self::Failed { source, .. } => source.to_string(),
            _ => "it cannot be used".to_owned(),
        }
    }
}

const SQLITE_HINT: &str = "the file cannot be used; is its folder there, may this user write to \
     it, and is there room on the disk?";

/// What to look at where PostgreSQL, or a pooler in front of it, refuses with this code; and
/// whether that may pass by itself.
fn refusal(code: &str, said: &str) -> (&'static str, bool) {
    let is_pooler_without_server = said.contains("server login")
        || said.contains("cannot connect to server")
        || said.contains("connect failed");
    match code {
        _ if said.contains("unsupported startup parameter") => (
            "the pooler refuses; in pgbouncer.ini, set ignore_startup_parameters = \
             extra_float_digits",
            false,
        ),
        // A pooler says so of statements that were prepared on another server connection.
        "26000" | "42P05" => (
            "prepared statements do not last; does a pooler stand in between? PgBouncer needs \
             pool_mode = session",
            false,
        ),
        "28000" | "28P01" => (
            "PostgreSQL refuses; are user and password right? In the URL, characters such as @ \
             : / ? # % in them must be percent-encoded",
            false,
        ),
        "3D000" => (
            "PostgreSQL refuses; is the database's name right, and was it created?",
            false,
        ),
        "42501" => (
            "PostgreSQL refuses; this role lacks a right: `tenantry migrate` with a role that \
             may create tables brings the schema up to date, and docs/databases.md has the \
             rights that a server needs",
            false,
        ),
        // Too many connections; starting, stopping, or just stopped.
        "53300" | "57P01" | "57P02" | "57P03" => {
            ("PostgreSQL does not take connections at the moment", true)
        }
        _ if is_pooler_without_server || (code.starts_with("08") && code != "08P01") => {
            ("PostgreSQL cannot be reached through its pooler", true)
        }
        _ => (
            "PostgreSQL refuses; are user, password and database right, and may the user \
             create tables?",
            false,
        ),
    }
}
