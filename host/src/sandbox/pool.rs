//! The sandboxes of one worker thread.

use std::{cell::RefCell, sync::Arc};

use lru::LruCache;
use opentelemetry::trace::SpanKind;
use tenantry_core::{
    contract::{Call, Request, Response},
    session::TenantKey,
};
use tokio::sync::Semaphore;

use super::{
    Component, Isolation,
    call::{Fault, Sandbox},
    max_busy,
};
use crate::{
    metrics::{End, PoolCounts, fault_name},
    state::{Entry, State},
    traces::{self, Part},
};

/// The sandboxes of one worker thread: bounded in number, kept by scope, the one that was
/// idle for longest given up first.
///
/// A sandbox belongs to a request for as long as that runs, so a tenant may have several.
pub struct Sandboxes {
    component: Arc<Component>,
    state: Arc<State>,
    max: usize,
    /// One permit for each sandbox that is, or may be, busy.
    busy: Semaphore,
    idle: RefCell<Idle>,
    counts: Arc<PoolCounts>,
}

impl Sandboxes {
    /// An empty pool of at most `max` sandboxes for the calling thread.
    #[must_use]
    pub fn new(component: Arc<Component>, state: Arc<State>, max: usize) -> Self {
        Self {
            max,
            counts: state.metrics.add_pool(),
            busy: Semaphore::new(max_busy(max)),
            idle: RefCell::new(Idle {
                by_scope: LruCache::unbounded(),
                count: 0,
            }),
            component,
            state,
        }
    }

    /// Answers a request, which `call` was read from, in a sandbox of its scope: `tenant`'s,
    /// or the anonymous one.
    ///
    /// # Errors
    /// The guest gave no answer. That cost this request its answer and the sandbox its
    /// life; nothing else is touched.
    pub async fn answer(
        &self,
        request: &Request<'_>,
        call: &Call<'_>,
        tenant: Option<&Arc<Entry>>,
    ) -> Result<Response, Fault> {
        // Returned when this request ends, however it ends. The semaphore is never closed.
        let _busy = self.busy.acquire().await;
        let mut sandbox = match self.take(tenant) {
            Some(sandbox) => sandbox,
            None => self.make(tenant).await?,
        };
        let traces = self.state.traces.as_ref();
        let part = traces.and_then(|traces| traces.part("sandbox", SpanKind::Internal));
        let within = part.as_ref().map(Part::context);
        // Where the request is given up while this waits, the sandbox goes with it.
        let mut fate = Fate {
            counts: &self.counts,
            end: Some(End::Abandoned),
        };
        let limits = &self.component.limits;
        let response = traces::within(within, sandbox.call(request, call, limits.max_reply)).await;
        fate.end = match &response {
            Err(_) => Some(End::Failed),
            Ok(_) if limits.isolation == Isolation::Request => Some(End::Used),
            Ok(_) if !sandbox.is_fit() => Some(End::Grown),
            Ok(_) => None,
        };
        if fate.end.is_none() {
            let mut idle = self.idle.borrow_mut();
            idle.put(key(tenant), sandbox);
            self.counts.set_idle(idle.count);
        }
        response.inspect_err(|fault| {
            self.counts.failed(fault);
            if let Some(part) = &part {
                part.failed(fault_name(fault));
            }
        })
    }

    async fn make(&self, tenant: Option<&Arc<Entry>>) -> Result<Sandbox, Fault> {
        let state = Arc::clone(&self.state);
        let made = Sandbox::make(&self.component, tenant.cloned(), state).await;
        match &made {
            Ok(_) => self.counts.made(),
            Err(fault) => self.counts.failed(fault),
        }
        made
    }

    /// An idle sandbox of this scope. Where there is none, makes sure that there is room
    /// for a new one.
    fn take(&self, tenant: Option<&Arc<Entry>>) -> Option<Sandbox> {
        let mut idle = self.idle.borrow_mut();
        let mut found = None;
        while found.is_none()
            && let Some(sandbox) = idle.take(key(tenant))
        {
            // A row that has changed since is another scope.
            if sandbox.is_of(tenant) {
                found = Some(sandbox);
            } else {
                self.counts.ended(End::Changed);
            }
        }
        if found.is_none() {
            let busy = max_busy(self.max) - self.busy.available_permits();
            while idle.count > 0 && idle.count + busy > self.max {
                idle.drop_oldest();
                self.counts.ended(End::Evicted);
            }
        }
        self.counts.set_idle(idle.count);
        found
    }

    /// Idle sandboxes.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.borrow().count
    }
}

/// What becomes of a sandbox that a request has; counted when the request is over.
struct Fate<'a> {
    counts: &'a PoolCounts,
    /// Why it is not kept; none where it is.
    end: Option<End>,
}

impl Drop for Fate<'_> {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            self.counts.ended(end);
        }
    }
}

/// A scope's key: a tenant's, or none for the anonymous scope.
type Key = Option<TenantKey>;

fn key(tenant: Option<&Arc<Entry>>) -> Key {
    tenant.map(|tenant| tenant.key)
}

struct Idle {
    /// A scope that was used later comes later; one whose sandboxes are all busy stays.
    by_scope: LruCache<Key, Vec<Sandbox>>,
    count: usize,
}

impl Idle {
    fn take(&mut self, key: Key) -> Option<Sandbox> {
        let sandbox = self.by_scope.get_mut(&key)?.pop();
        match &sandbox {
            Some(_) => self.count -= 1,
            None => {
                self.by_scope.pop(&key);
            }
        }
        sandbox
    }

    fn put(&mut self, key: Key, sandbox: Sandbox) {
        self.by_scope.get_or_insert_mut(key, Vec::new).push(sandbox);
        self.count += 1;
    }

    /// Gives up one sandbox of the scope that was used longest ago.
    fn drop_oldest(&mut self) {
        while let Some((key, mut sandboxes)) = self.by_scope.pop_lru() {
            if sandboxes.pop().is_some() {
                self.count -= 1;
                if !sandboxes.is_empty() {
                    self.by_scope.put(key, sandboxes);
                    self.by_scope.demote(&key);
                }
                return;
            }
        }
    }
}
