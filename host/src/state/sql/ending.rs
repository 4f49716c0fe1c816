//! Sessions that end in a database: by themselves, or before their time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::{AnyConnection, Row as _};
use tenantry_core::{
    memory::Settings,
    session::{SessionId, TenantKey},
    time::Timestamp,
};

use super::{
    Database, Dialect,
    change::write_down,
    clock::correct,
    tenants::{signed, tenant_key, unsigned},
    writer::{bytes, hex, uncount},
};
use crate::state::{AuditEvent, Author, Entry, MemorySessions, StoreError};

/// Parts of the table of sessions, by their first byte, that are swept one after the other.
const PARTS: u32 = 256;

/// Between sweeps of two parts, at least.
const MIN_PAUSE: Duration = Duration::from_millis(200);

/// For how long an ended session stays in the database: it may have been used just before,
/// and that may not be written down yet.
const GRACE: Duration = Duration::from_secs(60);

/// Sessions that one statement deletes by their ids, at most.
const MAX_IDS: usize = 10_000;

/// The first id of a part of the table of sessions.
pub(super) fn part_bound(part: u32) -> Vec<u8> {
    // Behind all ids, which have 16 bytes.
    u8::try_from(part).map_or(vec![0xff; 17], |byte| vec![byte])
}

/// Deletes sessions that have ended from the database, a part at a time, for ever. All servers
/// do, and none waits for another.
pub(super) async fn sweep(database: &Database, rules: &Settings, memory: &MemorySessions) {
    let Some(interval) = rules.lifetime.sweep_interval() else {
        return std::future::pending().await;
    };
    let pause = (interval / PARTS).max(MIN_PAUSE);
    for part in (0..PARTS).cycle() {
        tokio::time::sleep(pause).await;
        let work = correct(
            database.clone(),
            part,
            memory.future_after(GRACE),
            memory.wall(),
        );
        if let Err(error) = database.run(work).await {
            tracing::warn!(%error, "sessions used in the future stay in the database for now");
        }
        let Some(ended) = memory.deletable_before(GRACE) else {
            continue;
        };
        let work = delete_ended(database.clone(), part, ended);
        if let Err(error) = database.run(work).await {
            tracing::warn!(%error, "ended sessions stay in the database for now");
        }
    }
}

/// Deletes sessions of a part of the table that were last used before `ended`.
async fn delete_ended(database: Database, part: u32, ended: Timestamp) -> Result<(), StoreError> {
    let statement = database.dialect.pick(
        "DELETE FROM sessions WHERE id >= $1 AND id < $2 AND used_ms < $3",
        "WITH gone AS (DELETE FROM sessions WHERE id IN (SELECT id FROM sessions \
         WHERE id >= $1 AND id < $2 AND used_ms < $3 FOR UPDATE SKIP LOCKED) RETURNING tenant) \
         SELECT tenant, count(*) FROM gone GROUP BY tenant",
    );
    let deleted = database.transaction(|mut connection| async move {
        let rows = sqlx::query(statement)
            .bind(part_bound(part))
            .bind(part_bound(part + 1))
            .bind(signed(ended.as_millis()))
            .fetch_all(&mut *connection)
            .await?;
        // SQLite returns no rows, and needs none: the server counts.
        let mut counts = BTreeMap::new();
        for row in &rows {
            counts.insert(tenant_key(row.try_get(0)?)?, row.try_get(1)?);
        }
        uncount(&mut connection, &counts).await?;
        Ok(((), connection))
    });
    Ok(deleted.await?)
}

/// The end of sessions of a tenant before their time.
pub(super) struct Revocation {
    pub(super) tenant: Arc<Entry>,
    /// Which one; none is all of them.
    pub(super) id: Option<SessionId>,
    pub(super) at_ms: u64,
    pub(super) by: Author,
}

impl Revocation {
    /// Deletes the sessions, and writes down who did so. Returns how many had not ended yet;
    /// where the one was not there, nothing is written down.
    pub(super) async fn run(
        self,
        database: Database,
        memory: Arc<MemorySessions>,
    ) -> Result<u64, StoreError> {
        let key = self.tenant.key;
        let dialect = database.dialect;
        let (revocation, memory) = (&self, &memory);
        let revoked = database.transaction(|mut connection| async move {
            if dialect == Dialect::Postgres {
                // Before the sessions, in the order of those that open some.
                sqlx::query("SELECT held FROM session_counts WHERE tenant = $1 FOR UPDATE")
                    .bind(i64::from(key))
                    .fetch_optional(&mut *connection)
                    .await?;
            }
            let ended = memory.ended_before().unwrap_or_default();
            let live = match revocation.id {
                Some(id) => delete_one(&mut connection, key, id).await?,
                None if dialect == Dialect::Sqlite => memory.live(&revocation.tenant).into(),
                None => count(&mut connection, key, ended).await?,
            };
            let gone = match revocation.id {
                Some(_) if live == 0 => return Ok((0, connection)),
                Some(_) => live,
                None => delete_all(&mut connection, dialect, key, memory).await?,
            };
            if dialect == Dialect::Postgres {
                uncount(&mut connection, &BTreeMap::from([(key, signed(gone))])).await?;
            }
            let Revocation {
                tenant, at_ms, by, ..
            } = revocation;
            let event = AuditEvent::revoked(*at_ms, by, tenant.id(), live);
            write_down(&mut connection, &event, key).await?;
            Ok((live, connection))
        });
        Ok(revoked.await?)
    }
}

/// How many sessions of a tenant have not ended: were last used at `ended`, or later.
pub(super) async fn count(
    connection: &mut AnyConnection,
    tenant: TenantKey,
    ended: Timestamp,
) -> Result<u64, sqlx::Error> {
    let count =
        sqlx::query_scalar("SELECT count(*) FROM sessions WHERE tenant = $1 AND used_ms >= $2")
            .bind(i64::from(tenant))
            .bind(signed(ended.as_millis()))
            .fetch_one(connection)
            .await?;
    Ok(unsigned(count))
}

/// Deletes a session, unless it is another tenant's; returns how many that are. One that seems
/// to have ended may have been used a moment ago.
async fn delete_one(
    connection: &mut AnyConnection,
    tenant: TenantKey,
    id: SessionId,
) -> Result<u64, sqlx::Error> {
    let delete = sqlx::query("DELETE FROM sessions WHERE tenant = $1 AND id = $2")
        .bind(i64::from(tenant))
        .bind(bytes(id));
    Ok(delete.execute(connection).await?.rows_affected())
}

/// Deletes all sessions of a tenant; returns how many there were.
pub(super) async fn delete_all(
    connection: &mut AnyConnection,
    dialect: Dialect,
    tenant: TenantKey,
    memory: &MemorySessions,
) -> Result<u64, sqlx::Error> {
    if dialect == Dialect::Postgres {
        let delete = sqlx::query("DELETE FROM sessions WHERE tenant = $1").bind(i64::from(tenant));
        return Ok(delete.execute(connection).await?.rows_affected());
    }
    // There is no index by tenant, which every opening would have to write: all sessions are
    // in memory, and those that are not have ended, and are swept.
    let sessions = memory.sessions_of(tenant, None, usize::MAX);
    let mut gone = 0;
    for sessions in sessions.chunks(MAX_IDS) {
        let ids: Vec<_> = sessions
            .iter()
            .map(|session| format!("\"{}\"", hex(session.id)))
            .collect();
        let delete = sqlx::query(
            "DELETE FROM sessions WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        )
        .bind(format!("[{}]", ids.join(",")));
        gone += delete.execute(&mut *connection).await?.rows_affected();
    }
    Ok(gone)
}
