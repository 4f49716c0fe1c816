//! How long stores take, and how often they fail: a wrapper for any of them.
//!
//! What a store in this process answers at once is not timed: only where it could not, that
//! is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use opentelemetry::trace::SpanKind;
use tenantry_core::{
    limit::Admission,
    session::{SessionId, TenantKey},
    tenancy::{OpenError, Owner, Unavailable},
};

use super::{
    Metrics,
    histogram::Histogram,
    trouble::{Trouble, note},
};
use crate::{
    state::{
        Answer, AuditQuery, AuditRecord, Author, Change, ChangeError, Entry, Expected, Pending,
        RateLimiter, Record, SessionRecords, SessionStore, Sharing, State, StoreError,
        StoredSession, TenantDirectory, TenantQuery, TenantStore, UsageBatch, UsageQuery, UsageRow,
        UsageStore,
    },
    traces::Traces,
};

/// How an operation of a store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was done, or refused as it should be.
    Ok,
    /// The store could not do it.
    Error,
    /// Nobody waited for its end.
    Abandoned,
}

/// The labels of outcomes.
pub(super) const OUTCOMES: [&str; 3] = ["ok", "error", "abandoned"];

/// Times one operation of a store.
#[derive(Debug, Default)]
pub struct Operation {
    outcomes: [Histogram; OUTCOMES.len()],
}

/// An operation of a watched store: how it is timed, and where it is traced.
struct Watch {
    store: &'static str,
    operation: &'static str,
    times: Arc<Operation>,
    traces: Option<Arc<Traces>>,
}

impl Watch {
    /// Times an operation. `why` says why the store failed, where it knows.
    fn answer<'a, T: 'a, E: Failure + 'a>(
        &'a self,
        answer: Answer<'a, Result<T, E>>,
        why: impl FnOnce() -> Option<Arc<str>> + Send + 'a,
    ) -> Answer<'a, Result<T, E>> {
        match answer {
            Answer::Now(result) => {
                if outcome(&result) == Outcome::Error {
                    self.times.count(Outcome::Error, Duration::ZERO);
                    self.note(why());
                }
                Answer::Now(result)
            }
            Answer::Later(later) => Answer::Later(Box::pin(self.time_and_note(later, why))),
        }
    }

    async fn time<T, E: Failure>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // Who asks this has the error, which says why.
        self.time_and_note(operation, || None).await
    }

    async fn time_and_note<T, E: Failure>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
        why: impl FnOnce() -> Option<Arc<str>>,
    ) -> Result<T, E> {
        // A part of what asks, which is what polls this.
        let part = self.traces.as_ref().and_then(|traces| {
            let name = format!("{}.{}", self.store, self.operation);
            traces.part(name, SpanKind::Client)
        });
        let abandoned = Abandoned(Some(self));
        let result = self.times.time(operation).await;
        abandoned.defuse();
        if let Some(part) = part {
            part.set("tenantry.store", self.store);
            part.set("tenantry.operation", self.operation);
            if outcome(&result) == Outcome::Error {
                part.failed("store");
            }
        }
        if outcome(&result) == Outcome::Error {
            self.note(why());
        }
        result
    }

    fn note(&self, why: Option<Arc<str>>) {
        let store = self.store;
        note(Trouble { store, why });
    }
}

/// Notes that a store had not answered when nobody waited any more.
struct Abandoned<'a>(Option<&'a Watch>);

impl Abandoned<'_> {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(watch) = self.0 {
            watch.note(Some(Arc::from("it did not answer in time")));
        }
    }
}

impl Operation {
    /// Waits for the operation, and counts how long it took and whether it failed.
    pub async fn time<T, E: Failure>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut timer = Timer {
            operation: self,
            start: Instant::now(),
            outcome: Outcome::Abandoned,
        };
        let result = operation.await;
        timer.outcome = outcome(&result);
        result
    }

    pub(super) fn outcomes(&self) -> &[Histogram; OUTCOMES.len()] {
        &self.outcomes
    }

    fn count(&self, outcome: Outcome, duration: Duration) {
        if let Some(histogram) = self.outcomes.get(outcome as usize) {
            histogram.observe(duration);
        }
    }
}

struct Timer<'a> {
    operation: &'a Operation,
    start: Instant,
    outcome: Outcome,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.operation.count(self.outcome, self.start.elapsed());
    }
}

fn outcome<T, E: Failure>(result: &Result<T, E>) -> Outcome {
    match result {
        Err(error) if error.is_the_stores() => Outcome::Error,
        _ => Outcome::Ok,
    }
}

/// An error of which it is known whether the store failed, or refused what it should.
pub trait Failure {
    /// Whether the store failed.
    fn is_the_stores(&self) -> bool;
}

impl Failure for Unavailable {
    fn is_the_stores(&self) -> bool {
        true
    }
}

impl Failure for StoreError {
    fn is_the_stores(&self) -> bool {
        true
    }
}

impl Failure for OpenError {
    fn is_the_stores(&self) -> bool {
        !matches!(self, Self::Exists | Self::Full)
    }
}

impl Failure for ChangeError {
    fn is_the_stores(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// A store, and the times of its operations, in the order in which they are named.
struct Watched<T, const N: usize> {
    store: T,
    operations: [Watch; N],
}

impl<T, const N: usize> Watched<T, N> {
    fn new(by: &Watcher, name: &'static str, store: T, names: [&'static str; N]) -> Self {
        Self {
            store,
            operations: names.map(|operation| Watch {
                store: name,
                operation,
                times: by.metrics.operation(name, operation),
                traces: by.traces.clone(),
            }),
        }
    }
}

/// Where a store's operations are told.
struct Watcher {
    metrics: Arc<Metrics>,
    traces: Option<Arc<Traces>>,
}

impl State {
    /// The same state, whose stores' operations are timed, and traced where traces are wanted.
    #[must_use]
    pub fn watched(self) -> Self {
        let by = &Watcher {
            metrics: Arc::clone(&self.metrics),
            traces: self.traces.clone(),
        };
        let records = ["get", "list", "change", "audit"];
        let sessions = ["list", "count", "revoke", "revoke_all"];
        Self {
            tenants: Box::new(Watched::new(by, "tenants", self.tenants, ["find", "list"])),
            sessions: Box::new(Watched::new(
                by,
                "sessions",
                self.sessions,
                ["open", "owner"],
            )),
            limiter: Box::new(Watched::new(by, "limiter", self.limiter, ["admit"])),
            records: Arc::new(Watched::new(by, "records", self.records, records)),
            session_records: Arc::new(Watched::new(
                by,
                "session_records",
                self.session_records,
                sessions,
            )),
            usage: Arc::new(Watched::new(by, "usage", self.usage, ["add", "query"])),
            ..self
        }
    }
}

impl TenantDirectory for Watched<Box<dyn TenantDirectory>, 2> {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        self.operations[0].answer(self.store.find(id), || self.store.trouble())
    }

    fn look_up<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        self.operations[0].answer(self.store.look_up(id), || self.store.trouble())
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        self.operations[1].answer(self.store.tenant_list(), || self.store.trouble())
    }

    fn stages(&self) -> Option<[u64; 3]> {
        self.store.stages()
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.store.trouble()
    }
}

impl SessionStore for Watched<Box<dyn SessionStore>, 2> {
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>> {
        self.operations[0].answer(self.store.open(tenant, id), || self.store.trouble())
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        self.operations[1].answer(self.store.owner(tenant, id), || self.store.trouble())
    }

    fn held(&self) -> Option<u64> {
        self.store.held()
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.store.trouble()
    }

    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.store.maintain()
    }
}

impl RateLimiter for Watched<Box<dyn RateLimiter>, 1> {
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        self.operations[0].answer(self.store.admit(tenant), || self.store.trouble())
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.store.trouble()
    }

    fn sharing(&self) -> Option<Sharing> {
        self.store.sharing()
    }
}

impl TenantStore for Watched<Arc<dyn TenantStore>, 4> {
    fn get<'a>(&'a self, id: &'a str) -> Pending<'a, Result<Option<Record>, StoreError>> {
        Box::pin(self.operations[0].time(self.store.get(id)))
    }

    fn list(&self, query: TenantQuery) -> Pending<'_, Result<Vec<(u64, Record)>, StoreError>> {
        Box::pin(self.operations[1].time(self.store.list(query)))
    }

    fn ids<'a>(
        &'a self,
        keys: &'a BTreeSet<TenantKey>,
    ) -> Pending<'a, Result<BTreeMap<TenantKey, String>, StoreError>> {
        Box::pin(self.operations[1].time(self.store.ids(keys)))
    }

    fn change<'a>(
        &'a self,
        id: &'a str,
        change: Change,
        expected: Expected,
        by: &'a Author,
    ) -> Pending<'a, Result<Option<Record>, ChangeError>> {
        let changed = self.store.change(id, change, expected, by);
        Box::pin(self.operations[2].time(changed))
    }

    fn audit(&self, query: AuditQuery) -> Pending<'_, Result<Vec<AuditRecord>, StoreError>> {
        Box::pin(self.operations[3].time(self.store.audit(query)))
    }
}

impl SessionRecords for Watched<Arc<dyn SessionRecords>, 4> {
    fn list<'a>(
        &'a self,
        tenant: &'a Entry,
        after: Option<SessionId>,
        max: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>> {
        Box::pin(self.operations[0].time(self.store.list(tenant, after, max)))
    }

    fn count<'a>(&'a self, tenant: &'a Entry) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(self.operations[1].time(self.store.count(tenant)))
    }

    fn revoke<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        id: SessionId,
        by: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(self.operations[2].time(self.store.revoke(tenant, id, by)))
    }

    fn revoke_all<'a>(
        &'a self,
        tenant: &'a Arc<Entry>,
        by: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>> {
        Box::pin(self.operations[3].time(self.store.revoke_all(tenant, by)))
    }
}

impl UsageStore for Watched<Arc<dyn UsageStore>, 2> {
    fn add(&self, batch: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.operations[0].time(self.store.add(batch)))
    }

    fn query(&self, query: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        Box::pin(self.operations[1].time(self.store.query(query)))
    }
}
