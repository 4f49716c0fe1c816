//! Sessions of a database that several servers use: the database knows, and what a server
//! has seen of it is in its memory, too.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::Row as _;
use tenantry_core::{
    memory::Settings,
    session::{SessionId, TenantKey},
    tenancy::{OpenError, Owner, Unavailable},
    time::Timestamp,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    Connection, Database, Purpose,
    ending::{count, sweep},
    tenants::{SqlTenants, signed, tenant_key, unsigned},
    writer::{Writer, bytes, from_bytes, from_millis, hex},
};
use crate::state::{
    Answer, Author, Entry, MemorySessions, Pending, SessionRecords, SessionStore, StoreError,
    StoredSession,
};

/// Sessions that are asked for at a time, and that wait to be asked for, at most.
const MAX_BATCH: usize = 1024;
const MAX_WAITING: usize = 64 << 10;

/// Sessions of a database that several servers use.
pub(super) struct SharedSessions {
    database: Database,
    seen: Seen,
    writer: Writer,
    tenants: SqlTenants,
    rules: Settings,
    lookups: mpsc::Sender<Lookup>,
}

/// What this server has seen of the sessions, in its memory.
#[derive(Clone)]
pub(super) struct Seen {
    memory: Arc<MemorySessions>,
    /// How often sessions were ended before their time. Whoever has asked the database before
    /// one of these must not remember the answer behind it.
    endings: Arc<AtomicU64>,
}

impl Seen {
    pub(super) fn new(memory: Arc<MemorySessions>) -> Self {
        Self {
            memory,
            endings: Arc::default(),
        }
    }

    fn endings(&self) -> u64 {
        self.endings.load(Ordering::SeqCst)
    }

    /// Remembers what the database said, unless sessions were ended since `endings` was asked.
    fn remember(&self, tenant: &Entry, id: SessionId, used: Timestamp, endings: u64) {
        self.memory.adopt(tenant, id, used);
        // Looked at behind it: whoever ends sessions after this look finds this one.
        if self.endings() != endings {
            self.memory.close(tenant, id);
        }
    }

    /// Forgets all of a tenant's sessions. Those that have not ended are asked for again.
    pub(super) fn forget(&self, tenant: &Entry) {
        self.endings.fetch_add(1, Ordering::SeqCst);
        self.memory.close_all(tenant);
    }
}

/// A session that somebody wants to know about.
struct Lookup {
    id: SessionId,
    found: oneshot::Sender<Option<Found>>,
}

/// A session as the database has it.
type Found = (TenantKey, Timestamp);

impl SharedSessions {
    /// The sessions of a database. Works on the calling runtime.
    pub(super) fn start(
        database: Database,
        seen: Seen,
        tenants: SqlTenants,
        rules: Settings,
    ) -> Self {
        let memory = Arc::clone(&seen.memory);
        let (lookups, received) = mpsc::channel(MAX_WAITING);
        tokio::spawn(look_up(database.clone(), received));
        Self {
            writer: Writer::start(database.clone(), move || memory.ended_before()),
            database,
            seen,
            tenants,
            rules,
            lookups,
        }
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Asks the database.
    async fn ask(&self, tenant: &Entry, id: SessionId) -> Result<Owner, Unavailable> {
        let endings = self.seen.endings();
        let (found, answer) = oneshot::channel();
        let lookup = Lookup { id, found };
        self.lookups.try_send(lookup).map_err(|_| Unavailable)?;
        // Without an answer the lookup has failed.
        let Some((owner, used)) = answer.await.map_err(|_| Unavailable)? else {
            return Ok(Owner::Unknown);
        };
        let ended = self.seen.memory.ended_before();
        if ended.is_some_and(|ended| used < ended) {
            return Ok(Owner::Unknown);
        }
        if owner != tenant.key {
            return Ok(Owner::Another);
        }
        self.seen.remember(tenant, id, used, endings);
        // This is a use of it.
        if let (_, Some(used)) = self.seen.memory.look(tenant, id) {
            self.writer.used(id, used);
        }
        Ok(Owner::Mine)
    }
}

/// Asks for many sessions with one query.
async fn look_up(database: Database, mut received: mpsc::Receiver<Lookup>) {
    let mut lookups = Vec::new();
    let mut is_failing = false;
    while received.recv_many(&mut lookups, MAX_BATCH).await > 0 {
        let ids = lookups.iter().map(|lookup| lookup.id).collect();
        let found = database.run(find(database.clone(), ids)).await;
        match found {
            Ok(found) => {
                is_failing = false;
                for lookup in lookups.drain(..) {
                    // Whoever asked may have gone.
                    let _ = lookup.found.send(found.get(&lookup.id).copied());
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, "sessions cannot be looked up");
                }
                lookups.clear();
            }
        }
    }
}

async fn find(
    database: Database,
    ids: Vec<SessionId>,
) -> Result<HashMap<SessionId, Found>, StoreError> {
    let ids: Vec<_> = ids
        .into_iter()
        .map(|id| format!("\"{}\"", hex(id)))
        .collect();
    let ids = &format!("[{}]", ids.join(","));
    let find = |mut connection: Connection| async move {
        let rows = sqlx::query(
            "SELECT id, tenant, used_ms FROM sessions WHERE id IN \
             (SELECT decode(value, 'hex') FROM json_array_elements_text($1::json))",
        )
        .bind(ids.clone())
        .fetch_all(&mut *connection)
        .await?;
        Ok((rows, connection))
    };
    let rows = database.connections.read(Purpose::Requests, find).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        if let Some(id) = from_bytes(&row.try_get::<Vec<u8>, _>(0)?) {
            let used = from_millis(unsigned(row.try_get(2)?));
            found.insert(id, (tenant_key(row.try_get(1)?)?, used));
        }
    }
    Ok(found)
}

impl SessionStore for SharedSessions {
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>> {
        Answer::Later(Box::pin(async move {
            let endings = self.seen.endings();
            let used = self.seen.memory.used_now();
            let max = self.rules.session_limit(&tenant.limits);
            self.writer.open(id, tenant.key, max, used).await?;
            self.seen.remember(tenant, id, used, endings);
            Ok(())
        }))
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        let (owner, used) = self.seen.memory.look(tenant, id);
        if let Some(used) = used {
            self.writer.used(id, used);
        }
        match owner {
            // It may have been opened, or used, on another server.
            Owner::Unknown => Answer::Later(Box::pin(self.ask(tenant, id))),
            known => Answer::Now(Ok(known)),
        }
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.database.trouble()
    }

    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let memory = &self.seen.memory;
            let sweep = sweep(&self.database, &self.rules, memory);
            tokio::join!(memory.maintain(), sweep);
        })
    }
}

impl SharedSessions {
    async fn revoke_now(
        &self,
        tenant: &Arc<Entry>,
        id: Option<SessionId>,
        by: &Author,
    ) -> Result<u64, StoreError> {
        let count = self.tenants.revoke(tenant, id, by).await?;
        self.seen.forget(tenant);
        Ok(count)
    }
}

impl SessionRecords for SharedSessions {
    fn list<'a>(
        &'a self,
        tenant: &'a Entry,
        after: Option<SessionId>,
        max: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>> {
        let (database, key) = (self.database.clone(), tenant.key);
        let now = self.seen.memory.wall();
        let ended = self.seen.memory.ended_before().unwrap_or_default();
        Box::pin(self.database.run(async move {
            let rows = database.read(|mut connection| async move {
                let rows = sqlx::query(
                    "SELECT id, used_ms FROM sessions \
                     WHERE tenant = $1 AND id > $2 AND used_ms >= $3 ORDER BY id LIMIT $4",
                )
                .bind(i64::from(key))
                .bind(after.map(bytes).unwrap_or_default())
                .bind(signed(ended.as_millis()))
                .bind(signed(max as u64))
                .fetch_all(&mut *connection)
                .await?;
                Ok((rows, connection))
            });
            let rows = rows.await?;
            let mut sessions = Vec::with_capacity(rows.len());
            for row in &rows {
                if let Some(id) = from_bytes(&row.try_get::<Vec<u8>, _>(0)?) {
                    // What lies in the future counts as now.
                    let used = from_millis(unsigned(row.try_get(1)?)).min(now);
                    sessions.push(StoredSession { id, used });
                }
            }
            Ok(sessions)
        }))
    }

    fn count<'a>(&'a self, tenant: &'a Entry) -> Pending<'a, Result<u64, StoreError>> {
        let (database, key) = (self.database.clone(), tenant.key);
        let ended = self.seen.memory.ended_before().unwrap_or_default();
        Box::pin(self.database.run(async move {
            let count = database.read(|mut connection| async move {
                let count = count(&mut connection, key, ended).await?;
                Ok((count, connection))
            });
            Ok(count.await?)
        }))
    }

    fn revoke<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        id: SessionId,
        by: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move { Ok(self.revoke_now(tenant, Some(id), by).await? > 0) })
    }

    fn revoke_all<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        by: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(self.revoke_now(tenant, None, by))
    }
}
