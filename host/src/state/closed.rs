//! State whose store is not open yet: everything that is asked of it is out of reach.

use std::sync::Arc;

use bytes::Bytes;
use tenantry_core::{
    limit::Admission,
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};

use super::{
    Answer, AuditQuery, AuditRecord, Author, Change, ChangeError, Clock, Entry, Expected, Meters,
    Pending, RateLimiter, Record, SessionRecords, SessionStore, State, StoreError, StoredSession,
    TenantDirectory, TenantQuery, TenantStore, UsageBatch, UsageQuery, UsageRow, UsageStore,
};
use crate::metrics::{Metrics, Probe};

/// Stands for every store until the real one is open.
struct Closed;

impl State {
    /// The state of a server that waits for its store, which `probe` describes. It counts in
    /// the same metrics as the state that follows.
    pub(crate) fn closed(
        probe: Arc<dyn Probe>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            tenants: Box::new(Closed),
            sessions: Box::new(Closed),
            limiter: Box::new(Closed),
            records: Arc::new(Closed),
            session_records: Arc::new(Closed),
            usage: Arc::new(Closed),
            meters: Meters::default(),
            clock,
            probes: vec![probe],
            traces: None,
            metrics,
        }
    }
}

fn refused<'a, T: Send + 'a, E: From<StoreError> + Send + 'a>() -> Pending<'a, Result<T, E>> {
    let error = StoreError::Unavailable("it is not open yet".to_owned());
    Box::pin(std::future::ready(Err(error.into())))
}

impl TenantDirectory for Closed {
    fn find<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        Answer::Now(Err(Unavailable))
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        Answer::Now(Err(Unavailable))
    }
}

impl SessionStore for Closed {
    fn open<'a>(&'a self, _: &'a Entry, _: SessionId) -> Answer<'a, Result<(), OpenError>> {
        Answer::Now(Err(Unavailable.into()))
    }

    fn owner<'a>(&'a self, _: &'a Entry, _: SessionId) -> Answer<'a, Result<Owner, Unavailable>> {
        Answer::Now(Err(Unavailable))
    }
}

impl RateLimiter for Closed {
    fn admit<'a>(&'a self, _: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        Answer::Now(Err(Unavailable))
    }
}

impl TenantStore for Closed {
    fn get<'a>(&'a self, _: &'a str) -> Pending<'a, Result<Option<Record>, StoreError>> {
        refused()
    }

    fn list(&self, _: TenantQuery) -> Pending<'_, Result<Vec<(u64, Record)>, StoreError>> {
        refused()
    }

    fn change<'a>(
        &'a self,
        _: &'a str,
        _: Change,
        _: Expected,
        _: &'a Author,
    ) -> Pending<'a, Result<Option<Record>, ChangeError>> {
        refused()
    }

    fn audit(&self, _: AuditQuery) -> Pending<'_, Result<Vec<AuditRecord>, StoreError>> {
        refused()
    }
}

impl SessionRecords for Closed {
    fn list<'a>(
        &'a self,
        _: &'a Entry,
        _: Option<SessionId>,
        _: usize,
    ) -> Pending<'a, Result<Vec<StoredSession>, StoreError>> {
        refused()
    }

    fn count<'a>(&'a self, _: &'a Entry) -> Pending<'a, Result<u64, StoreError>> {
        refused()
    }

    fn revoke<'a>(
        &'a self,
        _: &'a Arc<Entry>,
        _: SessionId,
        _: &'a Author,
    ) -> Pending<'a, Result<bool, StoreError>> {
        refused()
    }

    fn revoke_all<'a>(
        &'a self,
        _: &'a Arc<Entry>,
        _: &'a Author,
    ) -> Pending<'a, Result<u64, StoreError>> {
        refused()
    }
}

impl UsageStore for Closed {
    fn add(&self, _: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        refused()
    }

    fn query(&self, _: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        refused()
    }
}
