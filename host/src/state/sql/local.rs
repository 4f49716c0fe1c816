//! Sessions of a database that one server uses: all of them are in memory, too. Requests are
//! answered from there; what changes is written down.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use sqlx::{Connection as _, Row as _};
use tenantry_core::{
    memory::Settings,
    session::{SessionId, TenantKey},
    tenancy::{OpenError, Owner, Unavailable},
    time::Timestamp,
};

use super::{
    Database, GRACE, MIN_PAUSE, PARTS, part_bound,
    tenants::{SqlTenants, signed, tenant_key, unsigned, write_down},
    writer::{Writer, bytes, from_bytes, from_millis},
};
use crate::state::{
    Answer, AuditEvent, Author, Entry, MemorySessions, Pending, SessionRecords, SessionStore,
    StoreError, StoredSession,
};

/// Sessions that are read at a time.
const PAGE: i64 = 20_000;

/// Sessions of a database that one server uses.
pub(super) struct LocalSessions {
    database: Database,
    memory: Arc<MemorySessions>,
    writer: Writer,
    tenants: SqlTenants,
    rules: Settings,
}

impl LocalSessions {
    /// The sessions of a database, all of which are put into `memory`.
    pub(super) async fn read(
        database: Database,
        memory: Arc<MemorySessions>,
        tenants: SqlTenants,
        rules: Settings,
    ) -> Result<Self, sqlx::Error> {
        let by_key: HashMap<_, _> = {
            let page = tenants.directory().page(None, usize::MAX);
            page.into_iter()
                .map(|(_, entry)| (entry.key, entry))
                .collect()
        };
        let mut connection = database.connection().await?;
        let mut after = Vec::new();
        loop {
            let rows = sqlx::query(
                "SELECT id, tenant, used_ms FROM sessions WHERE id > $1 ORDER BY id LIMIT $2",
            )
            .bind(after.clone())
            .bind(PAGE)
            .fetch_all(&mut *connection)
            .await?;
            for row in &rows {
                after = row.try_get(0)?;
                let tenant = by_key.get(&tenant_key(row.try_get(1)?)?);
                if let (Some(id), Some(tenant)) = (from_bytes(&after), tenant) {
                    memory.adopt(tenant, id, from_millis(unsigned(row.try_get(2)?)));
                }
            }
            if rows.len() < PAGE as usize {
                break;
            }
        }
        drop(connection);
        let ended = Arc::clone(&memory);
        Ok(Self {
            writer: Writer::start(database.clone(), move || ended.ended_before()),
            database,
            memory,
            tenants,
            rules,
        })
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }
}

impl SessionStore for LocalSessions {
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>> {
        // Here is where it is counted, and where it is known whose an id is.
        match self.memory.open(tenant, id) {
            Answer::Now(Ok(())) => {}
            refused => return refused,
        }
        Answer::Later(Box::pin(async move {
            let used = self.memory.used_now();
            let max = self.rules.session_limit(&tenant.limits);
            let opened = self.writer.open(id, tenant.key, max, used).await;
            if opened.is_err() {
                self.memory.close(tenant, id);
            }
            opened
        }))
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        let (owner, used) = self.memory.look(tenant, id);
        if let Some(used) = used {
            self.writer.used(id, used);
        }
        Answer::Now(Ok(owner))
    }

    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            tokio::join!(self.memory.maintain(), self.sweep());
        })
    }
}

impl LocalSessions {
    /// Deletes sessions that have ended from the database, a part at a time.
    async fn sweep(&self) {
        let Some(interval) = self.rules.lifetime.sweep_interval() else {
            return std::future::pending().await;
        };
        let pause = (interval / PARTS).max(MIN_PAUSE);
        for part in (0..PARTS).cycle() {
            tokio::time::sleep(pause).await;
            let Some(ended) = self.memory.ended_before() else {
                continue;
            };
            let work = delete_ended(self.database.clone(), part, ended.before(GRACE));
            if let Err(error) = self.database.run(work).await {
                tracing::warn!(%error, "ended sessions stay in the database for now");
            }
        }
    }

    /// Deletes a session of a tenant, or all of them, with those in memory.
    async fn revoke_now(
        &self,
        tenant: &Entry,
        id: Option<SessionId>,
        count: u64,
        by: &Author,
    ) -> Result<(), StoreError> {
        let event = AuditEvent::revoked(self.tenants.now_ms(), by, tenant.id(), count);
        let work = delete(self.database.clone(), tenant.key, id, event);
        self.database.run(work).await
    }
}

/// Deletes sessions of a part of the table that were last used before `ended`.
async fn delete_ended(database: Database, part: u32, ended: Timestamp) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    sqlx::query("DELETE FROM sessions WHERE id >= $1 AND id < $2 AND used_ms < $3")
        .bind(part_bound(part))
        .bind(part_bound(part + 1))
        .bind(signed(ended.as_millis()))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Deletes a session of a tenant, or all of them, and writes down who did so.
async fn delete(
    database: Database,
    tenant: TenantKey,
    id: Option<SessionId>,
    event: AuditEvent,
) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let delete = match id {
        Some(id) => sqlx::query("DELETE FROM sessions WHERE tenant = $1 AND id = $2")
            .bind(i64::from(tenant))
            .bind(bytes(id)),
        None => sqlx::query("DELETE FROM sessions WHERE tenant = $1").bind(i64::from(tenant)),
    };
    delete.execute(&mut *transaction).await?;
    write_down(&mut transaction, &event, tenant).await?;
    transaction.commit().await?;
    Ok(())
}

impl SessionRecords for LocalSessions {
    fn list<'a>(
        &'a self,
        tenant: &'a Entry,
        after: Option<SessionId>,
        max: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>> {
        Box::pin(async move { Ok(self.memory.sessions_of(tenant.key, after, max)) })
    }

    fn count<'a>(&'a self, tenant: &'a Entry) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(async move { Ok(self.memory.live(tenant).into()) })
    }

    fn revoke<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
        by: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            if self.memory.peek(id) != Some(tenant.key) {
                return Ok(false);
            }
            self.revoke_now(tenant, Some(id), 1, by).await?;
            Ok(self.memory.close(tenant, id))
        })
    }

    fn revoke_all<'a>(
        &'a self,
        tenant: &'a Entry,
        by: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let count = self.memory.live(tenant).into();
            self.revoke_now(tenant, None, count, by).await?;
            Ok(self.memory.close_all(tenant))
        })
    }
}
