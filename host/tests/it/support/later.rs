//! Stores that answer later, as one elsewhere would: after whatever a test has them wait
//! for.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tenantry::state::{Answer, Entry, RateLimiter, SessionStore, State, TenantDirectory};
use tenantry_core::{
    limit::Admission,
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};
use tokio::sync::Semaphore;

/// What a store waits for before each answer.
pub(crate) type Pause = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A pause that runs `future` anew each time.
pub(crate) fn pause<F: Future<Output = ()> + Send + 'static>(
    future: impl Fn() -> F + Send + Sync + 'static,
) -> Pause {
    Arc::new(move || Box::pin(future()))
}

/// A pause as short as can be.
pub(crate) fn a_moment() -> Pause {
    pause(tokio::task::yield_now)
}

/// The same state, of which every question is answered later.
pub(crate) fn later(state: State, pause: &Pause) -> State {
    let state = sessions_later(state, pause);
    State {
        tenants: Box::new(Later(state.tenants, Arc::clone(pause))),
        limiter: Box::new(Later(state.limiter, Arc::clone(pause))),
        ..state
    }
}

/// The same state, of which questions about sessions are answered later.
pub(crate) fn sessions_later(state: State, pause: &Pause) -> State {
    State {
        sessions: Box::new(Later(state.sessions, Arc::clone(pause))),
        ..state
    }
}

struct Later<T: ?Sized>(Box<T>, Pause);

impl<T: ?Sized + Sync> Later<T> {
    fn after_pause<'a, A, F>(&'a self, answer: F) -> Answer<'a, A>
    where
        A: Send + 'a,
        F: FnOnce(&'a T) -> Answer<'a, A> + Send + 'a,
    {
        let pause = (self.1)();
        Answer::Later(Box::pin(async move {
            pause.await;
            answer(&self.0).wait().await
        }))
    }
}

impl TenantDirectory for Later<dyn TenantDirectory> {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        self.after_pause(move |tenants| tenants.find(id))
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        self.after_pause(|tenants| tenants.tenant_list())
    }
}

impl SessionStore for Later<dyn SessionStore> {
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>> {
        self.after_pause(move |sessions| sessions.open(tenant, id))
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        self.after_pause(move |sessions| sessions.owner(tenant, id))
    }
}

impl RateLimiter for Later<dyn RateLimiter> {
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        self.after_pause(move |limiter| limiter.admit(tenant))
    }
}

/// A gate that is shut at first: who comes to it is counted, and waits.
#[derive(Clone)]
pub(crate) struct Gate {
    arrived: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn shut() -> Self {
        Self {
            arrived: Arc::default(),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    /// How many have come.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Lets everybody through from now on.
    pub(crate) fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// The pause that is waiting for the gate.
    pub(crate) fn pause(&self) -> Pause {
        let gate = self.clone();
        pause(move || {
            let gate = gate.clone();
            async move {
                gate.arrived.fetch_add(1, Ordering::SeqCst);
                let passed = gate.open.acquire().await;
                drop(passed.expect("a gate is never torn down"));
            }
        })
    }
}
