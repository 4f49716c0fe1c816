//! Stores that answer later, and stores out of reach: 503, and nothing half done.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tenantry::state::{Answer, Entry, RateLimiter, SessionStore, State, TenantDirectory};
use tenantry_conformance::{Exchange, Reply, replay};
use tenantry_core::{
    limit::Admission,
    session::SessionId,
    tenancy::{OpenError, Owner, Unavailable},
};

use crate::support::{
    client::{Sockets, ask, chat, get, open_session},
    server::{Served, Setup, Way},
};

/// What the stores of a test do, and what they were asked.
#[derive(Default)]
struct Control {
    /// They answer later instead of at once.
    is_later: bool,
    no_tenants: AtomicBool,
    no_open: AtomicBool,
    no_owner: AtomicBool,
    no_limiter: AtomicBool,
    /// They take the question, and never answer.
    is_silent: AtomicBool,
    opened: AtomicUsize,
    admitted: AtomicUsize,
}

/// A store in front of another one.
struct Front<T: ?Sized> {
    control: Arc<Control>,
    store: Box<T>,
}

impl<T: ?Sized> Front<T> {
    /// What the store says, now or later, if it is in reach.
    fn answer<'a, R: Send + 'a>(
        &'a self,
        is_away: &AtomicBool,
        ask: impl FnOnce(&'a T) -> Answer<'a, R> + Send + 'a,
        away: R,
    ) -> Answer<'a, R>
    where
        T: Sync,
    {
        if self.control.is_silent.load(Ordering::SeqCst) {
            return Answer::Later(Box::pin(std::future::pending()));
        }
        let is_away = is_away.load(Ordering::SeqCst);
        if !self.control.is_later {
            return if is_away {
                Answer::Now(away)
            } else {
                ask(&self.store)
            };
        }
        Answer::Later(Box::pin(async move {
            // Twice, so that whoever waits is woken more than once.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            if is_away {
                away
            } else {
                ask(&self.store).wait().await
            }
        }))
    }
}

impl TenantDirectory for Front<dyn TenantDirectory> {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        let is_away = &self.control.no_tenants;
        self.answer(is_away, |store| store.find(id), Err(Unavailable))
    }

    fn tenant_list(&self) -> Answer<'_, Result<Bytes, Unavailable>> {
        let is_away = &self.control.no_tenants;
        self.answer(is_away, |store| store.tenant_list(), Err(Unavailable))
    }
}

impl SessionStore for Front<dyn SessionStore> {
    fn open<'a>(&'a self, tenant: &'a Entry, id: SessionId) -> Answer<'a, Result<(), OpenError>> {
        let ask = move |store: &'a dyn SessionStore| {
            self.control.opened.fetch_add(1, Ordering::SeqCst);
            store.open(tenant, id)
        };
        self.answer(&self.control.no_open, ask, Err(Unavailable.into()))
    }

    fn owner<'a>(
        &'a self,
        tenant: &'a Entry,
        id: SessionId,
    ) -> Answer<'a, Result<Owner, Unavailable>> {
        let is_away = &self.control.no_owner;
        self.answer(
            is_away,
            move |store| store.owner(tenant, id),
            Err(Unavailable),
        )
    }

    fn maintain(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.store.maintain()
    }
}

impl RateLimiter for Front<dyn RateLimiter> {
    fn admit<'a>(&'a self, tenant: &'a Entry) -> Answer<'a, Result<Admission, Unavailable>> {
        let ask = move |store: &'a dyn RateLimiter| {
            self.control.admitted.fetch_add(1, Ordering::SeqCst);
            store.admit(tenant)
        };
        self.answer(&self.control.no_limiter, ask, Err(Unavailable))
    }
}

/// A server whose stores do what `control` says.
fn start(setup: Setup, control: &Arc<Control>) -> Served {
    let state = setup.state();
    let control = || Arc::clone(control);
    let state = State {
        tenants: Box::new(Front {
            control: control(),
            store: state.tenants,
        }),
        sessions: Box::new(Front {
            control: control(),
            store: state.sessions,
        }),
        limiter: Box::new(Front {
            control: control(),
            store: state.limiter,
        }),
        ..state
    };
    setup.start_with(state)
}

/// Every way of running the core, with stores that answer at once and later.
fn for_each(test: impl Fn(Way, Arc<Control>)) {
    for way in Way::ALL {
        for is_later in [false, true] {
            let control = Control {
                is_later,
                ..Control::default()
            };
            test(way, Arc::new(control));
        }
    }
}

fn assert_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("ratelimit"), None);
    assert_eq!(reply.text(), r#"{"detail":"Service Unavailable"}"#);
}

fn open(tenant: &str) -> Exchange {
    Exchange::post("/session", format!(r#"{{"tenant_id":"{tenant}"}}"#))
}

#[test]
fn tenants_out_of_reach_are_a_503_where_they_are_needed() {
    for_each(|way, control| {
        let server = start(Setup::limited(way), &control);
        let session = open_session(server.address, "acme");
        control.no_tenants.store(true, Ordering::SeqCst);
        for exchange in [get("/"), open("acme"), chat("acme", &session, "hi")] {
            assert_unavailable(&ask(server.address, &exchange));
        }
        let head = Exchange {
            method: "HEAD".to_owned(),
            ..get("/")
        };
        assert_eq!(ask(server.address, &head).status, 503);
        // Neither was touched.
        assert_eq!(control.opened.load(Ordering::SeqCst), 1);
        assert_eq!(control.admitted.load(Ordering::SeqCst), 0);
        // What needs no tenant is answered as ever.
        for (exchange, status) in [
            (get("/docs"), 200),
            (get("/nowhere"), 404),
            (get("/chat"), 405),
            (Exchange::post("/session", "{"), 422),
        ] {
            assert_eq!(ask(server.address, &exchange).status, status);
        }
        control.no_tenants.store(false, Ordering::SeqCst);
        assert_eq!(ask(server.address, &get("/")).status, 200);
        assert_eq!(
            ask(server.address, &chat("acme", &session, "hi")).status,
            200
        );
    });
}

#[test]
fn sessions_out_of_reach_are_a_503_and_cost_no_chat() {
    for_each(|way, control| {
        let server = start(Setup::limited(way), &control);
        let session = open_session(server.address, "globex");
        let say = || ask(server.address, &chat("globex", &session, "hi"));
        control.no_owner.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            assert_unavailable(&say());
        }
        assert_eq!(control.admitted.load(Ordering::SeqCst), 0);
        control.no_owner.store(false, Ordering::SeqCst);
        // globex may chat four times, all of which are left.
        for status in [200, 200, 200, 200, 429] {
            assert_eq!(say().status, status);
        }
        // The index and other rules go on.
        control.no_owner.store(true, Ordering::SeqCst);
        assert_eq!(ask(server.address, &get("/")).status, 200);
        let nobody = ask(server.address, &chat("nobody", &session, "hi"));
        assert_eq!(nobody.status, 404);
    });
}

#[test]
fn a_session_that_cannot_be_opened_is_not_open() {
    for_each(|way, control| {
        let mut setup = Setup::limited(way);
        setup.task.rules.max_sessions = 2;
        let server = start(setup, &control);
        control.no_open.store(true, Ordering::SeqCst);
        for _ in 0..5 {
            assert_unavailable(&ask(server.address, &open("acme")));
        }
        control.no_open.store(false, Ordering::SeqCst);
        for status in [200, 200, 429] {
            assert_eq!(ask(server.address, &open("acme")).status, status);
        }
    });
}

#[test]
fn a_limiter_out_of_reach_is_a_503_and_the_session_lives_on() {
    for_each(|way, control| {
        let server = start(Setup::limited(way), &control);
        let session = open_session(server.address, "globex");
        let say = || ask(server.address, &chat("globex", &session, "hi"));
        control.no_limiter.store(true, Ordering::SeqCst);
        assert_unavailable(&say());
        // Whose a session is comes before how much it may be used.
        let stolen = ask(server.address, &chat("acme", &session, "hi"));
        assert_eq!(stolen.status, 403);
        control.no_limiter.store(false, Ordering::SeqCst);
        for status in [200, 200, 200, 200, 429] {
            assert_eq!(say().status, status);
        }
    });
}

#[test]
fn a_store_is_asked_once_for_each_thing_however_late_it_answers() {
    for_each(|way, control| {
        let server = start(Setup::limited(way), &control);
        let session = open_session(server.address, "acme");
        assert_eq!(control.opened.load(Ordering::SeqCst), 1);
        for n in 1..=3 {
            let reply = ask(server.address, &chat("acme", &session, "hi"));
            assert_eq!(reply.status, 200);
            assert_eq!(control.admitted.load(Ordering::SeqCst), n);
        }
    });
}

#[test]
fn stores_that_never_answer_are_a_503_once_the_time_for_a_request_is_over() {
    for way in Way::ALL {
        let control = Arc::new(Control::default());
        let mut setup = Setup::limited(way);
        setup.task.server.request_timeout = Duration::from_millis(50);
        let server = start(setup, &control);
        let session = open_session(server.address, "acme");
        control.is_silent.store(true, Ordering::SeqCst);
        for exchange in [get("/"), open("acme"), chat("acme", &session, "hi")] {
            assert_unavailable(&ask(server.address, &exchange));
        }
        control.is_silent.store(false, Ordering::SeqCst);
        assert_eq!(
            ask(server.address, &chat("acme", &session, "hi")).status,
            200
        );
    }
}

#[test]
fn the_recorded_cases_come_out_as_recorded_with_stores_that_answer_later() {
    for way in [Way::Tenant, Way::Native] {
        let control = Control {
            is_later: true,
            ..Control::default()
        };
        let server = start(Setup::new(way), &Arc::new(control));
        replay(&mut Sockets(server.address)).assert_passed();
    }
}
