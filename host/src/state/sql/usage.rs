//! Usage in a database: by the minute, the hour and the day.

use std::sync::Arc;

use parking_lot::Mutex as SyncMutex;
use sqlx::{Connection as _, Row as _};
use tokio::sync::Mutex;

use super::{
    Database,
    tenants::{signed, tenant_key, unsigned},
};
use crate::{
    random::random_u64,
    state::{Clock, Pending, Step, StoreError, Usage, UsageQuery, UsageRow, UsageStore},
};

/// Minutes for which usage by the minute is kept: 31 days.
const KEEP_MINUTES: u64 = 31 * 24 * 60;

/// Minutes for which usage by the hour is kept: 400 days. That by the day stays.
const KEEP_HOURS: u64 = 400 * 24 * 60;

/// Usage in a database.
#[derive(Clone)]
pub(super) struct SqlUsage {
    database: Database,
    clock: Arc<dyn Clock>,
    /// Who this server is among all that add to the same database.
    server: Arc<str>,
    adding: Arc<Mutex<Adding>>,
    /// When old rows were last deleted, in minutes.
    pruned: Arc<SyncMutex<u64>>,
}

/// One batch is added at a time.
#[derive(Default)]
struct Adding {
    /// The number of the last batch that may be in the database.
    seq: u64,
    /// A batch of which nobody knows whether it was added; `seq` is its number.
    uncertain: Option<Vec<UsageRow>>,
}

impl SqlUsage {
    /// Usage in this database.
    pub(super) fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        // Without randomness, the time tells this server from the one before it.
        let random = random_u64().unwrap_or_default();
        let server = format!("{random:016x}-{:x}", clock.now().as_nanos());
        Self {
            database,
            clock,
            server: server.into(),
            adding: Arc::default(),
            pruned: Arc::default(),
        }
    }

    /// Adds a batch. Where it fails and it is known that nothing was added, that is an error;
    /// where nobody knows, the batch is tried again before the next one, by its number.
    async fn add_now(self, rows: Vec<UsageRow>) -> Result<(), StoreError> {
        let mut adding = self.adding.lock().await;
        if let Some(uncertain) = adding.uncertain.take() {
            // Until this is over, whatever becomes of this call, nobody knows.
            adding.uncertain = Some(uncertain.clone());
            self.write(adding.seq, &uncertain).await?;
            adding.uncertain = None;
        }
        if rows.is_empty() {
            return Ok(());
        }
        adding.seq += 1;
        adding.uncertain = Some(rows.clone());
        // From here on the batch is this one's to keep.
        if self.write(adding.seq, &rows).await.is_ok() {
            adding.uncertain = None;
        }
        Ok(())
    }

    /// Adds batch `seq`, unless it is there already.
    async fn write(&self, seq: u64, rows: &[UsageRow]) -> Result<(), StoreError> {
        let written = tokio::time::timeout(self.database.timeout, self.write_now(seq, rows));
        let too_slow = |_| StoreError::Unavailable("no answer in time".to_owned());
        written.await.map_err(too_slow)?
    }

    async fn write_now(&self, seq: u64, rows: &[UsageRow]) -> Result<(), StoreError> {
        let now = self.clock.now().as_millis();
        let mut connection = self.database.connection().await?;
        let begin = self.database.dialect.pick("BEGIN IMMEDIATE", "BEGIN");
        let mut transaction = connection.begin_with(begin).await?;
        let is_new = sqlx::query(
            "INSERT INTO usage_batches (server, seq, at_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (server) DO UPDATE SET seq = excluded.seq, at_ms = excluded.at_ms \
             WHERE usage_batches.seq < excluded.seq",
        )
        .bind(self.server.to_string())
        .bind(signed(seq))
        .bind(signed(now))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if is_new == 0 {
            return Ok(());
        }
        let statement = self.database.dialect.pick(ADD_SQLITE, ADD_POSTGRES);
        for (_, step) in Step::NAMES {
            let minutes = step.minutes();
            let mut sums = std::collections::BTreeMap::<_, Usage>::new();
            for row in rows {
                let place = (row.minute - row.minute % minutes, row.tenant);
                let sum = sums.entry(place).or_default();
                *sum = sum.plus(row.usage);
            }
            // In order, so that two servers never wait for each other.
            let values: Vec<_> = sums
                .into_iter()
                .map(|((start, tenant), usage)| {
                    let [a, b, c, d, e, f] = usage.numbers();
                    format!("[{minutes},{start},{tenant},{a},{b},{c},{d},{e},{f}]")
                })
                .collect();
            sqlx::query(statement)
                .bind(format!("[{}]", values.join(",")))
                .execute(&mut *transaction)
                .await?;
        }
        let minute = now / 60_000;
        let is_due = minute > *self.pruned.lock() + 60;
        if is_due {
            for (step, keep) in [(1, KEEP_MINUTES), (60, KEEP_HOURS)] {
                sqlx::query("DELETE FROM usage WHERE step = $1 AND start < $2")
                    .bind(step)
                    .bind(signed(minute.saturating_sub(keep)))
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query("DELETE FROM usage_batches WHERE at_ms < $1")
                .bind(signed(now.saturating_sub(KEEP_MINUTES * 60_000)))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        if is_due {
            *self.pruned.lock() = minute;
        }
        Ok(())
    }
}

const ADD_SQLITE: &str = "INSERT INTO usage \
    (step, start, tenant, chats, refused, sessions, bytes_in, bytes_out, busy_ns) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
    value ->> 6, value ->> 7, value ->> 8 FROM json_each($1) WHERE true \
    ON CONFLICT (step, start, tenant) DO UPDATE SET \
    chats = chats + excluded.chats, refused = refused + excluded.refused, \
    sessions = sessions + excluded.sessions, bytes_in = bytes_in + excluded.bytes_in, \
    bytes_out = bytes_out + excluded.bytes_out, busy_ns = busy_ns + excluded.busy_ns";

const ADD_POSTGRES: &str = "INSERT INTO usage \
    (step, start, tenant, chats, refused, sessions, bytes_in, bytes_out, busy_ns) \
    SELECT (value ->> 0)::bigint, (value ->> 1)::bigint, (value ->> 2)::bigint, \
    (value ->> 3)::bigint, (value ->> 4)::bigint, (value ->> 5)::bigint, \
    (value ->> 6)::bigint, (value ->> 7)::bigint, (value ->> 8)::bigint \
    FROM json_array_elements($1::json) \
    ON CONFLICT (step, start, tenant) DO UPDATE SET \
    chats = usage.chats + excluded.chats, refused = usage.refused + excluded.refused, \
    sessions = usage.sessions + excluded.sessions, \
    bytes_in = usage.bytes_in + excluded.bytes_in, \
    bytes_out = usage.bytes_out + excluded.bytes_out, \
    busy_ns = usage.busy_ns + excluded.busy_ns";

impl UsageStore for SqlUsage {
    fn add(&self, rows: Vec<UsageRow>) -> Pending<'_, Result<(), StoreError>> {
        // Not within the time of a store: what has begun is ended, so that it is known.
        let task = self.database.runtime.spawn(self.clone().add_now(rows));
        Box::pin(async move {
            let failed = |error: tokio::task::JoinError| StoreError::Failed(error.to_string());
            task.await.map_err(failed)?
        })
    }

    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        let database = self.database.clone();
        Box::pin(self.database.run(async move {
            let mut connection = database.connection().await?;
            let (after_start, after_tenant) = query.after.unzip();
            let rows = sqlx::query(
                "SELECT start, tenant, chats, refused, sessions, bytes_in, bytes_out, busy_ns \
                 FROM usage WHERE step = $1 AND start >= $2 AND start < $3 \
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
            let mut used = Vec::with_capacity(rows.len());
            for row in &rows {
                let mut numbers = [0; 6];
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
