//! State in a database: SQLite for one server, PostgreSQL for several.
//!
//! Both are spoken to through the same code; where their SQL differs, [`Dialect`] picks.
//! A [`Database`] has a runtime of its own, on which all of its connections live, so that
//! it does not matter who asks.

mod change;
mod clock;
mod connection;
mod ending;
mod fault;
mod feed;
mod files;
mod local;
mod open_error;
mod opening;
mod place;
mod pooler;
mod probe;
mod schema;
mod shared;
mod tenants;
mod transfer;
mod usage;
mod writer;

use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tenantry_core::memory::Settings;
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};

use self::{
    connection::{Connection, Connections, Purpose},
    feed::Feed,
    files::Lock,
    local::LocalSessions,
    probe::{HasTenants, Health, NO_TENANTS, Watch},
    schema::Opened,
    shared::{Seen, SharedSessions},
    tenants::SqlTenants,
    usage::SqlUsage,
    writer::Writer,
};
pub use self::{
    open_error::{OpenError, Said},
    opening::Opening,
    place::{Place, PlaceError},
    transfer::{ExportError, Exported, ImportError, Imported, export, import, migrate},
};
use super::{
    Breaker, ChangeError, Clock, Directory, MemoryLimiter, MemorySessions, Meters, SessionRecords,
    SessionStore, State, StoreError, Turn,
};

/// How many times as long as others something may take that concerns all sessions of a tenant.
const LONG: u32 = 30;

/// For all tenants to be read at the start: a million take seconds.
const READING: Duration = Duration::from_secs(300);

/// How a database is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Which database.
    pub place: Place,
    /// For an answer of it; then it counts as out of reach. Default is 1 second.
    pub timeout: Duration,
    /// Whether a server makes it where there is none. Commands do as they say.
    pub create: bool,
}

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The statement of this dialect.
    fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }
}

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// It is read, as it is, whoever else uses it.
    Read,
    /// It is there, and brought to this program's schema.
    Use,
    /// The same, and a database without a schema gets one. A file that is not there is not made.
    Change,
    /// It is made where there is none.
    Create,
}

/// A database that is open, and of the schema that this program knows.
#[derive(Clone)]
struct Database {
    connections: Connections,
    dialect: Dialect,
    timeout: Duration,
    /// Keeps those who ask from waiting for a database that has gone.
    breaker: Arc<Breaker>,
    runtime: Handle,
    health: Arc<Health>,
    /// The last reason for which something was not done, for the log.
    trouble: Arc<Mutex<Option<Arc<str>>>>,
    /// Nobody else may write, as long as this lives.
    _lock: Option<Arc<Lock>>,
}

impl Database {
    /// Does work that changes nothing, and that no request waits for.
    async fn read<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<(T, Connection), sqlx::Error>>,
    {
        self.connections.read(Purpose::Others, work).await
    }

    /// Does work in a transaction, all of it or nothing, that no request waits for.
    async fn transaction<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<(T, Connection), sqlx::Error>>,
    {
        self.connections.transaction(Purpose::Others, work).await
    }

    /// Does something on the database's runtime, and waits no longer than a store may take.
    /// Where that is too long, or the caller has gone, nobody knows whether it was done.
    async fn run<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: OfStore + Send + 'static,
    {
        self.run_within(1, work).await
    }

    /// The same, and waits so many times as long.
    async fn run_within<T, E>(
        &self,
        times: u32,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: OfStore + Send + 'static,
    {
        let timeout = self.timeout * times;
        let breaker = Arc::clone(&self.breaker);
        let Some(permit) = breaker.enter() else {
            let text = "it has not answered lately".to_owned();
            return Err(StoreError::Unavailable(text).into());
        };
        let task = async move { tokio::time::timeout(timeout, work).await };
        let done = match self.runtime.spawn(task).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => {
                // What has made this one wait would make the next ones wait, too.
                self.connections.distrust();
                self.health.could_not_write();
                let text = format!("no answer within {}", humantime::format_duration(timeout));
                Err(StoreError::Unavailable(text).into())
            }
            Err(failed) => Err(StoreError::Failed(failed.to_string()).into()),
        };
        let fault = done.as_ref().err().and_then(E::fault);
        if let Some(fault) = fault {
            *self.trouble.lock() = Some(fault.to_string().into());
        }
        self.learned(if fault.is_some_and(StoreError::is_out_of_reach) {
            permit.failed()
        } else {
            permit.succeeded()
        });
        done
    }

    /// The last reason for which something was not done.
    fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.lock().clone()
    }

    /// Says so where the database has just been lost, or found again.
    fn learned(&self, turn: Turn) {
        let database = self.dialect.pick("SQLite", "PostgreSQL");
        match turn {
            Turn::None => {}
            Turn::Opened => {
                tracing::error!(database, "lost: what needs it is refused until it answers");
            }
            Turn::Closed => tracing::info!(database, "found again"),
        }
    }
}

/// An error that may be one of a store.
trait OfStore: From<StoreError> {
    /// That of the store, if it is one.
    fn fault(&self) -> Option<&StoreError>;
}

impl OfStore for StoreError {
    fn fault(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl OfStore for ChangeError {
    fn fault(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// A store in a database, and the runtime that it lives on.
pub struct SqlStore {
    directory: Arc<Directory>,
    database: Database,
    writer: Writer,
    /// What follows changes that did not come from here, or whose answer was lost.
    following: JoinHandle<()>,
    /// What looks after files, where there are some.
    watch: Option<Watch>,
    runtime: Runtime,
}

impl SqlStore {
    /// Opens a database, brings it to this program's schema, and reads its tenants and
    /// sessions.
    ///
    /// # Errors
    /// It cannot be used; the error says which one, why, and what to do.
    pub fn open(
        settings: &StoreSettings,
        rules: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, State), OpenError> {
        let opening = Opening::new(&settings.place);
        let never = std::future::pending();
        Self::open_in(settings, rules, clock, &opening, Duration::ZERO, never)
    }

    /// The same, and where what is wrong may pass, tries again for as long as `wait`, unless
    /// `stop` is over before. `opening` knows meanwhile what it waits for.
    ///
    /// # Errors
    /// It cannot be used, or did not become usable in time, or this was stopped.
    pub fn open_in(
        settings: &StoreSettings,
        rules: Settings,
        clock: Arc<dyn Clock>,
        opening: &Opening,
        wait: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<(Self, State), OpenError> {
        let runtime = runtime().map_err(OpenError::Runtime)?;
        let open = async || {
            let clock = Arc::clone(&clock);
            let opened = Parts::open(settings, rules, clock, runtime.handle());
            opened.await
        };
        let opened = runtime.block_on(async {
            tokio::select! {
                opened = opening.retry(wait, open) => opened,
                () = stop => Err(OpenError::Stopped { place: settings.place.clone() }),
            }
        });
        let Parts {
            directory,
            state,
            database,
            writer,
            following,
            watch,
        } = opened?;
        if directory.is_empty() {
            tracing::warn!(place = %settings.place, "{NO_TENANTS}; until then nothing is ready");
        }
        let store = Self {
            directory,
            database,
            writer,
            following,
            watch,
            runtime,
        };
        Ok((store, state))
    }

    /// The tenants of the database, kept up to date.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Writes down what is not written yet, and closes the database.
    pub fn close(self) {
        self.runtime.block_on(async {
            self.following.abort();
            // It has ended one way or the other.
            let _ = self.following.await;
            self.writer.close().await;
            let close = self.database.connections.close();
            // What somebody else still does with a connection is given up.
            let _ = tokio::time::timeout(self.database.timeout, close).await;
            if let Some(watch) = self.watch {
                let _ = tokio::time::timeout(self.database.timeout, watch.close()).await;
            }
        });
        // With the last task goes the lock.
        self.runtime.shutdown_timeout(self.database.timeout);
    }
}

/// What a store is made of.
struct Parts {
    directory: Arc<Directory>,
    state: State,
    database: Database,
    writer: Writer,
    following: JoinHandle<()>,
    watch: Option<Watch>,
}

impl Parts {
    /// Opens a database on the runtime of a store.
    async fn open(
        settings: &StoreSettings,
        rules: Settings,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Result<Self, OpenError> {
        let access = if settings.create {
            Access::Create
        } else {
            Access::Use
        };
        let Opened { database, first } = schema::open(settings, access, runtime).await?;
        let watch = Watch::start(&database, first).await;
        let directory = Arc::new(Directory::default());
        let place = &settings.place;
        let (clock, following_time) = read(place, clock::of(&database, clock)).await?;
        let memory = Arc::new(MemorySessions::new(rules, Arc::clone(&clock)));
        // What is changed from here on is read, or followed, or both.
        let end = read(place, feed::end(&database)).await?;
        let tenants = SqlTenants::read(
            database.clone(),
            Arc::clone(&directory),
            Arc::clone(&memory),
            Arc::clone(&clock),
        );
        let tenants = read(place, tenants).await?;
        let following;
        let sessions = match &settings.place {
            Place::Sqlite(_) => {
                let sessions =
                    LocalSessions::read(database.clone(), memory, tenants.clone(), rules);
                let sessions = read(place, sessions).await?;
                let sessions = Sessions::new(sessions, LocalSessions::writer);
                // Last: nothing of an attempt that fails is left behind.
                following = tokio::spawn(tenants.clone().settle_doubts());
                sessions
            }
            Place::Postgres(url) => {
                let seen = Seen::new(memory);
                let (database, tenants) = (&database, &tenants);
                let feed = Feed::new(database.clone(), url, tenants.clone(), seen.clone(), end);
                following = tokio::spawn(async {
                    tokio::join!(feed.run(), following_time);
                });
                let shared = SharedSessions::start(database.clone(), seen, tenants.clone(), rules);
                Sessions::new(shared, SharedSessions::writer)
            }
        };
        let usage = SqlUsage::new(database.clone(), Arc::clone(&clock));
        let state = State {
            tenants: Box::new(Arc::clone(&directory)),
            sessions: sessions.store,
            limiter: Box::new(MemoryLimiter::new(rules, Arc::clone(&clock))),
            records: Arc::new(tenants),
            session_records: sessions.records,
            usage: Arc::new(usage),
            meters: Meters::default(),
            clock,
            probes: vec![
                Arc::new(database.clone()),
                Arc::new(HasTenants(Arc::clone(&directory))),
            ],
            traces: None,
            metrics: Arc::default(),
        };
        Ok(Self {
            directory,
            state,
            database,
            writer: sessions.writer,
            following,
            watch,
        })
    }
}

/// Reads something of a database that is being opened, in the time for that.
async fn read<T>(
    place: &Place,
    reading: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, OpenError> {
    match tokio::time::timeout(READING, reading).await {
        Ok(read) => read.map_err(|source| OpenError::failed(place, source)),
        Err(_) => Err(OpenError::NoAnswer {
            place: place.clone(),
            waited: READING,
        }),
    }
}

/// The sessions of a database, for everybody who needs them.
struct Sessions {
    store: Box<dyn SessionStore>,
    records: Arc<dyn SessionRecords>,
    writer: Writer,
}

impl Sessions {
    fn new<S>(sessions: S, writer: fn(&S) -> &Writer) -> Self
    where
        S: SessionStore + SessionRecords + 'static,
    {
        let sessions = Arc::new(sessions);
        Self {
            writer: writer(&sessions).clone(),
            store: Box::new(Arc::clone(&sessions)),
            records: sessions,
        }
    }
}

/// The runtime of a database.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tenantry-store")
        .enable_all()
        .build()
}
