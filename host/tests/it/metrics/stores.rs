//! Stores' operations, as they are timed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tenantry::state::{
    Answer, Entry, Pending, RateLimiter, State, StoreError, TenantDirectory, UsageBatch,
    UsageQuery, UsageRow, UsageStore,
};
use tenantry_conformance::Exchange;
use tenantry_core::{limit::Admission, tenancy::Unavailable};

use super::Watched;
use crate::support::{
    client::{ask, chat, get, open_session},
    later::{Gate, a_moment, later, sessions_later},
    server::{Setup, Way},
};

/// Everything fails while this is set.
#[derive(Default)]
struct Away(AtomicBool);

impl Away {
    fn check(&self) -> Result<(), Unavailable> {
        if self.0.load(Ordering::SeqCst) {
            return Err(Unavailable);
        }
        Ok(())
    }
}

struct Tenants(Arc<Away>, Box<dyn TenantDirectory>);

impl TenantDirectory for Tenants {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        match self.0.check() {
            Ok(()) => self.1.find(id),
            Err(away) => Answer::Now(Err(away)),
        }
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        self.1.tenant_list()
    }
}

struct Limiter(Arc<Away>, Box<dyn RateLimiter>);

impl RateLimiter for Limiter {
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        Answer::Later(Box::pin(async move {
            self.0.check()?;
            self.1.admit(tenant).wait().await
        }))
    }
}

struct NoUsage;

impl UsageStore for NoUsage {
    fn add(&self, _: UsageBatch) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async { Err(StoreError::Failed("as ever".to_owned())) })
    }

    fn query(&self, _: UsageQuery) -> Pending<'_, Result<Vec<UsageRow>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// How often an operation ended in that way.
fn count(watched: &Watched, store: &str, operation: &str, outcome: &str) -> Option<f64> {
    watched.scrape().find(&format!(
        "store_operation_duration_seconds_count{{store=\"{store}\",operation=\"{operation}\",\
         outcome=\"{outcome}\"}}"
    ))
}

#[test]
fn what_a_store_elsewhere_does_is_timed_by_how_it_ends() {
    for way in [Way::Tenant, Way::Native] {
        let setup = Setup::limited(way);
        let away = Arc::new(Away::default());
        let state = later(setup.state(), &a_moment());
        let state = State {
            tenants: Box::new(Tenants(Arc::clone(&away), state.tenants)),
            limiter: Box::new(Limiter(Arc::clone(&away), state.limiter)),
            ..state
        };
        let watched = Watched::new(setup.start_with(state.watched()));
        let address = watched.served.address;
        let session = open_session(address, "globex");
        assert_eq!(ask(address, &chat("globex", &session, "hi")).status, 200);
        assert_eq!(ask(address, &get("/")).status, 200);
        let ok = |store, operation| count(&watched, store, operation, "ok");
        assert_eq!(ok("tenants", "find"), Some(2.0), "{way:?}");
        assert_eq!(ok("tenants", "list"), Some(1.0));
        assert_eq!(ok("sessions", "open"), Some(1.0));
        assert_eq!(ok("sessions", "owner"), Some(1.0));
        assert_eq!(ok("limiter", "admit"), Some(1.0));
        let error = |store, operation| count(&watched, store, operation, "error");
        assert_eq!(error("tenants", "find"), Some(0.0));
        assert_eq!(error("limiter", "admit"), Some(0.0));

        away.0.store(true, Ordering::SeqCst);
        assert_eq!(ask(address, &chat("globex", &session, "hi")).status, 503);
        assert_eq!(error("tenants", "find"), Some(1.0));
    }
}

#[test]
fn what_a_store_in_memory_says_at_once_is_not_timed_and_a_refusal_is_no_error() {
    let mut setup = Setup::limited(Way::Native);
    setup.task.rules.max_sessions = 1;
    let state = setup.state().watched();
    let watched = Watched::new(setup.start_with(state));
    let address = watched.served.address;
    open_session(address, "globex");
    let open = Exchange::post("/session", r#"{"tenant_id":"globex"}"#);
    assert_eq!(ask(address, &open).status, 429);
    assert_eq!(count(&watched, "sessions", "open", "ok"), None);
    assert_eq!(count(&watched, "sessions", "open", "error"), Some(0.0));
}

#[test]
fn an_operation_that_nobody_waits_for_any_more_is_told_apart() {
    let mut setup = Setup::new(Way::Native);
    setup.task.server.request_timeout = Duration::from_millis(50);
    let state = sessions_later(setup.state(), &Gate::shut().pause());
    let watched = Watched::new(setup.start_with(state.watched()));
    let open = Exchange::post("/session", r#"{"tenant_id":"globex"}"#);
    assert_eq!(ask(watched.served.address, &open).status, 503);
    assert_eq!(count(&watched, "sessions", "open", "abandoned"), Some(1.0));
}

#[test]
fn usage_that_is_not_taken_is_an_error_of_its_store() {
    let setup = Setup::new(Way::Native);
    let state = State {
        usage: Arc::new(NoUsage),
        ..setup.state()
    };
    let watched = Watched::new(setup.start_with(state.watched()));
    open_session(watched.served.address, "globex");
    let mut errors = None;
    for _ in 0..1000 {
        errors = count(&watched, "usage", "add", "error");
        if errors.is_some_and(|errors| errors > 1.0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(errors.is_some_and(|errors| errors > 1.0), "{errors:?}");
    assert_eq!(watched.scrape().value("usage_rows_waiting"), 1.0);
    // It is given up when the server stops, after five seconds.
}
