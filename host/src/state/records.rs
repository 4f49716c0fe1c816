//! Tenants as they are kept for good: their records, and who changed what.
//!
//! Requests never come here. They find tenants in the [`Directory`](super::Directory),
//! which whoever keeps the records brings up to date.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;
use tenantry_core::{
    registry::Row,
    session::{SessionId, TenantKey},
    time::Timestamp,
};

use super::{Clock, Directory, Entry, MemorySessions, Pending, Stage, StoreError};

/// A tenant as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, never given to another tenant.
    pub key: TenantKey,
    /// Its id.
    pub id: String,
    /// Its row: one JSON object on one line, as a tenants file has it.
    pub row: String,
    /// Where it is in its life.
    pub stage: Stage,
    /// Counts its changes, from 1.
    pub version: u64,
    /// When it was added, in milliseconds of Unix time; 0 where nobody knows.
    pub created_ms: u64,
    /// When it was last changed, in milliseconds of Unix time; 0 where nobody knows.
    pub changed_ms: u64,
}

/// What is to be done to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds it with this row, or gives it another row. The row was checked, and is that of
    /// the tenant. Its stage stays.
    Put(String),
    /// From active to suspended.
    Suspend,
    /// From suspended or archived to active.
    Resume,
    /// From active or suspended to archived.
    Archive,
    /// Removes an archived tenant and all of its sessions and usage. Its id may be used
    /// again, and is then another tenant's.
    Purge,
}

impl Change {
    /// What is done, for the audit.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Archive => "archive",
            Self::Purge => "purge",
        }
    }
}

/// Which version of a tenant a change is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Any, or none at all.
    Any,
    /// There is no such tenant.
    Absent,
    /// There is one, in whatever version.
    Present,
    /// There is one, in this version.
    Version(u64),
}

/// Who changes something, and in answer to which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who it is.
    pub who: String,
    /// The request, as the log has it.
    pub request_id: String,
}

/// Why a tenant was not changed. Nothing of it was, then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such tenant.
    #[error("there is no such tenant")]
    Unknown,
    /// It is another version than expected: this one, or none where there is no such tenant.
    #[error("the tenant is not in the version that was expected")]
    Conflict(Option<u64>),
    /// From the stage that it is in, this is not possible.
    #[error("the tenant is {0:?}")]
    Stage(Stage),
    /// Tenants are not changed here: they are those of a file.
    #[error("the tenants are those of {}", .0.display())]
    ReadOnly(PathBuf),
    /// The store does not answer, or not as it should.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Something that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// Who, and in answer to what.
    pub by: Author,
    /// What was done.
    pub action: String,
    /// The tenant that it was done to.
    pub tenant_id: String,
    /// What there was before, as JSON; none where there was nothing.
    pub before: Option<String>,
    /// What there is now, as JSON; none where there is nothing.
    pub after: Option<String>,
}

impl AuditEvent {
    /// That so many sessions of a tenant were ended before their time. Which ones is nobody's
    /// business: their ids are secrets.
    #[must_use]
    pub fn revoked(at_ms: u64, by: &Author, tenant_id: &str, sessions: u64) -> Self {
        Self {
            at_ms,
            by: by.clone(),
            action: "revoke".to_owned(),
            tenant_id: tenant_id.to_owned(),
            before: Some(format!(r#"{{"sessions":{sessions}}}"#)),
            after: None,
        }
    }
}

/// An event in the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number; later ones are larger.
    pub seq: u64,
    /// What it says.
    pub event: AuditEvent,
}

/// Which tenants are asked for, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantQuery {
    /// In which stage; none is all.
    pub stage: Option<Stage>,
    /// Behind this place, which an earlier answer told.
    pub after: Option<u64>,
    /// How many, at most.
    pub max: usize,
}

/// Which part of the audit is asked for, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// About which tenant; none is all.
    pub tenant_id: Option<String>,
    /// Behind this number.
    pub after: Option<u64>,
    /// How many, at most.
    pub max: usize,
}

/// Keeps the records of tenants, and who changed them. What is changed here holds in this
/// server when it is answered, and in all others a moment later.
pub trait TenantStore: Send + Sync {
    /// The tenant with that id, whatever its stage.
    fn get<'a>(&'a self, id: &'a str) -> Pending<'a, Result<Option<Record>, StoreError>>;

    /// Tenants, each with its place.
    fn list(&self, query: TenantQuery) -> Pending<'_, Result<Vec<(u64, Record)>, StoreError>>;

    /// The ids of the tenants with these keys; one that is not kept any more has none.
    fn ids<'a>(
        &'a self,
        keys: &'a BTreeSet<TenantKey>,
    ) -> Pending<'a, Result<BTreeMap<TenantKey, String>, StoreError>> {
        Box::pin(async move {
            let mut ids = BTreeMap::new();
            let mut query = TenantQuery {
                stage: None,
                after: None,
                max: 1000,
            };
            while ids.len() < keys.len() {
                let page = self.list(query).await?;
                let Some((last, _)) = page.last() else { break };
                query.after = Some(*last);
                let wanted = page.into_iter().map(|(_, record)| record);
                let wanted = wanted.filter(|record| keys.contains(&record.key));
                ids.extend(wanted.map(|record| (record.key, record.id)));
            }
            Ok(ids)
        })
    }

    /// Changes a tenant and writes that down, both or neither. Returns what it is now; none
    /// where it was purged.
    fn change<'a>(
        &'a self,
        id: &'a str,
        change: Change,
        expected: Expected,
        by: &'a Author,
    ) -> Pending<'a, Result<Option<Record>, ChangeError>>;

    /// What was changed.
    fn audit(&self, query: AuditQuery) -> Pending<'_, Result<Vec<AuditRecord>, StoreError>>;
}

/// A session as a store tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSession {
    /// Its id: a secret.
    pub id: SessionId,
    /// When it was last used, to 1/256 of the lifetime and never too late.
    pub used: Timestamp,
}

/// Sessions, for whoever runs the service. What is changed here holds in this server when it
/// is answered, and in all others a moment later.
pub trait SessionRecords: Send + Sync {
    /// The live sessions of a tenant, in the order of their ids, from the one behind `after`.
    fn list<'a>(
        &'a self,
        tenant: &'a Entry,
        after: Option<SessionId>,
        max: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>>;

    /// How many sessions of a tenant live.
    fn count<'a>(&'a self, tenant: &'a Entry) -> Pending<'a, Result<u64, StoreError>>;

    /// Ends a session of a tenant before its time, and writes that down, both or neither;
    /// returns whether there was one. Where there was none, nothing is written down.
    fn revoke<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        id: SessionId,
        by: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>>;

    /// Ends all sessions of a tenant, and writes that down, both or neither; returns how many
    /// there were.
    fn revoke_all<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        by: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>>;
}

/// Events that are kept where there is no database.
const MEMORY_EVENTS: usize = 10_000;

/// The tenants of a file, which are changed there and not here, and their sessions in memory.
/// The audit is remembered as long as this process lives.
pub struct FileTenants {
    directory: Arc<Directory>,
    file: PathBuf,
    sessions: Arc<MemorySessions>,
    clock: Arc<dyn Clock>,
    audit: Mutex<Audit>,
}

#[derive(Default)]
struct Audit {
    last: u64,
    records: VecDeque<AuditRecord>,
}

impl FileTenants {
    /// The tenants of `directory`, which are those of `file`.
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        file: PathBuf,
        sessions: Arc<MemorySessions>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            directory,
            file,
            sessions,
            clock,
            audit: Mutex::default(),
        }
    }

    fn write_down(&self, event: AuditEvent) {
        let mut audit = self.audit.lock();
        audit.last += 1;
        let seq = audit.last;
        audit.records.push_back(AuditRecord { seq, event });
        if audit.records.len() > MEMORY_EVENTS {
            audit.records.pop_front();
        }
    }
}

/// A tenant of a file, which has no history.
fn record(entry: &Entry) -> Record {
    let row = Row {
        packed: entry.packed.clone(),
        limits: entry.limits,
        other: entry.other.clone(),
    };
    Record {
        key: entry.key,
        id: entry.id().to_owned(),
        row: row.to_json(),
        stage: entry.stage,
        version: 1,
        created_ms: 0,
        changed_ms: 0,
    }
}

fn ready<'a, T: Send + 'a>(answer: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl TenantStore for FileTenants {
    fn get<'a>(&'a self, id: &'a str) -> Pending<'a, Result<Option<Record>, StoreError>> {
        let entry = self.directory.get(id);
        let entry = entry.filter(|entry| entry.stage != Stage::Archived);
        ready(Ok(entry.map(|entry| record(&entry))))
    }

    fn list(&self, query: TenantQuery) -> Pending<'_, Result<Vec<(u64, Record)>, StoreError>> {
        // In a file, all are active.
        if query.stage.is_some_and(|stage| stage != Stage::Active) {
            return ready(Ok(Vec::new()));
        }
        let page = self.directory.page(query.after, query.max);
        let records = page.iter().map(|(place, entry)| (*place, record(entry)));
        ready(Ok(records.collect()))
    }

    fn change<'a>(
        &'a self,
        _: &'a str,
        _: Change,
        _: Expected,
        _: &'a Author,
    ) -> Pending<'a, Result<Option<Record>, ChangeError>> {
        ready(Err(ChangeError::ReadOnly(self.file.clone())))
    }

    fn audit(&self, query: AuditQuery) -> Pending<'_, Result<Vec<AuditRecord>, StoreError>> {
        let audit = self.audit.lock();
        let wanted = |record: &&AuditRecord| {
            let tenant = &query.tenant_id;
            query.after.is_none_or(|after| record.seq > after)
                && tenant
                    .as_ref()
                    .is_none_or(|id| *id == record.event.tenant_id)
        };
        let records = audit.records.iter().filter(wanted).take(query.max);
        ready(Ok(records.cloned().collect()))
    }
}

impl SessionRecords for FileTenants {
    fn list<'a>(
        &'a self,
        tenant: &'a Entry,
        after: Option<SessionId>,
        max: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>> {
        Box::pin(async move { Ok(self.sessions.sessions_of(tenant.key, after, max)) })
    }

    fn count<'a>(&'a self, tenant: &'a Entry) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(async move { Ok(self.sessions.live(tenant).into()) })
    }

    fn revoke<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        id: SessionId,
        by: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let was_there = self.sessions.close(tenant, id);
            if was_there {
                let at_ms = self.clock.wall().as_millis();
                self.write_down(AuditEvent::revoked(at_ms, by, tenant.id(), 1));
            }
            Ok(was_there)
        })
    }

    fn revoke_all<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        by: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let count = self.sessions.close_all(tenant);
            let at_ms = self.clock.wall().as_millis();
            self.write_down(AuditEvent::revoked(at_ms, by, tenant.id(), count));
            Ok(count)
        })
    }
}
