//! Sessions and limits in this process's memory. Gone when the process is.
//!
//! No lock is shared by all requests: sessions are spread over many tables by their
//! random ids, and each tenant has its own ledger and window, in its account. Ended sessions
//! are swept one table at a time.

use std::{pin::Pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tenantry_core::{
    limit::Admission,
    memory::Settings,
    session::{SessionId, Table, TenantKey},
    tenancy::{OpenError, Owner, Unavailable},
    time::Timestamp,
};

use super::{Answer, Clock, Entry, RateLimiter, SessionStore, StoredSession};

/// Tables of sessions. With ten million sessions, a sweep of one table locks about ten
/// thousand of them for some hundred microseconds.
const TABLES: usize = 1024;

/// Between sweeps, at least. Where sessions live so shortly that tables would have to be
/// swept more often, several are swept in a row.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// Sessions in memory.
pub struct MemorySessions {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// When this began.
    start: Timestamp,
    tables: Box<[Mutex<Table>]>,
}

/// For how long nothing is taken out of a database after a start because it seems to have
/// ended, at most: a machine may start with a clock that is wrong, and find out soon.
const START_GRACE: Duration = Duration::from_secs(60 * 60);

/// How often tables are worth sweeping in a lifetime; see `Lifetime::sweep_interval`.
const SWEEPS_IN_LIFETIME: u32 = 16;

impl MemorySessions {
    /// A store without sessions.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            start: clock.now(),
            clock,
            tables: (0..TABLES).map(|_| Mutex::default()).collect(),
        }
    }

    fn table(&self, id: SessionId) -> Option<&Mutex<Table>> {
        // The last bits of an id are random.
        let (_, low) = id.as_u64_pair();
        self.tables.get(low as usize % TABLES)
    }

    /// Whose a session is, as `tenant` may know it. Where it is the tenant's own, this is a
    /// use of it: the second is when, as it is written down, to 1/256 of the lifetime, where
    /// the last use was not in that part of it.
    pub(super) fn look(&self, tenant: &Entry, id: SessionId) -> (Owner, Option<Timestamp>) {
        let (owner, used) = self.look_now(tenant, id);
        (owner, used.map(|used| self.clock.written(used)))
    }

    fn look_now(&self, tenant: &Entry, id: SessionId) -> (Owner, Option<Timestamp>) {
        let Some(table) = self.table(id) else {
            return (Owner::Unknown, None);
        };
        let ledger = &tenant.account.sessions;
        let lifetime = self.settings.lifetime;
        let now = lifetime.tick(self.clock.now());
        let mut has_moved = false;
        // Another thread may have read the clock later, and been with the ledger already:
        // it says whether the session still counts.
        let used = |before| {
            has_moved = true;
            ledger.lock().used(before, now)
        };
        let owner = table.lock().owner(id, tenant.key, now, used);
        if has_moved && owner == Owner::Mine {
            (owner, lifetime.start(now))
        } else {
            (owner, None)
        }
    }

    /// Takes in a session that was opened earlier or elsewhere, whatever the tenant's bound;
    /// `used` is when it was last used, as that was written down. Where the id is in use, or
    /// the session has ended, nothing changes.
    pub(super) fn adopt(&self, tenant: &Entry, id: SessionId, used: Timestamp) {
        let Some(table) = self.table(id) else { return };
        let lifetime = self.settings.lifetime;
        let used = self.clock.read(used);
        let oldest = lifetime.first_live(lifetime.tick(self.clock.now()));
        if oldest.is_some_and(|oldest| used < oldest) {
            return;
        }
        let tick = lifetime.tick(used);
        let mut table = table.lock();
        let mut ledger = tenant.account.sessions.lock();
        // An id in use stays whose it is, and so does when it was used.
        let _ = table.open(id, tenant.key, &mut ledger, u32::MAX, tick);
    }

    /// When a session that is used now was used, as it is written down.
    pub(super) fn used_now(&self) -> Timestamp {
        let now = self.clock.now();
        let lifetime = self.settings.lifetime;
        let used = lifetime.start(lifetime.tick(now)).unwrap_or(now);
        self.clock.written(used)
    }

    /// Sessions whose last use was written down as earlier than this have ended; none where
    /// they never do.
    pub(super) fn ended_before(&self) -> Option<Timestamp> {
        self.ended_since(Duration::ZERO)
    }

    fn ended_since(&self, grace: Duration) -> Option<Timestamp> {
        let lifetime = self.settings.lifetime;
        let oldest = lifetime.first_live(lifetime.tick(self.clock.now()))?;
        Some(self.clock.cut(oldest.before(grace)))
    }

    /// Sessions whose last use was written down as earlier than this ended longer ago than
    /// `grace`, and may be deleted. `None` where they never end, and for a while after the
    /// start: the clock may have been set wrong between the last process and this one.
    pub(super) fn deletable_before(&self, grace: Duration) -> Option<Timestamp> {
        let interval = self.settings.lifetime.sweep_interval()?;
        let lifetime = interval.saturating_mul(SWEEPS_IN_LIFETIME);
        let age = self.clock.now().since(self.start);
        if age < lifetime.min(START_GRACE) {
            return None;
        }
        self.ended_since(grace)
    }

    /// A last use that was written down as later than this is in the future, by more than
    /// clocks differ.
    pub(super) fn future_after(&self, slack: Duration) -> Timestamp {
        self.clock.wall().after(slack)
    }

    /// The time of day.
    pub(super) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Forgets the ended sessions of one table; `n` counts the tables round and round.
    pub fn sweep(&self, n: usize) {
        let now = self.settings.lifetime.tick(self.clock.now());
        if let Some(table) = self.tables.get(n % TABLES) {
            table.lock().sweep(now);
        }
    }

    /// The live sessions of a tenant, in the order of their ids, from the one behind
    /// `after`. Where sessions never end, nobody knows when one was used: it is now.
    #[must_use]
    pub fn sessions_of(
        &self,
        tenant: TenantKey,
        after: Option<SessionId>,
        max: usize,
    ) -> Vec<StoredSession> {
        let now = self.clock.now();
        let lifetime = self.settings.lifetime;
        let tick = lifetime.tick(now);
        let written = |used| self.clock.written(lifetime.start(used).unwrap_or(now));
        // The first ones of each table, and of all of these the first ones.
        let mut first = Vec::new();
        for table in &self.tables {
            let table = table.lock();
            let own = table.live(tick).filter(|(_, owner, _)| *owner == tenant);
            let behind = own.filter(|(id, ..)| after.is_none_or(|after| *id > after));
            first.extend(behind.take(max).map(|(id, _, used)| StoredSession {
                id,
                used: written(used),
            }));
            if first.len() > max.saturating_mul(4) {
                first.sort_unstable_by_key(|session| session.id);
                first.truncate(max);
            }
        }
        first.sort_unstable_by_key(|session| session.id);
        first.truncate(max);
        first
    }

    /// Ends a session of a tenant before its time; returns whether there was one.
    pub fn close(&self, tenant: &Entry, id: SessionId) -> bool {
        let now = self.settings.lifetime.tick(self.clock.now());
        let Some(table) = self.table(id) else {
            return false;
        };
        let mut table = table.lock();
        if table.peek(id, now) != Some(tenant.key) {
            return false;
        }
        let closed = table.close(id, now);
        closed.is_some_and(|(_, used)| tenant.account.sessions.lock().closed(used))
    }

    /// Ends all sessions of a tenant; returns how many there were.
    pub fn close_all(&self, tenant: &Entry) -> u64 {
        let now = self.settings.lifetime.tick(self.clock.now());
        let mut closed = 0;
        for table in &self.tables {
            let mut table = table.lock();
            let own = table.live(now).filter(|(_, owner, _)| *owner == tenant.key);
            let ids: Vec<_> = own.map(|(id, ..)| id).collect();
            for id in ids {
                if let Some((_, used)) = table.close(id, now) {
                    closed += u64::from(tenant.account.sessions.lock().closed(used));
                }
            }
        }
        closed
    }

    /// Sessions of a tenant that live now.
    #[must_use]
    pub fn live(&self, tenant: &Entry) -> u32 {
        let now = self.settings.lifetime.tick(self.clock.now());
        tenant.account.sessions.lock().live(now)
    }

    /// Sessions held, ended ones included that were not swept yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.lock().len()).sum()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SessionStore for MemorySessions {
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>> {
        let Some(table) = self.table(id) else {
            return Answer::Now(Err(Unavailable.into()));
        };
        let ledger = &tenant.account.sessions;
        let max = self.settings.session_limit(&tenant.limits);
        let now = self.settings.lifetime.tick(self.clock.now());
        let mut table = table.lock();
        Answer::Now(table.open(id, tenant.key, &mut ledger.lock(), max, now))
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        Answer::Now(Ok(self.look_now(tenant, id).0))
    }

    fn held(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let Some(interval) = self.settings.lifetime.sweep_interval() else {
            return Box::pin(std::future::pending());
        };
        Box::pin(async move {
            let pause = (interval / TABLES as u32).max(MIN_PAUSE);
            let at_a_time = (TABLES as u128 * pause.as_nanos()).div_ceil(interval.as_nanos());
            let at_a_time = usize::try_from(at_a_time).map_or(TABLES, |n| n.min(TABLES));
            let mut next = 0;
            loop {
                tokio::time::sleep(pause).await;
                for n in next..next + at_a_time {
                    self.sweep(n);
                }
                next = (next + at_a_time) % TABLES;
            }
        })
    }
}

/// Limits in memory.
pub struct MemoryLimiter {
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl MemoryLimiter {
    /// A limiter. What it counts is in the tenants' accounts.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock }
    }
}

impl RateLimiter for MemoryLimiter {
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        let Some(limit) = self.settings.chat_limit(&tenant.limits) else {
            return Answer::Now(Ok(Admission::Unlimited));
        };
        let mut window = tenant.account.chats.lock();
        Answer::Now(Ok(window.admit(limit, self.clock.now())))
    }
}
