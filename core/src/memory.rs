//! All state in one place and in memory: the runner that needs nothing else. The web page
//! and the npm package are built on it, and the rules are tested with it.

use alloc::{borrow::Cow, vec::Vec};

use crate::{
    contract::{Call, Request, Response, tenant_list},
    limit::{Quota, Window},
    registry::{Limits, Registry, Row},
    session::{Ledger, Lifetime, SessionId, Table, TenantKey, Tick},
    tenancy::{OpenError, Owner, Tenancy, Unavailable},
    tenant::Tenant,
    time::Timestamp,
};

/// What an operator may set for all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether limits hold; without them nothing is ever answered with 429. Default is
    /// true.
    pub limits: bool,
    /// How long a session lives without being used. Default is 24 hours.
    pub lifetime: Lifetime,
    /// Live sessions that a tenant may have whose row does not say. Default is 1,000,000.
    pub max_sessions: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: true,
            lifetime: Lifetime::new(core::time::Duration::from_secs(24 * 60 * 60)),
            max_sessions: 1_000_000,
        }
    }
}

impl Settings {
    /// Chats that a tenant may have in any 10 seconds; `None` is no limit.
    #[must_use]
    pub fn chat_limit(&self, limits: &Limits) -> Option<u32> {
        limits.chat_per_10s.filter(|_| self.limits)
    }

    /// Live sessions that a tenant may have.
    #[must_use]
    pub fn session_limit(&self, limits: &Limits) -> u32 {
        if self.limits {
            limits.sessions.unwrap_or(self.max_sessions)
        } else {
            u32::MAX
        }
    }
}

/// A whole service: tenants, sessions and limits.
#[derive(Debug, Clone)]
pub struct Memory {
    settings: Settings,
    registry: Registry,
    tenant_list: Vec<u8>,
    sessions: Table,
    /// One for each row of the registry, in its order.
    usage: Vec<Usage>,
}

#[derive(Debug, Clone, Default)]
struct Usage {
    sessions: Ledger,
    chats: Window,
}

impl Memory {
    /// A service for these tenants, without sessions.
    #[must_use]
    pub fn new(registry: Registry, settings: Settings) -> Self {
        let ids = registry.rows().iter().map(|row| row.tenant().id);
        Self {
            settings,
            tenant_list: tenant_list(ids),
            sessions: Table::default(),
            usage: registry.rows().iter().map(|_| Usage::default()).collect(),
            registry,
        }
    }

    /// The tenants.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Answers a request that comes at `now`; `random` gives new random bytes.
    pub fn handle(
        &mut self,
        request: &Request<'_>,
        now: Timestamp,
        random: impl FnMut() -> [u8; 16],
    ) -> Response {
        let call = Call::read(request);
        let place = call.scope().and_then(|id| self.registry.place(id));
        let tenant = place.and_then(|place| {
            Some(InScope {
                row: self.registry.rows().get(place)?,
                usage: self.usage.get_mut(place)?,
                key: TenantKey::try_from(place).ok()?,
            })
        });
        let mut scope = Scope {
            tenant,
            sessions: &mut self.sessions,
            settings: &self.settings,
            now,
            tick: self.settings.lifetime.tick(now),
            random,
            quota: None,
        };
        let response = call.answer(&mut scope).with_quota(scope.quota);
        response.with_tenant_list(|| Cow::Owned(self.tenant_list.clone()))
    }

    /// Forgets the sessions that have ended. They answer as unknown even before that.
    pub fn sweep(&mut self, now: Timestamp) {
        self.sessions.sweep(self.settings.lifetime.tick(now));
    }

    /// Live sessions of the tenant with that id; `None` where there is no such tenant.
    pub fn live_sessions(&mut self, tenant_id: &str, now: Timestamp) -> Option<u32> {
        let usage = self.usage.get_mut(self.registry.place(tenant_id)?)?;
        Some(usage.sessions.live(self.settings.lifetime.tick(now)))
    }
}

/// One request's view of a [`Memory`].
struct Scope<'a, R> {
    tenant: Option<InScope<'a>>,
    sessions: &'a mut Table,
    settings: &'a Settings,
    now: Timestamp,
    tick: Tick,
    random: R,
    /// What was left of the limit when it was asked.
    quota: Option<Quota>,
}

struct InScope<'a> {
    row: &'a Row,
    usage: &'a mut Usage,
    key: TenantKey,
}

impl<'a, R: FnMut() -> [u8; 16]> Tenancy<'a> for Scope<'a, R> {
    fn tenant(&self) -> Option<Tenant<'a>> {
        self.tenant.as_ref().map(|tenant| tenant.row.tenant())
    }

    fn new_session_id(&mut self) -> SessionId {
        SessionId::from_random((self.random)())
    }

    fn open_session(&mut self, id: SessionId) -> Result<(), OpenError> {
        let Some(tenant) = &mut self.tenant else {
            return Err(Unavailable.into());
        };
        let max = self.settings.session_limit(&tenant.row.limits);
        let ledger = &mut tenant.usage.sessions;
        self.sessions.open(id, tenant.key, ledger, max, self.tick)
    }

    fn owner(&mut self, id: SessionId) -> Result<Owner, Unavailable> {
        let Some(tenant) = &mut self.tenant else {
            return Err(Unavailable);
        };
        let ledger = &mut tenant.usage.sessions;
        let used = |before| ledger.used(before, self.tick);
        Ok(self.sessions.owner(id, tenant.key, self.tick, used))
    }

    fn admit_chat(&mut self) -> Result<bool, Unavailable> {
        let Some(tenant) = &mut self.tenant else {
            return Err(Unavailable);
        };
        let Some(limit) = self.settings.chat_limit(&tenant.row.limits) else {
            return Ok(true);
        };
        let admission = tenant.usage.chats.admit(limit, self.now);
        self.quota = admission.quota();
        Ok(admission.is_granted())
    }
}
