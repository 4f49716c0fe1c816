//! Everything that a guest can do wrong costs one answer and one sandbox.

use std::{sync::Arc, time::Duration};

use tenantry::{
    engine::Engine,
    sandbox::Fault,
    state::{Answer, Entry, State, TenantDirectory},
};
use tenantry_core::tenancy::Unavailable;
use wasmtime::Trap;

use super::{
    assert_internal_error, count, digits, fault, inside, misbehaving, open_session, order,
};
use crate::support::{
    client::{chat, session_id},
    inside::Inside,
    server::{Setup, Way},
};

const MAX_REPLY: usize = 10_000;

/// What is ordered, and whether a fault is the one that it should be.
type Misbehaviour = (&'static str, fn(&Fault) -> bool);

const MISBEHAVIOURS: [Misbehaviour; 18] = [
    ("loop", |fault| matches!(fault, Fault::Deadline)),
    ("loop-asking", |fault| matches!(fault, Fault::Deadline)),
    ("allocate", |fault| matches!(fault, Fault::Memory)),
    ("recurse:10000000", |fault| matches!(fault, Fault::Stack)),
    // The stack in its memory ends where the memory begins.
    ("recurse-in-memory:10000", |fault| {
        is_trap(fault, Trap::MemoryOutOfBounds)
    }),
    ("unreachable", |fault| {
        is_trap(fault, Trap::UnreachableCodeReached)
    }),
    ("panic", |fault| {
        is_trap(fault, Trap::UnreachableCodeReached)
    }),
    ("out-of-bounds", |fault| {
        is_trap(fault, Trap::MemoryOutOfBounds)
    }),
    ("reply:10001", |fault| matches!(fault, Fault::Reply(10_001))),
    ("long-location:10001", |fault| {
        matches!(fault, Fault::Reply(10_001))
    }),
    ("status:0", |fault| matches!(fault, Fault::Status(0))),
    ("status:99", |fault| matches!(fault, Fault::Status(99))),
    ("status:101", |fault| matches!(fault, Fault::Status(101))),
    ("status:600", |fault| matches!(fault, Fault::Status(600))),
    ("status:65535", |fault| {
        matches!(fault, Fault::Status(65_535))
    }),
    ("location", |fault| matches!(fault, Fault::Location)),
    ("head-only", |fault| matches!(fault, Fault::HeadOnly)),
    ("tenant-list", |fault| matches!(fault, Fault::TenantList)),
];

fn is_trap(fault: &Fault, trap: Trap) -> bool {
    match fault {
        Fault::Trap(error) => error.downcast_ref() == Some(&trap),
        _ => false,
    }
}

fn setup() -> Setup {
    let mut setup = misbehaving();
    setup.task.sandbox.deadline = Duration::from_millis(50);
    setup.task.sandbox.max_memory = 4 << 20;
    setup.task.sandbox.max_reply = MAX_REPLY;
    setup
}

#[test]
fn each_misbehaviour_costs_one_answer_and_one_sandbox() {
    let inside = Inside::new(setup().engine());
    let sessions = ["acme", "globex"].map(|tenant| {
        let id = session_id(&inside.ask(&open_session(tenant)));
        (tenant, id)
    });
    for (what, is_expected) in MISBEHAVIOURS {
        let of_globex = count(&inside, Some("globex"));
        let of_nobody = count(&inside, None);
        let before = count(&inside, Some("acme"));
        assert_eq!(
            count(&inside, Some("acme")),
            before + 1,
            "{what}: not used again"
        );
        let fault = fault(&inside, &order(Some("acme"), what));
        assert!(is_expected(&fault), "{what}: {fault:?}");
        // The next sandbox is a new one, and nobody else has lost his.
        assert_eq!(count(&inside, Some("acme")), 1, "{what}");
        assert_eq!(count(&inside, Some("globex")), of_globex + 1, "{what}");
        assert_eq!(count(&inside, None), of_nobody + 1, "{what}");
        for (tenant, id) in &sessions {
            let reply = inside.ask(&chat(tenant, id, "still here?"));
            assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        }
    }
    // Nobody's sandbox was asked twice a round, from the first to the last.
    assert_eq!(count(&inside, None), 2 * MISBEHAVIOURS.len() as u32 + 1);
}

#[test]
fn each_misbehaviour_in_nobodys_scope_costs_one_answer_and_one_sandbox() {
    let inside = Inside::new(setup().engine());
    for (what, is_expected) in MISBEHAVIOURS {
        if what == "tenant-list" {
            continue;
        }
        assert!(count(&inside, None) > 0);
        let fault = fault(&inside, &order(None, what));
        assert!(is_expected(&fault), "{what}: {fault:?}");
        assert_eq!(count(&inside, None), 1, "{what}");
    }
    let list = inside.ask(&order(None, "tenant-list"));
    assert_eq!(
        list.text(),
        r#"{"ok":true,"tenants":["acme","globex","initech"]}"#
    );
}

#[test]
fn without_an_order_the_misbehaving_guest_answers_as_the_real_one() {
    let inside = Inside::new(misbehaving().engine());
    let id = session_id(&inside.ask(&open_session("globex")));
    let reply = inside.ask(&chat("globex", &id, "hello"));
    assert_eq!(
        reply.text(),
        format!(
            r#"{{"tenant_id":"globex","session_id":"{id}","reply":"Welcome from Globex. [GLOBEX MOCK] Echo: HELLO","model":"mock-2","mock":true}}"#
        )
    );
}

#[test]
fn an_id_in_use_is_refused_and_keeps_its_owner() {
    let inside = Inside::new(misbehaving().engine());
    let own = session_id(&inside.ask(&open_session("acme")));
    let globexs = session_id(&inside.ask(&open_session("globex")));
    for _ in 0..3 {
        for id in [&own, &globexs] {
            let what = format!("open:{}", digits(id));
            assert_eq!(inside.ask(&order(Some("acme"), &what)).text(), "exists");
        }
    }
    for (id, tenant, status) in [
        (&own, "acme", 200),
        (&own, "globex", 403),
        (&globexs, "globex", 200),
        (&globexs, "acme", 403),
    ] {
        assert_eq!(inside.ask(&chat(tenant, id, "whose?")).status, status);
    }
    // One that is free is opened, for whoever's sandbox asks.
    let free = "b1946ac9-2492-4d23-8c6b-6f3d1d9f7a10";
    let what = format!("open:{}", digits(free));
    assert_eq!(inside.ask(&order(None, &what)).text(), "unavailable");
    assert_eq!(inside.ask(&order(Some("initech"), &what)).text(), "opened");
    assert_eq!(inside.ask(&chat("initech", free, "")).status, 200);
    assert_eq!(inside.ask(&chat("acme", free, "")).status, 403);
}

#[test]
fn memory_that_was_refused_once_is_not_blamed_for_a_later_fault() {
    let mut setup = setup();
    setup.task.sandbox.max_memory = 2 << 20;
    let inside = Inside::new(setup.engine());
    let refused = inside.ask(&order(Some("acme"), "grow:2097153"));
    assert_eq!(refused.text(), "false");
    assert_eq!(count(&inside, Some("acme")), 2);
    let fault = fault(&inside, &order(Some("acme"), "panic"));
    assert!(is_trap(&fault, Trap::UnreachableCodeReached), "{fault:?}");
}

/// Tenants of which one is found under another's id.
struct Mixed(Box<dyn TenantDirectory>);

impl TenantDirectory for Mixed {
    fn find<'a>(&'a self, id: &'a str) -> Answer<'a, Result<Option<Arc<Entry>>, Unavailable>> {
        self.0.find(if id == "acme" { "globex" } else { id })
    }

    fn tenant_list(&self) -> Answer<'_, Result<bytes::Bytes, Unavailable>> {
        self.0.tenant_list()
    }
}

#[test]
fn a_request_in_another_tenants_scope_is_refused_by_the_rules_themselves() {
    for way in Way::ALL {
        let setup = Setup::new(way);
        let state = setup.state();
        let state = State {
            tenants: Box::new(Mixed(state.tenants)),
            ..state
        };
        let inside = inside(&setup, state);
        for exchange in [open_session("acme"), chat("acme", "no session", "hello")] {
            let (reply, fault) = inside.answer(&exchange);
            assert_internal_error(&reply);
            assert!(
                fault.is_none(),
                "{way:?}: the guest has answered: {fault:?}"
            );
        }
        let id = session_id(&inside.ask(&open_session("globex")));
        assert_eq!(inside.ask(&chat("globex", &id, "hello")).status, 200);
    }
}

/// The engine's own answer where a sandbox failed says nothing about why.
#[test]
fn a_fault_is_told_to_the_log_and_not_to_the_client() {
    let engine: Engine = setup().engine();
    let inside = Inside::new(engine);
    let (reply, fault) = inside.answer(&order(Some("acme"), "status:99"));
    assert_internal_error(&reply);
    let fault = fault.expect("a fault").to_string();
    assert_eq!(fault, "the guest answered with a status of 99");
}
