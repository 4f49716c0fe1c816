//! Opening a database, and bringing it to the schema that this program knows.

use std::{io, sync::Arc, time::Duration};

use sqlx::{
    AnyConnection, Connection as _, Executor,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use tokio::runtime::Handle;

use crate::state::{Breaker, BreakerSettings, SystemClock};

use super::{
    Access, Database, Dialect, Place, StoreSettings, connection::Connections, place::Lock,
};

/// After so many failures in a row, those who ask are refused at once for a while.
const BREAKER: BreakerSettings = BreakerSettings {
    max_failures: 3,
    open: Duration::from_millis(500),
};

/// Migrations: version, what it does, and its SQL for SQLite and for PostgreSQL. What was
/// released once is never changed: a change is another migration.
const MIGRATIONS: [(i64, &str, &str, &str); 3] = [
    (
        1,
        "first",
        include_str!("../../../migrations/sqlite/0001_first.sql"),
        include_str!("../../../migrations/postgres/0001_first.sql"),
    ),
    (
        2,
        "usage by tenant",
        include_str!("../../../migrations/sqlite/0002_usage_by_tenant.sql"),
        include_str!("../../../migrations/postgres/0002_usage_by_tenant.sql"),
    ),
    (
        3,
        "refused bytes in",
        include_str!("../../../migrations/sqlite/0003_refused_bytes_in.sql"),
        include_str!("../../../migrations/postgres/0003_refused_bytes_in.sql"),
    ),
];

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
    #[error("{place}: its schema is older than this program; start the server once")]
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
    /// It cannot be reached, or does not do what it is asked.
    #[error("{place}: {hint}")]
    Failed {
        /// The database.
        place: Place,
        /// What to look at.
        hint: &'static str,
        /// What happened.
        #[source]
        source: sqlx::Error,
    },
    /// There is no runtime for it.
    #[error("the store's threads cannot be started")]
    Runtime(#[source] io::Error),
}

impl OpenError {
    /// The error of a database that fails while it is opened.
    pub(super) fn failed(place: &Place, source: sqlx::Error) -> Self {
        let place = place.clone();
        if let (Place::Sqlite(_), sqlx::Error::Database(error)) = (&place, &source)
            && matches!(error.code().as_deref(), Some("11" | "26" | "267" | "523"))
        {
            let what = error.message().to_owned();
            return Self::Damaged { place, what };
        }
        let hint = match (&place, &source) {
            (Place::Sqlite(_), _) => {
                "the file cannot be used; is its folder there, may this user write to it, and \
                 is there room on the disk?"
            }
            (Place::Postgres(_), sqlx::Error::Database(_)) => {
                "PostgreSQL refuses; are user, password and database right, and may the user \
                 create tables?"
            }
            (Place::Postgres(_), _) => {
                "PostgreSQL cannot be reached; is it running, and are host and port right?"
            }
        };
        Self::Failed {
            place,
            hint,
            source,
        }
    }
}

/// Opens a database.
pub(super) async fn open(
    settings: &StoreSettings,
    access: Access,
    runtime: &Handle,
) -> Result<Database, OpenError> {
    sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER])
        // They were installed before.
        .ok();
    let place = &settings.place;
    let failed = |source| OpenError::failed(place, source);
    let lock = match (place, access) {
        (Place::Sqlite(path), Access::Write) => {
            let lock = Lock::take(path).map_err(|source| OpenError::Lock {
                place: place.clone(),
                source,
            })?;
            let lock = lock.ok_or_else(|| OpenError::InUse {
                place: place.clone(),
            })?;
            Some(Arc::new(lock))
        }
        _ => None,
    };
    let dialect = place.dialect();
    let options = place.connect_options(access).map_err(failed)?;
    // A pool would try again and again.
    let mut first = AnyConnection::connect_with(&options)
        .await
        .map_err(failed)?;
    first.execute(session(dialect)).await.map_err(failed)?;
    first.close().await.map_err(failed)?;
    let database = Database {
        connections: Connections::new(options, dialect, settings.timeout),
        dialect,
        timeout: settings.timeout,
        breaker: Arc::new(Breaker::new(BREAKER, Arc::new(SystemClock::new()))),
        runtime: runtime.clone(),
        _lock: lock,
    };
    check(&database, place, access).await?;
    Ok(database)
}

/// What holds for a connection.
pub(super) fn session(dialect: Dialect) -> &'static str {
    // FULL: a commit is on the disk when it is answered.
    dialect.pick(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000",
        "SET application_name = 'tenantry'",
    )
}

/// Makes sure that the schema is this program's.
async fn check(database: &Database, place: &Place, access: Access) -> Result<(), OpenError> {
    let failed = |source| OpenError::failed(place, source);
    // It closes at the end: nothing of a migration that failed is left on it.
    let mut connection = database.connections.alone().await.map_err(failed)?;
    if database.dialect == Dialect::Sqlite {
        let said: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if said != "ok" {
            return Err(OpenError::Damaged {
                place: place.clone(),
                what: said,
            });
        }
    }
    let migrator = migrator(database.dialect);
    let known = MIGRATIONS.last().map_or(0, |migration| migration.0);
    let newest = if access == Access::Read {
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        newest.unwrap_or(0)
    } else {
        match migrator.run_direct(None, &mut *connection, false).await {
            Ok(()) => known,
            Err(MigrateError::VersionMissing(found)) => found,
            Err(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) => {
                return Err(failed(source));
            }
            Err(source) => {
                return Err(OpenError::Foreign {
                    place: place.clone(),
                    source,
                });
            }
        }
    };
    if newest > known {
        return Err(OpenError::Newer {
            place: place.clone(),
            found: newest,
            known,
        });
    }
    if newest < known {
        return Err(OpenError::Older {
            place: place.clone(),
        });
    }
    if access == Access::Write {
        // A file that can only be read is noticed now, and not at the first session.
        let begin = database.dialect.pick("BEGIN IMMEDIATE", "BEGIN READ WRITE");
        connection.execute(begin).await.map_err(failed)?;
        connection.execute("ROLLBACK").await.map_err(failed)?;
    }
    Ok(())
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, name, sqlite, postgres)| {
        let sql = sqlx::SqlSafeStr::into_sql_str(dialect.pick(sqlite, postgres));
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}
