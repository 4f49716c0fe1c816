//! Tenants in a database, and the audit of their changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex as SyncMutex;
use sqlx::{AnyConnection, Row as _, any::AnyRow};
use tenantry_core::{
    registry::{Registry, Row},
    session::{SessionId, TenantKey},
};
use tokio::sync::{Mutex, Notify};

use super::{
    Database, Dialect, LONG,
    change::{Changed, TenantChange},
    ending::Revocation,
};
use crate::state::{
    AuditEvent, AuditQuery, AuditRecord, Author, Change, ChangeError, Clock, Directory, Entry,
    Expected, MemorySessions, Pending, Record, Stage, StoreError, TenantQuery, TenantStore,
};

/// Tenants that are read at a time.
pub(super) const PAGE: usize = 10_000;

/// Between two looks at a tenant that may have been changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Ids of tenants of which it is not known whether the directory agrees with the database.
#[derive(Default)]
struct Doubts {
    ids: SyncMutex<BTreeSet<String>>,
    is_new: Notify,
}

/// Tenants in a database. Cheap to clone.
#[derive(Clone)]
pub(super) struct SqlTenants {
    database: Database,
    /// What requests find, kept up to date here.
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    /// Held from a change until the directory has it, so that both have the same order.
    changing: Arc<Mutex<()>>,
    /// The tenants of changes that may have been made or not.
    doubts: Arc<Doubts>,
    /// Those in memory, which end with their tenant.
    sessions: Arc<MemorySessions>,
}

impl SqlTenants {
    /// The tenants of a database, all of which are put into `directory`.
    pub(super) async fn read(
        database: Database,
        directory: Arc<Directory>,
        sessions: Arc<MemorySessions>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, sqlx::Error> {
        let tenants = Self {
            database,
            directory,
            clock,
            changing: Arc::default(),
            doubts: Arc::default(),
            sessions,
        };
        tenants.read_all().await?;
        Ok(tenants)
    }

    async fn read_all(&self) -> Result<(), sqlx::Error> {
        let mut after = None;
        loop {
            let records = page(&self.database, after).await?;
            after = self.apply_all(&records);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Has the directory say what the database says of all tenants.
    pub(super) async fn refresh_all(&self) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let mut after = None;
        loop {
            // There may be very many: each part has the time of a store.
            let database = self.database.clone();
            let work = async move { Ok::<_, StoreError>(page(&database, after).await?) };
            let records = self.database.run(work).await?;
            after = self.apply_all(&records);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Has the directory say what a page of records says. Returns where the next one begins,
    /// if there is one.
    fn apply_all(&self, records: &[(u64, Record)]) -> Option<u64> {
        for (_, record) in records {
            self.apply(record);
        }
        let (last, _) = records.last()?;
        (records.len() == PAGE).then_some(*last)
    }

    /// Follows this server's own changes whose answer was lost: has the directory say what came
    /// of them, for ever. For a database that no other server changes.
    pub(super) async fn settle_doubts(self) {
        loop {
            self.doubts.is_new.notified().await;
            loop {
                let first = self.doubts.ids.lock().first().cloned();
                let Some(id) = first else { break };
                let key = self.directory.get(&id).map_or(0, |tenant| tenant.key);
                // Before the look: a change that comes after it is another doubt.
                self.doubts.ids.lock().remove(&id);
                if let Err(error) = self.refresh(&id, key).await {
                    tracing::debug!(%error, tenant = id, "it is not known whether it was changed");
                    self.doubts.ids.lock().insert(id);
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Has the directory say what the database says of a tenant that somebody changed; `key` is
    /// what it was then.
    pub(super) async fn refresh(&self, id: &str, key: TenantKey) -> Result<(), StoreError> {
        let (tenants, id) = (self.clone(), id.to_owned());
        let refresh = async move {
            let _changing = tenants.changing.lock().await;
            let id = &*id;
            let record = tenants.database.read(|mut connection| async move {
                let record = one(&mut connection, id, "").await?;
                Ok((record, connection))
            });
            let record = record.await?;
            if record.as_ref().is_none_or(|record| record.key != key) {
                tenants.directory.forget(key);
            }
            if let Some(record) = record {
                tenants.apply(&record);
            }
            Ok(())
        };
        self.database.run(refresh).await
    }

    /// Ends a session of a tenant in the database, or all of them, and writes down who did so;
    /// those in memory stay. Returns how many had not ended.
    pub(super) async fn revoke(
        &self,
        tenant: &Arc<Entry>,
        id: Option<SessionId>,
        by: &Author,
    ) -> Result<u64, StoreError> {
        let revocation = Revocation {
            tenant: Arc::clone(tenant),
            id,
            at_ms: self.now_ms(),
            by: by.clone(),
        };
        let work = revocation.run(self.database.clone(), Arc::clone(&self.sessions));
        let times = if id.is_some() { 1 } else { LONG };
        self.database.run_within(times, work).await
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Has the directory say what a record says.
    fn apply(&self, record: &Record) {
        match row_of(record) {
            Some(row) => {
                self.directory.put(record.key, row, record.stage);
            }
            // Rows are checked before they are written. Whoever wrote this one did not.
            None => tracing::error!(
                tenant = record.id,
                "the tenant's row in the database is none; the tenant stays as it was",
            ),
        }
    }

    fn now_ms(&self) -> u64 {
        self.clock.wall().as_millis()
    }

    /// Makes a change, and has the directory say so.
    async fn change_now(
        self,
        id: String,
        change: Change,
        expected: Expected,
        by: Author,
    ) -> Result<Option<Record>, ChangeError> {
        let _changing = self.changing.lock().await;
        let work = &TenantChange {
            dialect: self.database.dialect,
            id: &id,
            change: &change,
            expected,
            by: &by,
            now_ms: self.now_ms(),
            sessions: &self.sessions,
        };
        let changed = self.database.transaction(|mut connection| async move {
            let changed = work.run(&mut connection).await?;
            Ok((changed, connection))
        });
        let (before, after) = match changed.await.map_err(StoreError::from)?? {
            Changed::Nothing(record) => {
                // A change before this one may have been made, and its answer lost.
                self.apply(&record);
                return Ok(Some(record));
            }
            Changed::From(before, after) => (before, after),
        };
        match (&before, &after) {
            (_, Some(after)) => self.apply(after),
            (Some(before), None) => {
                if let Some(gone) = self.directory.forget(before.key) {
                    self.sessions.close_all(&gone);
                }
            }
            (None, None) => {}
        }
        Ok(after)
    }
}

/// Records of all tenants, from the place behind `after`.
async fn page(database: &Database, after: Option<u64>) -> Result<Vec<(u64, Record)>, sqlx::Error> {
    let query = TenantQuery {
        stage: None,
        after,
        max: PAGE,
    };
    page_of(database, query).await
}

/// Records of the tenants that are asked for.
async fn page_of(
    database: &Database,
    query: TenantQuery,
) -> Result<Vec<(u64, Record)>, sqlx::Error> {
    let page = database.read(|mut connection| async move {
        let page = list(&mut connection, query).await?;
        Ok((page, connection))
    });
    page.await
}

/// The row of a record.
fn row_of(record: &Record) -> Option<Row> {
    let parsed = Registry::parse(record.row.as_bytes()).ok()?;
    let row = parsed.registry.into_rows().into_iter().next()?;
    (row.tenant().id == record.id).then_some(row)
}

const COLUMNS: &str = "SELECT key, id, line, stage, version, created_ms, changed_ms FROM tenants ";

/// The tenant with that id, locked as this clause says until the end of the transaction.
pub(super) async fn one(
    connection: &mut AnyConnection,
    id: &str,
    lock: &'static str,
) -> Result<Option<Record>, sqlx::Error> {
    if id.contains('\0') {
        // PostgreSQL has no text with it, and no tenant has such an id.
        return Ok(None);
    }
    let statement = sqlx::AssertSqlSafe(format!("{COLUMNS}WHERE id = $1{lock}"));
    let row = sqlx::query(statement)
        .bind(id.to_owned())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(record).transpose()
}

pub(super) async fn list(
    connection: &mut AnyConnection,
    query: TenantQuery,
) -> Result<Vec<(u64, Record)>, sqlx::Error> {
    let statement = sqlx::AssertSqlSafe(format!(
        "{COLUMNS}WHERE key > $1 AND ($2 = '' OR stage = $2) ORDER BY key LIMIT $3"
    ));
    let rows = sqlx::query(statement)
        .bind(query.after.map_or(-1, signed))
        .bind(query.stage.map_or("", Stage::name))
        .bind(signed(query.max as u64))
        .fetch_all(connection)
        .await?;
    let records = rows.iter().map(|row| {
        let record = record(row)?;
        Ok((record.key.into(), record))
    });
    records.collect()
}

fn record(row: &AnyRow) -> Result<Record, sqlx::Error> {
    let stage: String = row.try_get(3)?;
    Ok(Record {
        key: tenant_key(row.try_get(0)?)?,
        id: row.try_get(1)?,
        row: row.try_get(2)?,
        stage: Stage::parse(&stage).ok_or_else(|| sqlx::Error::Decode(stage.into()))?,
        version: unsigned(row.try_get(4)?),
        created_ms: unsigned(row.try_get(5)?),
        changed_ms: unsigned(row.try_get(6)?),
    })
}

/// A key as this program has it. Databases could have larger ones, which four thousand
/// million tenants would need.
pub(super) fn tenant_key(key: i64) -> Result<TenantKey, sqlx::Error> {
    TenantKey::try_from(key).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A number as databases have it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as this program has it.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl TenantStore for SqlTenants {
    fn get<'a>(&'a self, id: &'a str) -> Pending<'a, Result<Option<Record>, StoreError>> {
        let (database, id) = (self.database.clone(), id.to_owned());
        Box::pin(self.database.run(async move {
            let id = &*id;
            let found = database.read(|mut connection| async move {
                let found = one(&mut connection, id, "").await?;
                Ok((found, connection))
            });
            Ok(found.await?)
        }))
    }

    fn list(&self, query: TenantQuery) -> Pending<'_, Result<Vec<(u64, Record)>, StoreError>> {
        let database = self.database.clone();
        Box::pin(
            self.database
                .run(async move { Ok(page_of(&database, query).await?) }),
        )
    }

    fn ids<'a>(
        &'a self,
        keys: &'a BTreeSet<TenantKey>,
    ) -> Pending<'a, Result<BTreeMap<TenantKey, String>, StoreError>> {
        // All of them are in memory.
        let ids = keys.iter().filter_map(|key| {
            let tenant = self.directory.by_key(*key)?;
            Some((*key, tenant.id().to_owned()))
        });
        let ids = ids.collect();
        Box::pin(async { Ok(ids) })
    }

    fn change<'a>(
        &'a self,
        id: &'a str,
        change: Change,
        expected: Expected,
        by: &'a Author,
    ) -> Pending<'a, Result<Option<Record>, ChangeError>> {
        let times = if change == Change::Purge { LONG } else { 1 };
        let work = self
            .clone()
            .change_now(id.to_owned(), change, expected, by.clone());
        Box::pin(async move {
            let changed = self.database.run_within(times, work).await;
            // Where there are several servers, each follows the audit, and so its own changes.
            let is_alone = self.database.dialect == Dialect::Sqlite;
            if is_alone && matches!(changed, Err(ChangeError::Store(_))) {
                self.doubts.ids.lock().insert(id.to_owned());
                self.doubts.is_new.notify_one();
            }
            changed
        })
    }

    fn audit(&self, query: AuditQuery) -> Pending<'_, Result<Vec<AuditRecord>, StoreError>> {
        if query.tenant_id.as_ref().is_some_and(|id| id.contains('\0')) {
            // See `one`.
            return Box::pin(async { Ok(Vec::new()) });
        }
        let database = self.database.clone();
        Box::pin(self.database.run(async move {
            let tenant_id = &query.tenant_id.unwrap_or_default();
            let rows = database.read(|mut connection| async move {
                let rows = sqlx::query(
                    "SELECT seq, at_ms, who, request_id, action, tenant_id, before_json, \
                     after_json FROM audit WHERE seq > $1 AND ($2 = '' OR tenant_id = $2) \
                     ORDER BY seq LIMIT $3",
                )
                .bind(query.after.map_or(-1, signed))
                .bind(tenant_id.clone())
                .bind(signed(query.max as u64))
                .fetch_all(&mut *connection)
                .await?;
                Ok((rows, connection))
            });
            let rows = rows.await?;
            let mut records = Vec::with_capacity(rows.len());
            for row in &rows {
                records.push(AuditRecord {
                    seq: unsigned(row.try_get(0)?),
                    event: AuditEvent {
                        at_ms: unsigned(row.try_get(1)?),
                        by: Author {
                            who: row.try_get(2)?,
                            request_id: row.try_get(3)?,
                        },
                        action: row.try_get(4)?,
                        tenant_id: row.try_get(5)?,
                        before: row.try_get(6)?,
                        after: row.try_get(7)?,
                    },
                });
            }
            Ok(records)
        }))
    }
}
