//! Whether a database can do what requests need of it, which is to write.
//!
//! A file of SQLite can be deleted, replaced or moved while it is open: what is written then
//! is lost with the file that nobody finds any more. A task looks every second, and from then
//! on the store refuses to write. It looks once more after each commit of sessions, before
//! anybody is answered.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex as SyncMutex;
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{Database, Dialect, Place, files::OpenFiles};
use crate::{
    metrics::Probe,
    state::{Directory, Pending, StoreError},
};

/// How often the files of a database are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For how long a write shows that writing works. A probe writes only where nothing else was
/// written meanwhile.
const PROOF_LASTS: Duration = Duration::from_secs(5);

/// What is known of a database that is open.
#[derive(Default)]
pub(super) struct Health {
    /// Those of SQLite.
    files: OnceLock<OpenFiles>,
    /// The files that are open are not those at their paths.
    is_detached: AtomicBool,
    /// When something was last written.
    wrote: SyncMutex<Option<Instant>>,
    /// The last write came to nothing.
    is_doubtful: AtomicBool,
    /// Held by the probe that writes.
    writing: Mutex<()>,
}

impl Health {
    /// Of a database to which there is a connection.
    pub(super) fn of(place: &Place) -> io::Result<Self> {
        let mut health = Self::default();
        if let Place::Sqlite(path) = place {
            let files = OpenFiles::of(path)?;
            health.files = OnceLock::from(files);
        }
        Ok(health)
    }

    /// Whether the file of the database is not the one at its path any more, as it was seen
    /// within the last second. What is written is lost then.
    pub(super) fn is_detached(&self) -> bool {
        self.is_detached.load(Ordering::Relaxed)
    }

    /// Refuses where the database [is detached](Self::is_detached).
    pub(super) fn attached(&self) -> Result<(), io::Error> {
        if self.is_detached() {
            Err(io::Error::other(
                "the file at its path is not the one that is open: nothing is written",
            ))
        } else {
            Ok(())
        }
    }

    /// Looks whether the files at their paths are those that are open: a few microseconds.
    pub(super) fn look(&self) -> Result<(), io::Error> {
        let Some(files) = self.files.get() else {
            return Ok(());
        };
        let found = files.check_identity();
        let was_detached = self.is_detached.swap(found.is_err(), Ordering::Relaxed);
        match &found {
            Err(why) if !was_detached => tracing::error!(
                "SQLite: {why}: nothing is written until it is back; stop the server, put the \
                 file back or restore a backup, and start it"
            ),
            Ok(()) if was_detached => {
                tracing::info!("SQLite: the files at their paths are those that are open again");
            }
            _ => {}
        }
        found.map_err(io::Error::other)
    }

    /// Notes that a transaction was committed just now. After a write that came to nothing this
    /// proves nothing: many a transaction finds nothing to change.
    pub(super) fn committed(&self) {
        if !self.is_doubtful.load(Ordering::Relaxed) {
            *self.wrote.lock() = Some(Instant::now());
        }
    }

    /// Notes that a probe, which always writes, succeeded just now.
    fn proved(&self) {
        self.is_doubtful.store(false, Ordering::Relaxed);
        *self.wrote.lock() = Some(Instant::now());
    }

    /// Notes that something could not be written just now. Until a probe has written, nothing
    /// else shows that writing works.
    pub(super) fn could_not_write(&self) {
        *self.wrote.lock() = None;
        self.is_doubtful.store(true, Ordering::Relaxed);
    }

    /// Whether something was written lately.
    fn wrote_lately(&self) -> bool {
        self.wrote
            .lock()
            .is_some_and(|wrote| wrote.elapsed() < PROOF_LASTS)
    }
}

impl Probe for Database {
    fn name(&self) -> &'static str {
        self.dialect.pick("sqlite", "postgres")
    }

    /// Whether it can be written.
    fn check(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.dialect {
                Dialect::Sqlite => self.check_file().await,
                Dialect::Postgres => self.run(takes_writes(self.clone())).await,
            }
        })
    }
}

impl Database {
    async fn check_file(&self) -> Result<(), StoreError> {
        let health = &self.health;
        let unavailable = |error: io::Error| StoreError::Unavailable(error.to_string());
        health.look().map_err(unavailable)?;
        if let Some(files) = health.files.get() {
            files.check_room().map_err(StoreError::Unavailable)?;
        }
        if health.wrote_lately() {
            return Ok(());
        }
        self.run(write(self.clone())).await
    }
}

/// Writes to a file of SQLite what is there already: the number that it keeps for
/// applications. It is a commit like every other, and goes to the disk.
async fn write(database: Database) -> Result<(), StoreError> {
    let _writing = database.health.writing.lock().await;
    if database.health.wrote_lately() {
        return Ok(());
    }
    // A statement without a transaction around it leaves none behind, whatever becomes of it.
    let written = database.read(|mut connection| async move {
        let version: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *connection)
            .await?;
        let statement = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        connection.execute(statement).await?;
        Ok(((), connection))
    });
    written.await?;
    database.health.proved();
    Ok(())
}

/// Whether PostgreSQL takes writes on a connection.
async fn takes_writes(database: Database) -> Result<(), StoreError> {
    let asked = database.read(|mut connection| async move {
        let row = connection
            .fetch_one(
                "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'",
            )
            .await?;
        let found: (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        Ok((found, connection))
    });
    let why = match asked.await? {
        (true, _) => "PostgreSQL takes no writes: it is a standby",
        (false, true) => "PostgreSQL takes no writes: its transactions are read only",
        (false, false) if database.health.is_doubtful.load(Ordering::Relaxed) => {
            return grows(database).await;
        }
        (false, false) => return Ok(()),
    };
    // New connections may lead to another server.
    database.connections.distrust();
    // It answers, and what is read is read: this is no reason to stop asking it.
    Err(StoreError::Failed(why.to_owned()))
}

/// Whether PostgreSQL has room for more rows: writes some, and takes them back. Asked where the
/// last write came to nothing, as each time leaves dead rows behind.
async fn grows(database: Database) -> Result<(), StoreError> {
    // 64 KiB that no compression makes smaller.
    const ROWS: &str = "INSERT INTO usage_batches (server, seq, at_ms) \
        SELECT (SELECT string_agg(md5(random()::text || a || b), '') \
        FROM generate_series(1, 60) AS b), 0, 0 FROM generate_series(1, 16) AS a";
    let written = database.read(|mut connection| async move {
        for statement in ["BEGIN", ROWS, "ROLLBACK"] {
            connection.execute(statement).await?;
        }
        Ok(((), connection))
    });
    written.await?;
    database.health.proved();
    Ok(())
}

/// Keeps a file of SQLite open, so that SQLite removes none of the files beside it, and looks
/// after all of them.
pub(super) struct Watch {
    /// Dropped, it ends the task as well.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Watches a database that has files, by the connection that it was opened with. A
    /// connection to another one is closed.
    pub(super) async fn start(database: &Database, first: AnyConnection) -> Option<Self> {
        if database.health.files.get().is_none() {
            // It has served; how it ends does not matter.
            let _ = tokio::time::timeout(database.timeout, first.close()).await;
            return None;
        }
        let health = Arc::clone(&database.health);
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut tick = interval(LOOK_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    // It logs what it finds.
                    _ = tick.tick() => drop(health.look()),
                }
            }
            // The last connection to be closed cleans up; if it can't, the next start does.
            let _ = first.close().await;
        });
        Some(Self { stop, task })
    }

    /// Ends it, and closes its connection.
    pub(super) async fn close(self) {
        // It is there as long as this is.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// A database without tenants can serve nobody.
pub(super) struct HasTenants(pub(super) Arc<Directory>);

impl Probe for HasTenants {
    fn name(&self) -> &'static str {
        "tenants"
    }

    fn check(&self) -> Pending<'_, Result<(), StoreError>> {
        let is_ready = if self.0.is_empty() {
            Err(StoreError::Failed(NO_TENANTS.to_owned()))
        } else {
            Ok(())
        };
        Box::pin(std::future::ready(is_ready))
    }
}

/// What is to be done where there are no tenants.
pub(super) const NO_TENANTS: &str = "the database has no tenants: add one with `tenantry \
     tenants add` or PUT /tenants/ID on the admin listener, or import a file with `tenantry \
     import`";
