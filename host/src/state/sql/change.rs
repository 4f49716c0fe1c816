//! A change of a tenant in a database, and the audit of it: both or neither.

use serde_json::json;
use sqlx::AnyConnection;
use tenantry_core::session::TenantKey;

use super::{
    Dialect,
    ending::delete_all,
    tenants::{one, signed, tenant_key},
};
use crate::state::{
    AuditEvent, Author, Change, ChangeError, Expected, MemorySessions, Record, Stage,
};

/// A change of a tenant that is to be made.
pub(super) struct TenantChange<'a> {
    pub(super) dialect: Dialect,
    pub(super) id: &'a str,
    pub(super) change: &'a Change,
    pub(super) expected: Expected,
    pub(super) by: &'a Author,
    pub(super) now_ms: u64,
    pub(super) sessions: &'a MemorySessions,
}

/// What a change has done.
pub(super) enum Changed {
    /// The tenant was so already.
    Nothing(Record),
    /// The tenant before and after it.
    From(Option<Record>, Option<Record>),
}

impl TenantChange<'_> {
    /// Makes the change, in the transaction that the connection is in. A change that is refused
    /// has written nothing.
    pub(super) async fn run(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<Result<Changed, ChangeError>, sqlx::Error> {
        let Self { id, change, .. } = *self;
        let lock = match change {
            // Sessions that are being opened for it are waited for, and wait.
            Change::Purge => " FOR UPDATE",
            _ => " FOR NO KEY UPDATE",
        };
        let before = one(connection, id, self.dialect.pick("", lock)).await?;
        if let Err(refusal) = check(before.as_ref(), change, self.expected) {
            return Ok(Err(refusal));
        }
        if let Some(record) = before.as_ref().filter(|before| is_done(before, change)) {
            return Ok(Ok(Changed::Nothing(record.clone())));
        }
        let after = match (&before, change) {
            (None, Change::Put(line)) => {
                let Some(added) = insert(connection, id, line, self.now_ms).await? else {
                    // Somebody else has added it since.
                    return Ok(Err(ChangeError::Conflict(Some(1))));
                };
                Some(added)
            }
            (None, _) => return Ok(Err(ChangeError::Unknown)),
            (Some(before), Change::Purge) => {
                purge(connection, self.dialect, before.key, self.sessions).await?;
                None
            }
            (Some(before), change) => Some(update(connection, before, change, self.now_ms).await?),
        };
        let tenant = after.as_ref().or(before.as_ref()).map(|record| record.key);
        let event = AuditEvent {
            at_ms: self.now_ms,
            by: self.by.clone(),
            action: change.name().to_owned(),
            tenant_id: id.to_owned(),
            before: before.as_ref().map(audited),
            after: after.as_ref().map(audited),
        };
        write_down(connection, &event, tenant.unwrap_or_default()).await?;
        Ok(Ok(Changed::From(before, after)))
    }
}

/// Whether a tenant is already as a change would make it.
fn is_done(before: &Record, change: &Change) -> bool {
    match change {
        Change::Put(line) => before.row == *line,
        change => stage_after(change) == Some(before.stage),
    }
}

/// A record as the audit shows it.
fn audited(record: &Record) -> String {
    // A row that is no JSON is shown as a text.
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
) -> Result<Option<Record>, sqlx::Error> {
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
) -> Result<(), sqlx::Error> {
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
) -> Result<Record, sqlx::Error> {
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
) -> Result<(), sqlx::Error> {
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
