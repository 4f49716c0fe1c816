//! Sessions of a database that one server uses: all of them are in memory, too. Requests are
//! answered from there; what changes is written down.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use sqlx::Row as _;
use tenantry_core::{
    memory::Settings,
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};

use super::{
    Database,
    ending::sweep,
    tenants::{SqlTenants, tenant_key, unsigned},
    writer::{Writer, from_bytes, from_millis},
};
use crate::state::{
    Answer, Author, Entry, MemorySessions, Pending, SessionRecords, SessionStore, StoreError,
    StoredSession,
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
        let mut after = Vec::<u8>::new();
        loop {
            let from = &after;
            let rows = database.read(|mut connection| async move {
                let rows = sqlx::query(
                    "SELECT id, tenant, used_ms FROM sessions WHERE id > $1 ORDER BY id LIMIT $2",
                )
                .bind(from.clone())
                .bind(PAGE)
                .fetch_all(&mut *connection)
                .await?;
                Ok((rows, connection))
            });
            let rows = rows.await?;
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

    fn trouble(&self) -> Option<Arc<str>> {
        self.database.trouble()
    }

    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let sweep = sweep(&self.database, &self.rules, &self.memory);
            tokio::join!(self.memory.maintain(), sweep);
        })
    }
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
        tenant: &'a Arc<Entry>,
        id: SessionId,
        by: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let count = self.tenants.revoke(tenant, Some(id), by).await?;
            self.memory.close(tenant, id);
            Ok(count > 0)
        })
    }

    fn revoke_all<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        by: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let count = self.tenants.revoke(tenant, None, by).await?;
            self.memory.close_all(tenant);
            Ok(count)
        })
    }
}
