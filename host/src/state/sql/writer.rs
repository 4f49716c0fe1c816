//! Sessions on their way into a database: many are written with one commit.
//!
//! Whoever opens a session waits until it is on the disk. While one commit is under way the
//! next ones gather, and all of them go with the commit after it: the more there are at a
//! time, the less each of them costs.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{AnyConnection, Row as _};
use tenantry_core::{
    session::{SessionId, TenantKey},
    tenancy::{OpenError, Unavailable},
    time::Timestamp,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use super::{
    Connection, Database, Dialect, Purpose,
    tenants::{signed, tenant_key},
};
use crate::state::StoreError;

/// Sessions that go with one commit, at most.
const MAX_BATCH: usize = 1024;

/// Sessions that wait to be written, at most. Beyond, the store counts as out of reach.
const MAX_WAITING: usize = 64 << 10;

/// How often uses of sessions are written down. A use is known to 1/256 of the lifetime
/// anyway; with the process, what is younger than this is lost.
const USES_EVERY: Duration = Duration::from_secs(1);

/// A session that is to be opened.
struct Opening {
    id: SessionId,
    tenant: TenantKey,
    /// Sessions that the tenant may have; counted in the database where several servers
    /// share it.
    max: u32,
    used: Timestamp,
}

/// What the one who waits for a session gets.
type Opened = oneshot::Sender<Result<(), OpenError>>;

enum Message {
    Open(Opening, Opened),
    /// What was used is to be written now, and nothing after it.
    Close(oneshot::Sender<()>),
}

/// Writes sessions down. Clones write to the same database.
#[derive(Clone)]
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
    uses: Arc<Mutex<Uses>>,
    timeout: Duration,
}

/// When sessions were last used that were used since this was last written down. In the order
/// of the ids, so that two servers that write never wait for each other.
type Uses = BTreeMap<SessionId, Timestamp>;

impl Writer {
    /// A writer for a database, which works on the calling runtime. `ended_before` says which
    /// sessions have ended: those that were last used before it.
    pub(super) fn start(
        database: Database,
        ended_before: impl Fn() -> Option<Timestamp> + Send + 'static,
    ) -> Self {
        let (messages, received) = mpsc::channel(MAX_WAITING);
        let uses = Arc::default();
        let timeout = database.timeout;
        let work = Work {
            database,
            uses: Arc::clone(&uses),
            ended_before: Box::new(ended_before),
            is_failing: false,
        };
        tokio::spawn(work.run(received));
        Self {
            messages,
            uses,
            timeout,
        }
    }

    /// Writes a new session down; it is on the disk when this is over.
    pub(super) async fn open(
        &self,
        id: SessionId,
        tenant: TenantKey,
        max: u32,
        used: Timestamp,
    ) -> Result<(), OpenError> {
        let (opened, answer) = oneshot::channel();
        let opening = Opening {
            id,
            tenant,
            max,
            used,
        };
        self.messages
            .try_send(Message::Open(opening, opened))
            .map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)?
    }

    /// Notes that a session was used.
    pub(super) fn used(&self, id: SessionId, used: Timestamp) {
        self.uses.lock().insert(id, used);
    }

    /// Waits until what was used is written down, or that has taken too long. From then on
    /// nothing is.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let close = async {
            if self.messages.send(Message::Close(done)).await.is_ok() {
                let _ = closed.await;
            }
        };
        let _ = tokio::time::timeout(2 * self.timeout, close).await;
    }
}

struct Work {
    database: Database,
    uses: Arc<Mutex<Uses>>,
    ended_before: Box<dyn Fn() -> Option<Timestamp> + Send>,
    /// The last commit failed, and the log says so.
    is_failing: bool,
}

impl Work {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut tick = interval(USES_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut received = Vec::new();
        let mut closing = None;
        while closing.is_none() {
            let mut is_time = false;
            tokio::select! {
                count = messages.recv_many(&mut received, MAX_BATCH) => if count == 0 { break },
                _ = tick.tick() => is_time = true,
            }
            let mut openings = Vec::new();
            let mut waiting = Vec::new();
            for message in received.drain(..) {
                match message {
                    // Nobody waits any more for one whose request was given up.
                    Message::Open(_, opened) if opened.is_closed() => {}
                    Message::Open(opening, opened) => {
                        openings.push(opening);
                        waiting.push(opened);
                    }
                    Message::Close(done) => closing = Some(done),
                }
            }
            if !openings.is_empty() {
                self.open(openings, waiting).await;
            }
            if is_time {
                self.write_uses().await;
            }
        }
        self.write_uses().await;
        if let Some(done) = closing {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }

    /// Opens sessions with one commit, and answers those that wait.
    async fn open(&mut self, openings: Vec<Opening>, waiting: Vec<Opened>) {
        let ended = (self.ended_before)();
        let database = self.database.clone();
        let opened = self.database.run(async move {
            let (dialect, openings) = (database.dialect, &*openings);
            let open = |mut connection: Connection| async move {
                let opened = open(dialect, &mut connection, openings, ended).await?;
                Ok((opened, connection))
            };
            let opened = database.connections.transaction(Purpose::Requests, open);
            Ok(opened.await?)
        });
        let mut opened = self.noted(opened.await).unwrap_or_default().into_iter();
        for waits in waiting {
            let answer = opened.next().unwrap_or(Err(Unavailable.into()));
            // Nobody may be waiting any more.
            let _ = waits.send(answer);
        }
    }

    async fn write_uses(&mut self) {
        let uses = Arc::new(std::mem::take(&mut *self.uses.lock()));
        if uses.is_empty() {
            return;
        }
        let (database, written) = (self.database.clone(), Arc::clone(&uses));
        let written = self.database.run(async move {
            let (dialect, uses) = (database.dialect, &*written);
            let write = |mut connection: Connection| async move {
                write_uses(dialect, &mut connection, uses).await?;
                Ok(((), connection))
            };
            let written = database.connections.transaction(Purpose::Requests, write);
            Ok(written.await?)
        });
        if self.noted(written.await).is_none() {
            let mut newer = self.uses.lock();
            for (id, used) in uses.iter() {
                let known = newer.entry(*id).or_insert(*used);
                *known = (*known).max(*used);
            }
        }
    }

    /// The result of a commit; logs the first failure after a success, and the other way
    /// around.
    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(done) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("sessions are written down again");
                }
                Some(done)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "sessions cannot be written down");
                }
                None
            }
        }
    }
}

/// Opens sessions; says for each what came of it.
async fn open(
    dialect: Dialect,
    connection: &mut AnyConnection,
    openings: &[Opening],
    ended: Option<Timestamp>,
) -> Result<Vec<Result<(), OpenError>>, sqlx::Error> {
    let mut answers: Vec<_> = openings.iter().map(|_| Ok(())).collect();
    if dialect == Dialect::Postgres {
        admit(connection, openings, ended, &mut answers).await?;
    }
    let mut rows = String::from("[");
    for (opening, _) in openings
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.is_ok())
    {
        let comma = if rows.len() > 1 { "," } else { "" };
        let (id, tenant) = (hex(opening.id), opening.tenant);
        let used = opening.used.as_millis();
        // Writing to a String never fails.
        let _ = write!(rows, r#"{comma}["{id}",{tenant},{used}]"#);
    }
    rows.push(']');
    // In memory, this server knows better whether an id is in use; what several share knows
    // the database alone.
    let statement = dialect.pick(
        "INSERT INTO sessions (id, tenant, used_ms) \
         SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM json_each($1) WHERE true \
         ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, used_ms = excluded.used_ms",
        "INSERT INTO sessions (id, tenant, used_ms) \
         SELECT decode(value ->> 0, 'hex'), (value ->> 1)::bigint, (value ->> 2)::bigint \
         FROM json_array_elements($1::json) ON CONFLICT (id) DO NOTHING RETURNING id",
    );
    let query = sqlx::query(statement).bind(rows);
    match dialect {
        Dialect::Sqlite => {
            query.execute(&mut *connection).await?;
        }
        Dialect::Postgres => {
            let inserted = query.fetch_all(&mut *connection).await?;
            let ids = inserted.iter().map(|row| row.try_get::<Vec<u8>, _>(0));
            let ids = ids.collect::<Result<HashSet<_>, _>>()?;
            for (opening, answer) in openings.iter().zip(&mut answers) {
                if answer.is_ok() && !ids.contains(&bytes(opening.id)[..]) {
                    *answer = Err(OpenError::Exists);
                }
            }
            let refused = counts(openings, &answers, |answer| {
                matches!(answer, Err(OpenError::Exists))
            });
            uncount(connection, &refused).await?;
        }
    }
    Ok(answers)
}

/// How many openings each tenant has whose answer is such a one.
fn counts(
    openings: &[Opening],
    answers: &[Result<(), OpenError>],
    is_counted: impl Fn(&Result<(), OpenError>) -> bool,
) -> BTreeMap<TenantKey, i64> {
    let mut counts = BTreeMap::new();
    for (opening, answer) in openings.iter().zip(answers) {
        if is_counted(answer) {
            *counts.entry(opening.tenant).or_default() += 1;
        }
    }
    counts
}

/// Numbers of tenants, as JSON.
fn pairs(counts: &BTreeMap<TenantKey, i64>) -> String {
    let pairs: Vec<_> = counts
        .iter()
        .map(|(tenant, count)| format!("[{tenant},{count}]"))
        .collect();
    format!("[{}]", pairs.join(","))
}

/// Counts sessions of several servers, and refuses those that are too many. Until the
/// transaction ends, nobody else counts any of these tenants' sessions.
async fn admit(
    connection: &mut AnyConnection,
    openings: &[Opening],
    ended: Option<Timestamp>,
    answers: &mut [Result<(), OpenError>],
) -> Result<(), sqlx::Error> {
    let wanted = counts(openings, answers, Result::is_ok);
    // In the order of the keys, so that two servers never wait for each other.
    let rows = sqlx::query(
        "INSERT INTO session_counts (tenant, held) \
         SELECT key, (value ->> 1)::bigint FROM json_array_elements($1::json) \
         JOIN tenants ON key = (value ->> 0)::bigint ORDER BY key FOR KEY SHARE OF tenants \
         ON CONFLICT (tenant) DO UPDATE SET held = session_counts.held + excluded.held \
         RETURNING tenant, held",
    )
    .bind(pairs(&wanted))
    .fetch_all(&mut *connection)
    .await?;
    let mut held = HashMap::new();
    for row in &rows {
        held.insert(tenant_key(row.try_get(0)?)?, row.try_get::<i64, _>(1)?);
    }
    for (tenant, count) in wanted {
        let Some(held) = held.get(&tenant).copied() else {
            // It was purged meanwhile.
            for (opening, answer) in openings.iter().zip(&mut *answers) {
                if opening.tenant == tenant {
                    *answer = Err(Unavailable.into());
                }
            }
            continue;
        };
        let max = openings.iter().find(|opening| opening.tenant == tenant);
        let max = i64::from(max.map_or(0, |opening| opening.max));
        if held <= max {
            continue;
        }
        // Some of them may have ended, and not be gone yet.
        let gone = match ended {
            Some(ended) => sqlx::query(
                "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions \
                 WHERE tenant = $1 AND used_ms < $2 FOR UPDATE SKIP LOCKED)",
            )
            .bind(i64::from(tenant))
            .bind(signed(ended.as_millis()))
            .execute(&mut *connection)
            .await?
            .rows_affected(),
            None => 0,
        };
        let held = held - signed(gone);
        let refused = (held - max).clamp(0, count);
        let own = openings.iter().zip(&mut *answers);
        let own = own.filter(|(opening, _)| opening.tenant == tenant);
        for (_, answer) in own.skip(usize::try_from(count - refused).unwrap_or(0)) {
            *answer = Err(OpenError::Full);
        }
        sqlx::query("UPDATE session_counts SET held = $2 WHERE tenant = $1")
            .bind(i64::from(tenant))
            .bind(held - refused)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Takes back what was counted.
pub(super) async fn uncount(
    connection: &mut AnyConnection,
    counts: &BTreeMap<TenantKey, i64>,
) -> Result<(), sqlx::Error> {
    if counts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE session_counts SET held = held - (value ->> 1)::bigint \
         FROM json_array_elements($1::json) WHERE tenant = (value ->> 0)::bigint",
    )
    .bind(pairs(counts))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_uses(
    dialect: Dialect,
    connection: &mut AnyConnection,
    uses: &Uses,
) -> Result<(), sqlx::Error> {
    let statement = dialect.pick(
        "UPDATE sessions SET used_ms = max(used_ms, value ->> 1) FROM json_each($1) \
         WHERE sessions.id = unhex(value ->> 0)",
        "UPDATE sessions SET used_ms = greatest(used_ms, (value ->> 1)::bigint) \
         FROM json_array_elements($1::json) \
         WHERE sessions.id = decode(value ->> 0, 'hex')",
    );
    let uses: Vec<_> = uses.iter().collect();
    for uses in uses.chunks(MAX_BATCH) {
        let rows: Vec<_> = uses
            .iter()
            .map(|(id, used)| format!(r#"["{}",{}]"#, hex(**id), used.as_millis()))
            .collect();
        sqlx::query(statement)
            .bind(format!("[{}]", rows.join(",")))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The moment of so many milliseconds of Unix time.
pub(super) fn from_millis(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis.saturating_mul(1_000_000))
}

/// An id as databases have it: its 16 bytes.
pub(super) fn bytes(id: SessionId) -> Vec<u8> {
    let (high, low) = id.as_u64_pair();
    [high.to_be_bytes(), low.to_be_bytes()].concat()
}

/// The id of these bytes.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<SessionId> {
    let (high, low) = bytes.split_first_chunk::<8>()?;
    let low = low.try_into().ok()?;
    Some(SessionId::from_u64_pair(
        u64::from_be_bytes(*high),
        u64::from_be_bytes(low),
    ))
}

pub(super) fn hex(id: SessionId) -> String {
    let (high, low) = id.as_u64_pair();
    format!("{high:016x}{low:016x}")
}
