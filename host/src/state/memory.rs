//! Sessions and limits in this process's memory. Gone when the process is.
//!
//! No lock is shared by all requests: sessions are spread over many tables by their
//! random ids, and each tenant has its own ledger and window. Ended sessions are swept
//! one table at a time.

use std::{pin::Pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tenantry_core::{
    limit::{Admission, Window},
    memory::Settings,
    session::{Ledger, SessionId, Table},
    tenancy::{OpenError, Owner, Unavailable},
};

use super::{Answer, Clock, Entry, RateLimiter, SessionStore};

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
    tables: Box<[Mutex<Table>]>,
    /// One for each tenant, by its key. Locked only while a table is.
    ledgers: Box<[Mutex<Ledger>]>,
}

impl MemorySessions {
    /// A store without sessions, for tenants with keys below `tenants`.
    #[must_use]
    pub fn new(tenants: usize, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            tables: (0..TABLES).map(|_| Mutex::default()).collect(),
            ledgers: (0..tenants).map(|_| Mutex::default()).collect(),
        }
    }

    fn table(&self, id: SessionId) -> Option<&Mutex<Table>> {
        // The last bits of an id are random.
        let (_, low) = id.as_u64_pair();
        self.tables.get(low as usize % TABLES)
    }

    fn ledger(&self, tenant: &Entry) -> Option<&Mutex<Ledger>> {
        self.ledgers.get(usize::try_from(tenant.key).ok()?)
    }

    /// Forgets the ended sessions of one table; `n` counts the tables round and round.
    pub fn sweep(&self, n: usize) {
        let now = self.settings.lifetime.tick(self.clock.now());
        if let Some(table) = self.tables.get(n % TABLES) {
            table.lock().sweep(now);
        }
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
        let (Some(table), Some(ledger)) = (self.table(id), self.ledger(tenant)) else {
            return Answer::Now(Err(Unavailable.into()));
        };
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
        let (Some(table), Some(ledger)) = (self.table(id), self.ledger(tenant)) else {
            return Answer::Now(Err(Unavailable));
        };
        let now = self.settings.lifetime.tick(self.clock.now());
        // Another thread may have read the clock later, and been with the ledger already:
        // it says whether the session still counts.
        let used = |before| ledger.lock().used(before, now);
        Answer::Now(Ok(table.lock().owner(id, tenant.key, now, used)))
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
    /// One for each tenant, by its key.
    windows: Box<[Mutex<Window>]>,
}

impl MemoryLimiter {
    /// A limiter that has counted nothing, for tenants with keys below `tenants`.
    #[must_use]
    pub fn new(tenants: usize, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            windows: (0..tenants).map(|_| Mutex::default()).collect(),
        }
    }
}

impl RateLimiter for MemoryLimiter {
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        let Some(limit) = self.settings.chat_limit(&tenant.limits) else {
            return Answer::Now(Ok(Admission::Unlimited));
        };
        let key = usize::try_from(tenant.key).ok();
        let Some(window) = key.and_then(|key| self.windows.get(key)) else {
            return Answer::Now(Err(Unavailable));
        };
        let mut window = window.lock();
        Answer::Now(Ok(window.admit(limit, self.clock.now())))
    }
}
