//! Sandboxes of one thread: how many there are, whose they are, and how long they live.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
};

use tenantry::{
    sandbox::Isolation,
    state::{Answer, Entry, Stage, State, TenantDirectory},
};
use tenantry_core::{registry::Registry, tenancy::Unavailable};

use super::{count, inside, misbehaving, open_session, order, poll_once};
use crate::support::{
    client::{chat, session_id},
    inside::{Inside, answer},
    later::{Gate, a_moment, sessions_later},
};

#[test]
fn a_sandbox_serves_its_scope_request_after_request() {
    let inside = Inside::new(misbehaving().engine());
    for n in 1..=3 {
        for scope in [Some("acme"), Some("globex"), None] {
            assert_eq!(count(&inside, scope), n);
        }
    }
    // Nobody's requests share one scope, whatever they ask for.
    let unknown = inside.ask(&open_session("nobody"));
    assert_eq!(unknown.status, 404);
    assert_eq!(count(&inside, None), 5);
}

#[test]
fn with_isolation_by_request_every_sandbox_is_new() {
    let mut setup = misbehaving();
    setup.task.sandbox.isolation = Isolation::Request;
    let inside = Inside::new(setup.engine());
    for scope in [Some("acme"), Some("globex"), None, Some("acme")] {
        assert_eq!(count(&inside, scope), 1);
        assert_eq!(count(&inside, scope), 1);
    }
}

#[test]
fn the_scope_that_was_idle_for_longest_makes_room() {
    let mut setup = misbehaving();
    setup.task.sandbox.max_per_thread = 2;
    let inside = Inside::new(setup.engine());
    assert_eq!(count(&inside, Some("acme")), 1);
    assert_eq!(count(&inside, Some("globex")), 1);
    assert_eq!(count(&inside, Some("acme")), 2);
    // Globex was idle for longer than acme.
    assert_eq!(count(&inside, Some("initech")), 1);
    assert_eq!(count(&inside, Some("acme")), 3);
    assert_eq!(count(&inside, Some("initech")), 2);
    assert_eq!(count(&inside, Some("globex")), 1);
    // And now acme was.
    assert_eq!(count(&inside, Some("initech")), 3);
    assert_eq!(count(&inside, Some("acme")), 1);
}

#[test]
fn one_sandbox_is_enough_for_all_scopes_one_after_the_other() {
    let mut setup = misbehaving();
    setup.task.sandbox.max_per_thread = 1;
    setup.task.server.threads = 1;
    let inside = Inside::new(setup.engine());
    for _ in 0..20 {
        for scope in [Some("acme"), Some("globex"), None] {
            assert_eq!(count(&inside, scope), 1);
        }
    }
}

/// There are fewer stacks than sandboxes. One that is idle must not need one, whether its
/// requests waited for a store or not.
#[test]
fn all_sandboxes_can_be_idle_at_a_time() {
    for is_late in [false, true] {
        let mut setup = misbehaving();
        setup.task.sandbox.max_per_thread = 400;
        setup.task.server.threads = 1;
        setup.tenants = (0..400)
            .map(|n| format!(r#"{{"id":"t{n}","name":"n","welcome":"w"}}"#) + "\n")
            .collect();
        let state = if is_late {
            sessions_later(setup.state(), &a_moment())
        } else {
            setup.state()
        };
        let inside = inside(&setup, state);
        for round in 1..=2 {
            for n in 0..400 {
                let tenant = format!("t{n}");
                assert_eq!(inside.ask(&open_session(&tenant)).status, 200);
                assert_eq!(count(&inside, Some(&tenant)), 2 * round, "{is_late}");
            }
        }
    }
}

/// As many requests as sandboxes run; the next waits until one of them has ended, and is
/// answered then.
#[test]
fn requests_beyond_the_bound_wait_for_a_sandbox() {
    let mut setup = misbehaving();
    setup.task.sandbox.max_per_thread = 2;
    setup.task.server.threads = 1;
    let gate = Gate::shut();
    let inside = inside(&setup, sessions_later(setup.state(), &gate.pause()));
    inside.run(async {
        let exchanges = ["acme", "acme", "globex"].map(open_session);
        let [one, two, three] = exchanges.each_ref();
        let mut one = pin!(answer(&inside.engine, one));
        let mut two = pin!(answer(&inside.engine, two));
        let mut three = pin!(answer(&inside.engine, three));
        assert!(poll_once(one.as_mut()).await.is_pending());
        assert_eq!(gate.arrived(), 1);
        assert!(poll_once(two.as_mut()).await.is_pending());
        assert_eq!(gate.arrived(), 2);
        assert!(poll_once(three.as_mut()).await.is_pending());
        assert_eq!(gate.arrived(), 2, "a third request has a sandbox");
        gate.open();
        let (one, two, three) = tokio::join!(one, two, three);
        for (reply, fault) in [one, two, three] {
            assert_eq!(reply.status, 200, "{fault:?}");
        }
        assert_eq!(gate.arrived(), 3);
    });
}

#[test]
fn a_tenant_has_as_many_sandboxes_as_requests_at_a_time() {
    let mut setup = misbehaving();
    setup.task.sandbox.max_per_thread = 4;
    let gate = Gate::shut();
    let inside = inside(&setup, sessions_later(setup.state(), &gate.pause()));
    inside.run(async {
        let exchange = open_session("acme");
        let mut first = pin!(answer(&inside.engine, &exchange));
        assert!(poll_once(first.as_mut()).await.is_pending());
        // The first one's sandbox is busy, and is not waited for.
        let (reply, _) = answer(&inside.engine, &order(Some("acme"), "count")).await;
        assert_eq!(reply.text(), "1");
        gate.open();
        assert_eq!(first.await.0.status, 200);
    });
    assert_eq!(count(&inside, Some("acme")), 2);
}

/// Given up while a store is asked, and while it runs.
#[test]
fn a_request_given_up_in_the_middle_costs_its_sandbox_alone() {
    let mut setup = misbehaving();
    setup.task.sandbox.max_per_thread = 1;
    setup.task.server.threads = 1;
    let gate = Gate::shut();
    let inside = inside(&setup, sessions_later(setup.state(), &gate.pause()));
    for _ in 0..10 {
        for exchange in [open_session("acme"), order(Some("acme"), "loop")] {
            assert_eq!(count(&inside, Some("acme")), 1);
            assert_eq!(count(&inside, Some("acme")), 2);
            inside.run(async {
                let mut given_up = Box::pin(answer(&inside.engine, &exchange));
                assert!(poll_once(given_up.as_mut()).await.is_pending());
            });
            assert_eq!(
                count(&inside, Some("acme")),
                1,
                "its sandbox was used again"
            );
            // There is one sandbox, and it is free again for everybody.
            assert_eq!(count(&inside, Some("globex")), 1);
        }
    }
    assert_eq!(gate.arrived(), 10);
    gate.open();
    let id = session_id(&inside.ask(&open_session("acme")));
    assert_eq!(inside.ask(&chat("acme", &id, "hello")).status, 200);
}

/// Tenants of which one has a row that a test changes.
struct Changing {
    rest: Box<dyn TenantDirectory>,
    acme: Arc<Mutex<Arc<Entry>>>,
}

impl TenantDirectory for Changing {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        if id == "acme" {
            let acme = self.acme.lock().expect("a lock");
            return Answer::Now(Ok(Some(Arc::clone(&acme))));
        }
        self.rest.find(id)
    }

    fn tenant_list(&self) -> Answer<'_, Result<bytes::Bytes, Unavailable>> {
        self.rest.tenant_list()
    }
}

fn acme(welcome: &str) -> Arc<Entry> {
    let row = format!(r#"{{"id":"acme","name":"Acme Corp","welcome":"{welcome}"}}"#);
    let parsed = Registry::parse(row.as_bytes()).expect("a good row");
    let row = parsed.registry.into_rows().remove(0);
    Arc::new(Entry::new(0, row, Stage::Active))
}

#[test]
fn a_row_that_has_changed_is_another_scope() {
    let setup = misbehaving();
    let state = setup.state();
    let row = Arc::new(Mutex::new(acme("Hello")));
    let tenants = Changing {
        rest: state.tenants,
        acme: Arc::clone(&row),
    };
    let state = State {
        tenants: Box::new(tenants),
        ..state
    };
    let inside = inside(&setup, state);
    let id = session_id(&inside.ask(&open_session("acme")));
    assert_eq!(count(&inside, Some("acme")), 2);
    assert_eq!(count(&inside, Some("globex")), 1);

    *row.lock().expect("a lock") = acme("Good day");
    assert_eq!(
        count(&inside, Some("acme")),
        1,
        "the old row's sandbox was used"
    );
    let reply = inside.ask(&chat("acme", &id, "hi"));
    assert!(reply.text().contains("Good day"), "{}", reply.text());
    assert!(!reply.text().contains("Hello"), "{}", reply.text());
    assert_eq!(count(&inside, Some("acme")), 3);
    assert_eq!(count(&inside, Some("globex")), 2);

    // Even a row that says the same again.
    *row.lock().expect("a lock") = acme("Good day");
    assert_eq!(count(&inside, Some("acme")), 1);
}
