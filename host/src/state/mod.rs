//! State: tenants, sessions and limits, behind small traits, so that it may be in this
//! process or elsewhere.
//!
//! A store answers at once where it can ([`Answer::Now`]), and otherwise later. One that
//! is out of reach says so; the request is then answered with 503.

mod clock;
mod directory;
mod memory;

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use tenantry_core::{
    limit::Admission,
    memory::Settings,
    registry::{Limits, Registry},
    session::{SessionId, TenantKey},
    tenancy::{OpenError, Owner, Unavailable},
    tenant::PackedTenant,
};

pub use self::{
    clock::{Clock, ManualClock, MonotonicClock},
    directory::StaticDirectory,
    memory::{MemoryLimiter, MemorySessions},
};

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

/// A tenant as the server knows it.
#[derive(Debug)]
pub struct Entry {
    /// Its number in this server's stores.
    pub key: TenantKey,
    /// What its answers need.
    pub packed: PackedTenant,
    /// What it may use.
    pub limits: Limits,
}

/// Which tenants there are.
pub trait TenantDirectory: Send + Sync {
    /// The tenant with that id.
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>>;

    /// The body of GET /, made once for each version of the tenants.
    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>>;
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

    /// The store's own housekeeping, which runs as long as the server does.
    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

/// How much each tenant has chatted.
pub trait RateLimiter: Send + Sync {
    /// Counts one chat of a tenant, if its limit allows one more now.
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>>;
}

/// All of it.
pub struct State {
    /// Which tenants there are.
    pub tenants: Box<dyn TenantDirectory>,
    /// Whose each session is.
    pub sessions: Box<dyn SessionStore>,
    /// How much each tenant has chatted.
    pub limiter: Box<dyn RateLimiter>,
}

impl State {
    /// State in this process's memory, for the tenants of `registry`.
    #[must_use]
    pub fn in_memory(registry: Registry, rules: Settings, clock: Arc<dyn Clock>) -> Self {
        let tenants = registry.rows().len();
        Self {
            tenants: Box::new(StaticDirectory::new(registry)),
            sessions: Box::new(MemorySessions::new(tenants, rules, Arc::clone(&clock))),
            limiter: Box::new(MemoryLimiter::new(tenants, rules, clock)),
        }
    }
}
