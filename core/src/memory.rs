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
    accounts: Vec<Account>,
}

/// What is counted for a tenant.
#[derive(Debug, Clone, Default)]
struct Account {
    sessions: Ledger,
    chats: Window,
}

/// What a tenant has used, and what is left to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Its live sessions.
    pub sessions: u32,
    /// What is left of its limit on chats; `None` where it has none.
    pub quota: Option<Quota>,
}

/// A live session, as it is written down elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session<'a> {
    /// Its id.
    pub id: SessionId,
    /// The tenant that it belongs to.
    pub tenant_id: &'a str,
    /// When it was last used, to 1/256 of the lifetime and never too late. Where sessions
    /// never end this is not known, and is the moment of asking.
    pub used: Timestamp,
}

/// Why a session that was written down elsewhere was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// There is no such tenant.
    #[error("there is no such tenant")]
    UnknownTenant,
    /// It has not been used for its lifetime.
    #[error("the session has ended")]
    Ended,
    /// The id is in use by another tenant: a session never changes hands.
    #[error("the session is another tenant's")]
    AnotherTenants,
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
            accounts: registry.rows().iter().map(|_| Account::default()).collect(),
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
        self.answer(&Call::read(request), now, random)
    }

    /// Answers a request that was read; see [`Memory::handle`].
    pub fn answer(
        &mut self,
        call: &Call<'_>,
        now: Timestamp,
        random: impl FnMut() -> [u8; 16],
    ) -> Response {
        let place = call.scope().and_then(|id| self.registry.place(id));
        let tenant = place.and_then(|place| {
            Some(InScope {
                row: self.registry.rows().get(place)?,
                account: self.accounts.get_mut(place)?,
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

    /// What the tenant with that id has used; `None` where there is no such tenant. Counts
    /// nothing.
    pub fn usage(&mut self, tenant_id: &str, now: Timestamp) -> Option<Usage> {
        let place = self.registry.place(tenant_id)?;
        let limit = self
            .settings
            .chat_limit(&self.registry.rows().get(place)?.limits);
        let account = self.accounts.get_mut(place)?;
        Some(Usage {
            sessions: account.sessions.live(self.settings.lifetime.tick(now)),
            quota: limit.map(|limit| account.chats.quota(limit, now)),
        })
    }

    /// All live sessions, in no order.
    pub fn sessions(&self, now: Timestamp) -> impl Iterator<Item = Session<'_>> {
        let lifetime = self.settings.lifetime;
        let live = self.sessions.live(lifetime.tick(now));
        live.filter_map(move |(id, tenant, used)| {
            let row = self.registry.rows().get(usize::try_from(tenant).ok()?)?;
            Some(Session {
                id,
                tenant_id: row.tenant().id,
                used: lifetime.start(used).unwrap_or(now),
            })
        })
    }

    /// Takes in a session that was opened elsewhere or earlier, whatever the tenant's bound
    /// on sessions. One that is here already is used at the later of the two times.
    ///
    /// # Errors
    /// It can't live here; nothing has changed.
    pub fn adopt(&mut self, session: &Session<'_>, now: Timestamp) -> Result<(), AdoptError> {
        let lifetime = self.settings.lifetime;
        let used = lifetime.tick(session.used.min(now));
        let place = self.registry.place(session.tenant_id);
        let account = place.and_then(|place| self.accounts.get_mut(place));
        let key = place.and_then(|place| TenantKey::try_from(place).ok());
        let (Some(account), Some(key)) = (account, key) else {
            return Err(AdoptError::UnknownTenant);
        };
        if used.is_over(lifetime.tick(now)) {
            return Err(AdoptError::Ended);
        }
        let ledger = &mut account.sessions;
        let opened = self.sessions.open(session.id, key, ledger, u32::MAX, used);
        if opened.is_ok() {
            return Ok(());
        }
        let moved = |before| ledger.used(before, used);
        match self.sessions.owner(session.id, key, used, moved) {
            Owner::Mine => Ok(()),
            Owner::Another => Err(AdoptError::AnotherTenants),
            Owner::Unknown => Err(AdoptError::Ended),
        }
    }

    /// Ends a session before its time; returns whether it was there.
    pub fn close(&mut self, id: SessionId, now: Timestamp) -> bool {
        let closed = self.sessions.close(id, self.settings.lifetime.tick(now));
        let Some((tenant, used)) = closed else {
            return false;
        };
        let place = usize::try_from(tenant).ok();
        let account = place.and_then(|place| self.accounts.get_mut(place));
        account.is_some_and(|account| account.sessions.closed(used))
    }

    /// When the tenant's chats were granted that still count, or did when it last chatted,
    /// oldest first; `None` where there is no such tenant.
    pub fn chats(&self, tenant_id: &str) -> Option<impl Iterator<Item = Timestamp>> {
        let account = self.accounts.get(self.registry.place(tenant_id)?)?;
        Some(account.chats.granted())
    }

    /// Replaces what [`Memory::chats`] says; returns false, and does nothing, where there is
    /// no such tenant.
    pub fn set_chats(
        &mut self,
        tenant_id: &str,
        granted: impl IntoIterator<Item = Timestamp>,
    ) -> bool {
        let place = self.registry.place(tenant_id);
        let account = place.and_then(|place| self.accounts.get_mut(place));
        let Some(account) = account else { return false };
        account.chats = granted.into_iter().collect();
        true
    }

    /// Forgets all sessions and chats.
    pub fn clear(&mut self) {
        self.sessions = Table::default();
        self.accounts.fill(Account::default());
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
    account: &'a mut Account,
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
        let ledger = &mut tenant.account.sessions;
        self.sessions.open(id, tenant.key, ledger, max, self.tick)
    }

    fn owner(&mut self, id: SessionId) -> Result<Owner, Unavailable> {
        let Some(tenant) = &mut self.tenant else {
            return Err(Unavailable);
        };
        let ledger = &mut tenant.account.sessions;
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
        let admission = tenant.account.chats.admit(limit, self.now);
        self.quota = admission.quota();
        Ok(admission.is_granted())
    }
}
