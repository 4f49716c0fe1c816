//! Usage in a database: by the minute, the hour and the day.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use sqlx::{AnyConnection, Row as _};

use super::{
    Database, Dialect,
    tenants::{signed, tenant_key, unsigned},
};
use crate::state::{
    Clock, Pending, Step, StoreError, Usage, UsageBatch, UsageQuery, UsageRow, UsageStore,
};

/// Usage by the minute is kept for 31 days, that by the hour for 400 days, and that by the day
/// for ever: each step, and how long it is kept, in minutes.
const KEPT: [(Step, u64); 2] = [(Step::Minute, 31 * 24 * 60), (Step::Hour, 400 * 24 * 60)];

/// Spans of each step that are deleted at a time, at most: a transaction that deletes too much
/// would not end in time, and neither would the next one.
const MAX_PRUNED_SPANS: u64 = 10;

/// Usage in a database.
#[derive(Clone)]
pub(super) struct SqlUsage {
    database: Database,
    clock: Arc<dyn Clock>,
    /// The minute in which old rows were last deleted.
    pruned: Arc<Mutex<u64>>,
}

impl SqlUsage {
    /// Usage in this database.
    pub(super) fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            database,
            clock,
            pruned: Arc::default(),
        }
    }

    /// Adds a batch, unless it was added before.
    async fn add_now(self, batch: UsageBatch) -> Result<(), StoreError> {
        let now_ms = self.clock.wall().as_millis();
        let (dialect, batch) = (self.database.dialect, &batch);
        let added = self.database.transaction(|mut connection| async move {
            add(dialect, &mut connection, batch, now_ms).await?;
            Ok(((), connection))
        });
        Ok(added.await?)
    }

    /// Deletes old rows.
    async fn prune(self) -> Result<(), StoreError> {
        let now_ms = self.clock.wall().as_millis();
        let minute = now_ms / 60_000;
        let pruned = self.database.transaction(|mut connection| async move {
            for (step, kept) in KEPT {
                let step = step.minutes();
                let delete = sqlx::query(
                    "DELETE FROM usage WHERE step = $1 AND start < $2 AND start < \
                     (SELECT min(start) FROM usage WHERE step = $1) + $3",
                );
                delete
                    .bind(signed(step))
                    .bind(signed(minute.saturating_sub(kept)))
                    .bind(signed(step * MAX_PRUNED_SPANS))
                    .execute(&mut *connection)
                    .await?;
            }
            let (_, kept) = KEPT[0];
            sqlx::query("DELETE FROM usage_batches WHERE at_ms < $1")
                .bind(signed(now_ms.saturating_sub(kept * 60_000)))
                .execute(&mut *connection)
                .await?;
            Ok(((), connection))
        });
        Ok(pruned.await?)
    }
}

/// Adds a batch, unless it was added before, in the transaction that the connection is in.
async fn add(
    dialect: Dialect,
    connection: &mut AnyConnection,
    batch: &UsageBatch,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let is_new = sqlx::query(
        "INSERT INTO usage_batches (server, seq, at_ms) VALUES ($1, $2, $3) \
         ON CONFLICT (server) DO UPDATE SET seq = excluded.seq, at_ms = excluded.at_ms \
         WHERE usage_batches.seq < excluded.seq",
    )
    .bind(batch.writer.to_string())
    .bind(signed(batch.seq))
    .bind(signed(now_ms))
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if is_new == 0 {
        return Ok(());
    }
    for (_, step) in Step::NAMES {
        let minutes = step.minutes();
        let mut sums = BTreeMap::<_, Usage>::new();
        for row in &*batch.rows {
            let place = (row.minute - row.minute % minutes, row.tenant);
            let sum = sums.entry(place).or_default();
            *sum = sum.plus(row.usage);
        }
        // In order, so that two servers never wait for each other.
        let values: Vec<_> = sums
            .into_iter()
            .map(|((start, tenant), usage)| {
                let [a, b, c, d, e, f, g] = usage.numbers();
                format!("[{minutes},{start},{tenant},{a},{b},{c},{d},{e},{f},{g}]")
            })
            .collect();
        sqlx::query(dialect.pick(ADD_SQLITE, ADD_POSTGRES))
            .bind(format!("[{}]", values.join(",")))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

const ADD_SQLITE: &str = "INSERT INTO usage \
    (step, start, tenant, chats, refused, sessions, bytes_in, bytes_out, busy_ns, \
    refused_bytes_in) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
    value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($1) WHERE true \
    ON CONFLICT (step, start, tenant) DO UPDATE SET \
    chats = chats + excluded.chats, refused = refused + excluded.refused, \
    sessions = sessions + excluded.sessions, bytes_in = bytes_in + excluded.bytes_in, \
    bytes_out = bytes_out + excluded.bytes_out, busy_ns = busy_ns + excluded.busy_ns, \
    refused_bytes_in = refused_bytes_in + excluded.refused_bytes_in";

const ADD_POSTGRES: &str = "INSERT INTO usage \
    (step, start, tenant, chats, refused, sessions, bytes_in, bytes_out, busy_ns, \
    refused_bytes_in) \
    SELECT (value ->> 0)::bigint, (value ->> 1)::bigint, (value ->> 2)::bigint, \
    (value ->> 3)::bigint, (value ->> 4)::bigint, (value ->> 5)::bigint, \
    (value ->> 6)::bigint, (value ->> 7)::bigint, (value ->> 8)::bigint, \
    (value ->> 9)::bigint \
    FROM json_array_elements($1::json) \
    ON CONFLICT (step, start, tenant) DO UPDATE SET \
    chats = usage.chats + excluded.chats, refused = usage.refused + excluded.refused, \
    sessions = usage.sessions + excluded.sessions, \
    bytes_in = usage.bytes_in + excluded.bytes_in, \
    bytes_out = usage.bytes_out + excluded.bytes_out, \
    busy_ns = usage.busy_ns + excluded.busy_ns, \
    refused_bytes_in = usage.refused_bytes_in + excluded.refused_bytes_in";

impl UsageStore for SqlUsage {
    fn add(&self, batch: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.database.run(self.clone().add_now(batch)).await?;
            let minute = self.clock.wall().as_millis() / 60_000;
            let is_due = std::mem::replace(&mut *self.pruned.lock(), minute) != minute;
            if is_due && let Err(error) = self.database.run(self.clone().prune()).await {
                tracing::warn!(%error, "old usage stays in the database for now");
            }
            Ok(())
        })
    }

    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        let database = self.database.clone();
        Box::pin(self.database.run(async move {
            let (after_start, after_tenant) = query.after.unzip();
            let rows = database.read(|mut connection| async move {
                let rows = sqlx::query(
                    "SELECT start, tenant, chats, refused, sessions, bytes_in, bytes_out, busy_ns, \
                 refused_bytes_in FROM usage WHERE step = $1 AND start >= $2 AND start < $3 \
                 AND ($4 < 0 OR tenant = $4) AND (start > $5 OR (start = $5 AND tenant > $6)) \
                 ORDER BY start, tenant LIMIT $7",
                )
                .bind(signed(query.step.minutes()))
                .bind(signed(query.from - query.from % query.step.minutes()))
                .bind(signed(query.to))
                .bind(query.tenant.map_or(-1, i64::from))
                .bind(after_start.map_or(-1, signed))
                .bind(after_tenant.map_or(-1, i64::from))
                .bind(signed(query.max as u64))
                .fetch_all(&mut *connection)
                .await?;
                Ok((rows, connection))
            });
            let rows = rows.await?;
            let mut used = Vec::with_capacity(rows.len());
            for row in &rows {
                let mut numbers = [0; 7];
                for (n, number) in numbers.iter_mut().enumerate() {
                    *number = unsigned(row.try_get(n + 2)?);
                }
                used.push(UsageRow {
                    minute: unsigned(row.try_get(0)?),
                    tenant: tenant_key(row.try_get(1)?)?,
                    usage: Usage::from_numbers(numbers),
                });
            }
            Ok(used)
        }))
    }
}
