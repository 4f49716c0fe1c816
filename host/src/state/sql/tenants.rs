//! Tenants in a database, and the audit of their changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::json;
use sqlx::{AnyConnection, Connection as _, Row as _, any::AnyRow};
use tenantry_core::{
    registry::{Registry, Row},
    session::{SessionId, TenantKey},
};
use tokio::sync::Mutex;

use super::{
    Database, Dialect, LONG,
    ending::{Revocation, delete_all},
};
use crate::state::{
    AuditEvent, AuditQuery, AuditRecord, Author, Change, ChangeError, Clock, Directory, Entry,
    Expected, MemorySessions, Pending, Record, Stage, StoreError, TenantQuery, TenantStore,
};

/// Tenants that are read at a time.
pub(super) const PAGE: usize = 10_000;

/// Tenants in a database. Cheap to clone.
#[derive(Clone)]
pub(super) struct SqlTenants {
    database: Database,
    /// What requests find, kept up to date here.
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    /// Held from a change until the directory has it, so that both have the same order.
    changing: Arc<Mutex<()>>,
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

    /// Has the directory say what the database says of a tenant that somebody changed; `key` is
    /// what it was then.
    pub(super) async fn refresh(&self, id: &str, key: TenantKey) -> Result<(), StoreError> {
        let (tenants, id) = (self.clone(), id.to_owned());
        let refresh = async move {
            let _changing = tenants.changing.lock().await;
            let mut connection = tenants.database.connection().await?;
            let record = one(&mut connection, &id, "").await?;
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
        self.clock.now().as_millis()
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
        let mut connection = self.database.connection().await.map_err(StoreError::from)?;
        let now_ms = self.now_ms();
        let dialect = self.database.dialect;
        let begin = dialect.pick("BEGIN IMMEDIATE", "BEGIN");
        let mut transaction = connection
            .begin_with(begin)
            .await
            .map_err(StoreError::from)?;
        let lock = match change {
            // Whoever opens sessions for it waits, or is waited for.
            Change::Purge => " FOR UPDATE",
            _ => " FOR NO KEY UPDATE",
        };
        let before = one(&mut transaction, &id, dialect.pick("", lock)).await?;
        check(before.as_ref(), &change, expected)?;
        let is_done = match (&before, &change) {
            (Some(before), Change::Put(line)) => before.row == *line,
            (Some(before), change) => stage_after(change) == Some(before.stage),
            (None, _) => false,
        };
        if is_done {
            return Ok(before);
        }
        let after = match (&before, &change) {
            (None, Change::Put(line)) => {
                let added = insert(&mut transaction, &id, line, now_ms).await?;
                // Otherwise somebody else has added it since.
                Some(added.ok_or(ChangeError::Conflict(Some(1)))?)
            }
            (None, _) => return Err(ChangeError::Unknown),
            (Some(before), Change::Purge) => {
                purge(&mut transaction, dialect, before.key, &self.sessions).await?;
                None
            }
            (Some(before), change) => Some(update(&mut transaction, before, change, now_ms).await?),
        };
        let tenant = after.as_ref().or(before.as_ref()).map(|record| record.key);
        let event = AuditEvent {
            at_ms: now_ms,
            by,
            action: change.name().to_owned(),
            tenant_id: id,
            before: before.as_ref().map(told),
            after: after.as_ref().map(told),
        };
        write_down(&mut transaction, &event, tenant.unwrap_or_default()).await?;
        transaction.commit().await.map_err(StoreError::from)?;
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
    let mut connection = database.connection().await?;
    let query = TenantQuery {
        stage: None,
        after,
        max: PAGE,
    };
    list(&mut connection, query).await
}

/// The row of a record.
fn row_of(record: &Record) -> Option<Row> {
    let parsed = Registry::parse(record.row.as_bytes()).ok()?;
    let row = parsed.registry.into_rows().into_iter().next()?;
    (row.tenant().id == record.id).then_some(row)
}

/// A record as the audit tells it.
fn told(record: &Record) -> String {
    // A row that is none is told as a text.
    let row = serde_json::from_str(&record.row);
    let row: serde_json::Value = row.unwrap_or_else(|_| record.row.as_str().into());
    json!({ "state": record.stage.name(), "version": record.version, "row": row }).to_string()
}

/// Whether a change may be made to a tenant as it is.
fn check(before: Option<&Record>, change: &Change, expected: Expected) -> Result<(), ChangeError> {
    let version = before.map(|before| before.version);
    let is_expected = match expected {
        Expected::Any => true,
        Expected::Absent => before.is_none(),
        Expected::Present => before.is_some(),
        Expected::Version(version) => before.is_some_and(|before| before.version == version),
    };
    if !is_expected {
        return Err(ChangeError::Conflict(version));
    }
    let allowed: &[Stage] = match (before, change) {
        (None, Change::Put(_)) => return Ok(()),
        (None, _) => return Err(ChangeError::Unknown),
        (Some(_), Change::Put(_) | Change::Resume) => return Ok(()),
        (Some(_), Change::Suspend) => &[Stage::Active, Stage::Suspended],
        (Some(_), Change::Archive) => return Ok(()),
        (Some(_), Change::Purge) => &[Stage::Archived],
    };
    match before {
        Some(before) if !allowed.contains(&before.stage) => Err(ChangeError::Stage(before.stage)),
        _ => Ok(()),
    }
}

/// Where a tenant is in its life once it was changed; none where that stays, or it is gone.
fn stage_after(change: &Change) -> Option<Stage> {
    match change {
        Change::Put(_) | Change::Purge => None,
        Change::Suspend => Some(Stage::Suspended),
        Change::Resume => Some(Stage::Active),
        Change::Archive => Some(Stage::Archived),
    }
}

/// Adds a tenant; `None` where there is one with that id.
async fn insert(
    connection: &mut AnyConnection,
    id: &str,
    line: &str,
    now_ms: u64,
) -> Result<Option<Record>, StoreError> {
    let key: Option<i64> = sqlx::query_scalar(
        "INSERT INTO tenants (id, line, stage, version, created_ms, changed_ms) \
         VALUES ($1, $2, 'active', 1, $3, $3) ON CONFLICT (id) DO NOTHING RETURNING key",
    )
    .bind(id.to_owned())
    .bind(line.to_owned())
    .bind(signed(now_ms))
    .fetch_optional(connection)
    .await?;
    let Some(key) = key else { return Ok(None) };
    Ok(Some(Record {
        key: tenant_key(key)?,
        id: id.to_owned(),
        row: line.to_owned(),
        stage: Stage::Active,
        version: 1,
        created_ms: now_ms,
        changed_ms: now_ms,
    }))
}

/// Removes a tenant, its sessions and its usage.
async fn purge(
    connection: &mut AnyConnection,
    dialect: Dialect,
    key: TenantKey,
    sessions: &MemorySessions,
) -> Result<(), StoreError> {
    delete_all(&mut *connection, dialect, key, sessions).await?;
    for statement in [
        "DELETE FROM usage WHERE tenant = $1",
        "DELETE FROM tenants WHERE key = $1",
    ] {
        sqlx::query(statement)
            .bind(i64::from(key))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Changes a tenant; returns what it is now.
async fn update(
    connection: &mut AnyConnection,
    before: &Record,
    change: &Change,
    now_ms: u64,
) -> Result<Record, StoreError> {
    let after = Record {
        row: match change {
            Change::Put(line) => line.clone(),
            _ => before.row.clone(),
        },
        stage: stage_after(change).unwrap_or(before.stage),
        version: before.version + 1,
        changed_ms: now_ms,
        ..before.clone()
    };
    sqlx::query(
        "UPDATE tenants SET line = $2, stage = $3, version = $4, changed_ms = $5 WHERE key = $1",
    )
    .bind(i64::from(before.key))
    .bind(after.row.clone())
    .bind(after.stage.name())
    .bind(signed(after.version))
    .bind(signed(now_ms))
    .execute(connection)
    .await?;
    Ok(after)
}

/// Adds an event to the audit, in the transaction of what it tells.
pub(super) async fn write_down(
    connection: &mut AnyConnection,
    event: &AuditEvent,
    tenant: TenantKey,
) -> Result<(), StoreError> {
    let seq: i64 =
        sqlx::query_scalar("UPDATE audit_end SET seq = seq + 1 WHERE one = 1 RETURNING seq")
            .fetch_one(&mut *connection)
            .await?;
    sqlx::query(
        "INSERT INTO audit \
         (seq, at_ms, who, request_id, action, tenant_id, tenant, before_json, after_json) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(seq)
    .bind(signed(event.at_ms))
    .bind(event.by.who.clone())
    .bind(event.by.request_id.clone())
    .bind(event.action.clone())
    .bind(event.tenant_id.clone())
    .bind(i64::from(tenant))
    .bind(event.before.clone())
    .bind(event.after.clone())
    .execute(connection)
    .await?;
    Ok(())
}

const COLUMNS: &str = "SELECT key, id, line, stage, version, created_ms, changed_ms FROM tenants ";

/// The tenant with that id, locked as this clause says until the end of the transaction.
async fn one(
    connection: &mut AnyConnection,
    id: &str,
    lock: &'static str,
) -> Result<Option<Record>, StoreError> {
    let statement = sqlx::AssertSqlSafe(format!("{COLUMNS}WHERE id = $1{lock}"));
    let row = sqlx::query(statement)
        .bind(id.to_owned())
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(record).transpose()?)
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
            let mut connection = database.connection().await?;
            one(&mut connection, &id, "").await
        }))
    }

    fn list(&self, query: TenantQuery) -> Pending<'_, Result<Vec<(u64, Record)>, StoreError>> {
        let database = self.database.clone();
        Box::pin(self.database.run(async move {
            let mut connection = database.connection().await?;
            Ok(list(&mut connection, query).await?)
        }))
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
        Box::pin(self.database.run_within(times, work))
    }

    fn audit(&self, query: AuditQuery) -> Pending<'_, Result<Vec<AuditRecord>, StoreError>> {
        let database = self.database.clone();
        Box::pin(self.database.run(async move {
            let mut connection = database.connection().await?;
            let rows = sqlx::query(
                "SELECT seq, at_ms, who, request_id, action, tenant_id, before_json, after_json \
                 FROM audit WHERE seq > $1 AND ($2 = '' OR tenant_id = $2) \
                 ORDER BY seq LIMIT $3",
            )
            .bind(query.after.map_or(-1, signed))
            .bind(query.tenant_id.unwrap_or_default())
            .bind(signed(query.max as u64))
            .fetch_all(&mut *connection)
            .await?;
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
