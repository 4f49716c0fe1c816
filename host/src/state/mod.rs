//! State: tenants, sessions and limits, behind small traits, so that it may be in this
//! process or elsewhere.
//!
//! A store answers at once where it can ([`Answer::Now`]), and otherwise later. One that
//! is out of reach says so; the request is then answered with 503.

mod breaker;
mod clock;
mod closed;
mod directory;
mod entry;
mod flush;
mod memory;
mod records;
mod redis;
pub mod sql;
mod timeline;
mod unlisted;
mod usage;

use std::{path::PathBuf, pin::Pin, sync::Arc};

use bytes::Bytes;
use tenantry_core::{
    limit::Admission,
    memory::Settings,
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};

pub use self::{
    breaker::{Breaker, BreakerSettings, Permit, Turn},
    clock::{Clock, ManualClock, SystemClock},
    directory::{Directory, Reloaded},
    entry::{Account, Entry, Stage},
    flush::UsageFlush,
    memory::{MemoryLimiter, MemorySessions},
    records::{
        AuditEvent, AuditQuery, AuditRecord, Author, Change, ChangeError, Expected, FileTenants,
        Record, SessionRecords, StoredSession, TenantQuery, TenantStore,
    },
    redis::{CountedBy, Redis, RedisError, RedisLimiter, RedisUrl, RedisUrlError, UnfitRedis},
    timeline::Timeline,
    usage::{
        Collected, MemoryUsage, Meters, Step, Traffic, Usage, UsageBatch, UsageQuery, UsageRow,
        UsageStore,
    },
};

use crate::{
    metrics::{Metrics, Probe},
    traces::Traces,
};

/// Something that will be known; asked for seldom.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a store did not do what it was asked. Nothing was done, then; where the store can't
/// tell, it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is out of reach, or too slow.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// It answered something that it should not.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether the store has not answered.
    fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Something that is known now, or will be.
pub enum Answer<'a, T> {
    /// Known now, without waiting: what a store in this process says.
    Now(T),
    /// Known later: what a store elsewhere says.
    Later(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<T> Answer<'_, T> {
    /// Waits until it is known.
    pub async fn wait(self) -> T {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }
}

/// Which tenants there are.
pub trait TenantDirectory: Send + Sync {
    /// The tenant with that id.
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>>;

    /// The tenant with that id, archived or not: for whoever runs the service. A directory
    /// that does not know archived tenants finds the others.
    fn look_up<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        self.find(id)
    }

    /// The body of GET /, made once for each version of the tenants.
    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>>;

    /// How many tenants are in each stage, as [`Stage::NAMES`] has them, where that is known
    /// here.
    fn stages(&self) -> Option<[u64; 3]> {
        None
    }

    /// Why it did not do what it was last asked and could not do, where that is known: a text
    /// for the log, without secrets.
    fn trouble(&self) -> Option<Arc<str>> {
        None
    }
}

/// Whose each session is.
pub trait SessionStore: Send + Sync {
    /// Opens a session for a tenant. An id in use keeps its owner.
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>>;

    /// Whose a session is, as `tenant` may know it. Where it is the tenant's own, this is
    /// a use of it.
    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>>;

    /// Sessions that this process holds, ended ones included that were not swept yet, where
    /// it holds any.
    fn held(&self) -> Option<u64> {
        None
    }

    /// Why it did not do what it was last asked and could not do, where that is known: a text
    /// for the log, without secrets.
    fn trouble(&self) -> Option<Arc<str>> {
        None
    }

    /// The store's own housekeeping, which runs as long as the server does.
    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

impl<T: SessionStore> SessionStore for Arc<T> {
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>> {
        T::open(self, tenant, id)
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        T::owner(self, tenant, id)
    }

    fn held(&self) -> Option<u64> {
        T::held(self)
    }

    fn trouble(&self) -> Option<Arc<str>> {
        T::trouble(self)
    }

    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        T::maintain(self)
    }
}

/// How much each tenant has chatted.
pub trait RateLimiter: Send + Sync {
    /// Counts one chat of a tenant, if its limit allows one more now.
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>>;

    /// Why it did not do what it was last asked and could not do, where that is known: a text
    /// for the log, without secrets.
    fn trouble(&self) -> Option<Arc<str>> {
        None
    }

    /// How several servers hold the limits together, where they are meant to.
    fn sharing(&self) -> Option<Sharing> {
        None
    }
}

/// How several servers hold limits together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// Whether they do so now; otherwise this server holds the limits by itself.
    pub is_shared: bool,
    /// Questions to what they share that failed.
    pub failed_questions: u64,
    /// Attempts to connect to it that failed.
    pub failed_connections: u64,
}

/// All of it.
pub struct State {
    /// Which tenants there are.
    pub tenants: Box<dyn TenantDirectory>,
    /// Whose each session is.
    pub sessions: Box<dyn SessionStore>,
    /// How much each tenant has chatted.
    pub limiter: Box<dyn RateLimiter>,
    /// Tenants as they are kept for good.
    pub records: Arc<dyn TenantStore>,
    /// Sessions, for whoever runs the service.
    pub session_records: Arc<dyn SessionRecords>,
    /// What tenants used, as it is kept.
    pub usage: Arc<dyn UsageStore>,
    /// What tenants used, and is not kept yet.
    pub meters: Meters,
    /// Tells in which minute something was used.
    pub clock: Arc<dyn Clock>,
    /// What has to answer for this server to be ready.
    pub probes: Vec<Arc<dyn Probe>>,
    /// Where traces go, if they are wanted.
    pub traces: Option<Arc<Traces>>,
    /// What this process counts about itself.
    pub metrics: Arc<Metrics>,
}

impl State {
    /// State in this process's memory, for tenants of a file.
    #[must_use]
    pub fn in_memory(
        directory: Arc<Directory>,
        file: PathBuf,
        rules: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sessions = Arc::new(MemorySessions::new(rules, Arc::clone(&clock)));
        let records = FileTenants::new(
            Arc::clone(&directory),
            file,
            Arc::clone(&sessions),
            Arc::clone(&clock),
        );
        let records = Arc::new(records);
        Self {
            limiter: Box::new(MemoryLimiter::new(rules, Arc::clone(&clock))),
            records: Arc::clone(&records) as _,
            session_records: records,
            sessions: Box::new(sessions),
            tenants: Box::new(directory),
            usage: Arc::new(MemoryUsage::default()),
            meters: Meters::default(),
            clock,
            probes: Vec::new(),
            traces: None,
            metrics: Arc::default(),
        }
    }
}
