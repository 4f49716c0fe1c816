//! Opening a database, and bringing it to the schema that this program knows.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    AnyConnection, ConnectOptions as _, Executor as _, Row as _,
    any::AnyConnectOptions,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use tokio::{runtime::Handle, time::timeout};

use crate::state::{Breaker, BreakerSettings, SystemClock};

use super::{
    Access, Database, Dialect, OpenError, Place, StoreSettings,
    connection::Connections,
    files::{self, Lock, Snapshot},
    pooler,
    probe::Health,
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

/// For each step of a first connection: being connected, being asked who is there. Longer
/// than a store may take later, as names are looked up, and TLS and passwords are agreed on.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// How often it is said that a schema is still being changed.
const STILL_CHANGING: Duration = Duration::from_secs(10);

/// A database that was opened.
pub(super) struct Opened {
    pub(super) database: Database,
    /// The connection that it was opened by, which is none of the pool's.
    pub(super) first: AnyConnection,
}

/// Opens a database to be written.
pub(super) async fn open(
    settings: &StoreSettings,
    access: Access,
    runtime: &Handle,
) -> Result<Opened, OpenError> {
    install_drivers();
    let place = &settings.place;
    let failed = |source| OpenError::failed(place, source);
    let lock = match place {
        Place::Sqlite(path) => Some(Arc::new(take(place, path, access)?)),
        Place::Postgres(_) => None,
    };
    let options = place.connect_options().map_err(failed)?;
    let mut first = connect(place, &options).await?;
    let dialect = place.dialect();
    prepare(place, &mut first, access).await?;
    let health = Health::of(place).map_err(|source| OpenError::failed(place, source.into()))?;
    let health = Arc::new(health);
    let database = Database {
        connections: Connections::new(options, dialect, settings.timeout, Arc::clone(&health)),
        dialect,
        timeout: settings.timeout,
        breaker: Arc::new(Breaker::new(BREAKER, Arc::new(SystemClock::new()))),
        runtime: runtime.clone(),
        health,
        trouble: Arc::default(),
        _lock: lock,
    };
    Ok(Opened { database, first })
}

/// A connection to a database that is read, as it is, whoever else uses it; and how its file
/// looked, where that must not change meanwhile.
pub(super) async fn open_to_read(
    place: &Place,
) -> Result<(AnyConnection, Option<Snapshot>), OpenError> {
    install_drivers();
    let failed = |source| OpenError::failed(place, source);
    let options = place.connect_options().map_err(failed)?;
    let mut first;
    let mut snapshot = None;
    match place {
        Place::Postgres(_) => first = connect(place, &options).await?,
        Place::Sqlite(path) => {
            let before = Snapshot::of(path).map_err(|error| missing_or(place, error))?;
            // A database in this mode is read through files beside it, which are made where
            // they are not there. Where they can't be made, nobody writes, unless it changes.
            first = match connect_and_look(&options).await {
                Ok(first) => first,
                Err(error) if !needs_files_beside(&error) => return Err(failed(error)),
                Err(_) if before.has_log() => {
                    let (place, log) = (place.clone(), files::beside(path, "-wal"));
                    return Err(OpenError::NotWhole { place, log });
                }
                Err(_) => {
                    let options = place.unchanging_options().map_err(failed)?;
                    snapshot = Some(before);
                    connect_and_look(&options).await.map_err(failed)?
                }
            };
        }
    }
    prepare(place, &mut first, Access::Read).await?;
    Ok((first, snapshot))
}

fn install_drivers() {
    sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER])
        // They were installed before.
        .ok();
}

fn missing_or(place: &Place, error: std::io::Error) -> OpenError {
    match error.kind() {
        std::io::ErrorKind::NotFound => OpenError::Missing {
            place: place.clone(),
        },
        _ => OpenError::failed(place, sqlx::Error::Io(error)),
    }
}

/// Locks a file of SQLite, which is made where that is allowed.
fn take(place: &Place, path: &Path, access: Access) -> Result<Lock, OpenError> {
    // Before the lock, which would leave a file behind.
    if access != Access::Create
        && std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        let place = place.clone();
        return Err(OpenError::Missing { place });
    }
    // SQLite would put what is in the log of another database into a new one.
    if files::has_log_alone(path) {
        let place = place.clone();
        return Err(OpenError::LogAlone { place });
    }
    let no_lock = |source| OpenError::Lock {
        place: place.clone(),
        source,
    };
    let lock = Lock::take(path).map_err(no_lock)?;
    let lock = lock.ok_or_else(|| OpenError::InUse {
        place: place.clone(),
    })?;
    if access == Access::Create {
        let failed = |error| OpenError::failed(place, sqlx::Error::Io(error));
        files::create(path).map_err(failed)?;
    }
    Ok(lock)
}

/// Connects, or says after a while that nobody answers.
async fn connect(place: &Place, options: &AnyConnectOptions) -> Result<AnyConnection, OpenError> {
    let connected = async {
        let mut first = options.connect().await?;
        begin_session(place.dialect(), &mut first).await?;
        Ok(first)
    };
    in_time(place, connected).await
}

/// Does a step of a first connection.
async fn in_time<T>(
    place: &Place,
    step: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, OpenError> {
    match timeout(FIRST_ANSWER, step).await {
        Ok(done) => done.map_err(|source| OpenError::failed(place, source)),
        Err(_) => Err(OpenError::NoAnswer {
            place: place.clone(),
            waited: FIRST_ANSWER,
        }),
    }
}

/// Connects to a file that is read as it is.
async fn connect_and_look(options: &AnyConnectOptions) -> Result<AnyConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    connection
        .execute("SELECT count(*) FROM sqlite_master")
        .await?;
    Ok(connection)
}

/// Whether SQLite says that it can't open or write what it needs to read a file.
fn needs_files_beside(error: &sqlx::Error) -> bool {
    // The lower byte of an extended code is the code.
    let code = |code: &str| code.parse::<u32>().ok().map(|code| code & 0xff);
    matches!(error, sqlx::Error::Database(error)
        if matches!(error.code().and_then(|text| code(&text)), Some(8 | 10 | 14)))
}

/// What holds for a connection.
pub(super) async fn begin_session(
    dialect: Dialect,
    connection: &mut AnyConnection,
) -> Result<(), sqlx::Error> {
    // FULL: a commit is on the disk when it is answered. And a server that stands still in the
    // middle of a change, or is cut off there, has rows locked that all others need: PostgreSQL
    // gives up on it after a while. It then begins that change again.
    let session = dialect.pick(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000",
        "SET idle_in_transaction_session_timeout = '2s'",
    );
    connection.execute(session).await.map(drop)
}

/// Makes sure that a database can be used for what is to be done, and that its schema is this
/// program's.
async fn prepare(
    place: &Place,
    first: &mut AnyConnection,
    access: Access,
) -> Result<(), OpenError> {
    let failed = |source| OpenError::failed(place, source);
    match place {
        Place::Sqlite(_) => check_file(place, first).await?,
        Place::Postgres(_) => {
            let options = place.connect_options().map_err(failed)?;
            if in_time(place, pooler::shares_connections(&options, first)).await? {
                let place = place.clone();
                return Err(OpenError::Pooled { place });
            }
        }
    }
    if access != Access::Read {
        // What can only be read is noticed now, and not at the first session.
        let dialect = place.dialect();
        in_time(place, async {
            let begin = dialect.pick("BEGIN IMMEDIATE", "BEGIN READ WRITE");
            first.execute(begin).await?;
            first.execute("ROLLBACK").await
        })
        .await?;
    }
    match (schema(place, first).await?, access) {
        (Schema::Current, _) => Ok(()),
        (Schema::Older, Access::Read) => Err(OpenError::Older {
            place: place.clone(),
        }),
        (Schema::None, Access::Read | Access::Use) => Err(OpenError::Empty {
            place: place.clone(),
        }),
        (Schema::Older, _) | (Schema::None, Access::Change | Access::Create) => {
            match change(place, first).await {
                // Of several that begin at the same time, one may do what others may not.
                Err(_) if matches!(schema(place, first).await, Ok(Schema::Current)) => Ok(()),
                changed => changed,
            }
        }
    }
}

/// Has SQLite look for damage.
async fn check_file(place: &Place, first: &mut AnyConnection) -> Result<(), OpenError> {
    let said: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(first)
        .await
        .map_err(|source| OpenError::failed(place, source))?;
    if said == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged {
        place: place.clone(),
        what: said,
    })
}

/// What a database has, compared with what this program knows.
enum Schema {
    None,
    Older,
    Current,
}

/// Looks which migrations were made. This needs no right but to read their table.
async fn schema(place: &Place, first: &mut AnyConnection) -> Result<Schema, OpenError> {
    let dialect = place.dialect();
    let made = in_time(place, async {
        let tables: i64 = sqlx::query_scalar(dialect.pick(
            "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
            "SELECT count(to_regclass('_sqlx_migrations'))",
        ))
        .fetch_one(&mut *first)
        .await?;
        if tables == 0 {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(dialect.pick(
            "SELECT version, checksum, CAST(success AS INTEGER) FROM _sqlx_migrations \
             ORDER BY version",
            "SELECT version, checksum, success::int::bigint FROM _sqlx_migrations ORDER BY version",
        ))
        .fetch_all(&mut *first)
        .await?;
        let row = |row: &sqlx::any::AnyRow| {
            let checksum: Vec<u8> = row.try_get(1)?;
            Ok::<(i64, _, i64), sqlx::Error>((row.try_get(0)?, checksum, row.try_get(2)?))
        };
        rows.iter().map(row).collect::<Result<Vec<_>, _>>()
    });
    let made = made.await?;
    if made.is_empty() {
        return Ok(Schema::None);
    }
    let foreign = |source| OpenError::Foreign {
        place: place.clone(),
        source,
    };
    let known = MIGRATIONS.last().map_or(0, |migration| migration.0);
    let migrator = migrator(dialect);
    for (version, checksum, success) in &made {
        if *version > known {
            return Err(OpenError::Newer {
                place: place.clone(),
                found: made.last().map_or(*version, |(newest, ..)| *newest),
                known,
            });
        }
        let own = migrator.iter().find(|own| own.version == *version);
        let own = own.ok_or_else(|| foreign(MigrateError::VersionMissing(*version)))?;
        if own.checksum[..] != checksum[..] {
            return Err(foreign(MigrateError::VersionMismatch(*version)));
        }
        if *success == 0 {
            return Err(foreign(MigrateError::Dirty(*version)));
        }
    }
    let is_current = MIGRATIONS
        .iter()
        .all(|own| made.iter().any(|(version, ..)| *version == own.0));
    Ok(if is_current {
        Schema::Current
    } else {
        Schema::Older
    })
}

/// Brings the schema up to date. Where several begin at the same time, one does it, and the
/// others wait. How long it takes is up to how much there is.
async fn change(place: &Place, first: &mut AnyConnection) -> Result<(), OpenError> {
    let migrator = migrator(place.dialect());
    let changed = migrator.run_direct(None, first, false);
    let mut changed = std::pin::pin!(changed);
    let changed = loop {
        match timeout(STILL_CHANGING, changed.as_mut()).await {
            Ok(changed) => break changed,
            Err(_) => tracing::info!(
                %place,
                "the schema is being brought up to date, here or by another server"
            ),
        }
    };
    changed.map_err(|error| match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            OpenError::failed(place, source)
        }
        source => OpenError::Foreign {
            place: place.clone(),
            source,
        },
    })
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, name, sqlite, postgres)| {
        let sql = sqlx::SqlSafeStr::into_sql_str(dialect.pick(sqlite, postgres));
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}
