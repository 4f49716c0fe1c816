//! Connections of a database, and work on them.
//!
//! A connection goes back into its pool only after everything on it went well. Whatever else
//! happens (an error, a timeout, a caller that has gone) closes it, and with it ends the
//! transaction that it was in. So no state of a connection has to be guessed: transactions are
//! begun and committed by plain statements, and each begins on a connection that is in none.
//!
//! Work that fails because its connection had died is done once more on a new connection,
//! unless its commit was under way already: then it may have been done.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sqlx::{
    Any, AnyConnection, AnyPool, Connection as _, Executor as _,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolConnection,
};

use super::{Dialect, fault, probe::Health, schema::begin_session};

/// Connections for what requests wait for, at most.
const MAX_FOR_REQUESTS: u32 = 4;

/// Connections for everything else, at most: what operators ask for never keeps requests
/// waiting for a connection.
const MAX_FOR_OTHERS: u32 = 5;

/// A connection that was idle for longer is tried before it is used: it may have been cut.
const TRIED_AFTER: Duration = Duration::from_secs(1);

/// The part of a store's time in which a connection that is tried has to answer.
const TRIAL: u32 = 4;

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A request waits for it.
    Requests,
    /// Anything else.
    Others,
}

/// How work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Statement by statement. It changes nothing.
    Read,
    /// All of it or nothing.
    Transaction,
}

/// Why an attempt came to no result.
struct Failure {
    error: sqlx::Error,
    /// It is certain that nothing was done, and another attempt may do better.
    is_repeatable: bool,
}

/// Connections of a database. Clones share them.
#[derive(Clone)]
pub(super) struct Connections {
    requests: AnyPool,
    others: AnyPool,
    dialect: Dialect,
    trust: Arc<Trust>,
    health: Arc<Health>,
}

impl Connections {
    /// No connection yet; each is made when it is wanted.
    pub(super) fn new(
        options: AnyConnectOptions,
        dialect: Dialect,
        timeout: Duration,
        health: Arc<Health>,
    ) -> Self {
        let trust = Arc::new(Trust::default());
        let pool = |max| {
            let trust = Arc::clone(&trust);
            AnyPoolOptions::new()
                .max_connections(max)
                .acquire_timeout(timeout)
                .test_before_acquire(false)
                .before_acquire(move |connection, pooled| {
                    let trust = Arc::clone(&trust);
                    Box::pin(async move {
                        if !trust.covers(pooled.age) {
                            return Ok(false);
                        }
                        if pooled.idle_for < TRIED_AFTER {
                            return Ok(true);
                        }
                        let answer = tokio::time::timeout(timeout / TRIAL, connection.ping());
                        let is_alive = matches!(answer.await, Ok(Ok(())));
                        if !is_alive {
                            // What cut this one has cut the others, too.
                            trust.end();
                        }
                        Ok(is_alive)
                    })
                })
                .after_connect(move |connection, _| Box::pin(begin_session(dialect, connection)))
                .connect_lazy_with(options.clone())
        };
        Self {
            requests: pool(MAX_FOR_REQUESTS),
            others: pool(MAX_FOR_OTHERS),
            dialect,
            trust,
            health,
        }
    }

    /// Uses no connection again that there is now.
    pub(super) fn distrust(&self) {
        self.trust.end();
    }

    /// Closes all connections; waits for those that are used.
    pub(super) async fn close(&self) {
        tokio::join!(self.requests.close(), self.others.close());
    }

    /// Does work that changes nothing. It gives the connection back with its result.
    pub(super) async fn read<T, F>(
        &self,
        purpose: Purpose,
        work: impl Fn(Connection) -> F,
    ) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<(T, Connection), sqlx::Error>>,
    {
        self.work(purpose, Way::Read, work).await
    }

    /// Does work in a transaction: all of it or, where it fails, nothing. It is on the disk
    /// when this is over.
    pub(super) async fn transaction<T, F>(
        &self,
        purpose: Purpose,
        work: impl Fn(Connection) -> F,
    ) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<(T, Connection), sqlx::Error>>,
    {
        self.work(purpose, Way::Transaction, work).await
    }

    async fn work<T, F>(
        &self,
        purpose: Purpose,
        way: Way,
        work: impl Fn(Connection) -> F,
    ) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<(T, Connection), sqlx::Error>>,
    {
        let mut done = self.attempt(purpose, way, &work).await;
        if done.as_ref().is_err_and(|failure| failure.is_repeatable) {
            done = self.attempt(purpose, way, &work).await;
        }
        if way == Way::Transaction && done.is_err() {
            self.health.could_not_write();
        }
        done.map_err(|failure| failure.error)
    }

    async fn attempt<T, F>(
        &self,
        purpose: Purpose,
        way: Way,
        work: &impl Fn(Connection) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<(T, Connection), sqlx::Error>>,
    {
        let pool = match purpose {
            Purpose::Requests => &self.requests,
            Purpose::Others => &self.others,
        };
        self.attached()?;
        let pooled = pool.acquire().await.map_err(|error| Failure {
            error,
            is_repeatable: false,
        })?;
        let mut connection = Connection {
            pooled,
            is_released: false,
        };
        if way == Way::Transaction {
            let begin = self.dialect.pick("BEGIN IMMEDIATE", "BEGIN");
            let begun = connection.execute(begin).await;
            begun.map_err(|error| self.failed(error))?;
        }
        let done = work(connection).await;
        let (done, mut connection) = done.map_err(|error| self.failed(error))?;
        if way == Way::Transaction {
            let committed = connection.execute("COMMIT").await;
            committed.map_err(|error| Failure {
                is_repeatable: false,
                ..self.failed(error)
            })?;
            // What went to a file that nobody finds any more is not acknowledged.
            self.health.look().map_err(detached)?;
            self.health.committed();
        }
        connection.is_released = true;
        Ok(done)
    }

    /// Refuses work on a file that is not the one at its path.
    fn attached(&self) -> Result<(), Failure> {
        self.health.attached().map_err(detached)
    }

    /// The database did not do what it was asked.
    fn failed(&self, error: sqlx::Error) -> Failure {
        let is_connections = fault::is_connections(&error);
        if is_connections {
            self.distrust();
        }
        Failure {
            is_repeatable: is_connections || fault::is_conflict(&error),
            error,
        }
    }
}

/// The file of the database is gone: another connection does no better.
fn detached(error: io::Error) -> Failure {
    Failure {
        error: error.into(),
        is_repeatable: false,
    }
}

/// A connection of a pool, which closes when it is dropped, unless everything on it went well.
pub(super) struct Connection {
    pooled: PoolConnection<Any>,
    is_released: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_released {
            self.pooled.close_on_drop();
        }
    }
}

impl Deref for Connection {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.pooled
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.pooled
    }
}

/// Which connections are used again.
#[derive(Debug, Default)]
struct Trust {
    /// Those that were made before this moment are not.
    ended: Mutex<Option<Instant>>,
}

impl Trust {
    fn end(&self) {
        *self.ended.lock() = Some(Instant::now());
    }

    /// Whether it covers a connection that was made so long ago.
    fn covers(&self, age: Duration) -> bool {
        self.ended.lock().is_none_or(|ended| age < ended.elapsed())
    }
}
