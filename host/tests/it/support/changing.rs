//! Tenants that can be changed, kept in this process: what a database does, without one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tenantry::state::{
    AuditEvent, AuditQuery, AuditRecord, Author, Change, ChangeError, Directory, Entry, Expected,
    Pending, Record, SessionRecords, Stage, StoreError, StoredSession, TenantQuery, TenantStore,
};
use tenantry_core::{
    registry::{Registry, Row},
    session::SessionId,
};

/// The time of the first change, in milliseconds of Unix time; each is a second later.
pub(crate) const FIRST_MS: u64 = 1_700_000_000_000;

/// A store of tenants for a directory.
pub(crate) struct ChangingTenants {
    directory: Arc<Directory>,
    kept: Mutex<Kept>,
    /// It is out of reach.
    pub(crate) is_away: AtomicBool,
    /// It takes the question, and never answers.
    pub(crate) is_silent: AtomicBool,
    /// Changes of a certain version that somebody else comes before.
    pub(crate) overtaken: AtomicUsize,
}

#[derive(Default)]
struct Kept {
    /// In the order of their keys.
    records: Vec<Record>,
    audit: Vec<AuditRecord>,
    next_key: u32,
}

fn row(text: &str) -> Row {
    let parsed = Registry::parse(text.as_bytes()).expect("a row that was checked");
    let mut rows = parsed.registry.into_rows();
    rows.pop().expect("a row")
}

impl ChangingTenants {
    /// A store with the tenants of a file, and the directory that it brings up to date.
    pub(crate) fn new(tenants: &str) -> (Arc<Self>, Arc<Directory>) {
        let directory = Arc::new(Directory::default());
        let store = Self {
            directory: Arc::clone(&directory),
            kept: Mutex::default(),
            is_away: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            overtaken: AtomicUsize::new(0),
        };
        let by = Author {
            who: "test".to_owned(),
            request_id: String::new(),
        };
        let parsed = Registry::parse(tenants.as_bytes()).expect("tenants without problems");
        for row in parsed.registry.rows() {
            let change = Change::Put(row.to_json());
            let added = store.apply(row.tenant().id, change, Expected::Absent, &by);
            added.expect("a tenant that is new");
        }
        (Arc::new(store), directory)
    }

    fn answer<'a, T: Send + 'a>(
        &'a self,
        answer: impl FnOnce() -> Result<T, StoreError> + Send + 'a,
    ) -> Pending<'a, Result<T, StoreError>> {
        Box::pin(async move {
            self.wait().await?;
            answer()
        })
    }

    async fn wait(&self) -> Result<(), StoreError> {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("s3cret-address".to_owned()));
        }
        Ok(())
    }

    fn apply(
        &self,
        id: &str,
        change: Change,
        expected: Expected,
        by: &Author,
    ) -> Result<Option<Record>, ChangeError> {
        let mut kept = self.kept.lock();
        let place = kept.records.iter().position(|record| record.id == id);
        let before = place.map(|place| kept.records[place].clone());
        let version = before.as_ref().map(|record| record.version);
        let is_expected = match expected {
            Expected::Any => true,
            Expected::Absent => version.is_none(),
            Expected::Present => version.is_some(),
            Expected::Version(wanted) => version == Some(wanted),
        };
        if !is_expected {
            return Err(ChangeError::Conflict(version));
        }
        let overtake = |left: usize| left.checked_sub(1);
        if matches!(expected, Expected::Version(_))
            && self
                .overtaken
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, overtake)
                .is_ok()
        {
            return Err(ChangeError::Conflict(version));
        }
        let action = change.name();
        let now = FIRST_MS + 1000 * kept.audit.len() as u64;
        let after = match (before.clone(), change) {
            (None, Change::Put(row)) => {
                kept.next_key += 1;
                Some(Record {
                    key: kept.next_key,
                    id: id.to_owned(),
                    row,
                    stage: Stage::Active,
                    version: 1,
                    created_ms: now,
                    changed_ms: now,
                })
            }
            (None, _) => return Err(ChangeError::Unknown),
            (Some(record), change) => {
                let stage = record.stage;
                let next = match (&change, stage) {
                    (Change::Put(_), stage) => Some(stage),
                    (Change::Suspend, Stage::Active) => Some(Stage::Suspended),
                    (Change::Resume, Stage::Suspended | Stage::Archived) => Some(Stage::Active),
                    (Change::Archive, Stage::Active | Stage::Suspended) => Some(Stage::Archived),
                    (Change::Purge, Stage::Archived) => None,
                    _ => return Err(ChangeError::Stage(stage)),
                };
                let row = match change {
                    Change::Put(row) => row,
                    _ => record.row.clone(),
                };
                next.map(|stage| Record {
                    row,
                    stage,
                    version: record.version + 1,
                    changed_ms: now,
                    ..record
                })
            }
        };
        match (&after, place) {
            (Some(record), Some(place)) => kept.records[place] = record.clone(),
            (Some(record), None) => kept.records.push(record.clone()),
            (None, Some(place)) => drop(kept.records.remove(place)),
            (None, None) => {}
        }
        match (&after, &before) {
            (Some(record), _) => {
                self.directory
                    .put(record.key, row(&record.row), record.stage);
            }
            (None, Some(record)) => drop(self.directory.forget(record.key)),
            (None, None) => {}
        }
        let seq = kept.audit.len() as u64 + 1;
        let told = |record: &Record| {
            let (row, state) = (&record.row, record.stage.name());
            format!(r#"{{"state":"{state}","row":{row}}}"#)
        };
        kept.audit.push(AuditRecord {
            seq,
            event: AuditEvent {
                at_ms: now,
                by: by.clone(),
                action: action.to_owned(),
                tenant_id: id.to_owned(),
                before: before.as_ref().map(told),
                after: after.as_ref().map(told),
            },
        });
        Ok(after)
    }
}

impl TenantStore for ChangingTenants {
    fn get<'a>(&'a self, id: &'a str) -> Pending<'a, Result<Option<Record>, StoreError>> {
        self.answer(move || {
            let kept = self.kept.lock();
            Ok(kept.records.iter().find(|record| record.id == id).cloned())
        })
    }

    fn list(&self, query: TenantQuery) -> Pending<'_, Result<Vec<(u64, Record)>, StoreError>> {
        self.answer(move || {
            let kept = self.kept.lock();
            let records = kept.records.iter();
            let records = records.map(|record| (u64::from(record.key), record.clone()));
            let wanted = records.filter(|(place, record)| {
                query.after.is_none_or(|after| *place > after)
                    && query.stage.is_none_or(|stage| record.stage == stage)
            });
            Ok(wanted.take(query.max).collect())
        })
    }

    fn change<'a>(
        &'a self,
        id: &'a str,
        change: Change,
        expected: Expected,
        by: &'a Author,
    ) -> Pending<'a, Result<Option<Record>, ChangeError>> {
        Box::pin(async move {
            self.wait().await?;
            self.apply(id, change, expected, by)
        })
    }

    fn audit(&self, query: AuditQuery) -> Pending<'_, Result<Vec<AuditRecord>, StoreError>> {
        self.answer(move || {
            let kept = self.kept.lock();
            let wanted = |record: &&AuditRecord| {
                query.after.is_none_or(|after| record.seq > after)
                    && query
                        .tenant_id
                        .as_ref()
                        .is_none_or(|id| *id == record.event.tenant_id)
            };
            let records = kept.audit.iter().filter(wanted).take(query.max);
            Ok(records.cloned().collect())
        })
    }
}

/// Sessions, whose ends are written down with the changes of tenants.
pub(crate) struct AuditedSessions {
    pub(crate) sessions: Arc<dyn SessionRecords>,
    pub(crate) tenants: Arc<ChangingTenants>,
}

impl AuditedSessions {
    fn write_down(&self, tenant: &Entry, sessions: u64, by: &Author) {
        let mut kept = self.tenants.kept.lock();
        let seq = kept.audit.len() as u64 + 1;
        let event = AuditEvent::revoked(FIRST_MS, by, tenant.id(), sessions);
        kept.audit.push(AuditRecord { seq, event });
    }
}

impl SessionRecords for AuditedSessions {
    fn list<'a>(
        &'a self,
        tenant: &'a Entry,
        after: Option<SessionId>,
        max: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>> {
        self.sessions.list(tenant, after, max)
    }

    fn count<'a>(&'a self, tenant: &'a Entry) -> Pending<'a, Result<u64, StoreError>> {
        self.sessions.count(tenant)
    }

    fn revoke<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        id: SessionId,
        by: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let was_there = self.sessions.revoke(tenant, id, by).await?;
            if was_there {
                self.write_down(tenant, 1, by);
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
            let count = self.sessions.revoke_all(tenant, by).await?;
            self.write_down(tenant, count, by);
            Ok(count)
        })
    }
}
